//! The policy of a sandbox: setting it, and what became of each revision.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use reqwest::Method;
use serde::Serialize;

use super::subject::{Base, Known, Subject, Wait};
use crate::{
    args::policy::{PolicyDeleteArgs, PolicyGetArgs, PolicyListArgs, PolicySetArgs},
    commands::gateway::Whose,
    failure::Failure,
    output::{self, columns},
};

/// How much of a hash is shown in a list.
const SHORT: usize = 12;

/// A revision as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    version: u64,
    hash: String,
    status: &'static str,
    active: bool,
    created: String,
    loaded: Option<String>,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

/// `openshell policy set`
pub(super) fn set(whose: &Whose, args: &PolicySetArgs) -> Result<ExitCode, Failure> {
    if args.global && args.wait {
        return Err(Failure::usage("--wait is for the policy of one sandbox").hint(
            "`openshell sandbox list` shows which of them cannot take the policy of the gateway",
        ));
    }
    let subject = Subject::of(whose, args.name.as_deref(), args.global)?;
    // Every fault with its place, before anybody is asked.
    let (_, notices) = super::load(&args.policy)?;
    super::warn(&args.policy, &notices);
    let text = std::fs::read_to_string(&args.policy)
        .with_context(|| format!("cannot read {}", args.policy.display()))?;
    if args.global {
        confirm(args.yes, "This puts one policy in force in every sandbox of the gateway.")?;
    }
    let wait = Wait { told: args.wait, seconds: args.timeout };
    subject.put(text, (Base::Any, wait)).map(|_| ExitCode::SUCCESS)
}

/// `openshell policy delete`
pub(super) fn delete(whose: &Whose, args: &PolicyDeleteArgs) -> Result<ExitCode, Failure> {
    let Subject::Global(gateway) = Subject::of(whose, None, true)? else {
        return Err(Failure::new("only the policy of a gateway can be deleted"));
    };
    confirm(args.yes, "This holds every sandbox of the gateway to its own policy again.")?;
    gateway.order(Method::DELETE, "/v1/policy")?;
    output::line("✓ Deleted the policy of the gateway")?;
    Ok(ExitCode::SUCCESS)
}

fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(what).hint("--yes says that it is meant"));
    }
    output::complain(&format!("{what} Type yes to go on:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new("nothing was changed")) }
}

/// `openshell policy get`
pub(super) fn get(whose: &Whose, args: &PolicyGetArgs) -> Result<ExitCode, Failure> {
    let subject = Subject::of(whose, args.name.as_deref(), args.global)?;
    let (known, text) = subject.revision(args.rev, args.full)?.ok_or_else(|| {
        Failure::new(format!("{} has no policy version {}", subject.shown(), args.rev))
            .hint("`openshell policy list` shows those that are kept")
    })?;
    output::emit(args.output, &shown(known, text), table)?;
    Ok(ExitCode::SUCCESS)
}

/// `openshell policy list`
pub(super) fn list(whose: &Whose, args: &PolicyListArgs) -> Result<ExitCode, Failure> {
    let subject = Subject::of(whose, args.name.as_deref(), args.global)?;
    let newest = subject.revisions(args.limit)?;
    let shown: Vec<Shown> = newest.into_iter().map(|known| shown(known, None)).collect();
    output::emit(args.output, &shown, |shown| {
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        columns(&["VERSION", "HASH", "STATUS", "CREATED", "ERROR"], &rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn shown(known: Known, policy: Option<String>) -> Shown {
    let Known { version, hash, status, active, created, loaded, error } = known;
    Shown { version, hash, status, active, created, loaded, error, policy }
}

fn row(shown: &Shown) -> Vec<String> {
    vec![
        shown.version.to_string(),
        shown.hash.chars().take(SHORT).collect(),
        shown.status.to_owned(),
        shown.created.clone(),
        shown.error.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn table(shown: &Shown) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let head = format!(
        "Version: {}\nHash: {}\nStatus: {}\nActive: {}\nCreated: {}\nLoaded: {}\nError: {}",
        shown.version,
        shown.hash,
        shown.status,
        shown.active,
        shown.created,
        or_none(&shown.loaded),
        or_none(&shown.error)
    );
    match &shown.policy {
        Some(policy) => format!("{head}\n---\n{policy}"),
        None => head,
    }
}
