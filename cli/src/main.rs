//! `openshell`, the command line: arguments in, a command run, an exit code out.
//!
//! Here: dispatch and the way errors are told. Each command group has a file under `commands`.
//! Not here: decisions; they are made by `router` and carried out by `proxy`.

mod args;
mod commands;
mod complete;
mod failure;
mod output;
mod settings;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Cli, failure::Failure};

/// Large bodies make many short-lived pages; the system allocator gives each back to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    complete::answer();
    match commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) if failure.is_reader_gone() => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Tells a failure on standard error: what, why, and what to do next.
fn report(failure: &Failure) -> ExitCode {
    output::complain(&failure.to_string());
    ExitCode::from(failure.code())
}
