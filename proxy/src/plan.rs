//! Asks the router who may answer a request: the only place that calls its engine.

use std::sync::Arc;

use bytes::Bytes;
use domain::{Cost, Sensitivity, Tenant};
use http::{HeaderName, HeaderValue};
use router::{
    decide::{Attempt, Conversation, Counted, Plan, Refusal, Why},
    redact::Vault,
    wire::{self, Dialect, View},
};

use crate::{
    audit::{DroppedRecord, FoundRecord},
    exchange::Asked,
    reject::Failure,
    service::Router,
    snapshot::Snapshot,
};

/// What the router remembers.
#[derive(Debug)]
pub(crate) struct Memory {}

impl Memory {
    /// A memory whose hashes are keyed with `key`.
    pub(crate) fn new(_key: &[u8; 32]) -> Self {
        Self {}
    }
}

/// What is known of a request besides its body.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// The caller's dialect.
    pub(crate) dialect: Dialect,
    /// The model that the path names.
    pub(crate) model: Option<&'a str>,
    /// Who asks.
    pub(crate) tenant: &'a Tenant,
    /// Headers that might go to a backend.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Reads the body and asks. Takes processor time in proportion to what of the conversation is new.
///
/// # Errors
/// When the body is not understood or nobody may answer.
pub(crate) fn ask(
    router: &Router,
    snapshot: &Snapshot,
    question: Question<'_>,
    body: Bytes,
    now_ms: u64,
) -> Result<Asked, Failure> {
    let view = wire::read_for(question.dialect, question.model, &body).map_err(Failure::Read)?;
    let unhealthy = |candidate| !usable(router, snapshot, candidate, now_ms);
    let plan = decide(snapshot, &view, &unhealthy).map_err(Failure::Refused)?;
    let name = |attempt: &Attempt| {
        let model = snapshot.model(attempt.candidate).unwrap_or_default();
        wire::model_edit(&view, model)
    };
    let models = plan.attempts.iter().map(name).collect();
    let (dialect, stream) = (view.dialect, view.stream);
    let usage_edit = view.usage_edit.clone();
    drop(view);
    let headers = question.headers;
    Ok(Asked { dialect, stream, body, plan, models, usage_edit, headers })
}

fn decide(
    snapshot: &Snapshot,
    view: &View<'_>,
    unhealthy: &dyn Fn(usize) -> bool,
) -> Result<Plan, Refusal> {
    let count = snapshot.configuration.settings.candidates.len();
    let attempts: Vec<Attempt> = (0..count)
        .filter(|candidate| !unhealthy(*candidate))
        .map(|candidate| Attempt { candidate, expected: Cost::default() })
        .collect();
    if attempts.is_empty() {
        let message = "all are down".into();
        return Err(Refusal::NoBackend { status: 503, code: "backends_down", message });
    }
    Ok(Plan {
        sensitivity: Sensitivity::Public,
        found: vec![],
        edits: view.strip.clone(),
        vault: Arc::new(Vault::default()),
        attempts,
        input: Counted::default(),
        reason: "first".into(),
        dropped: vec![],
        conversation: Conversation::default(),
    })
}

/// Whether a candidate can be asked at all: its credential is there and its breaker lets calls pass.
fn usable(router: &Router, snapshot: &Snapshot, candidate: usize, now_ms: u64) -> bool {
    snapshot.place(candidate).is_some_and(|(backend, reach)| {
        reach.missing.is_none() && router.health.usable(backend.name.as_str(), now_ms)
    })
}

/// What was found, for the record.
pub(crate) fn found(plan: &Plan) -> Vec<FoundRecord> {
    let record = |found: &router::decide::Found| FoundRecord {
        label: found.label.as_str().to_owned(),
        count: found.count,
        action: found.action.as_str(),
    };
    plan.found.iter().map(record).collect()
}

/// Who was not asked, for the record.
pub(crate) fn dropped(snapshot: &Snapshot, plan: &Plan) -> Vec<DroppedRecord> {
    let candidates = &snapshot.configuration.settings.candidates;
    let record = |dropped: &router::decide::Dropped| {
        let candidate = candidates.get(dropped.candidate)?;
        Some(DroppedRecord {
            backend: candidate.backend.as_str().to_owned(),
            model: candidate.model.as_str().to_owned(),
            why: why(dropped.why),
        })
    };
    plan.dropped.iter().filter_map(record).collect()
}

fn why(why: Why) -> String {
    match why {
        Why::Ceiling { level, ceiling } => format!("{level} may go to {ceiling} at most"),
        Why::Context { needed, available } => format!("needs {needed} tokens, has {available}"),
        Why::Ability(ability) => format!("cannot do {ability}"),
        Why::Quality { needed } => format!("below quality {needed}"),
        Why::Dialect => "takes no dialect that fits".to_owned(),
        Why::NotAsked => "not asked for".to_owned(),
        Why::Unhealthy => "not healthy".to_owned(),
        Why::Budget => "over budget".to_owned(),
        Why::Price => "price unknown".to_owned(),
    }
}
