//! A gateway of this user in the background: started, found again, stopped, removed with everything of it.
//!
//! Its state has a lock file, held exactly as long as it lives, however it ends; the file says which process that is.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _},
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
        net::UnixStream,
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use ::sandbox::state::Home;
use anyhow::Context as _;
use api::{
    client::{Client, Place},
    user::IssuedCertificate,
};
use drivers::{Local, supervisor::SUPERVISOR_ENVIRONMENT};
use reqwest::Method;
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};
use tokio::time::{sleep, timeout};

use super::{
    refused,
    registry::{Auth, Metadata, Registry},
    serve::{Announced, SERVING, folder},
};
use crate::{
    args::gateway::{DriverWord, GatewayDestroyArgs, GatewayStartArgs},
    commands::sandbox::block_on,
    failure::Failure,
    output,
};

/// The longest line that a gateway says when it serves, bytes.
const WORD_BYTES_MAX: u64 = 64 << 10;
/// How long a gateway may take to end: its own grace for requests, and a little more.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long a gateway may take to say that it serves.
const START_MAX: Duration = Duration::from_secs(20);
/// What is kept of the issuer, in the folder of its state.
const OIDC: &str = "oidc.json";
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// `openshell gateway start`
pub(super) fn start(args: &GatewayStartArgs) -> Result<(), Failure> {
    started(args, output::line)
}

/// Starts a first gateway for whoever has none, with a word about it where messages go.
pub(super) fn start_first() -> Result<(), Failure> {
    output::complain("• There is no gateway yet; one of this user is started");
    started(&GatewayStartArgs::alone(), |text| {
        output::complain(text);
        Ok(())
    })
}

fn started(
    args: &GatewayStartArgs,
    tell: impl Fn(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let DriverWord::Local = args.driver;
    let name = &args.gateway.name;
    let state = folder(name)?;
    let registry = Registry::open()?;
    let served = serving(&state)?;
    let runs = served.is_some();
    let announced = if let Some(announced) = served {
        if args.no_oidc || args.oidc.oidc_issuer.is_some() {
            return Err(Failure::new(format!(
                "gateway {name} runs, and keeps the issuer that it has"
            ))
            .hint(format!("`openshell gateway stop --name {name}`, then start it again")));
        }
        announced
    } else {
        output::complain("• Starting gateway");
        begin(args, &state)?
    };
    let endpoint = register(&registry, args, &state, announced)?;
    registry.select(name)?;
    if runs {
        tell(&format!("· Gateway '{name}' is running"))?;
    } else {
        tell("✓ Gateway ready")?;
    }
    tell(&format!("  Name: {name}"))?;
    tell(&format!("  Endpoint: {endpoint}"))?;
    tell(&format!("✓ Active gateway set to '{name}'"))
}

/// Sees to it that this user knows the gateway that runs there, and has a certificate for it; gives its address.
fn register(
    registry: &Registry,
    args: &GatewayStartArgs,
    state: &Path,
    announced: Announced,
) -> Result<String, Failure> {
    let name = &args.gateway.name;
    let known = registry.known(name).ok().map(|known| known.metadata);
    let known = known.filter(|known| known.state.as_deref() == Some(state));
    let before = known.as_ref().and_then(|known| host_of(&known.gateway_endpoint));
    let host = args.gateway_host.as_deref().or(before).unwrap_or("127.0.0.1");
    let endpoint = format!("https://{host}:{}", announced.port);
    if known.is_none() || !registry.has_certificate(name, &state.join("pki/ca.crt")) {
        let client = Client::new(Place::Unix(announced.socket)).map_err(refused)?;
        let issued: IssuedCertificate = block_on(async {
            client.send(Method::POST, "/v1/me/certificate", &()).await.map_err(refused)
        })?;
        registry.keep_certificate(name, issued)?;
    }
    registry.keep(&Metadata {
        name: name.clone(),
        gateway_endpoint: endpoint.clone(),
        is_remote: false,
        auth_mode: Auth::Mtls,
        state: Some(state.to_owned()),
        oidc: None,
    })?;
    Ok(endpoint)
}

/// The host of an address, without its port.
fn host_of(endpoint: &str) -> Option<&str> {
    let host = endpoint.strip_prefix("https://")?;
    host.rsplit_once(':').map(|(host, _)| host)
}

/// What a gateway that runs has said, or is about to say when it has just begun. None when none runs, or the one that ran ends.
fn serving(state: &Path) -> Result<Option<Announced>, Failure> {
    block_on(async {
        let said = async {
            while is_running(state) {
                let said = std::fs::read(state.join(SERVING)).unwrap_or_default();
                let said = serde_json::from_slice::<Announced>(&said).ok();
                // What one before has said is still there.
                let runs =
                    pid(state).and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
                let said = said.filter(|said| Some(said.process) == runs);
                // One that was killed holds its lock for a moment longer than its socket.
                if let Some(said) = said.filter(|said| UnixStream::connect(&said.socket).is_ok()) {
                    return Some(said);
                }
                sleep(PAUSE).await;
            }
            None
        };
        timeout(START_MAX, said).await.map_err(|_| {
            Failure::new("a gateway runs there that does not say where it listens")
                .hint("`openshell gateway stop`, then start it again")
        })
    })
}

/// `openshell gateway stop`
pub(super) fn stop(name: &str) -> Result<(), Failure> {
    if end(name)? {
        output::line(&format!("✓ Stopped gateway '{name}'; its sandboxes live on"))
    } else {
        output::line(&format!("· Gateway '{name}' is not running"))
    }
}

/// `openshell gateway destroy`
pub(super) fn destroy(args: &GatewayDestroyArgs) -> Result<(), Failure> {
    let name = &args.gateway.name;
    let state = folder(name)?;
    let registry = Registry::open()?;
    if !state.exists() {
        let forgotten = registry.forget(name)?;
        return output::line(&if forgotten {
            format!(
                "✓ Gateway '{name}' forgotten; it runs elsewhere, and nothing of it was touched"
            )
        } else {
            format!("· There is no gateway '{name}'; nothing to do")
        });
    }
    let driver = Local::new(Home::new(&state));
    let list = || block_on(async { Ok(driver.list().await?) });
    confirm(args, list()?.len())?;
    end(name)?;
    // Only now nobody makes another one.
    let sandboxes = list()?;
    for (number, (folder, sandbox)) in sandboxes.iter().enumerate() {
        let (number, all) = (number + 1, sandboxes.len());
        let name = sandbox.as_ref().map_or(folder, |sandbox| &sandbox.record.name);
        output::complain(&format!("• Deleting sandbox {name} ({number} of {all})"));
        block_on(async { Ok(driver.delete(folder).await?) })?;
    }
    let said = std::fs::read(state.join(SERVING)).unwrap_or_default();
    let said: Option<Announced> = serde_json::from_slice(&said).ok();
    std::fs::remove_dir_all(&state)
        .with_context(|| format!("cannot remove {}", state.display()))?;
    registry.forget(name)?;
    if said.is_some_and(|said| said.database) {
        output::complain(
            "! What it kept in its Postgres database is still there; the key of its secrets is gone unless you keep that elsewhere",
        );
    }
    output::line(&format!("✓ Gateway '{name}' destroyed"))
}

fn confirm(args: &GatewayDestroyArgs, sandboxes: usize) -> Result<(), Failure> {
    if args.yes || sandboxes == 0 {
        return Ok(());
    }
    let what = format!("{sandboxes} sandboxes with their files");
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("it has {what}")).hint("--yes deletes them all"));
    }
    output::complain(&format!("This deletes {what}. Type yes to go on:"));
    let mut answer = String::new();
    io::stdin().lock().take(16).read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new("nothing was deleted")) }
}

/// Starts it, at the port asked for or a free one, and waits until it serves.
fn begin(args: &GatewayStartArgs, state: &Path) -> Result<Announced, Failure> {
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700).create(state).context("cannot make its folder")?;
    keep_oidc(args, state)?;
    match spawn(args, state, args.port) {
        Ok(announced) => Ok(announced),
        Err(failure) if args.port != 0 && is_taken(args.port) => {
            output::complain(&format!("! Port {} is taken; taking a free one", args.port));
            spawn(args, state, 0).map_err(|_| failure)
        }
        Err(failure) => Err(failure),
    }
}

/// Keeps what was said about the issuer for this start and every later one.
fn keep_oidc(args: &GatewayStartArgs, state: &Path) -> Result<(), Failure> {
    let path = state.join(OIDC);
    let words = args.oidc.words()?;
    if !words.is_empty() {
        args.oidc.config()?; // what is wrong is told before it is kept
        return super::registry::write(&path, &serde_json::to_vec(&words)?);
    }
    match args.no_oidc.then(|| std::fs::remove_file(&path)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context("cannot forget the issuer").into())
        }
        _ => Ok(()),
    }
}

/// What is kept of the issuer.
fn kept_oidc(state: &Path) -> Result<Vec<String>, Failure> {
    match super::registry::read(&state.join(OIDC)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => {
            let text = other.context("cannot read what is kept of the issuer")?;
            let words = serde_json::from_str(&text);
            Ok(words.with_context(|| format!("{} is damaged", state.join(OIDC).display()))?)
        }
    }
}

fn is_taken(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port))
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn spawn(args: &GatewayStartArgs, state: &Path, port: u16) -> Result<Announced, Failure> {
    let log = state.join("log");
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let errors = opened.with_context(|| format!("cannot write {}", log.display()))?;
    // Itself, even when the file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("openshell").args(["gateway", "run", "--announce", "--name", &args.gateway.name]);
    command.arg("--state").arg(state);
    let address = if args.gateway_host.is_some() { "0.0.0.0" } else { "127.0.0.1" };
    command.args(["--listen", &format!("{address}:{port}")]);
    if let Some(host) = &args.gateway_host {
        command.args(["--host", host]);
    }
    command.args(kept_oidc(state)?);
    let own = ["XDG_CONFIG_HOME", "OPENSHELL_DB_URL", "OPENSHELL_SECRETS_KEY"];
    let names: Vec<&str> = SUPERVISOR_ENVIRONMENT.iter().copied().chain(own).collect();
    let kept = std::env::vars_os().filter(|(name, _)| names.iter().any(|one| name == one));
    command.env_clear().envs(kept).current_dir("/");
    // Out of reach of this terminal's Ctrl-C.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let mut child = command.spawn().context("cannot start the gateway")?;
    let mut line = Vec::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out.take(WORD_BYTES_MAX)).read_until(b'\n', &mut line)?;
    }
    serde_json::from_slice(&line).map_err(|_| {
        let how = child.wait().map_or_else(|error| error.to_string(), |how| how.to_string());
        Failure::new(format!("the gateway did not start: {how}{}", last_words(&log)))
            .hint(format!("{} tells more", log.display()))
    })
}

/// The last lines of its log, where it says what was wrong.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with("error:"));
    let said = last.and_then(|at| lines.get(at..)).unwrap_or_default();
    said.iter().fold(String::new(), |all, line| all + "\n  " + line)
}

pub(super) fn is_running(state: &Path) -> bool {
    let Ok(lock) = File::open(state.join("lock")) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
}

/// Ends it; whether it ran.
fn end(name: &str) -> Result<bool, Failure> {
    let state = folder(name)?;
    if !is_running(&state) {
        return Ok(false);
    }
    let process = pid(&state).ok_or_else(|| {
        Failure::new(format!("gateway {name} runs, and nobody knows which process it is"))
    })?;
    kill_process(process, Signal::TERM).context("cannot end the gateway")?;
    block_on(async {
        let gone = async {
            while is_running(&state) {
                sleep(PAUSE).await;
            }
        };
        timeout(STOP_MAX, gone).await.map_err(|_| {
            Failure::new(format!("gateway {name} does not end"))
                .hint(format!("kill -9 {} ends it by force", process.as_raw_nonzero()))
        })
    })?;
    Ok(true)
}

fn pid(state: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(state.join("lock")).ok()?;
    text.trim().parse().ok().and_then(Pid::from_raw)
}
