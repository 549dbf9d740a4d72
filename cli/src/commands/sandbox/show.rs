//! What sandboxes there are, and how they are doing.

use std::process::ExitCode;

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
struct Shown {
    id: String,
    name: String,
    namespace: &'static str,
    created: String,
    phase: &'static str,
    command: Vec<String>,
    running: bool,
    exit_code: Option<u8>,
    policy_version: u64,
    labels: std::collections::BTreeMap<String, String>,
    limits: Limits,
    notes: Vec<String>,
    error: Option<String>,
    folder: String,
}

/// What it may use up, and what holds that.
#[derive(Debug, Serialize)]
struct Limits {
    cpus: Option<f64>,
    memory_bytes: Option<u64>,
    pids: u32,
    limited_by: std::collections::BTreeMap<String, String>,
    /// Why this system limits nothing else.
    not_granted: Vec<String>,
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
    let shown: Vec<Shown> = all.into_iter().skip(args.offset).take(args.limit).collect();
    if args.ids || args.names {
        for one in &shown {
            output::line(if args.ids { &one.id } else { &one.name })?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    output::emit(args.output, &shown, |shown| {
        if shown.is_empty() {
            return "No sandboxes found.".to_owned();
        }
        let rows: Vec<Vec<String>> = shown
            .iter()
            .map(|one| {
                vec![one.name.clone(), one.namespace.into(), one.created.clone(), one.phase.into()]
            })
            .collect();
        columns(&["NAME", "NAMESPACE", "CREATED", "PHASE"], &rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `openshell sandbox get`
pub(super) fn get(args: &GetArgs) -> Result<ExitCode, Failure> {
    let (_, folder) = find(args.sandbox.name.as_deref())?;
    let policy = policy_of(&folder)?;
    if args.policy_only {
        output::bytes(policy.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = show(&folder)?;
    output::emit(args.output, &shown, |shown| format!("{}\n---\n{policy}", table(shown)))?;
    Ok(ExitCode::SUCCESS)
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
        namespace: NAMESPACE,
        created: point(record.created),
        phase: state.phase.as_str(),
        command: record.command,
        running: state.running,
        exit_code: state.exit_code,
        policy_version: policies.active().map_or(0, |active| active.version),
        labels: record.labels,
        limits: limits(record.limits, state.limited_by),
        notes: state.notes,
        error: state.error,
        folder: folder.path().display().to_string(),
    })
}

fn limits(asked: Whole, limited_by: std::collections::BTreeMap<String, String>) -> Limits {
    Limits {
        cpus: asked.cpu_percent.map(|percent| f64::from(percent) / 100.0),
        memory_bytes: asked.memory_bytes,
        pids: sandbox::Limits::from(asked).processes_max(),
        limited_by,
        not_granted: sandbox::not_granted(),
    }
}

fn table(shown: &Shown) -> String {
    let mut lines = vec!["Sandbox:".to_owned()];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name}: {value}"));
    line("Id", &shown.id);
    line("Name", &shown.name);
    line("Namespace", shown.namespace);
    line("Created", &shown.created);
    line("Phase", shown.phase);
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
