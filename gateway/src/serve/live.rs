//! The open connections: how many there are, from where, who uses them, and how one is ended from outside.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::{
    failures::Source,
    peer::{Connection, Identity},
};

/// All open connections of a server.
#[derive(Debug, Default)]
pub struct Live {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
    sources: HashMap<Source, usize>,
}

/// The place of one connection, given back when dropped. A stream holds it, whatever the stream becomes.
#[derive(Debug)]
pub(crate) struct Place {
    _room: OwnedSemaphorePermit,
    live: Arc<Live>,
    number: u64,
    source: Option<Source>,
    connection: Arc<Connection>,
}

impl Live {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.state.lock().connections.len()
    }

    /// Ends every connection that this caller used, with all that is under way on it; says how many. To be called after
    /// the caller was made invalid: its next request, on whatever connection, is refused then.
    pub fn end(&self, identity: &Identity) -> usize {
        let all: Vec<_> = self.state.lock().connections.values().cloned().collect();
        let used = all.iter().filter(|connection| connection.is_used_by(identity));
        used.map(|connection| connection.end()).count()
    }

    /// Ends every connection that somebody used whose proof is over at `now`, seconds since 1970.
    pub fn end_over(&self, now: u64) {
        let all: Vec<_> = self.state.lock().connections.values().cloned().collect();
        all.iter().filter(|connection| connection.is_over(now)).for_each(|over| over.end());
    }

    /// Ends all of them.
    pub fn end_all(&self) {
        for connection in self.state.lock().connections.values() {
            connection.end();
        }
    }

    /// Makes a place of the room that its listener had for it; `None` when the source has `most` already.
    pub(crate) fn enter(
        self: &Arc<Self>,
        room: OwnedSemaphorePermit,
        source: Option<(Source, usize)>,
    ) -> Option<Place> {
        let mut state = self.state.lock();
        if let Some((source, most)) = source {
            let count = state.sources.entry(source).or_default();
            if *count >= most {
                drop(state);
                return None;
            }
            *count += 1;
        }
        let (number, connection) = (state.next, Arc::new(Connection::default()));
        state.next += 1;
        state.connections.insert(number, Arc::clone(&connection));
        let source = source.map(|(source, _)| source);
        Some(Place { _room: room, live: Arc::clone(self), number, source, connection })
    }
}

impl Place {
    /// The connection that has it.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.live.state.lock();
        state.connections.remove(&self.number);
        let Some(source) = self.source else { return };
        if let Some(count) = state.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                state.sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    fn room() -> OwnedSemaphorePermit {
        Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    #[test]
    fn a_source_has_its_share_and_gives_it_back() {
        let live = Arc::new(Live::default());
        let one = live.enter(room(), Some((source(1), 1))).unwrap();
        assert!(live.enter(room(), Some((source(1), 1))).is_none());
        let two = live.enter(room(), Some((source(2), 1))).unwrap();
        assert_eq!(live.count(), 2);
        drop(one);
        let three = live.enter(room(), Some((source(1), 1)));
        assert!(three.is_some(), "the source has left");
        drop((two, three));
        assert_eq!(live.count(), 0);
        assert!(live.state.lock().sources.is_empty());
    }

    #[test]
    fn a_caller_is_ended_wherever_it_was() {
        let live = Arc::new(Live::default());
        let mut places = Vec::new();
        for id in [1, 1, 2] {
            let place = live.enter(room(), None).unwrap();
            assert!(place.connection().note(Identity::Sandbox(Uuid::from_u128(id)), None));
            places.push(place);
        }
        assert_eq!(live.end(&Identity::Sandbox(Uuid::from_u128(1))), 2);
        let ended: Vec<_> =
            places.iter().map(|place| place.connection().ended().is_cancelled()).collect();
        assert_eq!(ended, [true, true, false]);
        live.end_all();
        assert!(places[2].connection().ended().is_cancelled());
    }
}
