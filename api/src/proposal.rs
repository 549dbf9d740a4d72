//! What sandboxes were refused, and what would open it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStatus {
    /// Nobody has decided.
    Pending,
    /// It is in the policy.
    Approved,
    /// It stays refused.
    Rejected,
}

/// Which proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ProposalQuery {
    /// The workspace; `default` when not given.
    pub workspace: Option<String>,
    /// Those that stand so; `pending` when not given. Decided ones are listed together, the oldest first.
    pub status: Option<ProposalStatus>,
    /// How many items at most, 1 to 1000; 100 when not given. Pending ones are all listed.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// What was refused, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    /// What it is called; with a digest of what would be opened, so that nobody approves what they have not seen.
    pub id: String,
    /// How it stands.
    pub status: ProposalStatus,
    /// What was refused.
    pub denial: Denial,
    /// When somebody decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided: Option<Timestamp>,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decided_by: Option<String>,
    /// Why, in words of whoever decided; may be empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// The version of the policy that has the rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_version: Option<u64>,
}

/// Refusals of one executable at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Denial {
    /// What names it: the same for the same host, port and executable.
    pub id: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The executable, where it could be told.
    pub binary: Option<String>,
    /// The reason of the last refusal, a word for programs.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The first time, milliseconds since 1970.
    pub first_seen_ms: u64,
    /// The last time, milliseconds since 1970.
    pub last_seen_ms: u64,
    /// Requests that were refused on connections that are open.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub samples: Vec<Sample>,
    /// Refused requests that no sample is about.
    #[serde(default)]
    pub unsampled: u64,
    /// What would open it; none where no policy could, or where nobody can tell who asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proposal: Option<Opening>,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// The method.
    pub method: String,
    /// The canonical path, without its query.
    pub path: String,
    /// How often.
    pub count: u64,
}

/// What would open what was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Opening {
    /// The key of the rule.
    pub rule_name: String,
    /// `host:port[:access[:protocol[:enforcement]]]`.
    pub add_endpoint: String,
    /// Who may use it.
    pub binary: String,
    /// `host:port:METHOD:glob`, each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub add_allow: Vec<String>,
    /// What to think of before it is approved.
    #[serde(default)]
    pub security_notes: Vec<String>,
}

/// How a proposal is approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// The version of the policy that it is put into; any if not given.
    pub base: Option<u64>,
}

/// What came of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approved {
    /// What was decided.
    pub proposal: Proposal,
    /// The revision of the policy that has it; it is on its way.
    pub policy: crate::policy::PolicySet,
}

/// How a proposal is rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rejection {
    /// Why; at most 1000 bytes.
    #[schema(max_length = 1000)]
    pub reason: String,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cleared {
    /// How many.
    pub count: u64,
}
