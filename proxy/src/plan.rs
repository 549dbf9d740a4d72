//! Asks the router who may answer a request: the only place that calls its engine.

use std::collections::BTreeMap;

use backends::configuration::Backend;
use bytes::Bytes;
use domain::{Sensitivity, Tenant};
use http::{HeaderName, HeaderValue};
use router::{
    decide::{self, Attempt, Located, Plan, Refusal, Why},
    hash::HashKey,
    wire::{self, Dialect},
};

pub(crate) use router::decide::Memory;

use crate::{
    audit::{DroppedRecord, FoundRecord},
    exchange::Asked,
    health::{Cause, Out},
    reject::Failure,
    service::Router,
    snapshot::Snapshot,
};

/// A memory whose hashes and placeholders are keyed with `key`, each with its own half.
pub(crate) fn memory(key: &[u8; 32]) -> Memory {
    use sha2::{Digest, Sha256};
    let derived = |purpose: &[u8]| -> [u8; 32] {
        Sha256::new_with_prefix(key).chain_update(purpose).finalize().into()
    };
    let mut hash = [0; 16];
    for (to, from) in hash.iter_mut().zip(derived(b"hash")) {
        *to = from;
    }
    Memory::new(decide::Keys { hash: HashKey::new(hash), mask: derived(b"mask") })
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

/// Why nobody answers, and what was found in the prompt.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// What the caller is told.
    pub(crate) failure: Failure,
    /// What was found, for the record.
    pub(crate) found: Box<[FoundRecord]>,
    /// The level of what was found.
    pub(crate) level: Option<Sensitivity>,
    /// The model that was asked for, where spans are made and the name is known here.
    pub(crate) model: Option<Box<str>>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, found: Box::default(), level: None, model: None }
    }
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
) -> Result<(Asked, Plan), Unanswered> {
    let view = wire::read_for(question.dialect, question.model, &body).map_err(Failure::Read)?;
    let known = router.spans.as_ref().and_then(|_| snapshot.known(&view.model)).map(Box::from);
    let unhealthy = |candidate| !usable(router, snapshot, candidate, now_ms);
    let asking = decide::Question {
        view: &view,
        body: &body,
        tenant: question.tenant,
        now_ms,
        unhealthy: &unhealthy,
        noted: router.notes(),
    };
    let decided = snapshot.engine.decide(&router.memory, &asking);
    let mut plan = decided.map_err(|refusal| {
        // Examined before: the findings are remembered.
        let located = snapshot.engine.findings(&router.memory, &asking);
        Unanswered {
            failure: refused(router, snapshot, refusal, now_ms),
            level: located.iter().map(|located| located.level).max(),
            found: counted(&located).into(),
            model: known.clone(),
        }
    })?;
    let name = |attempt: &Attempt| {
        let model = snapshot.model(attempt.candidate).unwrap_or_default();
        wire::model_edit(&view, model)
    };
    let models = plan.attempts.iter().map(name).collect();
    // Reasoning that this router made up in a translation means nothing to any provider.
    let made_up = backends::translate::strip_foreign(view.dialect, &body).unwrap_or_default();
    plan.edits.extend(made_up.iter().cloned());
    if let Some(edits) = &mut plan.foreign_edits {
        edits.extend(made_up);
    }
    let (dialect, stream) = (view.dialect, view.stream);
    let usage_edit = view.usage_edit.clone();
    drop(view);
    let asked = Asked {
        dialect,
        stream,
        body,
        attempts: plan.attempts.clone(),
        edits: std::mem::take(&mut plan.edits),
        foreign_edits: plan.foreign_edits.take(),
        vault: std::sync::Arc::clone(&plan.vault),
        models,
        usage_edit,
        headers: question.headers,
        model: known,
    };
    Ok((asked, plan))
}

/// The refusal, or why nobody is left: everybody who could answer asked for time, then the caller learns when to come back;
/// or nobody takes our credential, and waiting does not help.
fn refused(router: &Router, snapshot: &Snapshot, refusal: Refusal, now_ms: u64) -> Failure {
    let down = matches!(refusal, Refusal::NoBackend { status: 503, .. });
    let backends = snapshot.configuration.backends.iter().filter(|_| down);
    let left = backends.filter_map(|backend| router.health.resting(backend.name.as_str(), now_ms));
    match left.min() {
        Some(after) => Failure::Busy { after: Some(after) },
        None if down && locked_out(router, snapshot, now_ms) => Failure::Credential,
        None => Failure::Refused(refusal),
    }
}

/// Whether every backend refuses our credential.
fn locked_out(router: &Router, snapshot: &Snapshot, now_ms: u64) -> bool {
    let out = router.health.out(now_ms);
    let refuses = |backend: &Backend| {
        let of = |out: &&Out| out.backend == backend.name.as_str();
        out.iter().filter(of).any(|out| out.cause == Cause::Credential)
    };
    snapshot.configuration.backends.iter().all(refuses)
}

/// Whether a candidate can be asked at all: its credential is there and its breaker lets calls pass.
fn usable(router: &Router, snapshot: &Snapshot, candidate: usize, now_ms: u64) -> bool {
    snapshot.place(candidate).is_some_and(|(backend, reach)| {
        let model = snapshot.model(candidate).unwrap_or_default();
        reach.missing.is_none() && router.health.serves(backend.name.as_str(), model, now_ms)
    })
}

/// What was found, for the record.
pub(crate) fn found(plan: &Plan) -> Vec<FoundRecord> {
    let record = |found: &decide::Found| FoundRecord {
        label: found.label.as_str().to_owned(),
        count: found.count,
        action: found.action.as_str(),
    };
    plan.found.iter().map(record).collect()
}

/// Findings per label and action, examples left out.
fn counted(located: &[Located]) -> Vec<FoundRecord> {
    let mut counts: BTreeMap<(&str, &'static str), u32> = BTreeMap::new();
    for located in located.iter().filter(|located| !located.finding.example) {
        let key = (located.finding.label.as_str(), located.action.as_str());
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
    }
    let record = |((label, action), count): ((&str, _), _)| FoundRecord {
        label: label.to_owned(),
        count,
        action,
    };
    counts.into_iter().map(record).collect()
}

/// Who was not asked, for the record.
pub(crate) fn dropped(snapshot: &Snapshot, plan: &Plan) -> Vec<DroppedRecord> {
    let candidates = &snapshot.engine.settings().candidates;
    let record = |dropped: &decide::Dropped| {
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
