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

use crate::pace::Pace;

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

#[cfg(test)]
mod tests {
    use super::*;

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
