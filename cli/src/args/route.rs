//! What was typed after `openshell route` and `cost`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ChoiceArgs, ConfigArg, DialectWord};
use crate::output::Format;

/// `openshell route …`
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// The decision for a request without sending it, or for a past one by its id
    Explain(ExplainArgs),
}

/// `openshell route explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Id of a request in the audit file, as in x-openshell-request-id
    #[arg(value_name = "REQUEST_ID", conflicts_with_all = ["file", "dialect"])]
    pub(crate) request_id: Option<String>,
    /// The request's JSON body; - or nothing reads standard input
    #[arg(long, short, value_name = "REQUEST.json")]
    pub(crate) file: Option<PathBuf>,
    /// The format the request is written in; guessed from its fields if not given
    #[arg(long, short, value_enum)]
    pub(crate) dialect: Option<DialectWord>,
    /// As if this sandbox asked, with what its budgets leave
    #[arg(long, value_name = "NAME", conflicts_with = "request_id")]
    pub(crate) sandbox: Option<String>,
    #[command(flatten)]
    pub(crate) config: NamedConfigArg,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// The audit file; default the one that the router file names
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_file: Option<PathBuf>,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell cost`
#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// An audit file, instead of the books of the gateway
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: NamedConfigArg,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Only this sandbox (or caller)
    #[arg(long, value_name = "NAME")]
    pub(crate) sandbox: Option<String>,
    /// Only from then on: a span back from now such as 24h or 7d, or a date such as 2026-11-24
    #[arg(long, value_name = "SPAN|DATE")]
    pub(crate) since: Option<String>,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// A router file, where the gateway is not to be asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct NamedConfigArg {
    /// The router file, instead of the gateway's; router.yaml where no gateway is active
    #[arg(long, short, value_name = "FILE", env = "OPENSHELL_ROUTER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

impl NamedConfigArg {
    /// The file that was named, or that of this folder.
    pub(crate) fn or_default(&self) -> ConfigArg {
        let config = self.config.clone().unwrap_or_else(|| PathBuf::from("router.yaml"));
        ConfigArg { config }
    }
}
