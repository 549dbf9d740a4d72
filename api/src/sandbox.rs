//! Sandboxes: what is asked for, and what came of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How a sandbox is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Phase {
    /// It is being made.
    Provisioning,
    /// It stands.
    Ready,
    /// It is being stopped.
    Stopping,
    /// It was stopped; its files and its policy stay.
    Stopped,
    /// It is being started again.
    Starting,
    /// It could not be made, or was lost and is tried again.
    Error,
    /// It is being deleted.
    Deleting,
    /// Where it runs does not answer.
    Unknown,
}

impl Phase {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "Provisioning",
            Self::Ready => "Ready",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Starting => "Starting",
            Self::Error => "Error",
            Self::Deleting => "Deleting",
            Self::Unknown => "Unknown",
        }
    }
}

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    /// What tells it from every other, also from one of the same name.
    pub id: String,
    /// The name.
    pub name: String,
    /// The workspace.
    pub workspace: String,
    /// What was asked for.
    pub spec: SandboxSpec,
    /// What came of it.
    pub status: SandboxStatus,
    /// Who made it.
    pub owner: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxSpec {
    /// The main command with its arguments; none when empty. It is started again whenever the sandbox is.
    pub command: Vec<String>,
    /// Whether the main command gets a terminal.
    pub terminal: bool,
    /// Environment variables of every program in there.
    pub environment: BTreeMap<String, String>,
    /// What its owner notes on it.
    pub labels: BTreeMap<String, String>,
    /// The names of the providers whose credentials it may use.
    pub providers: Vec<String>,
    /// Whether programs that run code from where the sandbox can write open no connection.
    pub strict_callers: bool,
    /// What it may use up as a whole.
    pub limits: SandboxLimits,
}

/// What a sandbox may use up as a whole. What is asked for holds, or there is no sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxLimits {
    /// Processor time, in percent of one core.
    pub cpu_percent: Option<u32>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads; 1024 when nobody says.
    pub processes: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxStatus {
    /// How it is doing.
    pub phase: Phase,
    /// Why, as a word for programs, such as `SupervisorLost`.
    pub reason: String,
    /// Why, for people; may be empty.
    pub message: String,
    /// Whether its main command runs.
    pub running: bool,
    /// The exit code of the main command, when it last ended.
    pub exit_code: Option<u8>,
    /// The version of the policy in force; 0 for the one that lets nothing through.
    pub policy_version: u64,
    /// What the host lacks of what was asked for.
    pub notes: Vec<String>,
    /// What holds each limit: a control group, or the limit of its user on processes.
    pub limited_by: BTreeMap<String, String>,
}

/// A sandbox to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewSandbox {
    /// The name: lower-case letters, digits and hyphens between them, at most 63; one is made up when not given.
    pub name: Option<String>,
    /// What is asked for.
    pub spec: SandboxSpec,
    /// The policy file, YAML; without one nothing is reachable but inference.
    pub policy: Option<String>,
    /// Whether its main command waits until somebody launches it, as whoever brings files first wants.
    pub hold: bool,
}

/// Providers to be attached or detached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderNames {
    /// Their names.
    pub providers: Vec<String>,
}

/// How a sandbox is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// How long its main command may take to end by itself, in milliseconds; 10 s when not given.
    pub grace_ms: Option<u64>,
}

/// A change of a sandbox, as it is told to whoever watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxChange {
    /// What tells the sandbox from every other.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its workspace.
    pub workspace: String,
    /// How it is doing now; none when it is gone.
    pub status: Option<SandboxStatus>,
}

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// The workspace; `default` when not given.
    pub workspace: Option<String>,
    /// The name of the only sandbox that is wanted.
    pub sandbox: Option<String>,
}
