//! What was typed after `openshell policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::change::{PolicyProveArgs, PolicyUpdateArgs};
use crate::output::Format;

/// `openshell policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Put another policy in force; what a sandbox is built of stays
    Set(PolicySetArgs),
    /// Change the policy of a sandbox in small steps, all of them or none
    Update(PolicyUpdateArgs),
    /// Show a revision of the policy of a sandbox
    Get(PolicyGetArgs),
    /// List the revisions of the policy of a sandbox
    List(PolicyListArgs),
    /// Delete the policy of the gateway; its sandboxes are held to their own again
    Delete(PolicyDeleteArgs),
    /// One decision, without resolving names; exit code 0 allow, 3 inference, 4 deny, 1 a policy that is refused
    Check(PolicyCheckArgs),
    /// Why: the rule that decides, and what would have to change in those that nearly matched
    Explain(PolicyExplainArgs),
    /// Whether credentials can be used where or for what they should not be; exit code 1 with who could
    Prove(PolicyProveArgs),
    /// What differs between two policies, and what of it needs a new sandbox
    Diff(PolicyDiffArgs),
}

/// `openshell policy set`
#[derive(Debug, Args)]
pub(crate) struct PolicySetArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The policy file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// Wait until it is in force
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, in seconds; 124 when it takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
    /// The policy of the gateway, which is in force in every sandbox of it
    #[arg(long, conflicts_with = "name")]
    pub(crate) global: bool,
    /// Do not ask about --global
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `openshell policy delete`
#[derive(Debug, Args)]
pub(crate) struct PolicyDeleteArgs {
    /// The policy of the gateway; that of a sandbox goes with it
    #[arg(long, required = true)]
    pub(crate) global: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `openshell policy get`
#[derive(Debug, Args)]
pub(crate) struct PolicyGetArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The revision; 0 is the newest
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rev: u64,
    /// With the policy itself
    #[arg(long)]
    pub(crate) full: bool,
    /// The policy of the gateway
    #[arg(long, conflicts_with = "name")]
    pub(crate) global: bool,
    /// Output format
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell policy list`
#[derive(Debug, Args)]
pub(crate) struct PolicyListArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Maximum number of revisions
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Those of the policy of the gateway
    #[arg(long, conflicts_with = "name")]
    pub(crate) global: bool,
    /// Output format
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell policy check`
#[derive(Debug, Args)]
pub(crate) struct PolicyCheckArgs {
    /// The policy file; without a question it is only checked
    #[arg(long, short, value_name = "FILE", env = "OPENSHELL_SANDBOX_POLICY")]
    pub(crate) policy: PathBuf,
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    /// Read questions {"id","binary","ancestors","connect","method","path","query"} from standard input, one a
    /// line, and write one answer a line
    #[arg(long, conflicts_with_all = ["binary", "ancestor", "connect", "method", "path", "query"])]
    pub(crate) ndjson: bool,
    /// Output format
    #[arg(long, short, value_enum, default_value = "json")]
    pub(crate) output: Format,
}

/// `openshell policy explain`
#[derive(Debug, Args)]
pub(crate) struct PolicyExplainArgs {
    /// The policy file
    #[arg(long, short, value_name = "FILE", env = "OPENSHELL_SANDBOX_POLICY")]
    pub(crate) policy: PathBuf,
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    /// Output format
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Who wants to go where, and for what.
#[derive(Debug, Args)]
pub(crate) struct QuestionArgs {
    /// The real path of the executable that connects
    #[arg(long, value_name = "PATH", requires = "connect")]
    pub(crate) binary: Option<String>,
    /// The executable of an ancestor, the parent first; may be repeated
    #[arg(long, value_name = "PATH", requires = "binary")]
    pub(crate) ancestor: Vec<String>,
    /// Where to
    #[arg(long, value_name = "HOST:PORT", requires = "binary")]
    pub(crate) connect: Option<domain::Destination>,
    /// The HTTP method of a request on that connection
    #[arg(long, value_name = "METHOD", requires_all = ["connect", "path"])]
    pub(crate) method: Option<String>,
    /// The path of the request, as it is sent
    #[arg(long, value_name = "PATH", requires = "method")]
    pub(crate) path: Option<String>,
    /// The query of the request, without its question mark
    #[arg(long, value_name = "QUERY", requires = "path")]
    pub(crate) query: Option<String>,
}

/// `openshell policy diff`
#[derive(Debug, Args)]
pub(crate) struct PolicyDiffArgs {
    /// The policy in force
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The policy that would replace it
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// Output format
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}
