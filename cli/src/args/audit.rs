//! What was typed after `openshell audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ChoiceArgs, ConfigArg};
use crate::output::Format;

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
