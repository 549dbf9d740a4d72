//! Programs in a sandbox with this terminal, or these pipes, as their ends.

use std::{process::ExitCode, time::Duration};

use sandbox::control::{Request, Screen};

use super::{
    block_on, heard,
    line::Line,
    terminal::{self, Keys, Outcome},
};
use crate::{
    args::sandbox::{ExecArgs, TtyArgs},
    commands::gateway::Whose,
    failure::Failure,
    output,
};

/// The exit code when time has run out.
const TIMED_OUT: u8 = 124;
/// The exit code when nobody reads the output any more: that of a program which SIGPIPE ends.
const UNHEARD: u8 = 141;
/// A shell, and what else there is.
const SHELL: &str = "if [ -x /bin/bash ]; then exec /bin/bash \"$@\"; else exec /bin/sh \"$@\"; fi";

/// `openshell sandbox exec`
pub(super) fn exec(whose: &Whose, args: ExecArgs) -> Result<ExitCode, Failure> {
    let line = super::line(whose, args.name.as_deref())?;
    let request = Request::Exec {
        command: args.command,
        environment: args.env.into_iter().collect(),
        folder: args.workdir,
        terminal: terminal::size(args.tty),
    };
    let limit = Duration::from_secs(args.timeout);
    block_on(converse(&line, &request, (Keys::Plain, limit)))
}

/// `openshell sandbox connect`
pub(super) fn connect(whose: &Whose, name: Option<&str>) -> Result<ExitCode, Failure> {
    let line = super::line(whose, name)?;
    shell(&line, terminal::size(TtyArgs { tty: false, no_tty: false }))
}

/// A shell; on a terminal one that talks to a person.
pub(super) fn shell(line: &Line, size: Option<Screen>) -> Result<ExitCode, Failure> {
    let mut command =
        vec!["/bin/sh".to_owned(), "-c".to_owned(), SHELL.to_owned(), "sh".to_owned()];
    if size.is_some() {
        command.push("-il".to_owned());
    }
    let request = Request::Exec {
        command,
        environment: [("PS1".to_owned(), format!("{}:\\w\\$ ", line.name))].into(),
        folder: None,
        terminal: size,
    };
    stay(line, &request, Keys::Plain)
}

/// `openshell sandbox attach`
pub(super) fn attach(whose: &Whose, name: Option<&str>) -> Result<ExitCode, Failure> {
    let line = super::line(whose, name)?;
    let size = terminal::size(TtyArgs { tty: false, no_tty: false });
    stay(&line, &Request::Attach { terminal: size }, Keys::Detach)
}

/// Asks for a program and stays with it.
pub(super) fn stay(line: &Line, request: &Request, keys: Keys) -> Result<ExitCode, Failure> {
    block_on(converse(line, request, (keys, Duration::ZERO)))
}

async fn converse(
    line: &Line,
    request: &Request,
    (keys, limit): (Keys, Duration),
) -> Result<ExitCode, Failure> {
    let (conversation, _carriers) = line.open(request).await?;
    let name = &line.name;
    match heard(name, terminal::attend(conversation, keys, limit).await)? {
        Outcome::Ended(code) => Ok(ExitCode::from(code)),
        Outcome::Detached => {
            output::complain(&format!(
                "\n• Left it running; `openshell sandbox attach {name}` goes back to it"
            ));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Unheard => Ok(ExitCode::from(UNHEARD)),
        Outcome::TimedOut => {
            let failure = Failure::new(format!("it took longer than {} s", limit.as_secs()));
            Err(failure.with_code(TIMED_OUT))
        }
    }
}
