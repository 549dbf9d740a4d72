//! What the store keeps of each kind of object.

use std::collections::BTreeMap;

use api::{sandbox::SandboxSpec, user::Role};
use serde::{Deserialize, Serialize};

use crate::{identities::Outside, lifecycle::Desired, store::Object};

/// Where objects are that belong to no workspace: a name that none may have.
pub(crate) const EVERYWHERE: &str = "*";

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    /// What was asked for.
    pub(crate) spec: SandboxSpec,
    /// Who made it.
    pub(crate) owner: String,
    /// What somebody wants of it.
    pub(crate) desired: Desired,
    /// How long its main command may take to end by itself, in milliseconds.
    pub(crate) grace_ms: u64,
    /// Whether its main command waits until somebody launches it.
    #[serde(default)]
    pub(crate) held: bool,
}

impl Object for SandboxRecord {
    const KIND: &'static str = "sandbox";
}

/// A provider; its secrets are kept apart, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProviderRecord {
    /// The type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The names of the variables that hold its credentials.
    pub(crate) keys: Vec<String>,
    /// What else is known of it; no secrets.
    pub(crate) config: BTreeMap<String, String>,
}

impl Object for ProviderRecord {
    const KIND: &'static str = "provider";
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    /// What it may do in every workspace.
    pub(crate) role: Option<Role>,
    /// What it may do in single workspaces.
    pub(crate) workspaces: BTreeMap<String, Role>,
    /// Who it is at the OIDC issuer, if anybody there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outside: Option<Outside>,
}

impl Object for UserRecord {
    const KIND: &'static str = "user";
}

/// A client certificate, named by its serial number; its key is with its user alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CertificateRecord {
    /// Whose it is.
    pub(crate) user: String,
    /// When it ends, milliseconds since 1970.
    pub(crate) expires_ms: i64,
    /// Whether it was revoked.
    pub(crate) revoked: bool,
}

impl Object for CertificateRecord {
    const KIND: &'static str = "certificate";
}

/// A workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkspaceRecord {}

impl Object for WorkspaceRecord {
    const KIND: &'static str = "workspace";
}
