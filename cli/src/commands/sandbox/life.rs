//! Stopping, starting and deleting.

use std::{process::ExitCode, time::Duration};

use drivers::supervisor::{self, Role};
use sandbox::{
    control::{Request, client::Supervisor},
    state::Folder,
};

use super::{attached, block_on, find, heard, home, look, spawn, started};
use crate::{
    args::sandbox::{DeleteArgs, StopArgs},
    commands::forward,
    failure::Failure,
    output,
};

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
    spawn(&name, &folder, Role::Sandbox)?;
    attached::supply(&name, &folder, providers)?;
    if !record.command.is_empty() {
        let request = Request::Launch { attach: false, once: false, terminal: None };
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
    forward::stop_all(None, name)?;
    end_by_force(name, folder)?;
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

/// Ends a sandbox.
pub(crate) fn end(name: &str, folder: &Folder, grace_ms: u64) -> Result<(), Failure> {
    let grace = Duration::from_millis(grace_ms);
    block_on(async { started(name, folder, supervisor::stop(folder, grace).await) })
}

/// Ends a sandbox, by force where it must be.
pub(super) fn end_by_force(name: &str, folder: &Folder) -> Result<(), Failure> {
    if !folder.is_attended() {
        return Ok(());
    }
    block_on(async { started(name, folder, supervisor::end(folder).await) })
}
