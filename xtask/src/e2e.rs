//! The end-to-end tests: installs what they drive, builds what they test, runs them, and lists what they skipped.

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};

use crate::{
    all::{E2E, on_ci, profile},
    cargo::{self, answers, cargo},
    clients,
    repo::Repo,
    say,
    steps::Ended,
};

/// Runs the tests whose name contains `filter`, or all, and prints what was skipped.
///
/// # Errors
/// When a test fails, or on CI when an outside program is missing.
pub(crate) fn run(repo: &Repo, filter: Option<&str>) -> anyhow::Result<()> {
    if let Ended::Skipped { why } = check(repo, filter)? {
        say::line("\nskipped, and why:");
        for line in &why {
            say::line(&format!("  {line}"));
        }
    }
    Ok(())
}

/// The same as a step.
///
/// # Errors
/// As [`run`].
pub(crate) fn check(repo: &Repo, filter: Option<&str>) -> anyhow::Result<Ended> {
    let missing = clients::install_for(repo, filter)?;
    if let (true, Some(first)) = (on_ci(), missing.first()) {
        bail!("{} is missing, and on CI that is a failure: {}", first.name, first.why);
    }
    cargo::run(cargo(repo).args(["build", "--quiet", "--package", "cli", "--bin", "openshell"]))?;
    let notes = notes(repo, "e2e")?;
    let mut tests = cargo(repo);
    if answers("cargo-nextest", &["nextest", "--version"]) {
        tests.args(["nextest", "run", "--no-fail-fast", "--package", E2E]).args(profile());
    } else {
        tests.args(["test", "--package", E2E, "--"]);
    }
    tests.args(filter);
    tests.env("OPENSHELL_BIN", repo.target().join("debug/openshell"));
    tests.env("OPENSHELL_CLIENTS", clients::folder(repo));
    tests.env("OPENSHELL_SKIPPED", &notes);
    cargo::run(&mut tests)?;
    skipped(&notes)
}

/// An empty folder where tests note what they skip.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn notes(repo: &Repo, of: &str) -> anyhow::Result<PathBuf> {
    let notes = repo.target().join(of).join("skipped");
    if notes.exists() {
        fs::remove_dir_all(&notes).context("cannot remove the notes of the last run")?;
    }
    fs::create_dir_all(&notes).context("cannot create the folder for notes")?;
    Ok(notes)
}

/// What the tests noted: one file a test, its text the reason.
///
/// # Errors
/// When a note cannot be read.
pub(crate) fn skipped(notes: &std::path::Path) -> anyhow::Result<Ended> {
    let mut why = Vec::new();
    for entry in fs::read_dir(notes).context("cannot list the notes")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = fs::read_to_string(&path).context("cannot read a note")?;
        why.push(format!("{name}: {}", reason.trim()));
    }
    why.sort();
    Ok(Ended::with_skips(why))
}
