//! The supervisor: one process for each sandbox, which lives on when whoever started it goes, and is found again by the socket
//! in the sandbox's folder.
//!
//! It makes the sandbox while it has one thread and holds no secret; only then it becomes a server. Below: the owner of the
//! sandbox (`keeper`), programs and their streams (`session`, `descriptor`), what is asked and answered (`serve`, `places`), the network
//! (`network`), what is told (`log`), waiting to be taken from a pool (`prepared`). Not here: the walls (`start`), what is kept (`state`, `policies`).
//!
//! Invariant: when it ends, however it ends, so does everything in the sandbox.

mod descriptor;
mod keeper;
mod log;
mod network;
mod places;
mod prepared;
mod serve;
mod session;

use std::{
    collections::BTreeMap,
    error::Error as _,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use policy::PolicyFile;
use proxy::egress::Authority;
use rustix::{
    fs::{Gid, Uid},
    process::{geteuid, setsid},
};
use tokio::{
    net::UnixListener,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

pub use self::log::LogLines;
use self::{
    keeper::Kept,
    network::{Means, Network},
    prepared::Taken,
    serve::Shared,
};
use crate::{
    Sandbox, Setting, Spec, StartError,
    accounts::{self, Rights},
    cgroup,
    control::{Failed, Reply, frame},
    plan::Grouped,
    policies::Policies,
    resolve::Resolver,
    state::{Folder, Phase, Record, State, now},
};

/// The name of the socket in a sandbox's folder.
pub(crate) const SOCKET: &str = "control.sock";
/// Threads beside the one that holds the sandbox.
const WORKERS: usize = 2;
/// Threads for what may block: 64 names are looked up at once, each of which may wait for seconds, and there must be some left
/// for who looks into `/proc` and files. Hundreds, for connections that all come at once, would each keep memory of its own.
const BLOCKING_MAX: usize = 96;
/// How long the main command has to end by itself when the supervisor is told to.
const GRACE: Duration = Duration::from_secs(10);

/// Whether the main command is started with the sandbox, or when somebody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Main {
    /// At once, with nobody attached.
    AtOnce,
    /// When it is asked for.
    WhenAsked,
}

/// Makes the sandbox of this folder and serves it until it is stopped or lost. To be called while the process has one thread.
///
/// One line on standard output says what came of it, as soon as that is known: a [`Reply`] in JSON. After it, the standard
/// descriptors are let go.
///
/// # Errors
/// Why there is no sandbox, or no longer; it is in the folder's state too.
pub fn supervise(folder: &Path, main: Main, resolver: Resolver) -> Result<(), Failed> {
    hold(folder, |folder| {
        let made = make(folder, resolver)?;
        log_to(folder, &made.record)?;
        let runtime = runtime()?;
        runtime.block_on(made.attend(folder, main, None))?;
        Ok(runtime)
    })
}

/// Makes the sandbox of a folder of the pool and waits until it is taken; from then on as [`supervise`].
///
/// # Errors
/// Why there is no sandbox, or no longer.
pub fn prepare(folder: &Path, resolver: Resolver) -> Result<(), Failed> {
    hold(folder, |folder| prepared::wait(folder, resolver))
}

/// Holds the folder while `work` is done, and notes what came of it.
fn hold(
    folder: &Path,
    work: impl FnOnce(&mut Folder) -> Result<Runtime, Failed>,
) -> Result<(), Failed> {
    let mut folder = match folder.canonicalize() {
        Ok(path) => Folder::at(path),
        Err(error) => {
            let failed = Failed::new(format!("cannot find {}: {error}", folder.display()), "");
            announce(&Reply::Failed(failed.clone()));
            return Err(failed);
        }
    };
    let lock = match folder.lock() {
        Ok(lock) => lock,
        Err(error) => {
            let failed = Failed::new(format!("another supervisor has it: {error}"), "");
            announce(&Reply::Failed(failed.clone()));
            return Err(failed);
        }
    };
    let before: State = folder.read("state.json").unwrap_or_default();
    // Of one that was killed.
    cgroup::remove_left(&before.groups);
    // The runtime goes last, and with it every connection: whoever asked for the end waits for the end of its own.
    let ended = work(&mut folder);
    let mut state: State = folder.read("state.json").unwrap_or_default();
    state.running = false;
    state.supervisor = None;
    // What the kernel still keeps is for whoever comes next.
    state.groups.retain(|group| group.exists());
    match &ended {
        Ok(_) => state.phase = Phase::Stopped,
        Err(failed) => {
            state.phase = Phase::Error;
            state.error = Some(failed.message.clone());
            announce(&Reply::Failed(failed.clone()));
        }
    }
    // The state on disk is a courtesy to those who come later; the lock is what counts.
    folder.write("state.json", &state).ok();
    drop(lock);
    ended.map(drop)
}

/// A sandbox that stands, and what its supervisor needs to know.
struct Made {
    sandbox: Sandbox,
    record: Record,
    policies: Policies,
    policy: PolicyFile,
    version: u64,
    authority: Arc<Authority>,
    resolver: Resolver,
}

/// Everything that is done with one thread.
fn make(folder: &Folder, resolver: Resolver) -> Result<Made, Failed> {
    // It fails for the leader of a group, which a terminal does not reach either.
    setsid().ok();
    let damaged = |error: io::Error| {
        Failed::new(format!("cannot read the sandbox: {error}"), "delete it and create it anew")
    };
    let record = folder.record().map_err(damaged)?;
    let mut policies = Policies::open(folder).map_err(damaged)?;
    let (version, policy) = policies.newest_good()?;
    let authority = authority(&record.name)?;
    let spec = spec(folder, &policy, &record, &authority);
    give_files(folder, &spec)?;
    let sandbox = Sandbox::start(&spec).map_err(|error| failed(&error))?;
    let authority = Arc::new(authority);
    Ok(Made { sandbox, record, policies, policy, version, authority, resolver })
}

fn authority(name: &str) -> Result<Authority, Failed> {
    // The first process of the sandbox has a copy of this key in its memory, out of reach of programs; it vouches for
    // nothing but what the sandbox itself trusts.
    Authority::new(name).map_err(|error| {
        Failed::new(format!("cannot make the sandbox's own authority: {error}"), "")
    })
}

/// What is built for this record.
fn spec(folder: &Folder, policy: &PolicyFile, record: &Record, authority: &Authority) -> Spec {
    let setting = Setting {
        id: record.id.clone(),
        name: record.name.clone(),
        workspace: folder.files(),
        hidden: folder.home().map(Path::to_owned).into_iter().collect(),
        ca_pem: Some(authority.certificate_pem().to_owned()),
        environment: record.environment.clone(),
        callers: record.callers(),
        limits: record.limits.into(),
    };
    Spec::of_policy(policy, setting)
}

/// Threads, once the sandbox was forked off.
fn runtime() -> Result<Runtime, Failed> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_name("openshell-supervisor")
        .enable_all()
        .build();
    runtime.map_err(|error| broken(&error))
}

fn log_to(folder: &Folder, record: &Record) -> Result<(), Failed> {
    let filter = record.environment.get("OPENSHELL_LOG").map(String::as_str);
    log::begin(&folder.log(), filter).map_err(|error| broken(&error))
}

fn broken(error: &io::Error) -> Failed {
    Failed::new(format!("cannot serve: {error}"), "")
}

/// Gives the sandbox's own files to the agent's user. An ordinary user is that user already.
fn give_files(folder: &Folder, spec: &Spec) -> Result<(), Failed> {
    let identity = accounts::identify(spec).map_err(|error| failed(&error))?;
    if identity.rights != Rights::Root {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::fs::chown(folder.files(), Some(uid), Some(gid)).map_err(|error| {
        Failed::new(format!("cannot give the sandbox its files: {error}"), "look at the disk")
    })
}

impl Made {
    /// Serves until the end. Whoever has taken a prepared sandbox waits on a connection to its socket.
    async fn attend(
        mut self,
        folder: &Folder,
        main: Main,
        taken: Option<Taken>,
    ) -> Result<(), Failed> {
        let broken = |error: io::Error| broken(&error);
        let means = Means {
            record: &self.record,
            folder,
            authority: self.authority,
            policy: (self.policy, self.version),
            resolver: self.resolver,
        };
        let network = Network::start(&mut self.sandbox, means).await?;
        let state = State {
            phase: Phase::Ready,
            notes: self.sandbox.notes().to_vec(),
            limited_by: limited_by(self.sandbox.grouped()),
            groups: self.sandbox.groups().to_vec(),
            supervisor: Some(std::process::id()),
            started: Some(now()),
            ..State::default()
        };
        if self.version > 0 {
            self.policies.loaded(self.version).map_err(broken)?;
        }
        let (kept, keeper) = Kept::new(self.sandbox).map_err(|error| failed(&error))?;
        let (listener, taker) = match taken {
            Some(Taken { listener, taker }) => (listener, Some(taker)),
            None => (listen(folder).map_err(broken)?, None),
        };
        let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
        let shared =
            Shared::new((folder.clone(), self.record), keeper, (self.policies, network), state);
        shared.keep_state().map_err(broken)?;
        tracing::info!(policy = self.version, "sandbox ready");
        let serve = async {
            if main == Main::AtOnce && shared.has_main() {
                shared.launch(None, serve::Attach::No).await?;
            }
            match taker {
                // Who has left comes back, or does not.
                Some(mut taker) => drop(frame::say(&mut taker, &Reply::Done).await),
                None => announce(&Reply::Done),
            }
            serve::accept(&listener, &shared).await;
            Ok(())
        };
        let ended = tokio::select! {
            biased;
            error = kept.serve() => Err(failed(&error)),
            () = shared.stopped() => Ok(()),
            () = async { terminate.recv().await; shared.stop(GRACE).await } => Ok(()),
            ended = serve => ended,
        };
        shared.finish();
        // Nobody finds it any more while it ends.
        std::fs::remove_file(folder.path().join(SOCKET)).ok();
        match &ended {
            Ok(()) => tracing::info!("sandbox stopped"),
            Err(failed) => tracing::error!(reason = %failed.message, "sandbox lost"),
        }
        ended
    }
}

/// What holds each limit, in words.
fn limited_by(grouped: Grouped) -> BTreeMap<String, String> {
    let group = |holds: bool| holds.then_some("a control group");
    let all = [
        ("cpu", group(grouped.cpu)),
        ("memory", group(grouped.memory)),
        ("processes", group(grouped.processes).or(Some("the limit of its user"))),
    ];
    all.into_iter().filter_map(|(what, by)| Some((what.to_owned(), by?.to_owned()))).collect()
}

/// Listens where only the owner of the folder can reach.
fn listen(folder: &Folder) -> io::Result<UnixListener> {
    let path = folder.path().join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let opened = folder.open()?;
    let listener = std::os::unix::net::UnixListener::bind(socket_path(&opened))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// A short path to the socket in this folder.
pub(crate) fn socket_path(folder: &File) -> String {
    format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())
}

/// Whether the other end of a connection is the owner of this supervisor.
fn is_owner(stream: &tokio::net::UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

/// Says what came of it, and lets the standard descriptors go. Nobody may be left to hear it.
fn announce(reply: &Reply) {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    io::stdout().write_all(&line).ok();
    io::stdout().flush().ok();
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        rustix::stdio::dup2_stdin(&null).ok();
        rustix::stdio::dup2_stdout(&null).ok();
        rustix::stdio::dup2_stderr(&null).ok();
    }
}

/// A step that failed, as it is told.
fn failed(error: &StartError) -> Failed {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    let code = match (error.step, error.source.as_ref().map(io::Error::kind)) {
        (crate::Step::Program, Some(io::ErrorKind::NotFound)) => 127,
        (crate::Step::Program, _) => 126,
        _ => 1,
    };
    Failed { code, ..Failed::new(format!("{error}{cause}"), error.advice()) }
}
