//! The second process of the demonstration, in a network of its own, and how the first one sends it there and cleans up.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use sandbox::state::Home;
use tokio::signal::unix::{SignalKind, signal};

use super::agent::STATE;
use crate::{args::DemoArgs, failure::Failure, output};

/// The servers that the demonstration's policy opens, and what is tried besides.
pub(super) const DOCS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 10);
/// Where clouds tell machines their credentials.
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Exit code of a process that found no island: `EX_UNAVAILABLE`.
const REFUSED: u8 = 69;
/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;
/// How long the second process may take to clean up once it is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// How the second process fared.
pub(super) enum Voyage {
    /// It played, and this is its exit code.
    Ended(ExitCode),
    /// There is no island for this user. The reason is told.
    Refused,
}

/// Sends a second process to the island, waits until it ends, passes on what this one is told, and ends what was left.
pub(super) async fn voyage(args: &DemoArgs, folder: &Path) -> Result<Voyage, Failure> {
    // Itself, even when the file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("openshell").arg("demo").arg("--island").arg(folder);
    if args.real_model {
        command.arg("--real-model");
    }
    if let Some(model) = &args.model_dir {
        command.arg("--model-dir").arg(std::path::absolute(model)?);
    }
    // The runtime waits for signals before the process starts, so none is lost.
    let mut told = Told::listen()?;
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .context("cannot start the second process")?;
    let status = tokio::select! {
        biased;
        status = child.wait() => status?,
        () = told.the_end() => {
            if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
                // It may have ended by itself, after the same Ctrl-C.
                kill_process(pid, Signal::TERM).ok();
            }
            if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
                status?
            } else {
                child.kill().await?;
                child.wait().await?
            }
        }
    };
    sweep(folder);
    Ok(match status.code() {
        Some(code) if code == i32::from(REFUSED) => Voyage::Refused,
        _ => Voyage::Ended(ExitCode::from(code(status))),
    })
}

fn code(status: ExitStatus) -> u8 {
    let signal = || status.signal().map(|signal| signal.saturating_add(128));
    status.code().or_else(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Ends every supervisor that has a sandbox in `folder`. There is one only when the second process was killed.
fn sweep(folder: &Path) {
    let home = Home::new(folder.join(STATE));
    for name in home.names().unwrap_or_default() {
        let number = home.sandbox(&name).attendant().and_then(|number| i32::try_from(number).ok());
        if let Some(pid) = number.and_then(Pid::from_raw) {
            // Whoever has ended meanwhile is what was wanted.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// Goes to the island and plays `story` there.
pub(super) fn play(
    folder: &Path,
    story: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let hosts = folder.join("hosts");
    let names = format!(
        "127.0.0.1 localhost\n{DOCS} docs.demo.test other.demo.test\n{METADATA} metadata.demo.test\n"
    );
    fs::write(&hosts, names).with_context(|| format!("cannot write {}", hosts.display()))?;
    if let Err(error) = sandbox::enter_island(&[DOCS, METADATA], &hosts) {
        output::complain(&format!("note: no sandbox can be shown here: {error}"));
        output::complain(&format!("hint: {}\n", error.advice()));
        return Ok(ExitCode::from(REFUSED));
    }
    story()
}

/// Runs `story` until it ends or this process is told to.
pub(super) async fn until_told(
    story: impl Future<Output = Result<(), Failure>>,
) -> Result<ExitCode, Failure> {
    let mut told = Told::listen()?;
    tokio::select! {
        biased;
        () = told.the_end() => Ok(ExitCode::from(INTERRUPTED)),
        played = story => played.map(|()| ExitCode::SUCCESS),
    }
}

/// The signals that ask a process to end.
struct Told {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Told {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn the_end(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
