//! Completions: what a shell may put in the place of a word, with the names of what is there now.
//!
//! A shell asks this program while somebody types (`COMPLETE=bash openshell`), and gets an answer within a second or none.
//! Invariant: nothing is started, changed or written to complete a word.

use std::{ffi::OsString, sync::mpsc, thread, time::Duration};

use api::{provider::Provider, sandbox::Sandbox};
use clap::{Command, CommandFactory as _};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCandidates, CompletionCandidate},
    env::Shells,
};

use crate::{
    args::{ChoiceArgs, Cli},
    commands::{
        gateway::{Registry, Whose},
        provider,
        sandbox::home,
    },
    failure::Failure,
};

/// How long somebody who types is kept waiting for names.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The variable by which a shell asks.
const VARIABLE: &str = "COMPLETE";

type Names = fn() -> Result<Vec<String>, Failure>;

/// Answers a shell that asks, which ends this process; else does nothing.
pub(crate) fn answer() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(with_names).complete();
    }
}

/// The script that makes a shell ask.
///
/// # Errors
/// A shell that is not known.
pub(crate) fn script(shell: Shell) -> Result<Vec<u8>, Failure> {
    let shells = Shells::builtins();
    let known = shells
        .completer(&shell.to_string())
        .ok_or_else(|| Failure::usage(format!("there are no completions for {shell}")))?;
    let mut script = Vec::new();
    known.write_registration(VARIABLE, "openshell", "openshell", "openshell", &mut script)?;
    Ok(script)
}

fn with_names() -> Command {
    name(Cli::command(), "")
}

fn name(command: Command, path: &str) -> Command {
    let command = command.mut_args(|argument| match names(path, argument.get_id().as_str()) {
        Some(names) => argument.add(ArgValueCandidates::new(move || candidates(names))),
        None => argument,
    });
    command.mut_subcommands(|below| {
        let path = format!("{path} {}", below.get_name());
        name(below, path.trim_start())
    })
}

/// Whose names stand in the place of an argument of a command.
fn names(path: &str, argument: &str) -> Option<Names> {
    let group = path.split(' ').next().unwrap_or_default();
    match (group, path, argument) {
        (_, _, "gateway") | ("gateway", _, "name") => Some(gateways),
        (_, "sandbox create" | "learn", "provider") => Some(providers),
        (_, "sandbox provider attach" | "sandbox provider detach", "providers") => Some(providers),
        ("provider", "provider get" | "provider update" | "provider delete", _)
            if matches!(argument, "name" | "names") =>
        {
            Some(providers)
        }
        (_, "sandbox create", "name") => None,
        ("sandbox" | "policy" | "rule" | "forward" | "logs", _, "name" | "names" | "sandbox")
        | ("cost" | "audit", _, "sandbox") => Some(sandboxes),
        _ => None,
    }
}

fn candidates(names: Names) -> Vec<CompletionCandidate> {
    let (sender, receiver) = mpsc::channel();
    // Left alone when it takes too long: this process ends anyway.
    thread::spawn(move || sender.send(names().unwrap_or_default()));
    let names = receiver.recv_timeout(ANSWER_MAX).unwrap_or_default();
    names.into_iter().map(|name| CompletionCandidate::new(OsString::from(name))).collect()
}

/// What the environment chooses; what was typed is not known here.
fn whose() -> Result<Whose, Failure> {
    let variable = |name| {
        let value = std::env::var_os(name)?.into_string().ok()?;
        Some(value).filter(|value| !value.is_empty())
    };
    let (gateway, workspace) = (variable("OPENSHELL_GATEWAY"), variable("OPENSHELL_WORKSPACE"));
    Whose::of(&ChoiceArgs { gateway, workspace })
}

fn sandboxes() -> Result<Vec<String>, Failure> {
    match whose()? {
        Whose::Own => Ok(home()?.names()?),
        Whose::Gateway(gateway) => {
            let all: Vec<Sandbox> = gateway.all("/v1/sandboxes")?;
            Ok(all.into_iter().map(|sandbox| sandbox.name).collect())
        }
    }
}

fn providers() -> Result<Vec<String>, Failure> {
    match whose()? {
        Whose::Own => Ok(provider::all()?.all()?.into_iter().map(|one| one.name).collect()),
        Whose::Gateway(gateway) => {
            let all: Vec<Provider> = gateway.all("/v1/providers")?;
            Ok(all.into_iter().map(|provider| provider.name).collect())
        }
    }
}

fn gateways() -> Result<Vec<String>, Failure> {
    Ok(Registry::open()?.all()?.into_iter().map(|known| known.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_something_that_is_there_is_meant() {
        let is = |path, argument, expected: Option<Names>| {
            let found = names(path, argument).map(|names| names as usize);
            assert_eq!(found, expected.map(|names| names as usize), "{path} {argument}");
        };
        is("sandbox get", "name", Some(sandboxes));
        is("sandbox create", "name", None);
        is("sandbox create", "provider", Some(providers));
        is("sandbox provider attach", "sandbox", Some(sandboxes));
        is("provider create", "name", None);
        is("provider delete", "names", Some(providers));
        is("gateway select", "name", Some(gateways));
        is("policy set", "gateway", Some(gateways));
        is("router run", "config", None);
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let script = String::from_utf8(script(shell).unwrap()).unwrap();
            assert!(script.contains("openshell") && script.contains(VARIABLE), "{shell}");
        }
    }
}
