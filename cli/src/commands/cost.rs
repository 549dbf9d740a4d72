//! `openshell cost`: what was spent and what routing saved, from the books of the gateway, or from an audit file.

use std::{collections::BTreeMap, process::ExitCode};

use api::cost::{BudgetState, CostReport, CostSum};
use serde::Serialize;

use crate::{
    args::{audit::AuditFile, route::CostArgs},
    commands::{
        events::{self, Event},
        gateway::{self, Chosen},
        sandbox::block_on,
    },
    failure::Failure,
    output::{self, columns},
    settings,
};

/// The sums.
#[derive(Debug, Default, Serialize)]
struct Report {
    lines: Vec<Line>,
    total: Sum,
    /// How budgets stand; only a gateway knows that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<BudgetState>,
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
    if args.file.is_none()
        && args.config.config.is_none()
        && let Some(asked) = gateway::chosen(&args.gateway)?
    {
        let report = of_gateway(&asked, args.sandbox.as_deref(), args.since.as_deref())?;
        if report.cut {
            output::complain("! There is more than is shown; narrow it with --sandbox or --since");
        }
        output::emit(args.output, &Report::from(report), table)?;
        return Ok(ExitCode::SUCCESS);
    }
    let audit = AuditFile { file: args.file.clone(), config: args.config.or_default() };
    let path = settings::audit_path(&audit)?;
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
    let report = Report { lines: lines.collect(), total, budgets: Vec::new() };
    output::emit(args.output, &report, table)?;
    Ok(ExitCode::SUCCESS)
}

/// What a gateway has in its books.
pub(crate) fn of_gateway(
    asked: &Chosen,
    sandbox: Option<&str>,
    since: Option<&str>,
) -> Result<CostReport, Failure> {
    let since = since.map(events::since_ms).transpose()?;
    let sandbox = sandbox.map(|name| ("sandbox", name.to_owned()));
    let since = since.map(|since| ("since_ms", since.to_string()));
    let path = asked.query("/v1/cost", &sandbox.into_iter().chain(since).collect::<Vec<_>>());
    block_on(async { asked.client().get(&path).await.map_err(gateway::refused) })
}

impl From<CostReport> for Report {
    fn from(report: CostReport) -> Self {
        let lines = report.lines.into_iter().map(|line| Line {
            sandbox: line.sandbox,
            backend: line.backend,
            model: line.model,
            zone: line.zone,
            sum: line.sum.into(),
        });
        Self { lines: lines.collect(), total: report.total.into(), budgets: report.budgets }
    }
}

impl From<CostSum> for Sum {
    fn from(sum: CostSum) -> Self {
        Self {
            requests: sum.requests,
            input_tokens: sum.input_tokens,
            cached_tokens: sum.cached_tokens,
            output_tokens: sum.output_tokens,
            cost_usd: sum.cost_usd,
            saved_usd: sum.saved_usd,
        }
    }
}

/// How budgets stand, a line each.
fn budgets(budgets: &[BudgetState]) -> String {
    let row = |one: &BudgetState| {
        vec![
            one.scope.clone(),
            one.owner.clone().unwrap_or_else(|| "-".to_owned()),
            one.period.clone(),
            format!("{:.6}", one.limit_usd),
            format!("{:.6}", one.spent_usd),
            format!("{:.6}", one.reserved_usd),
            format!("{:.6}", one.remaining_usd),
            one.on_exceed.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = budgets.iter().map(row).collect();
    let head = ["BUDGET", "OF", "PERIOD", "LIMIT USD", "SPENT", "SET ASIDE", "LEFT", "THEN"];
    columns(&head, &rows)
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
    let lines = columns(&head, &rows);
    if report.budgets.is_empty() {
        return lines;
    }
    format!("{lines}\n\n{}", budgets(&report.budgets))
}
