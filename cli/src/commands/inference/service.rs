//! A router of this user, in the background: started when it is needed, found again, told to stop. One answers the sandboxes;
//! another one, on a socket that no sandbox knows, answers programs of this user (the system route).
//!
//! Its standard input is the lock file, locked by whoever started it: the lock is held exactly as long as the router lives,
//! however it ends, and the file says which process that is. Invariant: at most one router reads the file of a home.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
        net::UnixStream,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};
use sandbox::state::Home;
use tokio::time::{sleep, timeout};

use crate::{commands::sandbox::block_on, failure::Failure};

/// How long a router may take to listen.
const START_MAX: Duration = Duration::from_secs(20);
/// How long it may take to end: its own grace for requests, and a little more.
const STOP_MAX: Duration = Duration::from_secs(40);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// Whose model calls are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Those of sandboxes.
    Sandboxes,
    /// Those of programs of this user, outside.
    System,
}

impl From<Route> for api::inference::Route {
    fn from(route: Route) -> Self {
        match route {
            Route::Sandboxes => Self::Sandboxes,
            Route::System => Self::System,
        }
    }
}

impl Route {
    /// The name of the route.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sandboxes => "inference.local",
            Self::System => "sandbox-system",
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Sandboxes => "Gateway inference",
            Self::System => "System inference",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Sandboxes => "router",
            Self::System => "system",
        }
    }
}

/// One router of one home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    home: &'a Home,
    route: Route,
}

impl<'a> Service<'a> {
    /// That of this home which sandboxes ask.
    pub(crate) fn of(home: &'a Home) -> Self {
        Self { home, route: Route::Sandboxes }
    }

    /// That of this home for these calls.
    pub(super) fn on(home: &'a Home, route: Route) -> Self {
        Self { home, route }
    }

    /// All of this home.
    pub(crate) fn all(home: &'a Home) -> [Self; 2] {
        [Route::Sandboxes, Route::System].map(|route| Self { home, route })
    }

    /// Whose calls it answers.
    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// What it means when it does not run.
    pub(crate) fn unanswered(&self) -> &'static str {
        match self.route {
            Route::Sandboxes => "Model calls are not answered",
            Route::System => "The system route does not answer",
        }
    }

    /// The home, where it runs.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its router file.
    pub(super) fn file(&self) -> PathBuf {
        self.home.path().join(format!("{}.yaml", self.route.folder()))
    }

    /// The folder of what it has, made where there is none.
    pub(super) fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = self.home.path().join(self.route.folder());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    }

    /// A file that it has.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(self.route.folder()).join(name)
    }

    /// What it tells.
    pub(crate) fn log(&self) -> PathBuf {
        self.at("log")
    }

    /// Whether there is a router file for it.
    pub(crate) fn is_configured(&self) -> bool {
        self.file().exists()
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        let Ok(lock) = File::open(self.at("lock")) else { return false };
        flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
    }

    /// Starts it unless it runs, and waits until it listens.
    pub(crate) fn ensure(&self) -> Result<(), Failure> {
        self.folder()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(self.at("lock"))?;
        let mut child = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(self.start(&lock)?),
            // It runs, or somebody else starts it in this moment.
            Err(rustix::io::Errno::WOULDBLOCK) => None,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        if let Some(child) = &child {
            lock.set_len(0)?;
            lock.write_all(child.id().to_string().as_bytes())?;
        }
        drop(lock);
        let socket = self.at("router.sock");
        block_on(async {
            let listens = async {
                loop {
                    if UnixStream::connect(&socket).is_ok() {
                        return Ok(());
                    }
                    if let Some(ended) = child.as_mut().map(Child::try_wait).transpose()?.flatten()
                    {
                        return Err(self.failed(&format!("the router ended with {ended}")));
                    }
                    sleep(PAUSE).await;
                }
            };
            let waited = timeout(START_MAX, listens).await;
            waited.unwrap_or_else(|_| Err(self.failed("the router does not listen")))
        })
    }

    fn start(&self, lock: &File) -> Result<Child, Failure> {
        let socket = self.at("router.sock");
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(self.log())?;
        // Itself, even when the file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("openshell").args(["router", "run"]);
        command.arg("--config").arg(self.file());
        command.arg("--listen").arg(format!("unix:{}", socket.display()));
        command.arg("--state").arg(self.at("state")).arg("--log-lines");
        if self.route == Route::Sandboxes {
            command.arg("--sandbox-key").arg(self.at("key"));
        }
        command.stdin(lock.try_clone()?).stdout(Stdio::null()).stderr(log);
        // What ends the terminal of whoever needed it first must not end it.
        command.current_dir(self.home.path()).process_group(0);
        Ok(command.spawn().context("cannot start the router")?)
    }

    fn failed(&self, what: &str) -> Failure {
        let last = last_line(&self.log()).map(|line| format!(": {line}")).unwrap_or_default();
        Failure::new(format!("{what}{last}")).hint(format!("see {}", self.log().display()))
    }

    /// Stops it after the requests that it serves; false when it does not run.
    pub(crate) fn stop(&self) -> Result<bool, Failure> {
        if !self.is_running() {
            return Ok(false);
        }
        let known = fs::read_to_string(self.at("lock"))?;
        let process = known.trim().parse().ok().and_then(Pid::from_raw);
        let process =
            process.ok_or_else(|| Failure::new("nobody says which process the router is"))?;
        // One that has ended meanwhile is what was wanted.
        kill_process(process, Signal::TERM).ok();
        block_on(async {
            let ended = async {
                while self.is_running() {
                    sleep(PAUSE).await;
                }
            };
            timeout(STOP_MAX, ended).await.map_err(|_| {
                Failure::new("the router does not end")
                    .hint(format!("end process {process:?} yourself"))
            })
        })?;
        Ok(true)
    }
}

fn last_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
}
