//! What was refused lately, gathered so that a person can decide about it: one entry for each host, port and executable,
//! with what would open just that.
//!
//! Not here: approving (the control plane applies the changes of a proposal). Invariant: nothing leads to a proposal that a
//! policy could not open, and no name is resolved for one: to ask about a refused name would let data out in it.

mod collapse;
mod proposal;

use std::{collections::BTreeMap, num::NonZeroUsize};

use domain::Destination;
use lru::LruCache;
use parking_lot::Mutex;
use policy::{PolicyFile, address::Blocked};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use self::proposal::{Note, Proposal};

/// Most entries; the one that was refused longest ago makes room.
const ENTRIES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// Most different requests of one entry; more are counted.
const SAMPLES_MAX: usize = 32;

/// Longest path of a sample, bytes; longer ones are counted only.
const PATH_BYTES_MAX: usize = 512;

/// One refusal.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Where to.
    pub to: &'a Destination,
    /// The executable of the caller; `None` where it could not be told. Such refusals lead to no proposal.
    pub binary: Option<&'a str>,
    /// The reason as a stable word.
    pub reason: &'static str,
    /// What was wrong with the address, if that was it.
    pub blocked: Option<Blocked>,
    /// What was refused of it.
    pub what: What<'a>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// The connection.
    Connection,
    /// A request that no rule about methods and paths allows.
    Request {
        /// The method.
        method: &'a str,
        /// The canonical path, without its query.
        path: &'a str,
    },
    /// Something that no proposal is about: a request that a rule denies, an operation in a body, a credential.
    Other,
}

/// The refusals of one sandbox.
#[derive(Debug)]
pub struct Inbox(Mutex<LruCache<Key, Entry>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    to: Destination,
    binary: Option<Box<str>>,
}

#[derive(Clone, Debug)]
struct Entry {
    count: u64,
    first_ms: u64,
    last_ms: u64,
    reason: &'static str,
    blocked: Option<Blocked>,
    /// Refusals of the connection itself, as opposed to requests on it.
    connections: u64,
    samples: BTreeMap<(Box<str>, Box<str>), u64>,
    unsampled: u64,
}

/// Refusals of one executable at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// What names it: stable for the same host, port and executable.
    pub id: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The executable, where it could be told.
    pub binary: Option<String>,
    /// The reason of the last refusal.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
    /// The first time, milliseconds since 1970.
    pub first_seen_ms: u64,
    /// The last time, milliseconds since 1970.
    pub last_seen_ms: u64,
    /// Requests that were refused on connections that are open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// Refused requests that no sample is about.
    pub unsampled: u64,
    /// What would open it; none where no policy could, or where nobody can tell who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The method.
    pub method: String,
    /// The canonical path, without its query.
    pub path: String,
    /// How often.
    pub count: u64,
}

impl Default for Inbox {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ENTRIES_MAX)))
    }
}

impl Inbox {
    /// Takes a refusal.
    pub fn add(&self, refused: &Refused<'_>) {
        let key = Key { to: refused.to.clone(), binary: refused.binary.map(Into::into) };
        self.0.lock().get_or_insert_mut(key, || Entry::new(refused)).add(refused);
    }

    /// Everything that is remembered, the latest first, with what could be proposed for this policy.
    pub fn denials(&self, policy: &PolicyFile) -> Vec<Denial> {
        // Proposals are checked by reading a policy, which is nothing to do under a lock.
        let entries: Vec<(Key, Entry)> = {
            let inbox = self.0.lock();
            inbox.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
        };
        entries.iter().map(|(key, entry)| denial(key, entry, policy)).collect()
    }

    /// Forgets what somebody has decided about; false if there is no such entry.
    pub fn forget(&self, id: &str) -> bool {
        let mut inbox = self.0.lock();
        let key = inbox.iter().map(|(key, _)| key).find(|key| key.id() == id).cloned();
        key.is_some_and(|key| inbox.pop(&key).is_some())
    }
}

impl Key {
    /// 16 hexadecimal digits of a hash over what the entry is about.
    fn id(&self) -> String {
        let about = format!("{}\0{}", self.to, self.binary.as_deref().unwrap_or_default());
        let digest = Sha256::digest(about.as_bytes());
        format!("{:016x}", digest.first_chunk().copied().map_or(0, u64::from_be_bytes))
    }
}

impl Entry {
    fn new(refused: &Refused<'_>) -> Self {
        Self {
            count: 0,
            first_ms: refused.at_ms,
            last_ms: refused.at_ms,
            reason: refused.reason,
            blocked: None,
            connections: 0,
            samples: BTreeMap::new(),
            unsampled: 0,
        }
    }

    fn add(&mut self, refused: &Refused<'_>) {
        self.count = self.count.saturating_add(1);
        self.last_ms = self.last_ms.max(refused.at_ms);
        self.reason = refused.reason;
        self.blocked = refused.blocked;
        let (method, path) = match refused.what {
            What::Request { method, path } => (method, path),
            What::Connection => return self.connections = self.connections.saturating_add(1),
            What::Other => return,
        };
        let key = (Box::from(method), Box::from(path));
        let fits = self.samples.len() < SAMPLES_MAX && path.len() <= PATH_BYTES_MAX;
        match self.samples.get_mut(&key) {
            Some(count) => *count = count.saturating_add(1),
            None if fits => drop(self.samples.insert(key, 1)),
            None => self.unsampled = self.unsampled.saturating_add(1),
        }
    }
}

fn denial(key: &Key, entry: &Entry, policy: &PolicyFile) -> Denial {
    let sample = |((method, path), count): (&(Box<str>, Box<str>), &u64)| Sample {
        method: method.to_string(),
        path: path.to_string(),
        count: *count,
    };
    Denial {
        id: key.id(),
        host: key.to.host.to_string(),
        port: key.to.port(),
        binary: key.binary.as_deref().map(str::to_owned),
        reason: entry.reason,
        count: entry.count,
        first_seen_ms: entry.first_ms,
        last_seen_ms: entry.last_ms,
        samples: entry.samples.iter().map(sample).collect(),
        unsampled: entry.unsampled,
        proposal: proposal::of(key, entry, policy),
    }
}

#[cfg(test)]
mod tests;
