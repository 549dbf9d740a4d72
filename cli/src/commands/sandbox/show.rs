//! What sandboxes there are, and how they are doing.

use std::{collections::BTreeMap, process::ExitCode};

use sandbox::{
    policies::Policies,
    state::{Folder, Record, State, Whole},
};
use serde::Serialize;

use super::{find, home};
use crate::{
    args::sandbox::{GetArgs, ListArgs},
    failure::Failure,
    output::{self, columns, point},
};

/// The only namespace of this machine.
const NAMESPACE: &str = "local";

/// A sandbox as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) created: String,
    pub(super) phase: &'static str,
    /// Why it is in that phase, where a gateway says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) running: bool,
    pub(super) exit_code: Option<u8>,
    pub(super) policy_version: u64,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) limits: Limits,
    pub(super) notes: Vec<String>,
    pub(super) error: Option<String>,
    /// The folder of one that is this user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) folder: Option<String>,
}

/// What it may use up, and what holds that.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    cpus: Option<f64>,
    memory_bytes: Option<u64>,
    pids: u32,
    limited_by: BTreeMap<String, String>,
    /// Why this system limits nothing else.
    not_granted: Vec<String>,
}

impl Limits {
    /// What was asked for, what holds it, and what does not.
    pub(super) fn of(
        asked: Whole,
        limited_by: BTreeMap<String, String>,
        not_granted: Vec<String>,
    ) -> Self {
        Self {
            cpus: asked.cpu_percent.map(|percent| f64::from(percent) / 100.0),
            memory_bytes: asked.memory_bytes,
            pids: sandbox::Limits::from(asked).processes_max(),
            limited_by,
            not_granted,
        }
    }
}

/// `openshell sandbox list`
pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let home = home()?;
    let mut all = Vec::new();
    for name in home.names()? {
        // One that is deleted in this moment is none.
        if let Ok(shown) = show(&home.sandbox(&name)) {
            all.push(shown);
        }
    }
    listed(args, all)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a list of sandboxes.
pub(super) fn listed(args: &ListArgs, all: impl IntoIterator<Item = Shown>) -> Result<(), Failure> {
    let shown: Vec<Shown> = all.into_iter().skip(args.offset).take(args.limit).collect();
    if args.ids || args.names {
        return shown
            .iter()
            .try_for_each(|one| output::line(if args.ids { &one.id } else { &one.name }));
    }
    output::emit(args.output, &shown, |shown| {
        if shown.is_empty() {
            return "No sandboxes found.".to_owned();
        }
        let rows: Vec<Vec<String>> = shown
            .iter()
            .map(|one| {
                vec![one.name.clone(), one.namespace.clone(), one.created.clone(), one.phase.into()]
            })
            .collect();
        columns(&["NAME", "NAMESPACE", "CREATED", "PHASE"], &rows)
    })
}

/// `openshell sandbox get`
pub(super) fn get(args: &GetArgs) -> Result<ExitCode, Failure> {
    let (_, folder) = find(args.sandbox.name.as_deref())?;
    one(args, &show(&folder)?, &policy_of(&folder)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a sandbox and its policy.
pub(super) fn one(args: &GetArgs, shown: &Shown, policy: &str) -> Result<(), Failure> {
    if args.policy_only {
        return output::bytes(policy.as_bytes());
    }
    output::emit(args.output, shown, |shown| format!("{}\n---\n{policy}", table(shown)))
}

fn policy_of(folder: &Folder) -> Result<String, Failure> {
    let policies = Policies::open(folder)?;
    match policies.active() {
        Some(active) => Ok(policies.text(active.version)?),
        None => Ok(policy::PolicyFile::restrictive().to_yaml()?),
    }
}

fn show(folder: &Folder) -> Result<Shown, Failure> {
    let record: Record = folder.record()?;
    let state: State = folder.state()?;
    let policies = Policies::open(folder)?;
    Ok(Shown {
        id: record.id,
        name: record.name,
        namespace: NAMESPACE.to_owned(),
        created: point(record.created),
        phase: state.phase.as_str(),
        reason: None,
        command: record.command,
        running: state.running,
        exit_code: state.exit_code,
        policy_version: policies.active().map_or(0, |active| active.version),
        labels: record.labels,
        limits: Limits::of(record.limits, state.limited_by, sandbox::not_granted()),
        notes: state.notes,
        error: state.error,
        folder: Some(folder.path().display().to_string()),
    })
}

fn table(shown: &Shown) -> String {
    let mut lines = vec!["Sandbox:".to_owned()];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name}: {value}"));
    line("Id", &shown.id);
    line("Name", &shown.name);
    line("Namespace", &shown.namespace);
    line("Created", &shown.created);
    line("Phase", shown.phase);
    if let Some(reason) = shown.reason.as_deref().filter(|reason| *reason != shown.phase) {
        line("Reason", reason);
    }
    if !shown.command.is_empty() {
        line("Command", &shown.command.join(" "));
        let how = match (shown.running, shown.exit_code) {
            (true, _) => "running".to_owned(),
            (false, Some(code)) => format!("exited with {code}"),
            (false, None) => "not started".to_owned(),
        };
        line("Main", &how);
    }
    line("Policy", &format!("version {}", shown.policy_version));
    let limits = &shown.limits;
    let by =
        |what: &str| limits.limited_by.get(what).map_or(String::new(), |by| format!(", by {by}"));
    if let Some(cpus) = limits.cpus {
        line("Limit", &format!("{cpus} cores{}", by("cpu")));
    }
    if let Some(bytes) = limits.memory_bytes {
        line("Limit", &format!("{bytes} bytes of memory{}", by("memory")));
    }
    line("Limit", &format!("{} processes{}", limits.pids, by("processes")));
    for why in &limits.not_granted {
        line("Limit", why);
    }
    for (name, value) in &shown.labels {
        line("Label", &format!("{name}={value}"));
    }
    for note in &shown.notes {
        line("Note", note);
    }
    if let Some(error) = &shown.error {
        line("Error", error);
    }
    lines.join("\n")
}
