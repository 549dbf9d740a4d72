//! What was typed after `openshell provider` and `inference`.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgGroup, Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use sandbox::providers::{self, Kind};

use super::{ChoiceArgs, sandbox::pair};
use crate::output::Format;

/// `openshell provider …`
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  openshell provider create --name openai --type openai --credential OPENAI_API_KEY
  openshell provider create --name claude --type claude --from-existing
  openshell sandbox create --provider claude -- claude")]
pub(crate) enum ProviderCommand {
    /// Create a provider: a service with its credentials
    Create(ProviderCreateArgs),
    /// Show a provider; never the values of its credentials
    Get(ProviderGetArgs),
    /// List providers
    List(ProviderListArgs),
    /// Change credentials or configuration of a provider; an empty value deletes its key
    Update(ProviderUpdateArgs),
    /// Delete providers by name
    Delete {
        /// Provider names
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// List the types of providers: where their credentials come from, and where they belong
    ListProfiles(OutputArg),
}

/// How results are written.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArg {
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell provider create`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["from_existing", "credential"]))]
pub(crate) struct ProviderCreateArgs {
    /// Provider name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Provider type
    #[arg(long = "type", value_name = "PROVIDER_TYPE", value_parser = kinds())]
    pub(crate) kind: Kind,
    /// Take the credentials from the variables of this environment that the type knows
    #[arg(long)]
    pub(crate) from_existing: bool,
    /// Provider credential pair (`KEY=VALUE`), or a variable of this environment to take it from (`KEY`)
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) credential: Vec<OsString>,
    /// Provider config key/value pair; `endpoint=HOST:PORT` or a base URL say where the service is
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) config: Vec<(String, String)>,
}

/// `openshell provider get`
#[derive(Debug, Args)]
pub(crate) struct ProviderGetArgs {
    /// Provider name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// `openshell provider list`
#[derive(Debug, Args)]
pub(crate) struct ProviderListArgs {
    /// Maximum number of providers to return
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Offset into the provider list
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: usize,
    /// Print only provider names, one per line
    #[arg(long)]
    pub(crate) names: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// `openshell provider update`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["from_existing", "credential", "config"]))]
pub(crate) struct ProviderUpdateArgs {
    /// Provider name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Take the credentials anew from the variables of this environment that the type knows
    #[arg(long, conflicts_with = "credential")]
    pub(crate) from_existing: bool,
    /// Provider credential pair (`KEY=VALUE`), or a variable of this environment to take it from (`KEY`)
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) credential: Vec<OsString>,
    /// Provider config key/value pair
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) config: Vec<(String, String)>,
}

/// `openshell inference …`
#[derive(Debug, Subcommand)]
pub(crate) enum InferenceCommand {
    /// Set where model calls of sandboxes go: to one model of one provider
    Set(InferenceSetArgs),
    /// Change parts of it
    Update(InferenceUpdateArgs),
    /// Show where model calls of sandboxes go, and those of the system route
    Get(InferenceGetArgs),
    /// Put a router file in force, with as many backends as it has
    Apply(InferenceApplyArgs),
    /// Whose model calls go where
    #[command(subcommand)]
    Route(InferenceRouteCommand),
    /// The backends of the router file
    #[command(subcommand)]
    Backend(InferenceBackendCommand),
    /// Find model servers on this machine: Ollama, vLLM, LM Studio, llama.cpp
    Discover(InferenceDiscoverArgs),
    /// Stop the routers of this user; the next sandbox starts them again
    Stop,
}

/// `openshell inference set`
#[derive(Debug, Args)]
pub(crate) struct InferenceSetArgs {
    /// Provider name
    #[arg(long, value_name = "PROVIDER", required_unless_present = "config", requires = "model")]
    pub(crate) provider: Option<String>,
    /// Model identifier for generation calls
    #[arg(long, value_name = "MODEL", requires = "provider")]
    pub(crate) model: Option<String>,
    /// Take this router file as it is, with as many backends as it has
    #[arg(long, value_name = "FILE", conflicts_with_all = ["provider", "model", "timeout"])]
    pub(crate) config: Option<PathBuf>,
    /// Skip the call that verifies the endpoint
    #[arg(long)]
    pub(crate) no_verify: bool,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
    /// Request timeout in seconds for inference calls (0 = default 60s)
    #[arg(long, value_name = "TIMEOUT", default_value_t = 0)]
    pub(crate) timeout: u64,
}

/// `openshell inference update`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["provider", "model", "timeout"]))]
pub(crate) struct InferenceUpdateArgs {
    /// Provider name (unchanged if omitted)
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// Model identifier (unchanged if omitted)
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Skip the call that verifies the endpoint
    #[arg(long)]
    pub(crate) no_verify: bool,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
    /// Request timeout in seconds for inference calls (0 = default 60s, unchanged if omitted)
    #[arg(long, value_name = "TIMEOUT")]
    pub(crate) timeout: Option<u64>,
}

/// `openshell inference get`
#[derive(Debug, Args)]
pub(crate) struct InferenceGetArgs {
    /// Show the system route only
    #[arg(long)]
    pub(crate) system: bool,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Whose calls a command is about, and of which gateway.
#[derive(Clone, Debug, Args)]
pub(crate) struct InferenceAt {
    /// The system route instead: for programs of yours outside of sandboxes, which no sandbox reaches
    #[arg(long)]
    pub(crate) system: bool,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
}

/// Whether to ask before sandboxes are re-pointed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct YesArg {
    /// Do not ask before the calls of sandboxes go elsewhere
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `openshell inference apply`
#[derive(Debug, Args)]
pub(crate) struct InferenceApplyArgs {
    /// The router file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Skip the call that verifies it
    #[arg(long)]
    pub(crate) no_verify: bool,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
}

/// `openshell inference route …`
#[derive(Debug, Subcommand)]
pub(crate) enum InferenceRouteCommand {
    /// Set where calls go; the same as `inference set`
    Add(InferenceSetArgs),
    /// List the routes, and what became of their newest revision
    List(InferenceRouteListArgs),
    /// End a route: nobody answers its calls any more
    Remove(InferenceRouteRemoveArgs),
}

/// `openshell inference route list`
#[derive(Debug, Args)]
pub(crate) struct InferenceRouteListArgs {
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// `openshell inference route remove`
#[derive(Debug, Args)]
pub(crate) struct InferenceRouteRemoveArgs {
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
}

/// `openshell inference backend …`
#[derive(Debug, Subcommand)]
pub(crate) enum InferenceBackendCommand {
    /// Add a backend; the rest of the router file stays as it is
    Add(Box<InferenceBackendAddArgs>),
    /// List the backends
    List(InferenceBackendListArgs),
    /// Take a backend out; the rest of the router file stays as it is
    Remove(InferenceBackendRemoveArgs),
    /// Make one real call to a backend; exit code 1 when it does not answer
    Test(InferenceBackendTestArgs),
}

/// `openshell inference backend add`
#[derive(Debug, Args)]
pub(crate) struct InferenceBackendAddArgs {
    /// Backend name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Who runs it, as in a router file
    #[arg(
        long = "type",
        value_name = "TYPE",
        help = "Who runs it: openai, anthropic, azure-openai, nvidia, openrouter, ollama, vllm, llamacpp or openai-compatible"
    )]
    pub(crate) kind: String,
    /// Where it is; its own address where the type has one
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Who can see what is sent there: local, private or public
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// The provider whose credential it takes
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// A model that it has; may be repeated
    #[arg(long, value_name = "MODEL", required = true)]
    pub(crate) model: Vec<String>,
    /// What its models cost, USD per million tokens of prompt and answer
    #[arg(long, value_name = "INPUT/OUTPUT", value_parser = price)]
    pub(crate) price: Option<(f64, f64)>,
    /// Take the place of the backend of that name
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
}

/// `openshell inference backend list`
#[derive(Debug, Args)]
pub(crate) struct InferenceBackendListArgs {
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// `openshell inference backend remove`
#[derive(Debug, Args)]
pub(crate) struct InferenceBackendRemoveArgs {
    /// Backend name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
}

/// `openshell inference backend test`
#[derive(Debug, Args)]
pub(crate) struct InferenceBackendTestArgs {
    /// Backend name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// `openshell inference discover`
#[derive(Debug, Args)]
pub(crate) struct InferenceDiscoverArgs {
    /// Add what is found as local backends
    #[arg(long)]
    pub(crate) add: bool,
    /// Look for a server at another port: ollama, vllm, lm-studio or llamacpp; may be repeated
    #[arg(long, value_name = "SERVER=PORT", value_parser = server_port)]
    pub(crate) port: Vec<(String, u16)>,
    #[command(flatten)]
    pub(crate) at: InferenceAt,
    #[command(flatten)]
    pub(crate) yes: YesArg,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// `INPUT/OUTPUT`, USD per million tokens.
fn price(text: &str) -> Result<(f64, f64), String> {
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|one| one.is_finite() && *one >= 0.0);
    let sides = text.split_once('/').and_then(|(one, two)| Some((number(one)?, number(two)?)));
    sides.ok_or_else(|| "write it as INPUT/OUTPUT, such as 0.25/2".to_owned())
}

/// `SERVER=PORT`
fn server_port(text: &str) -> Result<(String, u16), String> {
    let (server, port) = text.split_once('=').ok_or("write it as SERVER=PORT")?;
    if !["ollama", "vllm", "lm-studio", "llamacpp"].contains(&server) {
        return Err("the servers are ollama, vllm, lm-studio and llamacpp".to_owned());
    }
    let port = port.parse().map_err(|_| "a port is a number from 1 to 65535".to_owned())?;
    Ok((server.to_owned(), port))
}

fn kinds() -> impl clap::builder::TypedValueParser<Value = Kind> {
    let names = providers::ALL.iter().map(|profile| profile.name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Kind>())
}
