//! `openshell policy update`: small steps on the policy of a sandbox, all of them or none.

use std::process::ExitCode;

use policy::{
    PolicyFile,
    change::{Change, SpecError},
};

use super::subject::{Base, Subject, Wait};
use crate::{args::change::PolicyUpdateArgs, commands::gateway::Whose, failure::Failure, output};

/// How often a change is made anew when somebody else was faster.
const TRIES_MAX: usize = 5;

/// Makes the changes that were typed.
pub(super) fn run(whose: &Whose, args: &PolicyUpdateArgs) -> Result<ExitCode, Failure> {
    let changes = changes(args)?;
    let subject = Subject::of(whose, args.name.as_deref(), false)?;
    if args.dry_run {
        let (_, policy) = subject.current()?;
        output::bytes(merged(&policy, &changes)?.to_yaml()?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let wait = Wait { told: args.wait, seconds: args.timeout };
    apply(&subject, &changes, wait).map(|_| ExitCode::SUCCESS)
}

/// Puts the policy with these changes in force; its version.
pub(crate) fn apply(subject: &Subject, changes: &[Change], wait: Wait) -> Result<u64, Failure> {
    for _ in 1..TRIES_MAX {
        let (version, policy) = subject.current()?;
        let text = merged(&policy, changes)?.to_yaml()?;
        if let Some(version) = subject.put(text, (Base::Version(version), wait))? {
            return Ok(version);
        }
    }
    Err(Failure::new(format!("the policy of {} keeps changing", subject.shown()))
        .hint("try it again"))
}

fn merged(policy: &PolicyFile, changes: &[Change]) -> Result<PolicyFile, Failure> {
    let merged = policy.merged(changes);
    let (merged, notices) = merged.map_err(|error| {
        Failure::new(error.to_string())
            .hint("`openshell policy get --full` shows the policy; nothing was changed")
    })?;
    for notice in notices {
        output::complain(&format!("warning: {notice}"));
    }
    Ok(merged)
}

/// The steps, in the order in which they make sense together: what goes, what comes, and rules about both.
fn changes(args: &PolicyUpdateArgs) -> Result<Vec<Change>, Failure> {
    if args.rule_name.is_some() && args.add_endpoint.len() != 1 {
        return Err(Failure::usage(
            "--rule-name is only supported when exactly one --add-endpoint is provided",
        ));
    }
    if let Some(binary) = args.binary.iter().find(|binary| !binary.starts_with('/')) {
        return Err(Failure::usage(format!(
            "--binary {binary}: the path of an executable begins with /"
        )));
    }
    let wrong = |flag: &str, text: &str, error: &SpecError| {
        Failure::usage(format!("{flag} {text}: {error}"))
    };
    let mut all: Vec<Change> = args.remove_rule.iter().cloned().map(Change::RemoveRule).collect();
    for text in &args.remove_endpoint {
        let change = Change::remove_endpoint(text);
        all.push(change.map_err(|error| wrong("--remove-endpoint", text, &error))?);
    }
    for text in &args.add_endpoint {
        let endpoint = text.parse().map_err(|error| wrong("--add-endpoint", text, &error))?;
        let (binaries, key) = (args.binary.clone(), args.rule_name.clone());
        all.push(Change::AddEndpoint { endpoint, binaries, key });
    }
    for text in &args.add_allow {
        let rule = text.parse().map_err(|error| wrong("--add-allow", text, &error))?;
        all.push(Change::AddAllow(rule));
    }
    for text in &args.add_deny {
        let rule = text.parse().map_err(|error| wrong("--add-deny", text, &error))?;
        all.push(Change::AddDeny(rule));
    }
    Ok(all)
}
