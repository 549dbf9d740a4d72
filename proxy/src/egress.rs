//! Everything a sandbox opens that is no model call: one connection from accept to close.

mod caller;

pub use caller::{Connection, Identify, Identity, Unidentified};
