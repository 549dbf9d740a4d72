//! What was seen at `connect()`: socket to caller. Bounded; the oldest go first, and a connection whose record is gone is
//! refused.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use proxy::egress::Unidentified;

use super::process::Who;

/// The most sockets that are remembered. They are needed from `connect()` to the accept that follows at once; connections
/// among the programs of a sandbox are never asked for and only age.
const RECORDS_MAX: usize = 8192;

/// Who called `connect()` on a socket, or why that cannot be known.
pub(super) type Record = Result<Arc<Who>, Unidentified>;

#[derive(Debug, Default)]
pub(super) struct Records {
    /// By cookie, which the kernel never gives twice.
    known: HashMap<u64, Record>,
    order: VecDeque<u64>,
}

impl Records {
    /// A socket on which different callers call `connect()` belongs to neither: the first may have failed and handed it on.
    pub(super) fn insert(&mut self, cookie: u64, record: Record) {
        if let Some(known) = self.known.get_mut(&cookie) {
            if !agree(known, &record) {
                *known = Err(Unidentified::Ambiguous("several called connect() on it".to_owned()));
            }
            return;
        }
        if self.order.len() >= RECORDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(cookie);
        self.known.insert(cookie, record);
    }

    pub(super) fn get(&self, cookie: u64) -> Option<Record> {
        self.known.get(&cookie).cloned()
    }
}

fn agree(one: &Record, other: &Record) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => Arc::ptr_eq(one, other) || one.agrees_with(other),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Record {
        Err(Unidentified::NoFile(text.to_owned()))
    }

    #[test]
    fn the_oldest_record_goes_first_and_their_number_is_bounded() {
        let mut records = Records::default();
        for cookie in 0..=u64::try_from(RECORDS_MAX).unwrap() {
            records.insert(cookie, refused("a"));
        }
        assert!(records.get(0).is_none());
        assert!(records.get(1).is_some());
        assert_eq!((records.known.len(), records.order.len()), (RECORDS_MAX, RECORDS_MAX));
    }

    #[test]
    fn two_callers_on_one_socket_are_neither() {
        let mut records = Records::default();
        records.insert(7, refused("a"));
        records.insert(7, refused("a"));
        assert!(matches!(records.get(7), Some(Err(Unidentified::NoFile(_)))));
        records.insert(7, refused("b"));
        records.insert(7, refused("b"));
        assert!(matches!(records.get(7), Some(Err(Unidentified::Ambiguous(_)))));
    }
}
