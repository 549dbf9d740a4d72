//! The nouns that three or more crates speak: hosts, names, labels, sensitivity, zones, money, secrets and limits.
//!
//! Not here: anything that decides (`router`), anything that is serialised (the wire types of the other
//! crates), anything that touches a socket, a file, a clock or the environment.
//!
//! Invariant: every value of these types is valid; text becomes a type once, at the edge.
//! Read next: `router` for the decisions that are made with these nouns.

mod host;
mod label;
pub mod limits;
mod money;
mod name;
mod secret;
mod sensitivity;

pub use host::{Destination, Host, HostError};
pub use label::{Label, LabelPattern, LabelPatternError};
pub use money::{Cost, Price, Tokens};
pub use name::{BackendName, ModelName, NameError, Tenant};
pub use secret::ApiKey;
pub use sensitivity::{Sensitivity, UnknownWord, Zone};
