//! `openshell policy …`: what a policy allows, and why.
//!
//! Here: reading policy files for the commands. Not here: decisions; they are made by the crate `policy`.

mod check;
mod diff;
mod explain;
mod live;
mod prove;
pub(crate) mod subject;
pub(crate) mod update;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use document::Notice;
use policy::PolicyFile;

use crate::{
    args::{ChoiceArgs, policy::PolicyCommand},
    commands::gateway::Whose,
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(crate) fn run(command: PolicyCommand, choice: &ChoiceArgs) -> Result<ExitCode, Failure> {
    let whose = || Whose::of(choice);
    match command {
        PolicyCommand::Set(args) => live::set(&whose()?, &args),
        PolicyCommand::Update(args) => update::run(&whose()?, &args),
        PolicyCommand::Get(args) => live::get(&whose()?, &args),
        PolicyCommand::List(args) => live::list(&whose()?, &args),
        PolicyCommand::Delete(args) => live::delete(&whose()?, &args),
        PolicyCommand::Check(args) => check::run(&args),
        PolicyCommand::Explain(args) => explain::run(&args),
        PolicyCommand::Prove(args) => prove::run(&args),
        PolicyCommand::Diff(args) => diff::run(&args),
    }
}

/// A policy with what is odd about it; its faults go to standard error, one a line.
pub(crate) fn load(path: &Path) -> Result<(PolicyFile, Vec<Notice>), Failure> {
    let bytes = std::fs::read(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(|error| Failure::from(error).hint("docs/policy.md shows how to write one"))?;
    let text = String::from_utf8(bytes)
        .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
    PolicyFile::parse(&text).map_err(|faults| {
        for fault in &faults {
            output::complain(&format!("{}:{fault}", path.display()));
        }
        let count = faults.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        Failure::new(format!("{} has {count} {noun}", path.display()))
            .hint("docs/policy.md describes every field")
    })
}

/// Says what is odd about a policy, on standard error.
pub(crate) fn warn(path: &Path, notices: &[Notice]) {
    for notice in notices {
        output::complain(&format!("warning: {}:{notice}", path.display()));
    }
}
