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

/// A single try that never reported back is forgotten after this time, milliseconds.
const TRIAL_MS_MAX: u64 = 60_000;

/// What one call says about a backend's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answered, if only to refuse the request.
    Well,
    /// It did not answer, or with an error of its own.
    Ill,
    /// The call says nothing, such as one that the caller ended.
    Nothing,
}

/// Longest rest that a backend gets because it asked for it, milliseconds: its word may be wrong.
const REST_MS_MAX: u64 = 5 * 60_000;

/// The breaker of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    state: State,
    /// The backend asked not to be asked before.
    rest_until_ms: u64,
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
        self.state = match (sign, self.state) {
            (Sign::Well, _) => State::default(),
            (Sign::Nothing, State::HalfOpen { waited_ms, .. }) => {
                State::Open { until_ms: now_ms, waited_ms }
            }
            (Sign::Nothing, state) => state,
            (Sign::Ill, State::Closed { failures }) => {
                let failures = failures.saturating_add(1);
                if failures < FAILURES_MAX { State::Closed { failures } } else { open(now_ms, 0) }
            }
            (Sign::Ill, State::HalfOpen { waited_ms, .. }) => open(now_ms, waited_ms),
            // A call that began before the breaker opened says nothing new.
            (Sign::Ill, state @ State::Open { .. }) => state,
        };
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

fn open(now_ms: u64, waited_ms: u64) -> State {
    let waited_ms = waited_ms.saturating_mul(2).clamp(OPEN_MS_MIN, OPEN_MS_MAX);
    State::Open { until_ms: now_ms.saturating_add(waited_ms), waited_ms }
}

/// The breakers of all backends, by name. Backends that left the configuration are forgotten at the next reload.
#[derive(Debug, Default)]
pub(crate) struct Health {
    breakers: Mutex<BTreeMap<String, Breaker>>,
}

impl Health {
    /// Whether a call may be planned for this backend now.
    pub(crate) fn usable(&self, backend: &str, now_ms: u64) -> bool {
        self.breakers.lock().get(backend).is_none_or(|breaker| breaker.usable(now_ms))
    }

    /// Takes the place of a call that is about to be sent; false if there is none.
    pub(crate) fn admit(&self, backend: &str, now_ms: u64) -> bool {
        self.breakers.lock().get_mut(backend).is_none_or(|breaker| breaker.admit(now_ms))
    }

    /// Leaves a backend alone for as long as it asked for.
    pub(crate) fn rest(&self, backend: &str, after: Duration, now_ms: u64) {
        self.breakers.lock().entry(backend.to_owned()).or_default().rest(after, now_ms);
    }

    /// How long a backend still rests because it asked for it.
    pub(crate) fn resting(&self, backend: &str, now_ms: u64) -> Option<Duration> {
        let until = self.breakers.lock().get(backend)?.rest_until_ms;
        until.checked_sub(now_ms).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// Takes note of how a call ended.
    pub(crate) fn record(&self, backend: &str, sign: Sign, now_ms: u64) {
        let mut breakers = self.breakers.lock();
        match breakers.get_mut(backend) {
            Some(breaker) => breaker.record(sign, now_ms),
            None if sign == Sign::Ill => {
                breakers.entry(backend.to_owned()).or_default().record(sign, now_ms);
            }
            None => {}
        }
    }

    /// Whether an open breaker has waited long enough for a probe.
    pub(crate) fn due(&self, backend: &str, now_ms: u64) -> bool {
        let breakers = self.breakers.lock();
        breakers
            .get(backend)
            .is_some_and(|breaker| breaker.condition() == Condition::Open && breaker.usable(now_ms))
    }

    /// Forgets every backend that `keep` does not name.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.breakers.lock().retain(|backend, _| keep(backend));
    }

    /// The state of every backend that has ever failed.
    pub(crate) fn conditions(&self) -> Vec<(String, Condition)> {
        let breakers = self.breakers.lock();
        breakers.iter().map(|(name, breaker)| (name.clone(), breaker.condition())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            breaker.record(Sign::Ill, 0);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::default();
        for sign in [Sign::Ill, Sign::Ill, Sign::Well, Sign::Ill, Sign::Ill] {
            breaker.record(sign, 0);
        }
        assert!(breaker.usable(0));
        breaker.record(Sign::Ill, 0);
        assert!(!breaker.usable(OPEN_MS_MIN - 1));
        assert_eq!(breaker.condition(), Condition::Open);
    }

    #[test]
    fn one_call_tries_and_its_outcome_decides() {
        let mut breaker = opened();
        assert!(breaker.admit(OPEN_MS_MIN));
        assert!(!breaker.admit(OPEN_MS_MIN), "a second one waits");
        breaker.record(Sign::Ill, 6_000);
        assert!(!breaker.usable(6_000 + 2 * OPEN_MS_MIN - 1), "the wait doubles");
        assert!(breaker.admit(6_000 + 2 * OPEN_MS_MIN));
        breaker.record(Sign::Well, 17_000);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_try_that_says_nothing_lets_the_next_one_try() {
        let mut breaker = opened();
        assert!(breaker.admit(OPEN_MS_MIN));
        breaker.record(Sign::Nothing, OPEN_MS_MIN);
        assert!(breaker.admit(OPEN_MS_MIN));
        assert!(breaker.usable(OPEN_MS_MIN + TRIAL_MS_MAX + 1), "a lost try is forgotten");
    }

    #[test]
    fn a_backend_that_asks_for_time_gets_it_within_reason() {
        let mut breaker = Breaker::default();
        breaker.rest(Duration::from_secs(10), 1_000);
        assert!(!breaker.admit(10_999) && breaker.admit(11_000));
        breaker.rest(Duration::MAX, 0);
        assert!(breaker.usable(REST_MS_MAX) && !breaker.usable(REST_MS_MAX - 1));
    }

    #[test]
    fn the_wait_never_exceeds_its_bound() {
        let (mut breaker, mut now) = (opened(), 0);
        for _ in 0..10 {
            now += OPEN_MS_MAX;
            assert!(breaker.admit(now));
            breaker.record(Sign::Ill, now);
        }
        assert!(breaker.usable(now + OPEN_MS_MAX));
    }
}
