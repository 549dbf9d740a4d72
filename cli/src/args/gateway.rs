//! What was typed after `openshell gateway` and `openshell status`.

mod oidc;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use gateway::{secrets::KeySource, store::Place};

pub(crate) use self::oidc::OidcArgs;
use crate::output::Format;

/// The name of a gateway when nobody gives one.
pub(crate) const NAME: &str = "openshell";

/// `openshell gateway …`
#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Serve in the foreground until SIGTERM or Ctrl-C; sandboxes live on
    Run(Box<GatewayRunArgs>),
    /// Start a gateway of this user in the background, and make it the active one
    Start(Box<GatewayStartArgs>),
    /// Stop a gateway of this user; its sandboxes live on
    Stop(GatewayNameArg),
    /// Delete a gateway of this user with its sandboxes and everything that it keeps
    Destroy(GatewayDestroyArgs),
    /// Register a gateway that runs elsewhere, and make it the active one
    Add(Box<GatewayAddArgs>),
    /// Log in at the issuer of a gateway, or renew the client certificate
    Login(GatewayLoginArgs),
    /// Make a gateway the active one
    Select(GatewayChoice),
    /// Show what is known of a gateway
    Info(GatewayInfoArgs),
    /// List gateways
    List(GatewayListArgs),
    /// Replace the key above the secrets of the active gateway, while it runs
    RotateKey(GatewayChoice),
    /// Write everything that a gateway keeps to a file; secrets stay sealed in it
    Backup(GatewayBackupArgs),
    /// Fill an empty gateway of this user, which does not run, with a backup
    Restore(GatewayRestoreArgs),
}

/// Where sandboxes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverWord {
    /// On this machine, without any container engine
    Local,
}

/// `openshell gateway run`
#[derive(Debug, Args)]
#[command(after_help = "RUST_LOG chooses what is logged, such as RUST_LOG=debug.")]
pub(crate) struct GatewayRunArgs {
    /// Name of the gateway
    #[arg(long, value_name = "NAME", default_value = NAME)]
    pub(crate) name: String,
    /// Folder of what it keeps; default is gateways/NAME in the home of OpenShell
    #[arg(long, value_name = "DIR", env = "OPENSHELL_GATEWAY_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// The database: sqlite:PATH or postgres://…; default is a file in that folder
    #[arg(long, value_name = "URL", env = "OPENSHELL_DB_URL", hide_env_values = true)]
    pub(crate) db: Option<Place>,
    /// Where to listen; may be repeated
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: Vec<SocketAddr>,
    /// A further name or address under which it is reached; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
    /// The key of stored secrets
    #[arg(
        help = "The key of stored secrets: file:PATH, or command:LINE, which prints it",
        long, value_name = "SOURCE", env = "OPENSHELL_SECRETS_KEY", value_parser = key)]
    pub(crate) key: Option<KeySource>,
    /// Refuse every connection without a client certificate, also those that have a token
    #[arg(long)]
    pub(crate) certificates_only: bool,
    /// Do not answer model calls of sandboxes here
    #[arg(long)]
    pub(crate) no_router: bool,
    /// How many days the audit is kept, unless the settings say otherwise
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) audit_days: u32,
    /// How many bytes of the audit are kept, unless the settings say otherwise
    #[arg(long, value_name = "N", default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub(crate) audit_bytes: u64,
    /// Write logs as JSON lines
    #[arg(long)]
    pub(crate) log_json: bool,
    #[command(flatten)]
    pub(crate) oidc: OidcArgs,
    /// Say on standard output, as a line of JSON, that it serves
    #[arg(long, hide = true)]
    pub(crate) announce: bool,
}

/// `openshell gateway start`
#[derive(Debug, Args)]
pub(crate) struct GatewayStartArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayNameArg,
    /// Where its sandboxes run
    #[arg(long, value_enum, env = "OPENSHELL_DRIVER", default_value = "local")]
    pub(crate) driver: DriverWord,
    /// The port on this machine; a free one when it is taken
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// A further name or address under which it is reached; it then listens on every address
    #[arg(long, value_name = "HOST")]
    pub(crate) gateway_host: Option<String>,
    #[command(flatten)]
    pub(crate) oidc: OidcArgs,
    /// Take only its own tokens again
    #[arg(long, conflicts_with = "oidc_issuer", help_heading = "Logging in at an OIDC issuer")]
    pub(crate) no_oidc: bool,
}

impl GatewayStartArgs {
    /// What they are when nothing is typed.
    pub(crate) fn alone() -> Self {
        /// A command of its own, with these arguments alone.
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            args: GatewayStartArgs,
        }
        Alone::parse_from(["openshell gateway start"]).args
    }
}

/// A gateway by its flag.
#[derive(Debug, Args)]
pub(crate) struct GatewayNameArg {
    /// Name of the gateway
    #[arg(long, value_name = "NAME", default_value = NAME)]
    pub(crate) name: String,
}

/// `openshell gateway destroy`
#[derive(Debug, Args)]
pub(crate) struct GatewayDestroyArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayNameArg,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `openshell gateway add`
#[derive(Debug, Args)]
pub(crate) struct GatewayAddArgs {
    /// Its address
    #[arg(value_name = "ENDPOINT", help = "Its address, such as https://gateway.example.com:8080")]
    pub(crate) endpoint: String,
    /// Name for it; default is its host
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Who vouches for it, PEM; the authorities of this system when not given
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Your client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// File with your token, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "cert")]
    pub(crate) token_file: Option<PathBuf>,
    /// Log in at the issuer that the gateway names
    #[arg(long, conflicts_with_all = ["cert", "token_file"])]
    pub(crate) oidc: bool,
    /// The issuer, when it is to be no other
    #[arg(long, value_name = "URL", requires = "oidc")]
    pub(crate) oidc_issuer: Option<String>,
    /// The client at the issuer, when the gateway names none
    #[arg(long, value_name = "ID", requires = "oidc")]
    pub(crate) oidc_client_id: Option<String>,
    /// Who vouches for the issuer, PEM; the authorities of this system when not given
    #[arg(long, value_name = "FILE", requires = "oidc")]
    pub(crate) oidc_ca: Option<PathBuf>,
}

/// `openshell gateway login`
#[derive(Debug, Args)]
pub(crate) struct GatewayLoginArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayChoice,
    /// Log in with a browser anywhere, by a code
    #[arg(long, conflicts_with = "no_browser")]
    pub(crate) device: bool,
    /// Only write down where to log in, and start no browser
    #[arg(long)]
    pub(crate) no_browser: bool,
}

/// `openshell gateway backup`
#[derive(Debug, Args)]
pub(crate) struct GatewayBackupArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Name of the gateway (defaults to the active one)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `openshell gateway restore`
#[derive(Debug, Args)]
pub(crate) struct GatewayRestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) gateway: GatewayNameArg,
    /// The database: sqlite:PATH or postgres://…; default is a file in the folder of the gateway
    #[arg(long, value_name = "URL", env = "OPENSHELL_DB_URL", hide_env_values = true)]
    pub(crate) db: Option<Place>,
    /// The key that the backup was made under
    #[arg(
        help = "The key that the backup was made under: file:PATH, or command:LINE, which prints it; default is secrets.key in the folder of the gateway",
        long, value_name = "SOURCE", env = "OPENSHELL_SECRETS_KEY", value_parser = key)]
    pub(crate) key: Option<KeySource>,
}

/// A gateway, by default the active one.
#[derive(Debug, Args)]
pub(crate) struct GatewayChoice {
    /// Name of the gateway (defaults to the active one)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `openshell gateway info`
#[derive(Debug, Args)]
pub(crate) struct GatewayInfoArgs {
    /// Name of the gateway (defaults to the active one)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell gateway list` and `openshell status`
#[derive(Debug, Args)]
pub(crate) struct GatewayListArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

fn key(text: &str) -> Result<KeySource, String> {
    match (text.strip_prefix("file:"), text.strip_prefix("command:")) {
        (Some(path), _) if !path.is_empty() => Ok(KeySource::File(path.into())),
        (_, Some(line)) if !line.trim().is_empty() => Ok(KeySource::Command(line.to_owned())),
        _ => Err("write it as file:PATH or command:LINE".to_owned()),
    }
}
