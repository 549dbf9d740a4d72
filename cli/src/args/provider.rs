//! What was typed after `openshell provider` and `inference`.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgGroup, Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use sandbox::providers::{self, Kind};

use super::sandbox::pair;
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
    /// Set where model calls of sandboxes go
    Set(InferenceSetArgs),
    /// Change parts of it
    Update(InferenceUpdateArgs),
    /// Show where model calls of sandboxes go, and those of the system route
    Get(InferenceGetArgs),
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
    /// Set the system route instead: for programs of yours outside of sandboxes, which no sandbox reaches
    #[arg(long)]
    pub(crate) system: bool,
    /// Take this router file as it is, with as many backends as it has
    #[arg(long, value_name = "FILE", conflicts_with_all = ["provider", "model", "timeout"])]
    pub(crate) config: Option<PathBuf>,
    /// Skip the call that verifies the endpoint
    #[arg(long)]
    pub(crate) no_verify: bool,
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
    /// Change the system route instead
    #[arg(long)]
    pub(crate) system: bool,
    /// Skip the call that verifies the endpoint
    #[arg(long)]
    pub(crate) no_verify: bool,
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
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

fn kinds() -> impl clap::builder::TypedValueParser<Value = Kind> {
    let names = providers::ALL.iter().map(|profile| profile.name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Kind>())
}
