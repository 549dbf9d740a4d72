//! What was spent on model calls, and how budgets stand.

use std::sync::Arc;

use api::{
    cost::{BudgetState, CostLine, CostQuery, CostReport, CostSum},
    inference::Route,
};
use axum::{Json as Body, extract::State};
use backends::configuration::BudgetLine;
use domain::Cost;

use super::{
    App, Refusal,
    read::{Query, workspace},
};
use crate::{
    auth::access::Permit,
    store::{Balance, Spending, StoreError},
    time,
};

/// The most lines of a report.
const LINES_MAX: u32 = 10_000;
/// What an account belongs to where there is only one.
const ONLY: &str = "*";

/// What was spent on model calls, and what routing saved: for each caller, backend, model and zone.
#[utoipa::path(
    get, path = "/v1/cost", tag = "inference", params(CostQuery),
    responses((status = 200, body = CostReport)),
)]
pub(super) async fn report(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<CostQuery>,
) -> Result<Body<CostReport>, Refusal> {
    let workspace = workspace(&permit)?;
    let since = query.since_ms.unwrap_or(0);
    let mut found = Vec::new();
    match &query.sandbox {
        None => found = app.store.spending(workspace, None, since, LINES_MAX).await?,
        Some(name) => {
            for caller in [format!("sandbox/{name}"), name.clone()] {
                found.extend(app.store.spending(workspace, Some(&caller), since, LINES_MAX).await?);
            }
        }
    }
    let mut total = CostSum::default();
    let lines: Vec<CostLine> = found.iter().map(|one| line(one, &mut total)).collect();
    let cut = u32::try_from(lines.len()).is_ok_and(|count| count >= LINES_MAX);
    // As routers know it.
    let qualified = query.sandbox.map(|name| match workspace {
        "default" => name,
        workspace => format!("{workspace}/{name}"),
    });
    let budgets = budgets(&app, qualified.as_deref()).await?;
    Ok(Body(CostReport { lines, total, budgets, cut }))
}

fn line(one: &Spending, total: &mut CostSum) -> CostLine {
    let [input_tokens, cached_tokens, output_tokens] = one.tokens;
    let sum = CostSum {
        requests: one.calls,
        input_tokens,
        cached_tokens,
        output_tokens,
        cost_usd: one.cost.usd(),
        saved_usd: one.saved.usd(),
    };
    total.requests = total.requests.saturating_add(sum.requests);
    total.input_tokens = total.input_tokens.saturating_add(sum.input_tokens);
    total.cached_tokens = total.cached_tokens.saturating_add(sum.cached_tokens);
    total.output_tokens = total.output_tokens.saturating_add(sum.output_tokens);
    total.cost_usd += sum.cost_usd;
    total.saved_usd += sum.saved_usd;
    CostLine {
        sandbox: one.caller.clone(),
        backend: one.backend.clone(),
        model: one.model.clone(),
        zone: one.zone.clone(),
        sum,
    }
}

/// The budgets in force with what was booked on each; those of other sandboxes are left out where one is named.
async fn budgets(app: &App, sandbox: Option<&str>) -> Result<Vec<BudgetState>, StoreError> {
    let Some(configuration) = app.inference.configuration(Route::Sandboxes) else {
        return Ok(Vec::new());
    };
    let budgets = configuration.budgets();
    if budgets.is_empty() {
        return Ok(Vec::new());
    }
    let today = time::point(time::now_ms()).strftime("%Y-%m-%d").to_string();
    let month = today.get(..7).unwrap_or_default().to_owned();
    let balances = app.store.balances_in([&today, &month]).await?;
    let mut states = Vec::new();
    for budget in &budgets {
        let period = if budget.per == "day" { &today } else { &month };
        let counts = |balance: &&Balance| {
            let account = &balance.account;
            account.scope == budget.scope
                && account.period == *period
                && names(budget.name.as_deref(), &account.owner)
                && (budget.scope != "sandbox"
                    || sandbox.is_none_or(|one| names(Some(one), &account.owner)))
        };
        states.extend(balances.iter().filter(counts).map(|balance| state(budget, balance)));
    }
    states.sort_by(|a, b| (&a.scope, &a.owner, &a.period).cmp(&(&b.scope, &b.owner, &b.period)));
    Ok(states)
}

/// Whether a name stands for who has an account.
fn names(name: Option<&str>, owner: &str) -> bool {
    name.is_none_or(|name| owner == name || owner.strip_prefix("sandbox/") == Some(name))
}

fn state(budget: &BudgetLine, balance: &Balance) -> BudgetState {
    let account = &balance.account;
    let owner = account.owner.strip_prefix("sandbox/").unwrap_or(&account.owner);
    BudgetState {
        scope: account.scope.clone(),
        owner: (owner != ONLY).then(|| owner.to_owned()),
        period: account.period.clone(),
        limit_usd: budget.limit.usd(),
        spent_usd: balance.settled.usd(),
        reserved_usd: balance.reserved.usd(),
        remaining_usd: Cost::usd(balance.remaining(budget.limit)),
        on_exceed: budget.on_exceed.to_owned(),
    }
}
