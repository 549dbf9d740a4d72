//! The supervisor of one sandbox of this machine: how it is started, ended, and ended by force.
//!
//! It outlives whoever starts it. Not here: what it is asked (`sandbox::control`).

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{
    control::{
        Reply,
        client::{ControlError, Supervisor},
    },
    state::Folder,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
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

/// What a supervisor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The sandbox of its folder.
    Sandbox,
    /// One that stands before anybody asks for it.
    Prepared,
}

/// The supervisor of the sandbox in this folder, to be started: this program itself, also when its file was replaced meanwhile. Its
/// standard output says in one line what came of it.
pub fn command(folder: &Folder, role: Role) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("openshell").arg("supervise").arg("--folder").arg(folder.path());
    if role == Role::Prepared {
        command.arg("--prepared");
    }
    let kept = std::env::vars_os()
        .filter(|(name, _)| SUPERVISOR_ENVIRONMENT.iter().any(|one| name == one));
    command.env_clear().envs(kept).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    // What ends whoever starts it, and everything that was started with that, does not end this.
    command.process_group(0);
    command
}

/// Starts a supervisor, and waits until its sandbox stands.
///
/// # Errors
/// Why it does not stand.
pub async fn start(folder: &Folder, role: Role) -> Result<(), DriverError> {
    let mut command = tokio::process::Command::from(command(folder, role));
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
pub async fn stop(folder: &Folder, grace: Duration) -> Result<(), DriverError> {
    let gone = async {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let mut told = Ok(());
        let mut is_told = false;
        // Its record of decisions is whole, and its state the last one, only when it has let go.
        while folder.is_attended() {
            if !is_told {
                told = Supervisor::of(folder).stop(grace_ms).await;
                // One that is still being built hears nothing yet, and one that ends by itself hears nothing more.
                is_told = !matches!(told, Err(ControlError::NotRunning));
            }
            sleep(PAUSE).await;
        }
        match told {
            Err(ControlError::NotRunning) => Ok(()),
            other => other,
        }
    };
    let stopped = timeout(grace.saturating_add(ANSWER_MAX), gone).await;
    Ok(stopped.map_err(|_| DriverError::Silent)??)
}

/// Ends a sandbox and its supervisor, by force where it must be, and waits until both are gone.
///
/// # Errors
/// [`DriverError::Silent`] when not even force ends it.
pub async fn end(folder: &Folder) -> Result<(), DriverError> {
    match stop(folder, Duration::ZERO).await {
        Ok(()) => Ok(()),
        Err(_) => kill(folder).await,
    }
}

/// Ends a supervisor that does not answer, and with it everything in its sandbox; waits until it is gone.
///
/// # Errors
/// [`DriverError::Silent`] when not even force ends it.
pub async fn kill(folder: &Folder) -> Result<(), DriverError> {
    let gone = async {
        let mut told = None;
        while folder.is_attended() {
            // One that has only just begun is there before its number is.
            let process = folder.attendant().and_then(|number| i32::try_from(number).ok());
            let process = process.and_then(Pid::from_raw);
            if let Some(process) = process.filter(|_| told != process) {
                // One that has ended meanwhile is what was wanted.
                kill_process(process, Signal::KILL).ok();
                told = Some(process);
            }
            sleep(PAUSE).await;
        }
    };
    timeout(ANSWER_MAX, gone).await.map_err(|_| DriverError::Silent)
}

#[cfg(test)]
mod tests {
    use rustix::process::getpgid;
    use sandbox::control::{Request, frame};
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn a_supervisor_is_in_no_group_of_whoever_starts_it() {
        let mut command = command(&Folder::at("/no/such/folder"), Role::Prepared);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let process = Pid::from_child(&child);
        assert_eq!(getpgid(Some(process)).unwrap(), process);
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn one_that_has_not_said_its_number_yet_is_ended_by_force_once_it_has() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::at(home.path());
        let lock = folder.lock().unwrap();
        std::fs::write(home.path().join("lock"), "").unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let told = async {
            sleep(Duration::from_millis(50)).await;
            std::fs::write(home.path().join("lock"), child.id().to_string()).unwrap();
            tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
            drop(lock);
        };
        let (killed, ()) = tokio::join!(kill(&folder), told);
        killed.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_still_being_built_is_told_to_end_once_it_listens() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::at(home.path());
        let lock = folder.lock().unwrap();
        let stop = stop(&folder, Duration::ZERO);
        let built = async {
            // Long after the first look, and long before anybody gives up.
            sleep(Duration::from_millis(50)).await;
            let listener = UnixListener::bind(home.path().join("control.sock")).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = frame::receive(&mut stream).await.unwrap();
            let (_, asked) = asked.unwrap();
            assert_eq!(frame::message::<Request>(&asked).unwrap(), Request::Stop { grace_ms: 0 });
            frame::say(&mut stream, &Reply::Done).await.unwrap();
            drop(lock);
        };
        let (stopped, ()) = tokio::join!(stop, built);
        stopped.unwrap();
    }
}
