//! Everything a sandbox opens that is no model call: one connection from accept to close.

mod caller;
pub mod denials;
pub mod dial;
pub mod dns;
pub mod names;
pub mod refusal;
pub mod resolve;
mod steps;
pub mod upstream_proxy;

pub use caller::{Connection, Identify, Identity, Unidentified};
