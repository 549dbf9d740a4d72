//! What was spent on model calls.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Whose calls, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CostQuery {
    /// Only of this sandbox, or of this caller outside of any.
    pub sandbox: Option<String>,
    /// Only calls that began at this time or later, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// The workspace; `default` when not given.
    pub workspace: Option<String>,
}

/// What was spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostReport {
    /// For each caller, backend, model and zone, by these.
    pub lines: Vec<CostLine>,
    /// All of them together.
    pub total: CostSum,
    /// The budgets that count for any of it, as they stand in the period that runs.
    pub budgets: Vec<BudgetState>,
    /// Whether there are more lines than are told.
    pub cut: bool,
}

/// What one caller spent on one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostLine {
    /// The sandbox, or what a caller outside of any is known by.
    pub sandbox: String,
    /// The backend that answered.
    pub backend: String,
    /// The model.
    pub model: String,
    /// Who could see it.
    pub zone: String,
    /// The sums.
    #[serde(flatten)]
    pub sum: CostSum,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostSum {
    /// How many calls.
    pub requests: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Those of them that came from a provider's cache.
    pub cached_tokens: u64,
    /// Answer tokens.
    pub output_tokens: u64,
    /// What they cost, USD.
    pub cost_usd: f64,
    /// How much more the dearest backend that was allowed would have cost, USD.
    pub saved_usd: f64,
}

/// How a budget stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetState {
    /// Whose spending: `sandbox`, `workspace`, `backend` or `total`.
    pub scope: String,
    /// Which one; none where there is only one.
    pub owner: Option<String>,
    /// Which time, such as `2026-11-26` or `2026-11`.
    pub period: String,
    /// The most that may be spent, USD.
    pub limit_usd: f64,
    /// What was spent, USD.
    pub spent_usd: f64,
    /// What is set aside for calls under way, USD.
    pub reserved_usd: f64,
    /// What is left, USD.
    pub remaining_usd: f64,
    /// What happens when nothing is: `downgrade` or `block`.
    pub on_exceed: String,
}
