//! Which refused names go on record: each once in a while, and few at once.
//!
//! Invariant: what a sandbox asks costs bounded memory and a bounded part of the record; what is left out is counted.

use std::{
    fmt,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use domain::Host;
use lru::LruCache;
use parking_lot::Mutex;
use simple_dns::TYPE;

/// How long a name that is on record is not put there again.
const QUIET: Duration = Duration::from_mins(1);

/// Most names that are remembered as recorded.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// Records at once, and how often another may follow.
const BURST: u32 = 64;
const PERIOD: Duration = Duration::from_millis(100);

/// A name that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The name.
    pub name: &'a Host,
    /// The type of record that was asked for.
    pub kind: TYPE,
    /// How many others were refused since the last that was told, and not told.
    pub unlisted: u64,
}

/// Tells of refused names.
pub(super) struct Reports {
    tell: Box<dyn Fn(&Refused<'_>) + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    told: LruCache<Host, Instant>,
    pace: Pace,
    unlisted: u64,
}

impl Reports {
    pub(super) fn new(tell: impl Fn(&Refused<'_>) + Send + Sync + 'static) -> Self {
        let told = LruCache::new(REMEMBERED_MAX);
        let pace = Pace::new(BURST, PERIOD, Instant::now());
        Self { tell: Box::new(tell), state: Mutex::new(State { told, pace, unlisted: 0 }) }
    }

    pub(super) fn refused(&self, name: &Host, kind: TYPE) {
        let unlisted = self.state.lock().admit(name, Instant::now());
        if let Some(unlisted) = unlisted {
            (self.tell)(&Refused { name, kind, unlisted });
        }
    }
}

impl State {
    /// Whether a name is told of now, and how many were not since the last.
    fn admit(&mut self, name: &Host, now: Instant) -> Option<u64> {
        let told = self.told.get(name);
        if told.is_some_and(|told| now.saturating_duration_since(*told) < QUIET) {
            return None;
        }
        if !self.pace.admit(now) {
            self.unlisted = self.unlisted.saturating_add(1);
            return None;
        }
        self.told.put(name.clone(), now);
        Some(std::mem::take(&mut self.unlisted))
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}

/// A rate with a burst: one more each period, never more than the burst at once.
#[derive(Debug)]
pub(super) struct Pace {
    burst: u32,
    period: Duration,
    left: u32,
    since: Instant,
}

impl Pace {
    pub(super) fn new(burst: u32, period: Duration, now: Instant) -> Self {
        Self { burst, period, left: burst, since: now }
    }

    /// Whether one more may pass now.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let gone = now.saturating_duration_since(self.since).as_nanos();
        let earned = gone.checked_div(self.period.as_nanos()).unwrap_or_default();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(self.burst);
            // What is less than a period is kept for the next.
            self.since += self.period.saturating_mul(earned);
        }
        let admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_gives_its_burst_and_then_one_a_period() {
        let start = Instant::now();
        let mut pace = Pace::new(3, Duration::from_secs(1), start);
        let mut at = |ms: u64| pace.admit(start + Duration::from_millis(ms));
        assert_eq!([0, 0, 0, 0].map(&mut at), [true, true, true, false]);
        assert_eq!(
            [900, 1_100, 1_200, 2_050, 2_060].map(&mut at),
            [false, true, false, true, false]
        );
        assert_eq!([60_000; 4].map(&mut at), [true, true, true, false]);
    }

    #[test]
    fn a_flood_of_names_is_told_of_in_part_and_counted() {
        let now = Instant::now();
        let pace = Pace::new(BURST, PERIOD, now);
        let mut state = State { told: LruCache::new(REMEMBERED_MAX), pace, unlisted: 0 };
        let host = |number: u32| format!("n{number}.example").parse().unwrap();
        let told = (0..1_000).filter(|number| state.admit(&host(*number), now).is_some()).count();
        assert_eq!(told, 64);
        let later = now + Duration::from_secs(1);
        assert_eq!(state.admit(&host(0), later), None, "the same name is not told of twice");
        assert_eq!(state.admit(&host(2_000), later), Some(936));
        assert_eq!(state.admit(&host(2_001), later), Some(0));
        assert_eq!(state.admit(&host(0), now + QUIET), Some(0));
    }
}
