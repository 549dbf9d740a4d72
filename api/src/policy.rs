//! Revisions of policies.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What became of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevisionStatus {
    /// It is on its way.
    Pending,
    /// It is in force.
    Loaded,
    /// It could not be put in force.
    Failed,
    /// A newer one is in force.
    Superseded,
}

impl RevisionStatus {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// A revision of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRevision {
    /// Its number, from 1, for each sandbox on its own.
    pub version: u64,
    /// What tells it from others, 64 hexadecimal digits.
    pub hash: String,
    /// What became of it.
    pub status: RevisionStatus,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it was put in force.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub loaded: Option<Timestamp>,
    /// Why it could not be.
    pub error: Option<String>,
    /// The file, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
}

/// A policy to be put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// The file, YAML.
    pub policy: String,
    /// The version that it replaces; any if not given.
    #[serde(default)]
    pub base: Option<u64>,
}

/// What came of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySet {
    /// The revision that holds it.
    pub revision: PolicyRevision,
    /// False when it was the newest one already.
    pub changed: bool,
    /// What of it is applied only when the sandbox starts next.
    pub postponed: Vec<String>,
}
