//! Running cargo and its companions.

use std::{env, path::Path, process::Command};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::repo::Repo;

/// A command that runs the cargo that runs us.
pub(crate) fn cargo(repo: &Repo) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repo.root());
    command
}

/// Whether a program answers to `args`.
pub(crate) fn answers(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> bool {
    output(Command::new(program).args(args)).is_ok()
}

/// Runs to the end with our standard streams.
///
/// # Errors
/// When the program cannot start or does not succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}

/// The standard output of a program that succeeded.
///
/// # Errors
/// When it cannot start, does not succeed, or prints no text.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed no text"))
}

/// What cargo knows of the workspace and its dependencies on this platform.
///
/// # Errors
/// When `cargo metadata` fails.
pub(crate) fn metadata(repo: &Repo) -> anyhow::Result<Value> {
    let host = host(repo)?;
    let args = ["metadata", "--format-version", "1", "--filter-platform", &host];
    // Offline first: a check must not wait for a network, and the packages are here once anything was built.
    let text = output(cargo(repo).args(args).arg("--offline"))
        .or_else(|_| output(cargo(repo).args(args)))?;
    serde_json::from_str(&text).context("`cargo metadata` printed no JSON")
}

fn host(repo: &Repo) -> anyhow::Result<String> {
    let told = output(Command::new("rustc").arg("-vV").current_dir(repo.root()))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// The command as a person would type it, without the folder of the program.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    format!("`{}`", words.join(" "))
}
