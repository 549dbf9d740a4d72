//! Messages of a WebSocket that were allowed, on record without an event for each.
//!
//! The first is recorded before it goes on; those that follow are decided one by one, and counted as long as the decision is
//! the same. Invariant: every message is in one event, a second adds at most two, and none waits longer than [`PERIOD`].

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::service::Record;
use crate::audit::{Activity, Event};

/// How long messages are counted before the count goes on record.
const PERIOD: Duration = Duration::from_secs(1);

/// The messages of one connection.
pub(super) struct Tally {
    record: Arc<dyn Record>,
    /// What was decided last, and how often since that was on record.
    last: Option<(Event, u64)>,
    since: Instant,
}

impl Tally {
    /// Counts nothing yet.
    pub(super) fn new(record: Arc<dyn Record>) -> Self {
        Self { record, last: None, since: Instant::now() }
    }

    /// Takes the decision about a message.
    pub(super) fn add(&mut self, event: Event) {
        match &mut self.last {
            Some((last, count)) if is_same(last, &event) => {
                *count = count.saturating_add(1);
                if self.since.elapsed() < PERIOD {
                    return;
                }
                self.tell();
            }
            _ => {
                self.tell();
                self.record.record(event.clone());
                self.last = Some((event, 0));
            }
        }
        self.since = Instant::now();
    }

    /// Returns when what was counted is due on record; never where nothing was. Cancel-safe.
    pub(super) async fn due(&self) {
        match self.last {
            Some((_, 1..)) => sleep_until(self.since + PERIOD).await,
            Some((_, 0)) | None => std::future::pending().await,
        }
    }

    /// Puts on record what was counted.
    pub(super) fn tell(&mut self) {
        let Some((event, counted @ 1..)) = &mut self.last else { return };
        let mut event = event.clone();
        event.time_ms = crate::service::now_ms();
        if let Activity::Request { count, .. } = &mut event.activity {
            *count = std::mem::take(counted);
        }
        self.record.record(event);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Whether two messages were decided alike.
fn is_same(one: &Event, other: &Event) -> bool {
    let decision = |event: &Event| (event.revision, event.outcome, event.reason);
    let words = |event: &Event| (event.policy.clone(), event.rule.clone(), event.detail.clone());
    decision(one) == decision(other) && one.activity == other.activity && words(one) == words(other)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use parking_lot::Mutex;

    use super::*;
    use crate::audit::Outcome;

    #[derive(Default)]
    struct Kept(Mutex<Vec<(u64, u64)>>);

    impl Record for Kept {
        fn record(&self, event: Event) {
            let Activity::Request { count, .. } = event.activity else { panic!("a message") };
            self.0.lock().push((event.revision, count));
        }
    }

    fn message(revision: u64) -> Event {
        let (method, path) = ("WEBSOCKET_TEXT".to_owned(), "/chat".to_owned());
        let activity = Activity::Request { scheme: "ws", method, path, status: None, count: 1 };
        Event::new("dev".into(), revision, activity, Outcome::Allowed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_messages_is_counted_and_another_decision_is_not_joined() {
        let kept = Arc::new(Kept::default());
        let mut tally = Tally::new(Arc::clone(&kept) as Arc<dyn Record>);
        for _ in 0..10_000 {
            tally.add(message(1));
        }
        assert_eq!(*kept.0.lock(), [(1, 1)], "the first is there at once");
        tokio::time::advance(PERIOD).await;
        tally.add(message(1));
        assert_eq!(*kept.0.lock(), [(1, 1), (1, 10_000)]);
        tally.add(message(1));
        tally.add(message(2));
        assert_eq!(kept.0.lock()[2..], [(1, 1), (2, 1)]);
        tally.add(message(2));
        tally.add(message(2));
        drop(tally);
        assert_eq!(kept.0.lock()[4..], [(2, 2)], "nothing is forgotten at the end");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_is_due_after_a_while_also_when_no_message_follows() {
        let kept = Arc::new(Kept::default());
        let mut tally = Tally::new(Arc::clone(&kept) as Arc<dyn Record>);
        let is_due = |tally: &Tally| {
            std::pin::pin!(tally.due()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        tally.add(message(1));
        tokio::time::advance(PERIOD).await;
        assert!(!is_due(&tally), "nothing was counted");
        tally.add(message(1));
        tally.add(message(1));
        tally.add(message(1));
        let begun = Instant::now();
        tally.due().await;
        assert!(begun.elapsed() <= PERIOD);
        tally.tell();
        assert_eq!(kept.0.lock().last(), Some(&(1, 2)));
        assert!(!is_due(&tally), "it was told");
    }
}
