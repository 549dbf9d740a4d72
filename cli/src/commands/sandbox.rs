//! `openshell sandbox …`: sandboxes that a gateway keeps, or this user's own on this machine without one.
//!
//! Here: which command, which sandbox, how a supervisor of this user's is started and asked. Below: sandboxes of a gateway
//! (`kept`), and the line to what runs in either kind (`line`). Not here: walls, streams, files; the crate `sandbox` has them,
//! and its supervisor answers.

pub(crate) mod attached;
pub(crate) mod create;
mod files;
pub(crate) mod kept;
pub(crate) mod life;
pub(crate) mod line;
mod needed;
mod pool;
mod programs;
mod show;
pub(crate) mod terminal;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use drivers::{
    DriverError,
    supervisor::{self, Role},
};
use sandbox::{
    Main, Resolver,
    control::client::{ControlError, Supervisor},
    state::{Folder, Home, is_name},
};
use tokio::runtime::{Builder, Runtime};

use self::line::Line;
use crate::{
    args::{
        ChoiceArgs,
        sandbox::{SandboxCommand, SuperviseArgs},
    },
    commands::{gateway::Whose, inference::service::Service},
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(crate) fn run(command: SandboxCommand, choice: &ChoiceArgs) -> Result<ExitCode, Failure> {
    let whose = match &command {
        SandboxCommand::Pool(args) => return pool::run(args),
        SandboxCommand::Create(_) => Whose::of_or_start(choice)?,
        _ => Whose::of(choice)?,
    };
    match command {
        SandboxCommand::Exec(args) => programs::exec(&whose, args),
        SandboxCommand::Connect(args) => programs::connect(&whose, args.name.as_deref()),
        SandboxCommand::Attach(args) => programs::attach(&whose, args.name.as_deref()),
        SandboxCommand::Upload(args) => files::upload(&whose, &args),
        SandboxCommand::Download(args) => files::download(&whose, &args),
        command => match whose {
            Whose::Own => own(command),
            Whose::Gateway(gateway) => kept::run(&gateway, command),
        },
    }
}

/// Runs what was typed for this user's own sandboxes.
fn own(command: SandboxCommand) -> Result<ExitCode, Failure> {
    match command {
        SandboxCommand::Create(args) => create::run(&args),
        SandboxCommand::List(args) => show::list(&args),
        SandboxCommand::Get(args) => show::get(&args),
        SandboxCommand::Stop(args) => life::stop(&args),
        SandboxCommand::Start(args) => life::start(args.name.as_deref()),
        SandboxCommand::Delete(args) => life::delete(args),
        SandboxCommand::Provider(command) => attached::run(command),
        _ => Err(Failure::new("this is not asked of a sandbox of this user")),
    }
}

/// Supervises a sandbox. Runs before any thread.
pub(crate) fn supervise(args: &SuperviseArgs) -> ExitCode {
    let ended = if args.prepared {
        sandbox::prepare(&args.folder, Resolver::System)
    } else {
        sandbox::supervise(&args.folder, Main::WhenAsked, Resolver::System)
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => ExitCode::from(failed.code),
    }
}

/// Where everything of this user is.
pub(crate) fn home() -> Result<Home, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(home) = variable("OPENSHELL_HOME") {
        return Ok(Home::new(home));
    }
    if let Some(state) = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Ok(Home::new(state.join("openshell")));
    }
    let home = variable("HOME").ok_or_else(|| {
        Failure::new("nobody says where sandboxes are kept").hint("set OPENSHELL_HOME to a folder")
    })?;
    Ok(Home::new(PathBuf::from(home).join(".local/state/openshell")))
}

/// The sandbox of that name, or the last one that was used; it is the last one from now on.
pub(crate) fn find(name: Option<&str>) -> Result<(String, Folder), Failure> {
    let home = home()?;
    let last = home.path().join("last_sandbox");
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            std::fs::read_to_string(&last).map(|name| name.trim().to_owned()).map_err(|_| {
                Failure::new("no sandbox is named, and none was used yet").hint(
                    "`openshell sandbox list` shows them, `openshell sandbox create` makes one",
                )
            })?
        }
    };
    let folder = look(&home, &name)?;
    // Forgetting it costs the next command a name.
    std::fs::write(last, &name).ok();
    Ok((name, folder))
}

/// The folder of the sandbox of that name, which is not used by that.
fn look(home: &Home, name: &str) -> Result<Folder, Failure> {
    if !is_name(name) {
        return Err(Failure::usage(format!("{name:?} is no name of a sandbox"))
            .hint("lower-case letters, digits and hyphens between them, at most 63"));
    }
    let folder = home.sandbox(name);
    if !folder.path().join("sandbox.json").exists() {
        return Err(Failure::new(format!("there is no sandbox {name}"))
            .hint("`openshell sandbox list` shows them all"));
    }
    Ok(folder)
}

/// The line to the sandbox of that name, or to the last one that was used.
pub(crate) fn line(whose: &Whose, name: Option<&str>) -> Result<Line, Failure> {
    match whose {
        Whose::Gateway(gateway) => kept::line(gateway, name),
        Whose::Own => {
            let (name, folder) = find(name)?;
            Ok(Line::own(&name, Supervisor::of(&folder)))
        }
    }
}

/// What a supervisor said, or why nothing came of it.
pub(crate) fn heard<T>(name: &str, answer: Result<T, ControlError>) -> Result<T, Failure> {
    answer.map_err(|error| stopped(name, error))
}

/// Why nothing came of asking a supervisor, with what would help.
fn stopped(name: &str, error: ControlError) -> Failure {
    match error {
        ControlError::NotRunning => Failure::new(format!("sandbox {name} is not running"))
            .hint(format!("start it with `openshell sandbox start {name}`")),
        ControlError::Failed(failed) => {
            let failure = Failure::new(failed.message).with_code(failed.code);
            if failed.hint.is_empty() { failure } else { failure.hint(failed.hint) }
        }
        other => Failure::from(other).hint(format!(
            "`openshell logs {name}` tells what it was doing; `openshell sandbox start {name}` starts it again"
        )),
    }
}

/// The runtime of a command. Dropping it would wait for a read of standard input that may never end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime: Runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// Starts the routers of this user for a sandbox that was given no other one, where they are configured.
fn start_router(router: Option<&str>) -> Result<(), Failure> {
    let home = home()?;
    for service in Service::all(&home) {
        if router.is_none()
            && service.is_configured()
            && let Err(failure) = service.ensure()
        {
            // The sandbox is of use without it, and finds it when it starts later.
            output::complain(&format!("! {}: {failure}", service.unanswered()));
        }
    }
    Ok(())
}

/// Starts the supervisor of a sandbox and waits until the sandbox stands.
fn spawn(name: &str, folder: &Folder, role: Role) -> Result<(), Failure> {
    block_on(async { started(name, folder, supervisor::start(folder, role).await) })
}

/// What came of starting or ending a supervisor, with what would help.
fn started(name: &str, folder: &Folder, done: Result<(), DriverError>) -> Result<(), Failure> {
    done.map_err(|error| match error {
        DriverError::Refused(failed) => {
            let failure = Failure::new(failed.message).with_code(failed.code);
            if failed.hint.is_empty() { failure } else { failure.hint(failed.hint) }
        }
        DriverError::Silent => {
            Failure::new(format!("the supervisor of sandbox {name} does not answer"))
                .hint(format!("`openshell sandbox delete {name}` ends it by force"))
        }
        other => Failure::from(other).hint(format!("see {}", folder.log().display())),
    })
}
