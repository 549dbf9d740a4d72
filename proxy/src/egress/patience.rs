//! How long each way of an exchange may stand still, from when it last moved.
//!
//! An exchange waits for four things at once, again and again. A limit that began with each wait would never be met by a peer
//! that stands still while another one trickles. Invariant: what is waited for is late as soon as it has not moved for its
//! limit, whatever else moves.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The caller, to go on with its request.
    FromCaller,
    /// The server, to take what waits for it.
    ToServer,
    /// The server, to say something, or to take more of the request.
    FromServer,
    /// The caller, to take what waits for it.
    ToCaller,
}

/// Since when a way stands still.
#[derive(Debug)]
struct Stand {
    way: Way,
    limit: Duration,
    /// How far it was then; none where nothing is waited for.
    since: Option<(Instant, u64)>,
}

/// The limits of one exchange.
#[derive(Debug)]
pub(super) struct Patience {
    stands: [Stand; 4],
    /// Set to the time when something may be late, or to an earlier one: it is not moved for everything that moves.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Waits for nothing yet.
    pub(super) fn new(limits: [(Way, Duration); 4]) -> Self {
        let stands = limits.map(|(way, limit)| Stand { way, limit, since: None });
        Self { stands, alarm: None }
    }

    /// Takes notice of how far each way is, in the order of the limits: any number that changes when it moves, or none where it
    /// is not waited for. Tells which is late.
    pub(super) fn look(&mut self, far: [Option<u64>; 4]) -> Option<Way> {
        let now = Instant::now();
        for (stand, far) in self.stands.iter_mut().zip(far) {
            match (far, stand.since) {
                (Some(far), Some((_, before))) if far == before => {}
                (far, _) => stand.since = far.map(|far| (now, far)),
            }
        }
        let late = self.stands.iter().find(|stand| stand.due().is_some_and(|due| due <= now));
        late.map(|stand| stand.way)
    }

    /// Returns when it is time to look again. Cancel-safe.
    pub(super) async fn alarm(&mut self) {
        let Some(due) = self.stands.iter().filter_map(Stand::due).min() else {
            return std::future::pending().await;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < alarm.deadline() || alarm.is_elapsed() {
            alarm.as_mut().reset(due);
        }
        alarm.await;
    }
}

impl Stand {
    fn due(&self) -> Option<Instant> {
        let (since, _) = self.since?;
        since.checked_add(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> Patience {
        let ways = [Way::FromCaller, Way::ToServer, Way::FromServer, Way::ToCaller];
        let limit = |way: Way| if way == Way::ToCaller { 5 * SECOND } else { 60 * SECOND };
        Patience::new(ways.map(|way| (way, limit(way))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_stands_still_is_late_whatever_else_moves() {
        let mut patience = patience();
        let begun = Instant::now();
        let mut moved = 0;
        let late = loop {
            moved += 1;
            if let Some(late) = patience.look([Some(moved), None, Some(7), None]) {
                break late;
            }
            tokio::time::sleep(SECOND).await;
        };
        assert_eq!((late, begun.elapsed()), (Way::FromServer, 60 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_or_is_not_waited_for_is_not_late() {
        let mut patience = patience();
        for second in 0..200 {
            // Every fourth second there is nothing for the caller to take.
            let far = if second % 4 == 0 { None } else { Some(0) };
            assert_eq!(patience.look([Some(second / 50), None, None, far]), None, "{second}");
            tokio::time::sleep(SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_rings_in_time_also_for_what_is_waited_for_later() {
        let mut patience = patience();
        assert_eq!(patience.look([Some(0), None, None, None]), None);
        let turned = tokio::time::timeout(SECOND, patience.alarm());
        turned.await.unwrap_err();
        let begun = Instant::now();
        let mut far = [Some(0), None, None, Some(0)];
        let late = loop {
            if let Some(late) = patience.look(far) {
                break late;
            }
            patience.alarm().await;
        };
        assert_eq!((late, begun.elapsed()), (Way::ToCaller, 5 * SECOND));
        far[3] = None;
        let late = loop {
            if let Some(late) = patience.look(far) {
                break late;
            }
            patience.alarm().await;
        };
        assert_eq!((late, begun.elapsed()), (Way::FromCaller, 59 * SECOND));
        // Where nothing is waited for, it does not ring.
        assert_eq!(patience.look([None; 4]), None);
        tokio::time::timeout(600 * SECOND, patience.alarm()).await.unwrap_err();
    }
}
