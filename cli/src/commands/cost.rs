//! `openshell cost`: what was spent and what routing saved, from the audit file.

use std::{collections::BTreeMap, process::ExitCode};

use serde::Serialize;

use crate::{
    args::CostArgs,
    commands::events::{self, Event},
    failure::Failure,
    output::{self, columns},
    settings,
};

/// The sums.
#[derive(Debug, Default, Serialize)]
struct Report {
    lines: Vec<Line>,
    total: Sum,
}

/// What one caller spent on one model.
#[derive(Debug, Serialize)]
struct Line {
    sandbox: String,
    backend: String,
    model: String,
    zone: String,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Sum {
    requests: u64,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    cost_usd: f64,
    saved_usd: f64,
}

impl Sum {
    fn add(&mut self, event: &Event) {
        self.requests = self.requests.saturating_add(1);
        let tokens = |name: &str| event.integer(&format!("/unmapped/openshell/tokens/{name}"));
        self.input_tokens = self.input_tokens.saturating_add(tokens("input"));
        self.cached_tokens = self.cached_tokens.saturating_add(tokens("cached"));
        self.output_tokens = self.output_tokens.saturating_add(tokens("output"));
        self.cost_usd += event.number("/unmapped/openshell/cost_usd");
        self.saved_usd += event.number("/unmapped/openshell/saved_usd");
    }
}

/// Sums up the events asked for.
pub(crate) fn run(args: &CostArgs) -> Result<ExitCode, Failure> {
    let path = settings::audit_path(&args.audit)?;
    let since = args.since.as_deref().map(events::since_ms).transpose()?.unwrap_or(0);
    let mut sums: BTreeMap<[String; 4], Sum> = BTreeMap::new();
    let mut total = Sum::default();
    events::each(&path, |event| {
        let other = args.sandbox.as_ref().is_some_and(|sandbox| !event.is_of(sandbox));
        if other || event.time_ms() < since || event.own("backend").is_empty() {
            return;
        }
        let own = |name: &str| event.own(name).to_owned();
        let key = [event.tenant().to_owned(), own("backend"), own("model"), own("zone")];
        sums.entry(key).or_default().add(&event);
        total.add(&event);
    })?;
    let lines = sums.into_iter().map(|([sandbox, backend, model, zone], sum)| Line {
        sandbox,
        backend,
        model,
        zone,
        sum,
    });
    output::emit(args.output, &Report { lines: lines.collect(), total }, table)?;
    Ok(ExitCode::SUCCESS)
}

fn table(report: &Report) -> String {
    let head =
        ["SANDBOX", "ROUTE", "ZONE", "REQUESTS", "IN", "CACHED", "OUT", "COST USD", "SAVED USD"];
    let cells = |sum: &Sum| {
        vec![
            sum.requests.to_string(),
            sum.input_tokens.to_string(),
            sum.cached_tokens.to_string(),
            sum.output_tokens.to_string(),
            format!("{:.6}", sum.cost_usd),
            format!("{:.6}", sum.saved_usd),
        ]
    };
    let mut rows: Vec<Vec<String>> = report
        .lines
        .iter()
        .map(|line| {
            let route = format!("{}/{}", line.backend, line.model);
            let mut row = vec![line.sandbox.clone(), route, line.zone.clone()];
            row.extend(cells(&line.sum));
            row
        })
        .collect();
    let mut last = vec!["total".to_owned(), String::new(), String::new()];
    last.extend(cells(&report.total));
    rows.push(last);
    columns(&head, &rows)
}
