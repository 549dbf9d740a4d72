//! `openshell rule …`: what a sandbox was refused, and what becomes of it.
//!
//! The supervisor gathers refusals and proposes rules; an approved one goes into the policy as `policy update` would put it
//! there. Invariant: nothing is approved but what was shown.

mod remote;

use std::process::ExitCode;

use policy::change::Change;
use sandbox::{
    control::{Reply, Request, client::Supervisor},
    rules::{self, Decided, Decision, Denial, Proposal},
    state::Folder,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::{
        ChoiceArgs,
        change::{
            RuleAllArgs, RuleCommand, RuleGetArgs, RuleHistoryArgs, RuleOneArgs, RuleRejectArgs,
            RuleStatus,
        },
    },
    commands::{
        gateway::chosen,
        policy::{
            subject::{Subject, Wait},
            update,
        },
        sandbox::{block_on, find, heard},
    },
    failure::Failure,
    output::{self, columns, point},
};

/// How long a supervisor may take to put a policy in force, in seconds.
const APPROVE_SECONDS: u64 = 60;

/// A rule as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    status: RuleStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_version: Option<u64>,
    denial: Value,
}

/// Runs what was typed.
pub(crate) fn run(command: RuleCommand) -> Result<ExitCode, Failure> {
    if let Some(asked) = chosen(gateway(&command))? {
        return remote::run(&command, &asked);
    }
    match command {
        RuleCommand::Get(args) => get(&args)?,
        RuleCommand::Approve(args) => approve(&args)?,
        RuleCommand::Reject(args) => reject(&args)?,
        RuleCommand::ApproveAll(args) => approve_all(&args)?,
        RuleCommand::Clear { name, .. } => clear(name.as_deref())?,
        RuleCommand::History(args) => history(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn gateway(command: &RuleCommand) -> &ChoiceArgs {
    match command {
        RuleCommand::Get(args) => &args.gateway,
        RuleCommand::Approve(args) => &args.gateway,
        RuleCommand::Reject(args) => &args.rule.gateway,
        RuleCommand::ApproveAll(args) => &args.gateway,
        RuleCommand::Clear { gateway, .. } => gateway,
        RuleCommand::History(args) => &args.gateway,
    }
}

fn ask(name: &str, folder: &Folder, request: &Request) -> Result<Reply, Failure> {
    block_on(async { heard(name, Supervisor::of(folder).ask(request).await) })
}

/// What nobody has decided about, with what is known of it.
fn pending(name: &str, folder: &Folder) -> Result<Vec<(Denial, Value)>, Failure> {
    let Reply::Denials { denials } = ask(name, folder, &Request::Denials)? else {
        return Err(Failure::new("the supervisor answered something else"));
    };
    let rejected: Vec<String> = rules::decided(folder)?
        .into_iter()
        .filter(|one| one.decision == Decision::Rejected)
        .map(|one| one.id)
        .collect();
    let mut all = Vec::new();
    for value in denials {
        let denial: Denial = serde_json::from_value(value.clone())?;
        if !rejected.contains(&denial.id) {
            all.push((denial, value));
        }
    }
    Ok(all)
}

/// The one that is meant.
fn one(name: &str, folder: &Folder, id: &str) -> Result<(Denial, Value), Failure> {
    let all = pending(name, folder)?;
    let mut meant =
        all.into_iter().filter(|(denial, _)| !id.is_empty() && denial.shown().starts_with(id));
    let hint = format!("`openshell rule get {name}` shows them");
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Failure::new(format!("several rules begin with {id}")).hint(hint))
        }
        (None, _) => Err(Failure::new(format!("there is no pending rule {id}")).hint(hint)),
    }
}

fn changes(denial: &Denial) -> Result<Vec<Change>, Failure> {
    denial.changes()?.ok_or_else(|| {
        Failure::new(format!("no rule would allow {}", denial.id)).hint(format!(
            "the reason is {}; see what it was refused with `openshell rule get -o yaml`",
            denial.reason
        ))
    })
}

fn put(name: &str, folder: &Folder, (denial, value): (Denial, Value)) -> Result<(), Failure> {
    let wait = Wait { told: false, seconds: APPROVE_SECONDS };
    let subject = Subject::Own { name: name.to_owned(), folder: folder.clone() };
    let version = update::apply(&subject, &changes(&denial)?, wait)?;
    let decided =
        Decided { version: Some(version), ..Decided::new(&denial.id, Decision::Approved, value) };
    rules::decide(folder, vec![decided])?;
    ask(name, folder, &Request::ForgetDenials { ids: vec![denial.id.clone()] })?;
    let rule = denial.proposal.as_ref().map(Proposal::told).unwrap_or_default();
    output::line(&format!("✓ Approved rule {}: {}", denial.id, output::printable(&rule, false)))
}

fn approve(args: &RuleOneArgs) -> Result<(), Failure> {
    let (name, folder) = find(args.name.as_deref())?;
    let (known, _) = args.chunk_id.split_once('-').unwrap_or((&args.chunk_id, ""));
    let (denial, value) = one(&name, &folder, known)?;
    if denial.shown() != args.chunk_id {
        return Err(Failure::new(format!("rule {} is not the one that was shown", denial.id)).hint(format!(
            "more was refused meanwhile, or its name was shortened; look at `openshell rule get {name}` again"
        )));
    }
    put(&name, &folder, (denial, value))
}

fn approve_all(args: &RuleAllArgs) -> Result<(), Failure> {
    let (name, folder) = find(args.name.as_deref())?;
    let mut approved = 0_usize;
    for found in pending(&name, &folder)? {
        let Some(proposal) = &found.0.proposal else { continue };
        let notes = proposal.security_notes.join(", ");
        if !notes.is_empty() && !args.include_security_flagged {
            output::complain(&format!("! Rule {} is left: {notes}", found.0.id));
            continue;
        }
        put(&name, &folder, found)?;
        approved = approved.saturating_add(1);
    }
    output::line(&format!("✓ {approved} rules approved"))
}

fn reject(args: &RuleRejectArgs) -> Result<(), Failure> {
    let (name, folder) = find(args.rule.name.as_deref())?;
    let (denial, value) = one(&name, &folder, &args.rule.chunk_id)?;
    let decided = Decided::new(&denial.id, Decision::Rejected, value);
    rules::decide(&folder, vec![Decided { reason: args.reason.clone(), ..decided }])?;
    ask(&name, &folder, &Request::ForgetDenials { ids: vec![denial.id.clone()] })?;
    output::line(&format!("✓ Rejected rule {}", denial.id))
}

fn clear(name: Option<&str>) -> Result<(), Failure> {
    let (name, folder) = find(name)?;
    let ids: Vec<String> = pending(&name, &folder)?.into_iter().map(|(one, _)| one.id).collect();
    let count = ids.len();
    ask(&name, &folder, &Request::ForgetDenials { ids })?;
    output::line(&format!("✓ {count} pending rules cleared"))
}

fn get(args: &RuleGetArgs) -> Result<(), Failure> {
    let (name, folder) = find(args.name.as_deref())?;
    let wanted = args.status.unwrap_or(RuleStatus::Pending);
    if wanted == RuleStatus::Pending {
        let shown: Vec<Shown> = pending(&name, &folder)?.into_iter().map(undecided).collect();
        return show(args.output, &shown);
    }
    let all = rules::decided(&folder)?.into_iter().map(settled);
    let shown: Vec<Shown> = all.filter(|one| one.status == wanted).collect();
    show(args.output, &shown)
}

fn history(args: &RuleHistoryArgs) -> Result<(), Failure> {
    let (_, folder) = find(args.name.as_deref())?;
    let shown: Vec<Shown> = rules::decided(&folder)?.into_iter().map(settled).collect();
    show(args.output, &shown)
}

fn undecided((denial, value): (Denial, Value)) -> Shown {
    let (status, reason) = (RuleStatus::Pending, String::new());
    Shown { id: denial.shown(), status, decided: None, reason, policy_version: None, denial: value }
}

fn settled(decided: Decided) -> Shown {
    let status = match decided.decision {
        Decision::Approved => RuleStatus::Approved,
        Decision::Rejected => RuleStatus::Rejected,
    };
    Shown {
        id: decided.id,
        status,
        decided: Some(point(decided.at)),
        reason: decided.reason,
        policy_version: decided.version,
        denial: decided.denial,
    }
}

fn show(format: output::Format, shown: &Vec<Shown>) -> Result<(), Failure> {
    output::emit(format, shown, |shown| {
        if shown.is_empty() {
            return "No network rules.".to_owned();
        }
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        columns(
            &["ID", "STATUS", "ENDPOINT", "BINARY", "HITS", "REASON", "PROPOSAL", "NOTES"],
            &rows,
        )
    })
}

fn row(shown: &Shown) -> Vec<String> {
    let none = || "-".to_owned();
    let status = serde_json::to_value(shown.status).unwrap_or_default();
    let status = status.as_str().unwrap_or("-").to_owned();
    let Ok(denial) = serde_json::from_value::<Denial>(shown.denial.clone()) else {
        return vec![shown.id.clone(), status, none(), none(), none(), none(), none(), none()];
    };
    let proposal = denial.proposal.as_ref();
    let what = proposal.map_or_else(none, |proposal| match proposal.add_allow.as_slice() {
        [] => proposal.add_endpoint.clone(),
        rules => rules.join(" "),
    });
    let notes = proposal.map(|proposal| proposal.security_notes.join(","));
    vec![
        shown.id.clone(),
        status,
        format!("{}:{}", denial.host, denial.port),
        denial.binary.unwrap_or_else(none),
        denial.count.to_string(),
        denial.reason,
        what,
        notes.filter(|notes| !notes.is_empty()).unwrap_or_else(none),
    ]
}
