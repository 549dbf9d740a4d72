//! Room for the bodies of requests that a sandbox makes us hold at once.
//!
//! A body is collected where it is judged, rewritten or signed as a whole; each is bounded, and here all of them are together.
//! Invariant: what was taken is given back when its [`Held`] is gone.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use domain::limits::EGRESS_BODIES_BYTES_MAX;

/// The room of one sandbox.
#[derive(Debug, Default)]
pub(super) struct Room {
    used: AtomicUsize,
}

impl Room {
    /// Takes nothing yet.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        Held { room: Arc::clone(self), bytes: 0 }
    }
}

/// What one request has taken of the room.
#[derive(Debug)]
pub(super) struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Held {
    /// Takes more; false where there is none left, and nothing is taken.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let fits =
            |used: usize| used.checked_add(bytes).filter(|sum| *sum <= EGRESS_BODIES_BYTES_MAX);
        let grown = self.room.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if grown {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_bounded_and_given_back() {
        let room = Arc::new(Room::default());
        let (mut one, mut other) = (room.hold(), room.hold());
        assert!(one.grow(EGRESS_BODIES_BYTES_MAX - 1) && other.grow(1));
        assert!(!other.grow(1) && !one.grow(usize::MAX));
        drop(one);
        assert!(other.grow(EGRESS_BODIES_BYTES_MAX - 1) && !other.grow(1));
    }
}
