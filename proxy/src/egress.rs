//! Everything a sandbox opens that is no model call: one connection from accept to close.

mod caller;
pub mod credentials;
pub mod operation;
pub mod reflect;
pub mod scrutiny;
pub mod sigv4;

pub use caller::{Connection, Identify, Identity, Unidentified};
