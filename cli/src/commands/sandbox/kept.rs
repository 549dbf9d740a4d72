//! Sandboxes that a gateway keeps: what is wanted of them is told to it, and then how they are doing is waited for.

mod attached;
mod create;

use std::{fs, process::ExitCode, sync::Arc, time::Duration};

use api::{
    policy::PolicyRevision,
    sandbox::{Phase, Sandbox, SandboxStatus, Stop},
};
use policy::PolicyFile;
use reqwest::Method;
use sandbox::state::{Whole, is_name};
use tokio::time::timeout;

use super::{
    block_on,
    line::Line,
    show::{self, Limits, Shown},
};
use crate::{
    args::sandbox::{DeleteArgs, GetArgs, ListArgs, SandboxCommand, StopArgs},
    commands::{forward, gateway::Chosen},
    failure::Failure,
    output,
};

/// The exit code when time has run out.
const TIMED_OUT: u8 = 124;
/// How long a gateway may take to do what was asked of a sandbox.
const CHANGE_MAX: Duration = Duration::from_mins(5);

/// Runs what was typed.
pub(super) fn run(gateway: &Arc<Chosen>, command: SandboxCommand) -> Result<ExitCode, Failure> {
    match command {
        SandboxCommand::Create(args) => return create::run(gateway, &args),
        SandboxCommand::List(args) => list(gateway, &args)?,
        SandboxCommand::Get(args) => get(gateway, &args)?,
        SandboxCommand::Stop(args) => stop(gateway, &args)?,
        SandboxCommand::Start(args) => start(gateway, args.name.as_deref())?,
        SandboxCommand::Delete(args) => delete(gateway, args)?,
        SandboxCommand::Provider(command) => attached::run(gateway, command)?,
        SandboxCommand::Exec(_)
        | SandboxCommand::Connect(_)
        | SandboxCommand::Attach(_)
        | SandboxCommand::Upload(_)
        | SandboxCommand::Download(_)
        | SandboxCommand::Pool(_) => {
            return Err(Failure::new("this is not asked of a gateway"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The line to the sandbox of that name, or to the last one that was used.
pub(crate) fn line(gateway: &Arc<Chosen>, name: Option<&str>) -> Result<Line, Failure> {
    Ok(Line::through(gateway, &named(gateway, name)?))
}

/// The name of a sandbox, or of the last one that was used.
pub(crate) fn named(gateway: &Chosen, name: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = name {
        return checked(name);
    }
    let last = fs::read_to_string(gateway.last_sandbox()).unwrap_or_default();
    checked(last.trim()).map_err(|_| {
        Failure::new("no sandbox is named, and none was used yet")
            .hint("`openshell sandbox list` shows them, `openshell sandbox create` makes one")
    })
}

/// The sandbox of that name, or the last one that was used; it is the last one from now on.
pub(crate) fn find(gateway: &Chosen, name: Option<&str>) -> Result<Sandbox, Failure> {
    let name = named(gateway, name)?;
    let found: Option<Sandbox> = gateway.find(&format!("/v1/sandboxes/{name}"))?;
    let found = found.ok_or_else(|| {
        Failure::new(format!("there is no sandbox {name}"))
            .hint("`openshell sandbox list` shows them all")
    })?;
    gateway.remember(&name);
    Ok(found)
}

/// A name that can stand in a path.
fn checked(name: &str) -> Result<String, Failure> {
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(Failure::usage(format!("{name:?} is no name of a sandbox"))
        .hint("lower-case letters, digits and hyphens between them, at most 63"))
}

fn list(gateway: &Chosen, args: &ListArgs) -> Result<(), Failure> {
    let all: Vec<Sandbox> = gateway.all("/v1/sandboxes")?;
    show::listed(args, all.into_iter().map(shown))
}

fn get(gateway: &Chosen, args: &GetArgs) -> Result<(), Failure> {
    let sandbox = find(gateway, args.sandbox.name.as_deref())?;
    let policy = match newest_policy(gateway, &sandbox.name)?.and_then(|revision| revision.policy) {
        Some(policy) => policy,
        None => PolicyFile::restrictive().to_yaml()?,
    };
    show::one(args, &shown(sandbox), &policy)
}

/// The newest revision of a sandbox's own policy, if it was given one.
pub(crate) fn newest_policy(
    gateway: &Chosen,
    name: &str,
) -> Result<Option<PolicyRevision>, Failure> {
    gateway.find(&format!("/v1/sandboxes/{name}/policy"))
}

fn stop(gateway: &Chosen, args: &StopArgs) -> Result<(), Failure> {
    let Sandbox { name, status, .. } = find(gateway, args.sandbox.name.as_deref())?;
    if status.phase == Phase::Stopped {
        return output::line(&format!("· Sandbox {name} is not running"));
    }
    let stop = Stop { grace_ms: Some(args.grace.saturating_mul(1000)) };
    drop(gateway.send::<Sandbox>(Method::POST, &format!("/v1/sandboxes/{name}/stop"), &stop)?);
    let limit = CHANGE_MAX.saturating_add(Duration::from_secs(args.grace));
    settled(gateway, &name, (Phase::Stopped, limit))?;
    output::line(&format!("✓ Stopped sandbox {name}"))
}

fn start(gateway: &Chosen, name: Option<&str>) -> Result<(), Failure> {
    let Sandbox { name, status, .. } = find(gateway, name)?;
    if status.phase == Phase::Ready {
        return output::line(&format!("· Sandbox {name} is running"));
    }
    drop(gateway.send::<Sandbox>(Method::POST, &format!("/v1/sandboxes/{name}/start"), &())?);
    settled(gateway, &name, (Phase::Ready, CHANGE_MAX))?;
    output::line(&format!("✓ Started sandbox {name}"))
}

fn delete(gateway: &Chosen, args: DeleteArgs) -> Result<(), Failure> {
    let names = if args.all {
        let all: Vec<Sandbox> = gateway.all("/v1/sandboxes")?;
        all.into_iter().map(|sandbox| sandbox.name).collect()
    } else {
        args.names
    };
    if names.is_empty() {
        output::line("No sandboxes found.")?;
    }
    let mut failed = None;
    for name in names {
        let deleted = checked(&name).and_then(|name| remove(gateway, &name));
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
    failed.map_or(Ok(()), Err)
}

/// Deletes a sandbox, and waits until it is gone.
fn remove(gateway: &Chosen, name: &str) -> Result<(), Failure> {
    forward::stop_all(Some(&gateway.name), name)?;
    gateway.order(Method::DELETE, &format!("/v1/sandboxes/{name}"))?;
    let gone = |status: Option<&SandboxStatus>| match status {
        None => Ok(Some(())),
        Some(status) if status.reason == "DeleteFailed" => Err(troubled(name, status)),
        Some(_) => Ok(None),
    };
    within(CHANGE_MAX, gateway.wait(name, gone))?;
    let last = gateway.last_sandbox();
    if fs::read_to_string(&last).is_ok_and(|known| known == name) {
        // Without it, the next command only asks for a name.
        fs::remove_file(last).ok();
    }
    Ok(())
}

/// Waits until a sandbox is in that phase. What goes wrong on the way there is told at once, though the gateway tries again.
fn settled(gateway: &Chosen, name: &str, (phase, limit): (Phase, Duration)) -> Result<(), Failure> {
    let is_there = |status: Option<&SandboxStatus>| match status {
        None => Err(Failure::new(format!("sandbox {name} was deleted"))),
        Some(status) if status.phase == phase => Ok(Some(())),
        Some(status) if status.phase == Phase::Error => Err(troubled(name, status)),
        Some(_) => Ok(None),
    };
    within(limit, gateway.wait(name, is_there))
}

fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    block_on(async {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let failure = Failure::new(format!("it took longer than {} s", limit.as_secs()));
            Err(failure
                .with_code(TIMED_OUT)
                .hint("the gateway goes on with it; `openshell sandbox get` shows how far it is"))
        })
    })
}

fn troubled(name: &str, status: &SandboxStatus) -> Failure {
    Failure::new(format!("sandbox {name}: {} ({})", status.message, status.reason))
        .hint(format!("the gateway tries again; `openshell sandbox get {name}` shows how it goes"))
}

fn shown(sandbox: Sandbox) -> Shown {
    let Sandbox { id, name, workspace, spec, status, created, .. } = sandbox;
    let asked = Whole {
        cpu_percent: spec.limits.cpu_percent,
        memory_bytes: spec.limits.memory_bytes,
        processes: spec.limits.processes,
    };
    Shown {
        id,
        name,
        namespace: workspace,
        created: created.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        phase: status.phase.as_str(),
        reason: Some(status.reason),
        command: spec.command,
        running: status.running,
        exit_code: status.exit_code,
        policy_version: status.policy_version,
        labels: spec.labels,
        limits: Limits::of(asked, status.limited_by, Vec::new()),
        notes: status.notes,
        error: Some(status.message).filter(|message| !message.is_empty()),
        folder: None,
    }
}
