//! Tries the candidates of a plan in their order until one begins to answer.
//!
//! Another one is tried after a failed connection, a status that says "not now" or "not me", a time limit, or an answer
//! that breaks before its first content byte. Not here: one attempt (`attempt`), what a status means
//! (`backends::outcome`), the answer on its way (`answer`).
//! Invariants: only candidates of the plan are asked, each at most once; every attempt is recorded, also one that is
//! interrupted.

mod lost;
pub(crate) mod opening;
pub(crate) mod request;
pub(crate) mod upstream_answer;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use backends::{
    outcome::{self, Blame, Verdict},
    spoken,
    translate::Omitted,
};
use http::{HeaderName, HeaderValue, header};

use self::{
    lost::{Losses, Lost},
    opening::{Content, open},
    request::Built,
    upstream_answer::Upstream,
};
use crate::{
    attempt::{self, AttemptError},
    audit::AttemptRecord,
    exchange::Asked,
    health::Sign,
    reject::Failure,
    service::{Router, now_ms},
    snapshot::{Reach, Route, Snapshot},
};

/// The outcome of an attempt that has not ended.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What was tried so far; lives outside the future, so that an interruption does not lose it.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// One record per attempt.
    pub(crate) records: Vec<AttemptRecord>,
}

/// The candidate that answers.
pub(crate) struct Won {
    /// Its index among the candidates.
    pub(crate) candidate: usize,
    /// The status of its answer, 200 to 299.
    pub(crate) status: u16,
    /// The headers of its answer.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What it answers.
    pub(crate) content: Content,
    /// What its dialect had no words for.
    pub(crate) omitted: Omitted,
}

/// Tries one candidate after the other.
///
/// # Errors
/// What the caller is told when none of them answers.
pub(crate) async fn run(
    router: &Router,
    snapshot: &Snapshot,
    asked: &Asked,
    tried: &mut Tried,
) -> Result<Won, Failure> {
    let mut losses = Losses::default();
    for (place, attempt) in asked.attempts.iter().enumerate() {
        let one = Try { router, snapshot, asked, place, candidate: attempt.candidate };
        match one.run(tried).await {
            Ok(won) => {
                if tried.records.len() > 1 {
                    router.metrics.failovers.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(won);
            }
            Err(Lost::Final(failure)) => return Err(failure),
            Err(lost) => losses.add(lost),
        }
    }
    Err(losses.failure())
}

/// One attempt within a plan.
struct Try<'a> {
    router: &'a Router,
    snapshot: &'a Snapshot,
    asked: &'a Asked,
    place: usize,
    candidate: usize,
}

/// What an attempt said, for the record.
struct Outcome {
    word: &'static str,
    status: Option<u16>,
    sign: Sign,
}

impl Try<'_> {
    /// Asks the candidate and records what came of it.
    async fn run(&self, tried: &mut Tried) -> Result<Won, Lost> {
        let Some((backend, reach)) = self.snapshot.place(self.candidate) else {
            return Err(Lost::Failed);
        };
        let backend = backend.name.as_str();
        let model = self.snapshot.model(self.candidate).unwrap_or_default();
        let (health, now_ms) = (&self.router.health, now_ms());
        let serves = health.serves(backend, model, now_ms);
        if reach.missing.is_some() || !serves || !health.admit(backend, now_ms) {
            return Err(Lost::Failed);
        }
        let trial = Trial { router: self.router, backend, sign: Sign::Nothing };
        let started = Instant::now();
        tried.records.push(AttemptRecord {
            backend: backend.to_owned(),
            model: model.to_owned(),
            outcome: INTERRUPTED,
            status: None,
            started,
            took: Duration::ZERO,
        });
        let (result, outcome) = self.ask(reach).await;
        self.note(tried, &outcome, started.elapsed(), trial);
        result
    }

    fn note(&self, tried: &mut Tried, outcome: &Outcome, took: Duration, mut trial: Trial<'_>) {
        trial.sign = outcome.sign;
        self.router.metrics.attempt(trial.backend, outcome.word);
        if let Some(record) = tried.records.last_mut() {
            record.outcome = outcome.word;
            record.status = outcome.status;
            record.took = took;
        }
    }

    async fn ask(&self, reach: &Reach) -> (Result<Won, Lost>, Outcome) {
        let none = |word, sign| Outcome { word, status: None, sign };
        let Some(route) = self.route() else {
            return (Err(Lost::Failed), none("no_dialect", Sign::Nothing));
        };
        let built = request::build(self.snapshot, self.asked, self.place, self.candidate, route);
        let Built { request, translation, omitted } = match built {
            Ok(built) => built,
            Err(failure) => {
                let lost = Lost::Untranslatable(failure);
                return (Err(lost), none("untranslatable", Sign::Nothing));
            }
        };
        let timeouts = self.snapshot.configuration.timeouts;
        let first_byte = if self.asked.stream { timeouts.first_byte } else { timeouts.answer };
        let sent = attempt::attempt(&reach.pool, &reach.target, &request, first_byte).await;
        let upstream = match sent {
            Ok(session) => Upstream::new(session, reach),
            Err(error) => return (Err(unreached(error)), none(error.as_str(), Sign::Ill)),
        };
        let status = upstream.status();
        let verdict = outcome::judge(status, asked_wait(&upstream, status));
        let (result, word, sign) = match verdict {
            Verdict::Answer => {
                match open(upstream, self.asked, route.dialect, translation, timeouts).await {
                    Ok((headers, content)) => {
                        let candidate = self.candidate;
                        let won = Won { candidate, status, headers, content, omitted };
                        (Ok(won), "answered", Sign::Well)
                    }
                    Err((word, lost)) => (Err(lost), word, Sign::Ill),
                }
            }
            // What is no answer is boxed, so that an answer does not make room for it.
            Verdict::Retry { after, blame } => {
                Box::pin(upstream.discard()).await;
                if let Some(after) = after {
                    self.router.health.rest(reach.target.name(), after, now_ms());
                }
                refused(after, blame, status)
            }
            Verdict::CredentialRejected => {
                Box::pin(upstream.discard()).await;
                let sign = if status == 401 { Sign::Unauthorized } else { Sign::Forbidden };
                (Err(Lost::Credential), "credential_rejected", sign)
            }
            Verdict::Final | Verdict::ModelMissing => {
                let (failure, facts) = Box::pin(upstream.refusal(self.asked)).await;
                match outcome::reconsider(status, &facts) {
                    Verdict::ModelMissing => {
                        self.lacks(reach);
                        (Err(Lost::Missing(failure)), "model_missing", Sign::Well)
                    }
                    _ => (Err(Lost::Final(failure)), "refused", Sign::Well),
                }
            }
        };
        (result, Outcome { word, status: Some(status), sign })
    }

    /// Leaves the model alone that its backend does not have.
    fn lacks(&self, reach: &Reach) {
        let model = self.snapshot.model(self.candidate).unwrap_or_default();
        tracing::error!(backend = %reach.target, model, "the backend does not have this model");
        self.router.health.lacks(reach.target.name(), model, now_ms());
    }

    /// The route in the caller's own dialect, else the first one that the request can be translated to.
    fn route(&self) -> Option<&Route> {
        let candidate = self.snapshot.engine.settings().candidates.get(self.candidate)?;
        let dialect = spoken::dialect(candidate, self.asked.dialect)?;
        self.snapshot.routes(self.candidate).iter().find(|route| route.dialect == dialect)
    }
}

/// How long a backend that does not answer asks to wait.
fn asked_wait(upstream: &Upstream, status: u16) -> Option<Duration> {
    if (200..300).contains(&status) {
        return None;
    }
    outcome::asked_wait(
        upstream.text(header::RETRY_AFTER),
        upstream.text(HeaderName::from_static("retry-after-ms")),
        now_ms() / 1_000,
    )
}

fn unreached(error: AttemptError) -> Lost {
    match error {
        AttemptError::ConnectTimeout | AttemptError::FirstByteTimeout => Lost::Timeout,
        AttemptError::Connect
        | AttemptError::Tls
        | AttemptError::Broken
        | AttemptError::Protocol => Lost::Failed,
    }
}

fn refused(
    after: Option<Duration>,
    blame: Blame,
    status: u16,
) -> (Result<Won, Lost>, &'static str, Sign) {
    // A status below 500 says that the backend is up and has a reason.
    let sign = if status < 500 { Sign::Well } else { Sign::Ill };
    match blame {
        Blame::RateLimit => (Err(Lost::Busy(after)), "rate_limited", sign),
        Blame::Overloaded => (Err(Lost::Busy(after)), "overloaded", sign),
        Blame::ServerError => (Err(Lost::Failed), "server_error", sign),
        Blame::Timeout => (Err(Lost::Timeout), "timeout", sign),
    }
}

/// A place that the breaker gave; given back with what the attempt said, also when it is interrupted.
struct Trial<'a> {
    router: &'a Router,
    backend: &'a str,
    sign: Sign,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.router.health.record(self.backend, self.sign, now_ms()) {
            tracing::error!(
                backend = self.backend,
                "the backend refuses this router's credential and is left alone for a while; renew it"
            );
        }
    }
}
