//! ★ The story of one model call: who asks, what is asked, who may answer, who does, and the answer on its way back.
//!
//! Each step is a file of its own: `body`, `tenant`, `plan`, `failover` over `attempt`, `answer`.
//! Invariants: nothing is sent to a backend that the plan does not name. The caller is watched while anything is waited
//! for: when it leaves, the work for it ends within a moment.

use std::{borrow::Cow, pin::pin, sync::Arc};

use bytes::Bytes;
use domain::{Cost, Tenant};
use http::{HeaderName, HeaderValue, header};
use pingora::protocols::http::ServerSession;
use router::{
    decide::{Attempt, Plan},
    redact::Vault,
    wire::{self, Dialect, Edit},
};
use tokio::time::Instant;

use crate::{
    answer, body,
    call::Call,
    connection::{Interrupt, Limit, Stop, watched},
    failover::{self, Tried},
    health::Sign,
    models,
    plan::{self, Unanswered},
    reject::Failure,
    sandbox_token::SANDBOX_TOKEN_HEADER,
    service::{Router, now_ms},
    tenant::Caller,
};

/// Prompts larger than this are decided on away from the reactor, bytes.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// A request that has been read and decided on. What is settled at the end is not here but in the call.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The caller's dialect.
    pub(crate) dialect: Dialect,
    /// Whether the caller wants a stream.
    pub(crate) stream: bool,
    /// The body as it came, decoded.
    pub(crate) body: Bytes,
    /// Who may answer, in order.
    pub(crate) attempts: Vec<Attempt>,
    /// What is replaced in the body.
    pub(crate) edits: Vec<Edit>,
    /// What is replaced instead by an attempt at another backend than that of the last turn.
    pub(crate) foreign_edits: Option<Vec<Edit>>,
    /// What was hidden.
    pub(crate) vault: Arc<Vault>,
    /// For each attempt, the edit that names its model.
    pub(crate) models: Vec<Edit>,
    /// Makes a stream report its usage where the caller did not ask for it; the report is hidden again.
    pub(crate) usage_edit: Option<Edit>,
    /// Headers of the caller that a backend might see.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The model that the caller asked for, as [`Snapshot::known`](crate::snapshot::Snapshot::known) names it.
    pub(crate) model: Option<Box<str>>,
}

/// Does the whole exchange.
///
/// # Errors
/// [`Stop::Failure`] while the caller can still be told, else [`Stop::BrokenOff`].
pub(crate) async fn run(
    session: &mut ServerSession,
    call: &mut Call,
    dialect: Dialect,
    model: Option<Cow<'_, str>>,
) -> Result<(), Stop> {
    call.record.path = template(dialect);
    call.record.dialect = word(dialect);
    let tenant = tenant(&call.router, session)?;
    tenant.as_str().clone_into(&mut call.record.tenant);
    let timeouts = call.snapshot.configuration.timeouts;
    let deadline = Instant::from_std(call.started) + timeouts.total;
    let cut = call.router.flights.until_cut();
    let limit = pin!(async move {
        tokio::select! {
            biased;
            () = cut => Interrupt::Cut,
            () = tokio::time::sleep_until(deadline) => Interrupt::Total,
        }
    });
    let mut limit: Limit<'_> = limit;

    let router = Arc::clone(&call.router);
    let mut room = body::Room::new(&router.bodies);
    let body = body::read(session, limits(call), &mut room).await.map_err(unreadable)?;
    let headers = forwarded(session);
    let question = plan::Question { dialect, model: model.as_deref(), tenant: &tenant, headers };
    let decided = decide(session, call, &mut limit, question, body).await;
    if let Err(Stop::Failure(Failure::Refused(refusal))) = &decided
        && refusal.status() == 429
    {
        call.remaining = most_left(call, &tenant);
    }
    let (mut asked, mut plan) = decided?;
    note(call, &mut asked, &mut plan);
    let input = plan.input;
    if let Some(reserving) = call.hold(plan, timeouts.total) {
        let reserved = watched(session, &mut limit, reserving).await;
        reserved.map_err(|why| interrupted(call, why))?.map_err(|_| Failure::Books)?;
    }
    if dialect == Dialect::AnthropicCountTokens {
        return models::count(session, call, input).await;
    }

    let mut tried = Tried::default();
    let sent = Box::pin(failover::run(&call.router, &call.snapshot, &asked, &mut tried));
    let won = watched(session, &mut limit, sent).await;
    call.record.attempts = std::mem::take(&mut tried.records);
    let won = won.map_err(|why| interrupted(call, why))??;
    answer::give(session, call, &mut limit, &asked, won).await
}

/// Reads the prompt and asks the router.
async fn decide(
    session: &mut ServerSession,
    call: &mut Call,
    limit: &mut Limit<'_>,
    question: plan::Question<'_>,
    body: Bytes,
) -> Result<(Asked, Plan), Stop> {
    let router = Arc::clone(&call.router);
    let started = std::time::Instant::now();
    let asked = if body.len() <= INLINE_BYTES_MAX {
        let now_ms = call.ms_at(started);
        unharmed(|| plan::ask(&router, &call.snapshot, question, body, now_ms))
    } else {
        let place = Arc::clone(&router.deciding).acquire_owned();
        let place = watched(session, limit, place).await;
        let place = place.map_err(|why| interrupted(call, why))?;
        // Boxed, as what is rare should not make room for itself in every call.
        Box::pin(elsewhere(&router, call, question, body, place)).await
    };
    router.metrics.decide.observe(started.elapsed());
    asked.map_err(|unanswered| {
        call.record.found = unanswered.found.into_vec();
        call.record.sensitivity = unanswered.level;
        call.record.asked = unanswered.model;
        unanswered.failure.into()
    })
}

/// Decides on a thread for long work. Few such threads exist: each keeps tables of its own for counting and searching.
///
/// Is waited for to the end, however the call ends: a plan that nobody takes would keep its reservation for ever.
async fn elsewhere(
    router: &Arc<Router>,
    call: &Call,
    question: plan::Question<'_>,
    body: Bytes,
    place: impl Send + 'static,
) -> Result<(Asked, Plan), Unanswered> {
    let plan::Question { dialect, model, tenant, headers } = question;
    let (model, tenant) = (model.map(str::to_owned), tenant.clone());
    let (router, snapshot) = (Arc::clone(router), Arc::clone(&call.snapshot));
    let work = tokio::task::spawn_blocking(move || {
        let question =
            plan::Question { dialect, model: model.as_deref(), tenant: &tenant, headers };
        let asked = unharmed(|| plan::ask(&router, &snapshot, question, body, now_ms()));
        drop(place);
        asked
    });
    work.await.unwrap_or_else(|_| Err(Failure::Internal.into()))
}

/// Lets a call die of a mistake of ours without its connection.
fn unharmed<T>(work: impl FnOnce() -> Result<T, Unanswered>) -> Result<T, Unanswered> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(Failure::Internal.into()))
}

/// What the budgets leave for the backend that may still cost most.
fn most_left(call: &Call, tenant: &Tenant) -> Option<Cost> {
    let (engine, memory) = (&call.snapshot.engine, &call.router.memory);
    let candidates = 0..engine.settings().candidates.len();
    let now_ms = call.record.time_ms;
    candidates.filter_map(|one| engine.booked(memory, tenant, one, now_ms).1).max()
}

/// Takes note of what was decided.
fn note(call: &mut Call, asked: &mut Asked, plan: &mut Plan) {
    let record = &mut call.record;
    record.asked = asked.model.take();
    record.stream = asked.stream;
    record.sensitivity = Some(plan.sensitivity);
    record.reason = std::mem::take(&mut plan.reason);
    record.expected = plan.attempts.first().map(|attempt| attempt.expected);
    if call.router.notes() {
        record.found = plan::found(plan);
        record.dropped = plan::dropped(&call.snapshot, plan);
    }
}

/// What an interruption means before an answer has begun.
fn interrupted(call: &mut Call, why: Interrupt) -> Stop {
    match why {
        Interrupt::CallerLeft => {
            call.record.ended = "caller_left";
            Stop::BrokenOff
        }
        Interrupt::Cut => Failure::Stopping.into(),
        Interrupt::Total => {
            // Of answers that are no streams, this is the only limit that a backend which hangs can break.
            if let Some(last) = call.record.attempts.last_mut()
                && last.outcome == failover::INTERRUPTED
            {
                last.outcome = "total_timeout";
                call.router.health.record(&last.backend, Sign::Ill, now_ms());
            }
            Failure::Total.into()
        }
    }
}

fn unreadable(error: body::BodyError) -> Stop {
    match error {
        body::BodyError::Gone => Stop::BrokenOff,
        error => Failure::Body(error).into(),
    }
}

fn limits(call: &Call) -> body::Limits {
    let server = &call.snapshot.configuration.server;
    body::Limits { bytes_max: server.body_bytes_max, pause: server.body_timeout }
}

/// Who asks.
///
/// # Errors
/// A sandbox token that is not believed; nobody is taken for somebody else then.
fn tenant(router: &Router, session: &ServerSession) -> Result<Tenant, Failure> {
    let token = session.get_header_bytes(SANDBOX_TOKEN_HEADER);
    match &router.sandboxes {
        Some(key) if !token.is_empty() => {
            key.verify(token, now_ms() / 1000).map_err(Failure::Token)
        }
        _ => Ok(router.naming.of(caller(session))),
    }
}

/// Who asks, as far as a call itself tells.
fn caller(session: &ServerSession) -> Caller<'_> {
    let credential = [header::AUTHORIZATION.as_str(), "x-api-key", "api-key"]
        .into_iter()
        .map(|name| session.get_header_bytes(name))
        .find(|value| !value.is_empty());
    match credential {
        Some(value) => Caller::Credential(value),
        None => match session.client_addr().and_then(|address| address.as_inet()) {
            Some(address) => Caller::Address(address.ip()),
            None => Caller::Local,
        },
    }
}

/// The headers that might go to a backend; which do depends on its dialect.
fn forwarded(session: &ServerSession) -> Vec<(HeaderName, HeaderValue)> {
    let headers = &session.req_header().headers;
    let listed =
        headers.get(header::CONNECTION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let hop = |name: &HeaderName| {
        listed.split(',').any(|token| token.trim().eq_ignore_ascii_case(name.as_str()))
    };
    headers
        .iter()
        .filter(|(name, _)| backends::headers::forwarded(name.as_str()) && !hop(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The path of a dialect as it stands in records.
fn template(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat => "/v1/chat/completions",
        Dialect::OpenAiCompletions => "/v1/completions",
        Dialect::OpenAiResponses => "/v1/responses",
        Dialect::OpenAiEmbeddings => "/v1/embeddings",
        Dialect::AnthropicMessages => "/v1/messages",
        Dialect::AnthropicCountTokens => "/v1/messages/count_tokens",
    }
}

/// The word for a dialect in records and metrics.
fn word(dialect: Dialect) -> &'static str {
    backends::provider::dialect_word(dialect)
}

impl Asked {
    /// The pieces of the body for the attempt at `place`, in the caller's own dialect. `own` are edits for this attempt alone.
    pub(crate) fn spliced(&self, place: usize, own: Vec<Edit>) -> Vec<Bytes> {
        let foreign = self.attempts.get(place).is_some_and(|attempt| attempt.foreign);
        let other = self.foreign_edits.as_ref().filter(|_| foreign);
        let mut edits = other.unwrap_or(&self.edits).clone();
        edits.extend(self.models.get(place).cloned());
        edits.extend(self.usage_edit.clone());
        edits.extend(own);
        wire::splice(&self.body, edits)
    }
}
