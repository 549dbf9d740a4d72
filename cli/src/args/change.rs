//! What was typed after `openshell policy update`, `rule` and `learn`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use serde::Serialize;

use super::{ChoiceArgs, sandbox::UpstreamArgs};
use crate::output::Format;

/// `openshell policy update`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("operation").required(true).multiple(true)
    .args(["add_endpoint", "remove_endpoint", "add_allow", "add_deny", "remove_rule"]))]
pub(crate) struct PolicyUpdateArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Add or merge an endpoint
    #[arg(
        long,
        value_name = "ADD_ENDPOINTS",
        help = "Add or merge an endpoint: host:port[:access[:protocol[:enforcement]]]"
    )]
    pub(crate) add_endpoint: Vec<String>,
    /// Remove an endpoint: host:port
    #[arg(long, value_name = "REMOVE_ENDPOINTS")]
    pub(crate) remove_endpoint: Vec<String>,
    /// Add a REST allow rule: `host:port:METHOD:path_glob`
    #[arg(long, value_name = "ADD_ALLOW")]
    pub(crate) add_allow: Vec<String>,
    /// Add a REST deny rule: `host:port:METHOD:path_glob`
    #[arg(long, value_name = "ADD_DENY")]
    pub(crate) add_deny: Vec<String>,
    /// Remove a network rule by name
    #[arg(long, value_name = "REMOVE_RULES")]
    pub(crate) remove_rule: Vec<String>,
    /// Add binaries to each --add-endpoint rule
    #[arg(long, value_name = "BINARIES", requires = "add_endpoint")]
    pub(crate) binary: Vec<String>,
    /// Override the generated rule name when exactly one --add-endpoint is provided
    #[arg(long, value_name = "RULE_NAME", requires = "add_endpoint")]
    pub(crate) rule_name: Option<String>,
    /// Preview the merged policy without putting it in force
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait for the sandbox to load the policy revision
    #[arg(long)]
    pub(crate) wait: bool,
    /// Timeout for --wait in seconds; 124 when it takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
}

/// `openshell policy prove`
#[derive(Debug, Args)]
pub(crate) struct PolicyProveArgs {
    /// The policy file
    #[arg(long, short, value_name = "FILE", env = "OPENSHELL_SANDBOX_POLICY")]
    pub(crate) policy: PathBuf,
    /// A file with `credentials: [{name, target_hosts, access}]`; the providers of this user if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell rule …`
#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Show what a sandbox was refused, and the rules that would have allowed it
    #[command(visible_alias = "list")]
    Get(RuleGetArgs),
    /// Approve a network rule: it becomes part of the policy at once
    Approve(RuleOneArgs),
    /// Reject a network rule: it is not proposed again
    Reject(RuleRejectArgs),
    /// Approve all pending network rules
    ApproveAll(RuleAllArgs),
    /// Forget all pending network rules
    Clear {
        /// Sandbox name (defaults to last-used sandbox)
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        gateway: ChoiceArgs,
    },
    /// Show what was decided
    History(RuleHistoryArgs),
}

/// How a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleStatus {
    /// Nobody has decided.
    Pending,
    /// It is in the policy.
    Approved,
    /// It stays refused.
    Rejected,
}

/// `openshell rule get`
#[derive(Debug, Args)]
pub(crate) struct RuleGetArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Filter by status; pending if not given
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<RuleStatus>,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell rule history`
#[derive(Debug, Args)]
pub(crate) struct RuleHistoryArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell rule approve`
#[derive(Debug, Args)]
pub(crate) struct RuleOneArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Which, by its ID or the beginning of it
    #[arg(long, value_name = "ID")]
    pub(crate) chunk_id: String,
}

/// `openshell rule reject`
#[derive(Debug, Args)]
pub(crate) struct RuleRejectArgs {
    #[command(flatten)]
    pub(crate) rule: RuleOneArgs,
    /// Reason for rejection
    #[arg(long, value_name = "REASON", default_value = "")]
    pub(crate) reason: String,
}

/// `openshell rule approve-all`
#[derive(Debug, Args)]
pub(crate) struct RuleAllArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Also approve rules with security notes
    #[arg(long)]
    pub(crate) include_security_flagged: bool,
}

/// `openshell learn`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openshell learn --output policy.yaml -- npm install
  openshell learn --upload . -- make test
Everything public is open while it runs; addresses of this machine and of internal networks are not.")]
pub(crate) struct LearnArgs {
    /// Write the policy to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// A provider whose credentials the command may use without seeing them; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Vec<String>,
    /// Open an internal network too; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(crate) allowed_ips: Vec<IpNet>,
    /// Upload local files into the sandbox before running; may be repeated
    #[arg(long, value_name = "PATH[:DEST]")]
    pub(crate) upload: Vec<String>,
    /// An environment variable of the command; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = super::sandbox::pair)]
    pub(crate) env: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) upstream: UpstreamArgs,
    /// The command to watch
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub(crate) command: Vec<String>,
}
