//! `openshell-sandbox`: runs a program in a sandbox in the foreground, or supervises one.
//!
//! Thin: arguments, the spec file, exit codes. In the foreground nothing is attached to the network of the sandbox, so every
//! connection in there is refused.

use std::{
    error::Error as _,
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use sandbox::{Main, Resolver, Sandbox, Spec, StartError, Step, attend, prepare, supervise};

/// A static binary must load no libraries of the image that it is put into, as the C library's resolver does.
const RESOLVER: Resolver =
    if cfg!(target_feature = "crt-static") { Resolver::Own } else { Resolver::System };
/// The sandbox could not be made, or was lost.
const NO_SANDBOX: u8 = 125;
/// The program is there but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// The program is not there.
const NOT_FOUND: u8 = 127;

/// Runs programs in sandboxes without a network.
#[derive(Debug, Parser)]
#[command(name = "openshell-sandbox", version)]
enum Arguments {
    /// Run a program in a new sandbox; its exit code is ours. 125: there is no sandbox.
    Run {
        /// The spec, a JSON file; without it the sandbox holds programs and empty folders only.
        #[arg(long, value_name = "FILE")]
        spec: Option<PathBuf>,
        /// The program and its arguments.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Make the sandbox of a folder and serve it until it is stopped; `openshell sandbox create` starts this.
    Supervise {
        /// The folder.
        #[arg(long, value_name = "FOLDER")]
        folder: PathBuf,
        /// Start the main command at once.
        #[arg(long, conflicts_with = "prepared")]
        launch: bool,
        /// Make it and wait to be taken; the folder was made by a pool.
        #[arg(long)]
        prepared: bool,
    },
}

fn main() -> ExitCode {
    let (spec, command) = match Arguments::parse() {
        Arguments::Run { spec, command } => (spec, command),
        Arguments::Supervise { folder, launch, prepared } => {
            let main = if launch { Main::AtOnce } else { Main::WhenAsked };
            let ended = if prepared {
                prepare(&folder, RESOLVER)
            } else {
                supervise(&folder, main, RESOLVER)
            };
            return ended.map_or_else(|failed| ExitCode::from(failed.code), |()| ExitCode::SUCCESS);
        }
    };
    match run(spec, command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("error: {error}{}", cause(&error)));
            say(&format!("hint: {}", error.advice()));
            ExitCode::from(code(&error))
        }
    }
}

fn run(spec: Option<PathBuf>, command: Vec<OsString>) -> Result<u8, StartError> {
    let spec = match spec {
        None => Spec::default(),
        Some(path) => {
            let text = std::fs::read(&path).map_err(|source| StartError {
                step: Step::Spec,
                detail: path.display().to_string(),
                source: Some(source),
            })?;
            Spec::from_json(&text)?
        }
    };
    let mut sandbox = Sandbox::start(&spec)?;
    for note in sandbox.notes() {
        say(&format!("note: {note}"));
    }
    // Nobody accepts on them; closed, they refuse at once.
    drop(sandbox.take_sockets());
    let program = sandbox.program(command);
    Ok(attend(&mut sandbox, program)?.code())
}

fn cause(error: &StartError) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

fn code(error: &StartError) -> u8 {
    match (error.step, error.source.as_ref().map(io::Error::kind)) {
        (Step::Program, Some(io::ErrorKind::NotFound)) => NOT_FOUND,
        (Step::Program, _) => NOT_EXECUTABLE,
        _ => NO_SANDBOX,
    }
}

/// For people, on standard error; nobody is left to tell when that is closed.
fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
