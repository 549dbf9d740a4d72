//! Stopping, starting and deleting.

use std::{process::ExitCode, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{
    control::{
        Request,
        client::{ControlError, Supervisor},
    },
    state::Folder,
};
use tokio::time::{sleep, timeout};

use super::{attached, block_on, find, heard, home, look, spawn};
use crate::{
    args::sandbox::{DeleteArgs, StopArgs},
    commands::forward,
    failure::Failure,
    output,
};

/// Between two looks at a supervisor that ends.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a supervisor may take to end when nothing is left to wait for.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// `openshell sandbox stop`
pub(super) fn stop(args: &StopArgs) -> Result<ExitCode, Failure> {
    let (name, folder) = find(args.sandbox.name.as_deref())?;
    if !folder.is_attended() {
        output::line(&format!("· Sandbox {name} is not running"))?;
        return Ok(ExitCode::SUCCESS);
    }
    end(&name, &folder, args.grace.saturating_mul(1000))?;
    output::line(&format!("✓ Stopped sandbox {name}"))?;
    Ok(ExitCode::SUCCESS)
}

/// `openshell sandbox start`
pub(super) fn start(name: Option<&str>) -> Result<ExitCode, Failure> {
    let (name, folder) = find(name)?;
    if folder.is_attended() {
        output::line(&format!("· Sandbox {name} is running"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let record = folder.record()?;
    let providers = attached::load(&record.providers)?;
    super::start_router(record.router.as_deref())?;
    spawn(&folder)?;
    attached::supply(&name, &folder, providers)?;
    if !record.command.is_empty() {
        let request = Request::Launch { attach: false, terminal: None };
        block_on(async { heard(&name, Supervisor::of(&folder).ask(&request).await) })?;
    }
    output::line(&format!("✓ Started sandbox {name}"))?;
    Ok(ExitCode::SUCCESS)
}

/// `openshell sandbox delete`
pub(super) fn delete(args: DeleteArgs) -> Result<ExitCode, Failure> {
    let home = home()?;
    let names = if args.all { home.names()? } else { args.names };
    if names.is_empty() {
        output::line("No sandboxes found.")?;
    }
    let mut failed = None;
    for name in names {
        let deleted = look(&home, &name).and_then(|folder| remove(&name, &folder));
        match deleted {
            Ok(()) => output::line(&format!("✓ Deleted sandbox {name}"))?,
            // The others are still to be deleted; all that failed are told.
            Err(failure) => {
                if let Some(earlier) = failed.replace(failure) {
                    output::complain(&earlier.to_string());
                }
            }
        }
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Ends a sandbox and removes everything of it.
pub(crate) fn remove(name: &str, folder: &Folder) -> Result<(), Failure> {
    forward::stop_all(name)?;
    if folder.is_attended() && end(name, folder, 0).is_err() {
        kill(folder);
    }
    folder.remove().map_err(|error| {
        let path = folder.path().display();
        Failure::from(anyhow::Error::new(error).context(format!("cannot remove {path}")))
            .hint("remove the folder yourself")
    })?;
    if let Ok(last) = home().map(|home| home.path().join("last_sandbox"))
        && std::fs::read_to_string(&last).is_ok_and(|known| known == name)
    {
        // Without it, the next command only asks for a name.
        std::fs::remove_file(last).ok();
    }
    Ok(())
}

/// Ends a supervisor that does not answer, and with it everything in its sandbox.
fn kill(folder: &Folder) {
    let process = folder.attendant().and_then(|number| i32::try_from(number).ok());
    if let Some(process) = process.and_then(Pid::from_raw) {
        // One that has ended meanwhile is what was wanted.
        kill_process(process, Signal::KILL).ok();
    }
}

pub(crate) fn end(name: &str, folder: &Folder, grace_ms: u64) -> Result<(), Failure> {
    let limit = Duration::from_millis(grace_ms).saturating_add(ANSWER_MAX);
    let stopped = block_on(async {
        let supervisor = Supervisor::of(folder);
        let gone = async {
            let stopped = supervisor.stop(grace_ms).await;
            // Its record of decisions is whole, and its state the last one, only when it has let go.
            while folder.is_attended() {
                sleep(PAUSE).await;
            }
            stopped
        };
        timeout(limit, gone).await.map_err(|_| {
            Failure::new(format!("the supervisor of sandbox {name} does not answer"))
                .hint(format!("`openshell sandbox delete {name}` ends it by force"))
        })
    })?;
    match stopped {
        // It went by itself meanwhile.
        Err(ControlError::NotRunning) if !folder.is_attended() => Ok(()),
        other => heard(name, other),
    }
}
