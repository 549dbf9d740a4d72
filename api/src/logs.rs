//! What supervisors and the gateway tell of sandboxes, for operators.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Who tells something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Both.
    #[default]
    All,
    /// The gateway, of this sandbox, since the gateway was started.
    Gateway,
    /// The supervisor of the sandbox.
    Sandbox,
}

/// How grave a line is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something may fail.
    Warn,
    /// Something happened.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Which lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// The workspace; `default` when not given.
    pub workspace: Option<String>,
    /// Who tells them; `all` when not given.
    pub source: Option<LogSource>,
    /// How many of the last lines, 0 to 10000; 200 when not given.
    #[param(minimum = 0, maximum = 10000)]
    pub lines: Option<u32>,
    /// Only lines from then on: a point of time as RFC 3339 writes it, or a span back from now such as `5m`.
    pub since: Option<String>,
    /// Only lines of this level or a graver one.
    pub level: Option<LogLevel>,
    /// Whether new lines follow as server-sent events, until the sandbox is deleted.
    pub follow: Option<bool>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When it was told; none for what has no time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<Timestamp>,
    /// Who told it.
    pub source: LogSource,
    /// How grave it is; none for what does not say so.
    pub level: Option<LogLevel>,
    /// The line as it was written.
    pub text: String,
}

/// The last lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Logs {
    /// The lines, the oldest first.
    pub lines: Vec<LogLine>,
    /// What brings those after them, as `Last-Event-ID` with `follow=true`.
    pub next: String,
}
