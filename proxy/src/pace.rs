//! How often something may happen.

use std::time::{Duration, Instant};

/// A rate with a burst: one more each period, never more than the burst at once.
#[derive(Debug)]
pub(crate) struct Pace {
    burst: u32,
    period: Duration,
    left: u32,
    since: Instant,
}

impl Pace {
    pub(crate) fn new(burst: u32, period: Duration, now: Instant) -> Self {
        Self { burst, period, left: burst, since: now }
    }

    /// Whether one more may pass now.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
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
}
