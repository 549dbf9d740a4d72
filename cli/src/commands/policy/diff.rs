//! `openshell policy diff`: what differs between two policies, and whether a running sandbox would take the second.

use std::process::ExitCode;

use policy::change::Difference;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::policy::PolicyDiffArgs,
    failure::Failure,
    output::{self, columns},
};

/// The differences.
#[derive(Debug, Serialize)]
struct Report {
    old_hash: String,
    new_hash: String,
    differences: Vec<Line>,
    rejections: Vec<String>,
    postponed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    path: String,
    change: &'static str,
    applies: &'static str,
    old: Option<Value>,
    new: Option<Value>,
}

impl From<Difference> for Line {
    fn from(difference: Difference) -> Self {
        Self {
            change: match (&difference.old, &difference.new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            },
            applies: if difference.fixed { "at start" } else { "at once" },
            path: difference.path,
            old: difference.old,
            new: difference.new,
        }
    }
}

/// Compares; exit code 0 if a running sandbox would take the change, 1 if it would not.
pub(crate) fn run(args: &PolicyDiffArgs) -> Result<ExitCode, Failure> {
    let (old, _) = super::load(&args.old)?;
    let (new, _) = super::load(&args.new)?;
    let report = Report {
        old_hash: old.hash(),
        new_hash: new.hash(),
        differences: old.differences(&new).into_iter().map(Line::from).collect(),
        rejections: old.rejections(&new),
        postponed: old.postponed(&new),
    };
    output::emit(args.output, &report, table)?;
    Ok(if report.rejections.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(report: &Report) -> String {
    if report.differences.is_empty() {
        return "the policies say the same".to_owned();
    }
    let text = |value: &Option<Value>| match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let rows: Vec<Vec<String>> = report
        .differences
        .iter()
        .map(|line| {
            vec![
                line.change.to_owned(),
                line.path.clone(),
                text(&line.old),
                text(&line.new),
                line.applies.to_owned(),
            ]
        })
        .collect();
    let mut parts = vec![columns(&["CHANGE", "FIELD", "OLD", "NEW", "APPLIES"], &rows)];
    parts.extend(report.rejections.iter().map(|text| format!("rejected: {text}")));
    parts.extend(report.postponed.iter().map(|text| format!("note: {text}")));
    parts.join("\n")
}
