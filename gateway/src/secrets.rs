//! How secrets are kept: where the master key comes from, and the envelope that a stored value lies in.
//!
//! Here: sources of master keys (`source`), the keys themselves (`keys`), sealing and opening (`envelope`). Not here:
//! the rows that hold sealed values (`store::secrets`), and who may ask for them (`auth`).
//!
//! Invariant: a master key is never printed, never stored beside what it seals, and overwritten when dropped. A sealed
//! value opens only where it was sealed for: one changed bit, or another owner or name, and it is refused.

mod envelope;
mod keys;
mod source;

pub use envelope::{Binding, SealError, Sealed};
pub use keys::{KeyId, Keys};
pub use source::{KeySource, KeysError};
