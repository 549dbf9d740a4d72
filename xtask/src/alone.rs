//! The supervisor as one file that needs nothing of the image that it is put into: no loader, no library, no name service.
//!
//! The C library is linked in, which only the last step of the build knows of: everything else is what other builds use too.

use std::path::PathBuf;

use anyhow::Context;

use crate::{
    cargo::{self, cargo},
    repo::Repo,
    say,
};

/// The tests that know the binary.
const CHECKS: &str = "a_static_binary";

/// Builds it in that profile of cargo, for release if none is named, proves it, and says where it is.
///
/// # Errors
/// When it cannot be built, or needs something.
pub(crate) fn run(repo: &Repo, profile: Option<&str>) -> anyhow::Result<()> {
    let binary = build(repo, profile.unwrap_or("release"))?;
    check(repo, &binary)?;
    say::line(&format!("{}", binary.display()));
    Ok(())
}

fn build(repo: &Repo, profile: &str) -> anyhow::Result<PathBuf> {
    let rustc = ["rustc", "--package", "sandbox", "--bin", "openshell-sandbox"];
    let mut build = cargo(repo);
    build.args(rustc).args(["--profile", profile]);
    // Of the last step alone; for all, every dependency would be built a second time.
    build.args(["--", "-C", "target-feature=+crt-static"]);
    cargo::run(&mut build)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let built = repo.target().join(folder).join("openshell-sandbox");
    let kept = repo.target().join("static").join(folder);
    std::fs::create_dir_all(&kept).context("cannot make the folder of static binaries")?;
    let kept = kept.join("openshell-sandbox");
    std::fs::copy(&built, &kept).with_context(|| format!("cannot copy {}", built.display()))?;
    // The next build that wants the other one must not take this for it.
    std::fs::remove_file(&built).context("cannot put the static binary aside")?;
    Ok(kept)
}

fn check(repo: &Repo, binary: &std::path::Path) -> anyhow::Result<()> {
    let mut tests = cargo(repo);
    tests.args(["test", "--quiet", "--package", "sandbox", "--test", "walls", "--", CHECKS]);
    cargo::run(tests.env("OPENSHELL_STATIC", binary))
}
