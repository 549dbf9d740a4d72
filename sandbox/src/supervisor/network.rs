//! The network of the sandbox: whoever holds its sockets. Nothing is attached to them yet, so every connection is refused.

use policy::PolicyFile;
use serde_json::Value;

use crate::Sockets;

/// What the sandbox reaches.
#[derive(Debug, Default)]
pub(super) struct Network;

impl Network {
    /// Closes the sockets, which refuses every connection at once.
    pub(super) fn start(sockets: Option<Sockets>) -> Self {
        drop(sockets);
        Self
    }

    /// Puts another policy in force for every connection from now on.
    pub(super) fn replace_policy(&self, _policy: PolicyFile, _version: u64) {}

    /// What was refused lately.
    pub(super) fn denials(&self) -> Vec<Value> {
        Vec::new()
    }
}
