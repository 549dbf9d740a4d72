//! The rules of the repository as code, and the one command that runs every check.
//!
//! Here: `cargo xtask test` (everything that must pass), its parts as commands of their own, and the rules that no
//! compiler knows (`tidy`, `layers`). Not here: anything the product does.
//!
//! Invariant: a check either passes, fails, or is listed as skipped together with the reason; none is silently left out.

use std::{env, ffi::OsString, process::ExitCode};

mod all;
mod alone;
mod cargo;
mod clients;
mod e2e;
mod fuzz;
mod layers;
mod manifest;
mod postgres;
mod repo;
mod say;
mod steps;
mod tidy;

use crate::repo::Repo;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test              everything that must pass, in order; stops at the first failure
  fix               rustfmt, then the fixes that clippy is sure of
  tidy              sizes, module docs, manifests, forbidden words
  layers            which crate may import which
  clients [NAME…]   install the outside programs that the end-to-end tests drive
  e2e [FILTER]      install them, build `openshell`, run the end-to-end tests
  static [PROFILE]  build `openshell-sandbox` without a loader or libraries, and try it in an empty image
  fuzz [SECONDS]    run each fuzz target for SECONDS (default 30)
  spelling          of code and documents
  deny              licences, sources, bans and advisories of the dependencies
";

fn main() -> ExitCode {
    let words: Vec<String> =
        env::args_os().skip(1).map(|word: OsString| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> anyhow::Result<()> {
    let (command, rest) = match words.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", words),
    };
    let repo = Repo::find()?;
    match command {
        "test" | "ci" => all::run(&repo),
        "fix" => all::fix(&repo),
        "tidy" => tidy::run(&repo),
        "layers" => layers::run(&repo),
        "clients" => clients::install_named(&repo, rest),
        "e2e" => e2e::run(&repo, rest.first().map(String::as_str)),
        "static" => alone::run(&repo, rest.first().map(String::as_str)),
        "fuzz" => fuzz::run(&repo, rest.first().map(String::as_str)),
        "spelling" => all::spell(&repo),
        "deny" => all::deny(&repo),
        "help" | "--help" | "-h" => {
            say::plain(USAGE);
            Ok(())
        }
        other => anyhow::bail!("no command {other:?}; see `cargo xtask help`"),
    }
}
