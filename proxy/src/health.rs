//! The circuit breaker of one backend, as pure state: outcomes and the time go in, usable or not comes out. Around it,
//! the table of all breakers.
//!
//! Not here: who asks, and the probes that look whether an open backend has come back (`probe`).
//! Invariant: while half open, at most one call tries the backend.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 3;

/// First time that an open breaker waits, milliseconds.
const OPEN_MS_MIN: u64 = 5_000;

/// Longest time that an open breaker waits, milliseconds.
const OPEN_MS_MAX: u64 = 60_000;

/// First time that a backend is left alone which refuses our credential, milliseconds. Only its operator can help.
const LOCKED_MS_MIN: u64 = 60_000;

/// Longest such time, milliseconds.
const LOCKED_MS_MAX: u64 = 15 * 60_000;

/// How long a model is left alone that its backend does not have, milliseconds.
const MISSING_MS: u64 = 5 * 60_000;

/// A single try that never reported back is forgotten after this time, milliseconds.
const TRIAL_MS_MAX: u64 = 60_000;

/// What one call says about a backend's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answered, if only to refuse the request.
    Well,
    /// It did not answer, or with an error of its own.
    Ill,
    /// It does not know our credential (401).
    Unauthorized,
    /// It refuses our credential, or what was asked with it (403); only several in a row tell which.
    Forbidden,
    /// The call says nothing, such as one that the caller ended.
    Nothing,
}

/// Longest rest that a backend gets because it asked for it, milliseconds: its word may be wrong.
const REST_MS_MAX: u64 = 5 * 60_000;

/// The breaker of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    state: State,
    /// Why it opened.
    cause: Cause,
    /// The backend asked not to be asked before.
    rest_until_ms: u64,
}

/// Why a backend, or a model of it, is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Calls fail.
    #[default]
    Failing,
    /// It refuses our credential.
    Credential,
    /// It asked for time.
    Resting,
    /// It does not have this model.
    ModelMissing,
}

impl Cause {
    /// One word for metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Credential => "credential",
            Self::Resting => "resting",
            Self::ModelMissing => "model_missing",
        }
    }

    /// What it is, for the operator.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Failing => "calls fail",
            Self::Credential => "it refuses this router's credential; renew it",
            Self::Resting => "it asked for time",
            Self::ModelMissing => "it does not have this model; correct its id in the router file",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until_ms: u64, waited_ms: u64 },
    HalfOpen { since_ms: u64, waited_ms: u64 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// The state of a breaker, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Calls pass.
    Closed,
    /// One call tries.
    HalfOpen,
    /// No call passes.
    Open,
}

impl Breaker {
    /// Whether a call may be planned for this backend now. Takes no place.
    pub(crate) fn usable(&self, now_ms: u64) -> bool {
        now_ms >= self.rest_until_ms && self.passes(now_ms)
    }

    fn passes(&self, now_ms: u64) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until_ms, .. } => now_ms >= until_ms,
            State::HalfOpen { since_ms, .. } => now_ms.saturating_sub(since_ms) > TRIAL_MS_MAX,
        }
    }

    /// Takes the place of a call that is about to be sent; false if there is none.
    pub(crate) fn admit(&mut self, now_ms: u64) -> bool {
        let admitted = self.usable(now_ms);
        match self.state {
            State::Open { waited_ms, .. } | State::HalfOpen { waited_ms, .. } if admitted => {
                self.state = State::HalfOpen { since_ms: now_ms, waited_ms };
            }
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => {}
        }
        admitted
    }

    /// Leaves the backend alone for as long as it asked for, within reason.
    pub(crate) fn rest(&mut self, after: Duration, now_ms: u64) {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).min(REST_MS_MAX);
        self.rest_until_ms = now_ms.saturating_add(after_ms);
    }

    /// Takes note of how a call ended.
    pub(crate) fn record(&mut self, sign: Sign, now_ms: u64) {
        let (failures, waited_ms) = match self.state {
            State::Closed { failures } => (failures.saturating_add(1), 0),
            State::HalfOpen { waited_ms, .. } => (FAILURES_MAX, waited_ms),
            // A call that began before the breaker opened says nothing new.
            State::Open { .. } if sign != Sign::Well => return,
            State::Open { .. } => (0, 0),
        };
        match sign {
            Sign::Well => (self.state, self.cause) = (State::default(), Cause::default()),
            Sign::Nothing => {
                if let State::HalfOpen { .. } = self.state {
                    self.state = State::Open { until_ms: now_ms, waited_ms };
                }
            }
            Sign::Unauthorized => self.open(Cause::Credential, waited_ms, now_ms),
            Sign::Ill | Sign::Forbidden if failures < FAILURES_MAX => {
                self.state = State::Closed { failures };
            }
            Sign::Ill => self.open(Cause::Failing, waited_ms, now_ms),
            Sign::Forbidden => self.open(Cause::Credential, waited_ms, now_ms),
        }
    }

    fn open(&mut self, cause: Cause, waited_ms: u64, now_ms: u64) {
        let (least, most) = match cause {
            Cause::Credential => (LOCKED_MS_MIN, LOCKED_MS_MAX),
            _ => (OPEN_MS_MIN, OPEN_MS_MAX),
        };
        let waited_ms = waited_ms.saturating_mul(2).clamp(least, most);
        let until_ms = now_ms.saturating_add(waited_ms);
        (self.state, self.cause) = (State::Open { until_ms, waited_ms }, cause);
    }

    /// Why and for how many milliseconds no call is planned; `None` when calls are.
    fn out(&self, now_ms: u64) -> Option<(Cause, u64)> {
        let left = match self.state {
            State::Closed { .. } => 0,
            State::Open { until_ms, .. } => until_ms.saturating_sub(now_ms),
            State::HalfOpen { .. } if self.passes(now_ms) => 0,
            State::HalfOpen { .. } => 1,
        };
        let rest = self.rest_until_ms.saturating_sub(now_ms);
        match (left, rest) {
            (0, 0) => None,
            (0, rest) => Some((Cause::Resting, rest)),
            (left, _) => Some((self.cause, left)),
        }
    }

    /// The state, for people and metrics.
    pub(crate) fn condition(&self) -> Condition {
        match self.state {
            State::Closed { .. } => Condition::Closed,
            State::Open { .. } => Condition::Open,
            State::HalfOpen { .. } => Condition::HalfOpen,
        }
    }
}

/// What is known of one backend.
#[derive(Debug, Default)]
struct Entry {
    breaker: Breaker,
    /// Models that it does not have, with the time at which one is asked for again. Names of the configuration only.
    missing: BTreeMap<String, u64>,
}

/// Something that is not asked for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Out {
    /// The backend.
    pub(crate) backend: String,
    /// Its model, if not all of them are meant.
    pub(crate) model: Option<String>,
    /// Why.
    pub(crate) cause: Cause,
    /// How long yet.
    pub(crate) left: Duration,
}

/// The breakers of all backends, by name. Backends that left the configuration are forgotten at the next reload.
#[derive(Debug, Default)]
pub(crate) struct Health {
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Health {
    /// Whether a call may be planned for this backend now.
    pub(crate) fn usable(&self, backend: &str, now_ms: u64) -> bool {
        self.entries.lock().get(backend).is_none_or(|entry| entry.breaker.usable(now_ms))
    }

    /// Whether a call may be planned for this model of the backend now.
    pub(crate) fn serves(&self, backend: &str, model: &str, now_ms: u64) -> bool {
        self.entries.lock().get(backend).is_none_or(|entry| {
            let until = entry.missing.get(model);
            entry.breaker.usable(now_ms) && until.is_none_or(|until| now_ms >= *until)
        })
    }

    /// Takes the place of a call that is about to be sent; false if there is none.
    pub(crate) fn admit(&self, backend: &str, now_ms: u64) -> bool {
        self.entries.lock().get_mut(backend).is_none_or(|entry| entry.breaker.admit(now_ms))
    }

    /// Leaves a backend alone for as long as it asked for.
    pub(crate) fn rest(&self, backend: &str, after: Duration, now_ms: u64) {
        self.entries.lock().entry(backend.to_owned()).or_default().breaker.rest(after, now_ms);
    }

    /// How long a backend still rests because it asked for it.
    pub(crate) fn resting(&self, backend: &str, now_ms: u64) -> Option<Duration> {
        let until = self.entries.lock().get(backend)?.breaker.rest_until_ms;
        until.checked_sub(now_ms).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// Leaves a model alone that its backend does not have.
    pub(crate) fn lacks(&self, backend: &str, model: &str, now_ms: u64) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(backend.to_owned()).or_default();
        entry.missing.insert(model.to_owned(), now_ms.saturating_add(MISSING_MS));
    }

    /// Takes note of how a call ended. True when that closed the backend out for want of a credential.
    pub(crate) fn record(&self, backend: &str, sign: Sign, now_ms: u64) -> bool {
        let mut entries = self.entries.lock();
        let silent = matches!(sign, Sign::Well | Sign::Nothing);
        if silent && !entries.contains_key(backend) {
            return false;
        }
        let breaker = &mut entries.entry(backend.to_owned()).or_default().breaker;
        let before = breaker.condition();
        breaker.record(sign, now_ms);
        breaker.cause == Cause::Credential
            && breaker.condition() == Condition::Open
            && before != Condition::Open
    }

    /// Whether an open breaker has waited long enough for a probe.
    pub(crate) fn due(&self, backend: &str, now_ms: u64) -> bool {
        self.entries.lock().get(backend).is_some_and(|entry| {
            entry.breaker.condition() == Condition::Open && entry.breaker.usable(now_ms)
        })
    }

    /// After a reload: forgets every backend that `keep` does not name, and everything that the operator may have put
    /// right, which are credentials and names of models.
    pub(crate) fn reloaded(&self, keep: impl Fn(&str) -> bool) {
        let mut entries = self.entries.lock();
        entries.retain(|backend, _| keep(backend));
        for entry in entries.values_mut() {
            entry.missing.clear();
            if entry.breaker.cause == Cause::Credential {
                entry.breaker = Breaker::default();
            }
        }
    }

    /// The state of every backend that has ever failed.
    pub(crate) fn conditions(&self) -> Vec<(String, Condition)> {
        let entries = self.entries.lock();
        entries.iter().map(|(name, entry)| (name.clone(), entry.breaker.condition())).collect()
    }

    /// What is not asked for now, and why.
    pub(crate) fn out(&self, now_ms: u64) -> Vec<Out> {
        let entries = self.entries.lock();
        let mut all = Vec::new();
        for (backend, entry) in entries.iter() {
            let mut add = |model: Option<&String>, cause, left_ms| {
                let left = Duration::from_millis(left_ms);
                all.push(Out { backend: backend.clone(), model: model.cloned(), cause, left });
            };
            if let Some((cause, left_ms)) = entry.breaker.out(now_ms) {
                add(None, cause, left_ms);
            }
            for (model, until) in entry.missing.iter().filter(|(_, until)| **until > now_ms) {
                add(Some(model), Cause::ModelMissing, until.saturating_sub(now_ms));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
