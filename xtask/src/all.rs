//! Everything that must pass, in the order in which a failure is cheapest.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::{
    alone,
    cargo::{self, answers, cargo},
    clients, e2e, fuzz, layers, postgres,
    repo::Repo,
    say,
    steps::{Ended, Steps},
    tidy,
};

/// The package of the end-to-end tests; it has a step of its own.
pub(crate) const E2E: &str = "openshell-tests";

/// Runs every check.
///
/// # Errors
/// The first failure, with what to do about it.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let mut steps = Steps::begin();
    steps.step("format", "run `cargo xtask fix`", || {
        passes(cargo(repo).args(["fmt", "--all", "--check"]))
    })?;
    steps.step("lints", "run `cargo xtask fix`, then see what clippy says", || lints(repo))?;
    steps.step("spelling", "mend the word, or name it in `typos.toml`", || spelling(repo))?;
    steps.step("tidy", "mend the lines above; the rules stand in `xtask/src/tidy.rs`", || {
        tidy::run(repo)?;
        layers::run(repo)?;
        Ok(Ended::Passed)
    })?;
    steps.step(
        "unit and property tests",
        "run the test alone: `cargo test -p CRATE NAME`",
        || units(repo),
    )?;
    steps.step("doc tests", "run `cargo test --doc -p CRATE`", || {
        passes(cargo(repo).args(["test", "--quiet", "--workspace", "--doc"]))
    })?;
    steps.step("documentation", "run `cargo doc --no-deps -p CRATE`", || {
        let doc = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
        passes(cargo(repo).args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("end-to-end tests", "run one alone: `cargo xtask e2e NAME`", || {
        e2e::check(repo, None)
    })?;
    steps.step("static supervisor", "run it alone: `cargo xtask static`", || {
        alone::run(repo, Some("dev")).map(|()| Ended::Passed)
    })?;
    steps.step(
        "fuzz smoke",
        "the input is printed; make it a named test beside the code",
        || fuzz::check(repo),
    )?;
    steps.step("dependencies", "see `deny.toml`", || denied(repo))?;
    // Each once and without optimisation: that they build and run, not how fast. Figures come from `cargo bench`.
    steps.step("benches", "run `cargo test -p CRATE --bench NAME`", || {
        passes(cargo(repo).args(["test", "--quiet", "--workspace", "--bench", "*"]))
    })?;
    steps.summary();
    say::line("\neverything that ran has passed");
    Ok(())
}

/// Formats, and applies the suggestions that clippy is sure of.
///
/// # Errors
/// When a tool fails.
pub(crate) fn fix(repo: &Repo) -> anyhow::Result<()> {
    let clippy =
        ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"];
    cargo::run(cargo(repo).args(clippy))?;
    cargo::run(cargo(repo).args(["fmt", "--all"]))
}

/// Licences, sources, bans and advisories, as a command of its own.
///
/// # Errors
/// When one is refused.
pub(crate) fn deny(repo: &Repo) -> anyhow::Result<()> {
    if let Ended::Skipped { why } = denied(repo)? {
        say::line(&format!("skipped: {}", why.join("; ")));
    }
    Ok(())
}

/// Spelling, as a command of its own.
///
/// # Errors
/// When a word is wrong.
pub(crate) fn spell(repo: &Repo) -> anyhow::Result<()> {
    if let Ended::Skipped { why } = spelling(repo)? {
        say::line(&format!("skipped: {}", why.join("; ")));
    }
    Ok(())
}

/// A step that is one command.
pub(crate) fn passes(command: &mut Command) -> anyhow::Result<Ended> {
    cargo::run(command)?;
    Ok(Ended::Passed)
}

fn lints(repo: &Repo) -> anyhow::Result<Ended> {
    passes(cargo(repo).args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn units(repo: &Repo) -> anyhow::Result<Ended> {
    let notes = e2e::notes(repo, "units")?;
    let mut tests = cargo(repo);
    tests.env("OPENSHELL_SKIPPED", &notes);
    if answers("cargo-nextest", &["nextest", "--version"]) {
        let nextest = ["nextest", "run", "--workspace", "--exclude", E2E, "--no-tests", "pass"];
        tests.args(nextest).args(profile());
    } else {
        tests.args(["test", "--quiet", "--workspace", "--exclude", E2E, "--all-targets"]);
    }
    if let Err(why) = postgres::prepare() {
        ensure!(!on_ci(), "{why}");
        fs::write(notes.join("postgres"), why).context("cannot write a note")?;
        tests.env(postgres::WITHOUT, "1");
    }
    cargo::run(&mut tests)?;
    e2e::skipped(&notes)
}

/// The nextest profile: on CI every failure is shown, on a desk the first is enough.
pub(crate) fn profile() -> &'static [&'static str] {
    if on_ci() { &["--profile", "ci"] } else { &[] }
}

/// Whether a missing outside program is a failure.
pub(crate) fn on_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

fn spelling(repo: &Repo) -> anyhow::Result<Ended> {
    match tool(repo, "typos")? {
        Ok(typos) => passes(Command::new(typos).current_dir(repo.root())),
        Err(why) => Ok(Ended::skipped(&why)),
    }
}

fn denied(repo: &Repo) -> anyhow::Result<Ended> {
    let deny = match tool(repo, "cargo-deny")? {
        Ok(deny) => deny,
        Err(why) => return Ok(Ended::skipped(&why)),
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command.current_dir(repo.root()).args(["--locked", "check"]).args(what);
        command
    };
    cargo::run(&mut check(&["bans", "licenses", "sources"]))?;
    let Err(error) = cargo::output(&mut check(&["advisories"])) else { return Ok(Ended::Passed) };
    // A failure to fetch says nothing about the dependencies; everything else does.
    ensure!(format!("{error:#}").contains(UNFETCHED), "{error:#}");
    Ok(Ended::skipped("advisories: their database cannot be fetched from its host here"))
}

/// What cargo-deny says when it cannot get the advisories.
const UNFETCHED: &str = "failed to fetch advisory database";

/// A checking program at the version of `tests/clients.json`, or why there is none. On CI that is a failure.
fn tool(repo: &Repo, name: &str) -> anyhow::Result<Result<PathBuf, String>> {
    match clients::program(repo, name, name) {
        Err(error) if !on_ci() => Ok(Err(format!("{error:#}"))),
        found => found.map(Ok),
    }
}
