//! Runs every target of `fuzz/` for a while.
//!
//! As a step of `cargo xtask test` it tries the same inputs in the same order on every machine, so that a change is judged
//! and not luck; `cargo xtask fuzz` tries others each time and keeps what it learns.
//!
//! Needs a nightly compiler and nothing else: the flags below are those that libFuzzer's coverage needs, so no
//! `cargo fuzz` has to be installed. It works on the same targets for whoever has it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::{
    cargo::{self, answers},
    repo::Repo,
    say,
    steps::Ended,
};

/// How long each target runs in `cargo xtask test`.
pub(crate) const SMOKE_SECONDS: u32 = 30;

/// Memory that one target may use, in MiB; hostile input must not cost more.
const MEMORY_MIB_MAX: u32 = 1024;
/// Time that one input may take, in seconds.
const INPUT_SECONDS_MAX: u32 = 5;

/// What the compiler must add for libFuzzer; as in the documentation of LLVM's `SanitizerCoverage`.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 \
    -Cdebug-assertions -Coverflow-checks";

/// Runs each target for `seconds`, given as text.
///
/// # Errors
/// When a target finds something, or cannot run.
pub(crate) fn run(repo: &Repo, seconds: Option<&str>) -> anyhow::Result<()> {
    let seconds =
        seconds.map_or(Ok(SMOKE_SECONDS), str::parse).context("SECONDS must be a number")?;
    match all(repo, seconds, Luck::New)? {
        Ended::Passed => Ok(()),
        Ended::Skipped { why } => anyhow::bail!("{}", why.join("; ")),
    }
}

/// The same as a step.
///
/// # Errors
/// When a target finds something.
pub(crate) fn check(repo: &Repo) -> anyhow::Result<Ended> {
    all(repo, SMOKE_SECONDS, Luck::Same)
}

/// Which inputs are tried.
#[derive(Clone, Copy)]
enum Luck {
    /// Those of the last time, as far as the seconds reach.
    Same,
    /// Others, beginning from what was learnt.
    New,
}

fn all(repo: &Repo, seconds: u32, luck: Luck) -> anyhow::Result<Ended> {
    if !answers("cargo", &["+nightly", "--version"]) {
        return Ok(Ended::skipped("no nightly compiler here; `rustup toolchain install nightly`"));
    }
    let targets = targets(repo)?;
    if targets.is_empty() {
        return Ok(Ended::skipped("fuzz/fuzz_targets holds no target"));
    }
    let built = build(repo)?;
    for target in &targets {
        say::line(&format!("{target}: {seconds} s"));
        fuzz(repo, &built, target, seconds, luck)?;
    }
    Ok(Ended::Passed)
}

fn targets(repo: &Repo) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in
        fs::read_dir(repo.path("fuzz/fuzz_targets")).context("cannot list the fuzz targets")?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds all targets; gives the folder that holds them.
fn build(repo: &Repo) -> anyhow::Result<PathBuf> {
    let host = cargo::output(Command::new("rustc").args(["+nightly", "-vV"]))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("no host")?;
    let target = repo.target().join("fuzz");
    // `cargo` as rustup knows it: the one that runs us is pinned to the stable toolchain of this repository.
    let mut cargo = Command::new("cargo");
    cargo.args(["+nightly", "build", "--quiet", "--release", "--bins", "--target", host]);
    cargo.arg("--manifest-path").arg(repo.path("fuzz/Cargo.toml")).current_dir(repo.root());
    cargo.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &target);
    for inherited in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(inherited);
    }
    cargo::run(&mut cargo)?;
    Ok(target.join(host).join("release"))
}

fn fuzz(repo: &Repo, built: &Path, target: &str, seconds: u32, luck: Luck) -> anyhow::Result<()> {
    let found = repo.path("fuzz/artifacts").join(target);
    fs::create_dir_all(&found).context("cannot create the folder for findings")?;
    let mut fuzz = Command::new(built.join(target));
    let corpus = match luck {
        Luck::Same => {
            fuzz.arg("-seed=1");
            let empty = repo.target().join("fuzz-corpus").join(target);
            fs::remove_dir_all(&empty).or_else(absent).context("cannot empty the corpus")?;
            empty
        }
        Luck::New => repo.path("fuzz/corpus").join(target),
    };
    fs::create_dir_all(&corpus).context("cannot create the corpus")?;
    fuzz.arg(corpus);
    let seeds = repo.path("fuzz/seeds").join(target);
    if seeds.is_dir() {
        fuzz.arg(seeds);
    }
    fuzz.arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-verbosity=0", "-print_final_stats=1"]);
    cargo::run(&mut fuzz)
}

/// What is not there need not be removed.
fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
