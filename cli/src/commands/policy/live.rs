//! The policy of a sandbox: setting it, and what became of each revision.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use sandbox::{
    control::{Reply, Request, client::Supervisor},
    policies::{Policies, Revision},
    state::Folder,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    args::{PolicyGetArgs, PolicyListArgs, PolicySetArgs},
    commands::sandbox::{block_on, find, heard},
    failure::Failure,
    output::{self, columns, point},
};

/// The exit code when time has run out.
const TIMED_OUT: u8 = 124;
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
pub(super) fn set(args: &PolicySetArgs) -> Result<ExitCode, Failure> {
    let (name, folder) = find(args.name.as_deref())?;
    // Every fault with its place, before a supervisor is asked.
    let (_, notices) = super::load(&args.policy)?;
    super::warn(&args.policy, &notices);
    let text = std::fs::read_to_string(&args.policy)
        .with_context(|| format!("cannot read {}", args.policy.display()))?;
    let wait = Wait { told: args.wait, seconds: args.timeout };
    put(&name, &folder, text, (Base::Any, wait)).map(|_| ExitCode::SUCCESS)
}

/// Which policy a new one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Whichever is there.
    Any,
    /// This version only.
    Version(u64),
}

/// Whether somebody wants to be told that a policy is in force, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) told: bool,
    pub(crate) seconds: u64,
}

/// Puts a policy in force and tells so; its version. None when another one than its base is there.
pub(crate) fn put(
    name: &str,
    folder: &Folder,
    text: String,
    (base, wait): (Base, Wait),
) -> Result<Option<u64>, Failure> {
    let base = match base {
        Base::Any => None,
        Base::Version(version) => Some(version),
    };
    if !folder.is_attended() {
        let set = Policies::open(folder)?.set_over(&text, base);
        let set = set.map_err(|failed| Failure::new(failed.message).hint(failed.hint))?;
        let Some((set, _)) = set else { return Ok(None) };
        let Revision { version, hash, .. } = set.revision;
        submitted(version, &hash, set.changed)?;
        output::complain(&format!(
            "• Sandbox {name} is not running; it takes effect when it starts"
        ));
        return Ok(Some(version));
    }
    let limit = Duration::from_secs(wait.seconds);
    let asked = block_on(async {
        let request = Request::SetPolicy { text, base };
        Ok(timeout(limit, Supervisor::of(folder).ask(&request)).await)
    })?;
    let reply = asked.map_err(|_| {
        Failure::new(format!("it took longer than {} s", wait.seconds)).with_code(TIMED_OUT)
    })?;
    let (version, hash, changed, postponed) = match heard(name, reply)? {
        Reply::Policy { version, hash, changed, postponed } => (version, hash, changed, postponed),
        Reply::Stale => return Ok(None),
        _ => return Err(Failure::new("the supervisor answered something else")),
    };
    submitted(version, &hash, changed)?;
    for what in postponed {
        output::complain(&format!("! {what} takes effect when the sandbox starts next"));
    }
    if wait.told {
        // A supervisor answers only when the policy is in force.
        output::line(&format!("✓ Policy version {version} loaded (active version: {version})"))?;
    }
    Ok(Some(version))
}

fn submitted(version: u64, hash: &str, changed: bool) -> Result<(), Failure> {
    if changed {
        output::line(&format!("✓ Policy version {version} submitted (hash: {hash})"))
    } else {
        output::line(&format!("· Policy unchanged (version {version}, hash: {hash})"))
    }
}

/// `openshell policy get`
pub(super) fn get(args: &PolicyGetArgs) -> Result<ExitCode, Failure> {
    let (name, folder) = find(args.name.as_deref())?;
    let policies = Policies::open(&folder)?;
    let revision = policies.revision(args.rev).ok_or_else(|| {
        Failure::new(format!("sandbox {name} has no policy version {}", args.rev))
            .hint("`openshell policy list` shows those that are kept")
    })?;
    let text = if args.full { Some(policies.text(revision.version)?) } else { None };
    let shown = show(revision, &policies, text);
    output::emit(args.output, &shown, table)?;
    Ok(ExitCode::SUCCESS)
}

/// `openshell policy list`
pub(super) fn list(args: &PolicyListArgs) -> Result<ExitCode, Failure> {
    let (_, folder) = find(args.name.as_deref())?;
    let policies = Policies::open(&folder)?;
    let newest = policies.revisions().iter().rev().take(args.limit);
    let shown: Vec<Shown> = newest.map(|one| show(one, &policies, None)).collect();
    output::emit(args.output, &shown, |shown| {
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        columns(&["VERSION", "HASH", "STATUS", "CREATED", "ERROR"], &rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn show(revision: &Revision, policies: &Policies, policy: Option<String>) -> Shown {
    Shown {
        version: revision.version,
        hash: revision.hash.clone(),
        status: revision.status.as_str(),
        active: policies.active().is_some_and(|active| active.version == revision.version),
        created: point(revision.created),
        loaded: revision.loaded.map(point),
        error: revision.error.clone(),
        policy,
    }
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
