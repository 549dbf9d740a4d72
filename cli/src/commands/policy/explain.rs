//! `openshell policy explain`: the decision, the rule that makes it, and what keeps the nearest others from matching.

use std::process::ExitCode;

use domain::Destination;
use policy::{CanonicalPath, Connect, EncodedSlash, Near, Operation, Policy, Query, Request};
use serde::Serialize;

use super::check::{self, Question};
use crate::{args::policy::PolicyExplainArgs, failure::Failure, output};

/// Most endpoints that are told about.
const NEAR_MAX: usize = 5;

/// The decision, on paper.
#[derive(Debug, Serialize)]
struct Report {
    decision: &'static str,
    policy: Option<String>,
    reason: String,
    nearest: Vec<NearLine>,
}

#[derive(Debug, Serialize)]
struct NearLine {
    policy: String,
    place: String,
    about: String,
    matches: bool,
    misses: Vec<MissLine>,
}

#[derive(Debug, Serialize)]
struct MissLine {
    what: String,
    change: String,
}

impl From<Near> for NearLine {
    fn from(near: Near) -> Self {
        let miss = |miss: policy::Miss| MissLine { what: miss.what, change: miss.change };
        Self {
            policy: near.policy,
            place: near.place,
            about: near.about,
            matches: near.misses.is_empty(),
            misses: near.misses.into_iter().map(miss).collect(),
        }
    }
}

/// Explains a decision; the exit code is that of the decision.
pub(crate) fn run(args: &PolicyExplainArgs) -> Result<ExitCode, Failure> {
    let (file, notices) = super::load(&args.policy)?;
    super::warn(&args.policy, &notices);
    let Some(question) = Question::from_args(&args.question) else {
        return Err(Failure::usage("there is no question to explain")
            .hint("ask one with --binary PATH --connect HOST:PORT"));
    };
    let policy = Policy::new(file);
    let answer = check::answer(&policy, &question);
    let to: Destination = question.connect.parse()?;
    let connect = Connect { caller: question.caller(), to: &to, inference: true };
    let report = Report {
        decision: answer.decision.as_str(),
        policy: answer.policy,
        reason: answer.reason,
        nearest: nearest(&policy, &connect, &question).into_iter().map(NearLine::from).collect(),
    };
    output::emit(args.output, &report, table)?;
    Ok(answer.decision.code())
}

fn nearest(policy: &Policy, connect: &Connect<'_>, question: &Question) -> Vec<Near> {
    let (Some(method), Some(path)) = (&question.method, &question.path) else {
        return policy.explain(connect, None, NEAR_MAX);
    };
    let (path, inline) = path.split_once('?').unwrap_or((path, ""));
    let path = CanonicalPath::new(path, EncodedSlash::Keep);
    let query = Query::new(question.query.as_deref().unwrap_or(inline));
    // A path or query that cannot be judged is told about by the reason.
    let (Ok(path), Ok(query)) = (path, query) else {
        return policy.explain(connect, None, NEAR_MAX);
    };
    let request = Request { method, path: &path, query: &query, operation: Operation::None };
    policy.explain(connect, Some(&request), NEAR_MAX)
}

fn table(report: &Report) -> String {
    let mut lines = vec![format!("decision: {}", report.decision)];
    if let Some(policy) = &report.policy {
        lines.push(format!("policy:   {policy}"));
    }
    lines.push(format!("reason:   {}", report.reason));
    for near in &report.nearest {
        lines.push(String::new());
        let verdict = if near.matches { "matches" } else { "does not match" };
        lines
            .push(format!("{} ({}) of policy '{}' {verdict}", near.place, near.about, near.policy));
        for miss in &near.misses {
            lines.push(format!("  - {}", miss.what));
            lines.push(format!("    to change that: {}", miss.change));
        }
    }
    lines.join("\n")
}
