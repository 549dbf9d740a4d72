//! Waiting for something to become true, with a limit.

use std::{
    thread,
    time::{Duration, Instant},
};

/// What a test may wait for one thing, on a busy machine with two cores.
pub const LONG: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(5);

/// Asks until `look` gives something; fails after `limit` with what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for {what}");
        thread::park_timeout(EVERY);
    }
}
