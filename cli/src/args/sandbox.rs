//! What was typed after `openshell sandbox`, `forward` and `logs`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ChoiceArgs, limits};
use crate::output::Format;

/// `openshell sandbox …`
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Create a sandbox and run a command or a shell in it; its exit code is ours
    Create(Box<CreateArgs>),
    /// List sandboxes
    List(ListArgs),
    /// Show a sandbox and its policy
    Get(GetArgs),
    /// Execute a command in a running sandbox; its exit code is ours
    Exec(ExecArgs),
    /// Open a shell in a sandbox
    Connect(NameArg),
    /// Go back to the main command of a sandbox; Ctrl-P Ctrl-Q leaves it running
    Attach(NameArg),
    /// Upload local files to a sandbox
    Upload(UploadArgs),
    /// Download files from a sandbox
    Download(DownloadArgs),
    /// Stop a sandbox; its files and its policy stay
    Stop(StopArgs),
    /// Start a stopped sandbox with its main command
    Start(NameArg),
    /// Delete sandboxes with their files
    Delete(DeleteArgs),
    /// Keep sandboxes prepared, so that creating one takes no longer than starting a program
    Pool(PoolArgs),
    /// The providers whose credentials a sandbox may use
    #[command(subcommand)]
    Provider(AttachedCommand),
}

/// `openshell sandbox provider …`
#[derive(Debug, Subcommand)]
pub(crate) enum AttachedCommand {
    /// List the providers of a sandbox
    List(AttachedListArgs),
    /// Give providers to a sandbox; programs that run already do not see their variables
    Attach(AttachArgs),
    /// Take providers away from a sandbox
    Detach(AttachArgs),
}

/// `openshell sandbox provider list`
#[derive(Debug, Args)]
pub(crate) struct AttachedListArgs {
    #[command(flatten)]
    pub(crate) sandbox: NameArg,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell sandbox provider attach` and `detach`
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Sandbox name
    #[arg(value_name = "NAME")]
    pub(crate) sandbox: String,
    /// Provider names
    #[arg(value_name = "PROVIDER", required = true)]
    pub(crate) providers: Vec<String>,
}

/// A sandbox, by default the last one that was used.
#[derive(Debug, Args)]
pub(crate) struct NameArg {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `openshell sandbox create`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openshell sandbox create -- claude
  openshell sandbox create --policy policy.yaml --upload . -- npm test
  openshell sandbox create --name calm --detach -- python3 -m http.server 8000")]
pub(crate) struct CreateArgs {
    /// Sandbox name (auto-generated when omitted)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Path to a policy file; without one nothing is reachable but inference
    #[arg(long, value_name = "FILE", env = "OPENSHELL_SANDBOX_POLICY")]
    pub(crate) policy: Option<PathBuf>,
    /// A provider whose credentials the sandbox may use without seeing them; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Vec<String>,
    #[command(flatten)]
    pub(crate) auto: AutoProvidersArgs,
    /// Return when the sandbox is ready, and let the command run
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// An environment variable of every program in the sandbox; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// A label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Upload local files into the sandbox before running; DEST is /sandbox when omitted; may be repeated
    #[arg(long, value_name = "PATH[:DEST]")]
    pub(crate) upload: Vec<String>,
    /// Disable .gitignore filtering for --upload
    #[arg(long)]
    pub(crate) no_git_ignore: bool,
    /// Keep the sandbox after the initial command or shell exits (the default)
    #[arg(long, conflicts_with = "no_keep")]
    pub(crate) keep: bool,
    /// Delete the sandbox after the initial command or shell exits
    #[arg(long, conflicts_with = "detach")]
    pub(crate) no_keep: bool,
    /// Forward a local port to the sandbox before the command starts
    #[arg(long, value_name = "[BIND:]PORT", conflicts_with = "no_keep")]
    pub(crate) forward: Option<String>,
    /// Where inference goes: the ADDR of an `openshell router run`, or unix:PATH
    #[arg(long, value_name = "ADDR", env = "OPENSHELL_ROUTER")]
    pub(crate) router: Option<String>,
    /// The key that the router knows sandboxes by, as `router run --sandbox-key` has it
    #[arg(long, value_name = "FILE", env = "OPENSHELL_SANDBOX_KEY")]
    pub(crate) sandbox_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) upstream: UpstreamArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Let no program open connections that runs code from where the sandbox can write, as preloaded libraries are
    #[arg(long)]
    pub(crate) strict_callers: bool,
    #[command(flatten)]
    pub(crate) tty: TtyArgs,
    /// Command to run after "--" (defaults to an interactive shell); it is kept for restarts
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Whether the sandbox is watched to learn what it needs.
    #[arg(skip)]
    pub(crate) learning: bool,
}

/// Whether the providers that a command looks for are made where they are missing.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct AutoProvidersArgs {
    /// Give the sandbox the provider that the command looks for, made from this environment where there is none; without
    /// this flag, a person at a terminal is asked
    #[arg(long, overrides_with = "no_auto_providers")]
    pub(crate) auto_providers: bool,
    /// Never make or ask for a provider
    #[arg(long)]
    pub(crate) no_auto_providers: bool,
}

/// How the network outside is reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpstreamArgs {
    /// PEM file of authorities that servers may be vouched for by, besides those of the system
    #[arg(long = "upstream-ca", value_name = "FILE", env = "OPENSHELL_UPSTREAM_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The proxy of this network that the sandbox's connections go through
    #[arg(
        long = "upstream-proxy",
        value_name = "URL",
        env = "OPENSHELL_UPSTREAM_PROXY",
        hide_env_values = true,
        help = "The proxy of this network that the sandbox's connections go through: \
                http://[USER:PASSWORD@]HOST[:PORT]"
    )]
    pub(crate) proxy: Option<String>,
    /// What is reached without it, as `NO_PROXY` writes it
    #[arg(
        long = "upstream-no-proxy",
        value_name = "LIST",
        env = "OPENSHELL_UPSTREAM_NO_PROXY",
        default_value = "",
        help = "What is reached without it, as NO_PROXY writes it"
    )]
    pub(crate) no_proxy: String,
}

/// What a sandbox may use up as a whole.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct LimitArgs {
    /// Processor time, in cores (0.5, 2, 500m); needs a control group
    #[arg(long, value_name = "N", value_parser = limits::percent, visible_alias = "cpu")]
    pub(crate) cpus: Option<u32>,
    /// Memory (512Mi, 2G), beyond which its largest program is ended; needs a control group
    #[arg(long, value_name = "SIZE", value_parser = limits::bytes)]
    pub(crate) memory: Option<u64>,
    /// Processes and threads; 1024 when nobody says
    #[arg(long, value_name = "N")]
    pub(crate) pids: Option<u32>,
}

/// Whether a program gets a terminal.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TtyArgs {
    /// Allocate a pseudo-terminal; by default when standard input and output are terminals
    #[arg(long, overrides_with = "no_tty")]
    pub(crate) tty: bool,
    /// Disable pseudo-terminal allocation
    #[arg(long)]
    pub(crate) no_tty: bool,
}

/// `openshell sandbox list`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Maximum number of sandboxes to return
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Offset into the sandbox list
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: usize,
    /// Print only sandbox ids (one per line)
    #[arg(long, conflicts_with = "names")]
    pub(crate) ids: bool,
    /// Print only sandbox names (one per line)
    #[arg(long)]
    pub(crate) names: bool,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell sandbox get`
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) sandbox: NameArg,
    /// Print only the active policy YAML
    #[arg(long)]
    pub(crate) policy_only: bool,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// `openshell sandbox exec`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openshell sandbox exec -n my-sandbox --workdir /tmp -- ls -la
  echo hello | openshell sandbox exec -n my-sandbox -- cat
124: --timeout has run out; 126, 127: the command cannot be executed, is not there")]
pub(crate) struct ExecArgs {
    /// Sandbox name (defaults to last-used sandbox)
    #[arg(long, short, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Working directory inside the sandbox
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// A further environment variable; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Timeout in seconds (0 = no timeout)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) tty: TtyArgs,
    /// Command and arguments to execute
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `openshell sandbox upload`
#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// Sandbox name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Local path to upload: a file, or a folder whose contents go to DEST
    #[arg(value_name = "LOCAL_PATH")]
    pub(crate) path: PathBuf,
    /// Destination path in the sandbox
    #[arg(value_name = "DEST", default_value = sandbox::WORKSPACE)]
    pub(crate) dest: String,
    /// Disable .gitignore filtering (uploads everything)
    #[arg(long)]
    pub(crate) no_git_ignore: bool,
}

/// `openshell sandbox download`
#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    /// Sandbox name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Sandbox path to download: a file, or a folder whose contents go to DEST
    #[arg(value_name = "SANDBOX_PATH")]
    pub(crate) path: String,
    /// Local destination
    #[arg(value_name = "DEST", default_value = ".")]
    pub(crate) dest: PathBuf,
}

/// `openshell sandbox stop`
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) sandbox: NameArg,
    /// How long the main command may take to end by itself, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) grace: u64,
}

/// `openshell sandbox delete`
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Delete all sandboxes
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
    /// Sandbox names
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub(crate) names: Vec<String>,
}

/// `openshell sandbox pool`
#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    /// How many are kept prepared, at most 16; without it those that are there are counted
    #[arg(value_name = "SIZE")]
    pub(crate) size: Option<usize>,
    /// The policy that they are built by: a sandbox is taken from them if paths, Landlock and user of its own are the same
    #[arg(long, value_name = "FILE", env = "OPENSHELL_SANDBOX_POLICY")]
    pub(crate) policy: Option<PathBuf>,
}

/// `openshell forward …`
#[derive(Debug, Subcommand)]
pub(crate) enum ForwardCommand {
    /// Start forwarding a local port to a sandbox
    Start(ForwardStartArgs),
    /// Stop a background port forward
    Stop {
        /// Port that was forwarded
        #[arg(value_name = "PORT")]
        port: u16,
        /// Sandbox name (any if omitted)
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// List active port forwards
    List {
        /// Output format
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Format,
    },
}

/// `openshell forward start`
#[derive(Debug, Args)]
pub(crate) struct ForwardStartArgs {
    /// Port to forward, with the address to listen on before it (e.g. 8080, 0.0.0.0:8080)
    #[arg(value_name = "PORT")]
    pub(crate) port: String,
    #[command(flatten)]
    pub(crate) sandbox: NameArg,
    /// Run the forward in the background and exit immediately
    #[arg(long, short = 'd')]
    pub(crate) background: bool,
}

/// `openshell logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) sandbox: NameArg,
    #[command(flatten)]
    pub(crate) gateway: ChoiceArgs,
    /// Number of lines
    #[arg(short, value_name = "N", default_value_t = 200)]
    pub(crate) n: usize,
    /// Go on with new lines as they come
    #[arg(long, short = 'f', visible_alias = "follow")]
    pub(crate) tail: bool,
    /// Only lines from then on: a span back from now such as 5m, 1h or 30s
    #[arg(long, value_name = "SPAN")]
    pub(crate) since: Option<String>,
    /// Only lines of this source; may be repeated
    #[arg(long, value_name = "SOURCE", value_enum, default_value = "all")]
    pub(crate) source: Vec<LogSource>,
    /// Only lines of this level or a graver one: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<tracing_subscriber::filter::LevelFilter>,
}

/// Who tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogSource {
    /// Both
    All,
    /// The gateway; without one, the router of this user, where the sandbox's model calls go to it
    Gateway,
    /// The supervisor of the sandbox
    Sandbox,
}

/// `openshell supervise`, which only `openshell` itself starts.
#[derive(Debug, Args)]
pub(crate) struct SuperviseArgs {
    /// The folder of the sandbox
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Make it and wait to be taken; the folder was made by a pool
    #[arg(long)]
    pub(crate) prepared: bool,
}

/// A name and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
