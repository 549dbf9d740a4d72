//! The audit: what was decided in sandboxes, and what users did at the gateway.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// The workspace of the sandbox; `default` when not given.
    pub workspace: Option<String>,
    /// Only those of this sandbox, by its name, or by its id where it is gone; `gateway` for what users did at the gateway. All
    /// when not given, for who may see the whole gateway.
    pub sandbox: Option<String>,
    /// Only those of this kind: `net`, `http`, `dns`, `finding`, `api`; `change` and `access` for what users did; `gap` for what
    /// never came.
    pub kind: Option<String>,
    /// Only those from then on: a point of time as RFC 3339 writes it, or a span back from now such as `24h`.
    pub since: Option<String>,
    /// How many at most, 1 to 1000; 100 when not given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// Whether the newest come first.
    pub newest: Option<bool>,
    /// Whether new ones follow as server-sent events.
    pub follow: Option<bool>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Its place in the one order of all events, from 1.
    pub position: u64,
    /// The id of the sandbox; `gateway` for what users did at the gateway.
    pub sandbox: String,
    /// Which run of the sandbox's proxy sent it.
    pub instance: String,
    /// Its number in that run; of a gap, the last that is missing.
    pub sequence: u64,
    /// What kind of event it is.
    pub kind: String,
    /// When it happened, by the sender's clock.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    pub stored: Timestamp,
    /// Its hash in the chain, 64 hexadecimal digits.
    pub hash: String,
    /// The event itself (OCSF 1.6); of a gap, how many are missing.
    #[schema(value_type = Object)]
    pub event: Value,
}

/// Whether the chain is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// Whether it is.
    pub sound: bool,
    /// What is wrong first; empty when nothing is.
    pub fault: String,
    /// How many lines were read.
    pub lines: u64,
    /// The position of the first line that is kept; those before went by age or size.
    pub first_position: u64,
    /// The position of the last line.
    pub last_position: u64,
    /// The hash of the last line. Written down elsewhere, it proves later that nothing was replaced.
    pub last_hash: String,
}

/// Why the audit is begun anew behind what somebody else has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditRestart {
    /// Why; 1 to 1000 bytes. It is on record.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}
