//! This machine: a supervisor is a process of this user, and a sandbox is a folder in its home.
//!
//! Supervisors outlive whoever started them, so what runs is known from the folders alone.

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{
    control::{
        Reply,
        client::{ControlError, Supervisor},
    },
    policies::Policies,
    state::{Folder, Home, Phase, Record},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::DriverError;

/// The longest line that a supervisor says when it is ready, bytes.
const WORD_BYTES_MAX: u64 = 1 << 20;
/// How long a sandbox may take to stand.
const START_MAX: Duration = Duration::from_mins(1);
/// How long a supervisor may take to end when nothing is left to wait for.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Between two looks at a supervisor that ends.
const PAUSE: Duration = Duration::from_millis(2);

/// What a supervisor takes over of the environment of whoever starts it. It outlives that, and its first process is a copy of
/// it: no secret goes along.
pub const SUPERVISOR_ENVIRONMENT: [&str; 12] = [
    "PATH",
    "HOME",
    "OPENSHELL_HOME",
    "XDG_STATE_HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LLVM_PROFILE_FILE",
];

/// Sandboxes of this user in one home.
#[derive(Clone, Debug)]
pub struct Local {
    home: Home,
    program: PathBuf,
}

/// What a new sandbox begins with.
#[derive(Clone, Debug)]
pub struct Order {
    /// What was asked for.
    pub record: Record,
    /// Its policy, YAML.
    pub policy: String,
    /// What proves to the router which sandbox it is.
    pub token: Option<Vec<u8>>,
}

/// A sandbox as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The name of its folder.
    pub folder: String,
    /// What was asked for when it was made.
    pub record: Record,
    /// How it is doing.
    pub state: sandbox::state::State,
    /// Whether a supervisor holds it.
    pub attended: bool,
}

impl Local {
    /// The driver of this home. Supervisors are this program, whatever becomes of its file meanwhile.
    pub fn new(home: Home) -> Self {
        Self { home, program: PathBuf::from("/proc/self/exe") }
    }

    /// The same where supervisors are another program.
    #[must_use]
    pub fn with_program(self, program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..self }
    }

    /// The folder of a sandbox.
    pub fn folder(&self, name: &str) -> Folder {
        self.home.sandbox(name)
    }

    /// The supervisor of a sandbox, to be asked.
    pub fn supervisor(&self, name: &str) -> Supervisor {
        Supervisor::of(&self.folder(name))
    }

    /// Every sandbox that is there.
    ///
    /// # Errors
    /// When the home is there and cannot be read.
    pub async fn list(&self) -> Result<Vec<Observed>, DriverError> {
        let home = self.home.clone();
        let looked = spawn_blocking(move || {
            let names = home.names()?;
            // One that is deleted in this moment is none.
            Ok(names.iter().filter_map(|name| look(name, &home.sandbox(name)).ok()).collect())
        });
        finished(looked.await, "list sandboxes")
    }

    /// One sandbox; `None` when there is none of that name.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub async fn inspect(&self, name: &str) -> Result<Option<Observed>, DriverError> {
        let (name, folder) = (name.to_owned(), self.folder(name));
        let looked = spawn_blocking(move || match look(&name, &folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        });
        finished(looked.await, "look at a sandbox")
    }

    /// Makes the folder of a sandbox. One of that name with the same id is left as it is.
    ///
    /// # Errors
    /// A policy that cannot be used; a folder that cannot be made, or belongs to another sandbox.
    pub async fn create(&self, name: &str, order: Order) -> Result<(), DriverError> {
        let folder = self.folder(name);
        let made = spawn_blocking(move || {
            match folder.create(&order.record) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && folder.record().is_ok_and(|known| known.id == order.record.id) =>
                {
                    return Ok(());
                }
                other => other.map_err(DriverError::system("make the folder of the sandbox"))?,
            }
            let filled = fill(&folder, &order);
            if filled.is_err() {
                // It never stood, so there is nothing to keep.
                folder.remove().ok();
            }
            filled
        });
        made.await.map_err(|error| panicked(error, "make a sandbox"))?
    }

    /// Starts the supervisor of a sandbox, and waits until the sandbox stands. One that runs is left as it is.
    ///
    /// # Errors
    /// Why the sandbox does not stand.
    pub async fn start(&self, name: &str) -> Result<(), DriverError> {
        let folder = self.folder(name);
        if folder.is_attended() {
            return Ok(());
        }
        let mut command = Command::new(&self.program);
        command.arg0("openshell").arg("supervise").arg("--folder").arg(folder.path());
        let kept = std::env::vars_os()
            .filter(|(name, _)| SUPERVISOR_ENVIRONMENT.iter().any(|one| name == one));
        command.env_clear().envs(kept).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(DriverError::system("start the supervisor"))?;
        let mut line = Vec::new();
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out.take(WORD_BYTES_MAX));
            let read = timeout(START_MAX, out.read_until(b'\n', &mut line)).await;
            read.map_err(|_| DriverError::Silent)?
                .map_err(DriverError::system("hear the supervisor"))?;
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Failed(failed)) => {
                // It ends by itself now; who outlives it reaps it.
                child.wait().await.ok();
                Err(failed.into())
            }
            _ => {
                let how = child.wait().await;
                let how = how.map_or_else(|error| error.to_string(), |how| how.to_string());
                Err(DriverError::Ended { how })
            }
        }
    }

    /// Ends the main command of a sandbox, everything else in it, and its supervisor. One that does not run is left as it is.
    ///
    /// # Errors
    /// When it does not end within `grace` and a few seconds.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), DriverError> {
        let folder = self.folder(name);
        if !folder.is_attended() {
            return Ok(());
        }
        let gone = async {
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            let stopped = Supervisor::of(&folder).stop(grace_ms).await;
            // Its record of decisions is whole, and its state the last one, only when it has let go.
            while folder.is_attended() {
                sleep(PAUSE).await;
            }
            stopped
        };
        let stopped = timeout(grace.saturating_add(ANSWER_MAX), gone).await;
        match stopped.map_err(|_| DriverError::Silent)? {
            // It went by itself meanwhile.
            Err(ControlError::NotRunning) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Ends a sandbox, by force where it must be, and removes everything of it.
    ///
    /// # Errors
    /// What cannot be removed.
    pub async fn delete(&self, name: &str) -> Result<(), DriverError> {
        let folder = self.folder(name);
        if self.stop(name, Duration::ZERO).await.is_err() {
            kill(&folder);
        }
        let removed = spawn_blocking(move || folder.remove());
        finished(removed.await, "remove the folder of the sandbox")
    }
}

/// Ends a supervisor that does not answer, and with it everything in its sandbox.
fn kill(folder: &Folder) {
    let process = folder.attendant().and_then(|number| i32::try_from(number).ok());
    if let Some(process) = process.and_then(Pid::from_raw) {
        // One that has ended meanwhile is what was wanted.
        kill_process(process, Signal::KILL).ok();
    }
}

fn look(name: &str, folder: &Folder) -> io::Result<Observed> {
    let record = folder.record()?;
    // Who holds it is asked first: one that begins meanwhile has written its state before.
    let attended = folder.is_attended();
    let mut state = folder.state()?;
    if !attended && state.phase == Phase::Ready {
        state.phase = Phase::Error;
        state.running = false;
    }
    Ok(Observed { folder: name.to_owned(), record, state, attended })
}

fn fill(folder: &Folder, order: &Order) -> Result<(), DriverError> {
    Policies::open(folder)
        .map_err(DriverError::system("read the policies of the sandbox"))?
        .set(&order.policy)?;
    match &order.token {
        Some(token) => {
            folder.keep_token(token).map_err(DriverError::system("keep the token of the sandbox"))
        }
        None => Ok(()),
    }
}

fn finished<T>(
    done: Result<io::Result<T>, tokio::task::JoinError>,
    what: &'static str,
) -> Result<T, DriverError> {
    done.map_err(|error| panicked(error, what))?.map_err(DriverError::system(what))
}

fn panicked(error: tokio::task::JoinError, what: &'static str) -> DriverError {
    DriverError::System { what, source: io::Error::other(error) }
}
