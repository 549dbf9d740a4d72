//! How often one may be wrong: failed authentications are counted for each source and each user.
//!
//! A source that was wrong too often is refused before anything is looked up, unless what it brings was good a moment ago. A
//! user is only slowed down in being wrong: whoever holds an old token of somebody cannot lock that person out.
//! Memory is bounded: what was quiet longest is forgotten first. Time is an argument.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use lru::LruCache;
use parking_lot::Mutex;

use crate::auth::{principal::UserName, token::TokenHash};

/// Failures that are forgiven at once.
const BURST: u32 = 20;
/// How long one failure counts.
const EACH: Duration = Duration::from_secs(3);
/// Sources, users and good tokens that are remembered, each.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);

/// Where a request comes from: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address.
    V4(Ipv4Addr),
    /// A network.
    V6([u8; 8]),
}

impl Source {
    /// The source that this address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                Self::V6(address.octets().first_chunk().copied().unwrap_or_default())
            }
        }
    }
}

/// For each key, when all its failures will be forgotten (generic cell rate algorithm).
struct Counts<K: Hash + Eq>(Mutex<LruCache<K, Instant>>);

impl<K: Hash + Eq> Counts<K> {
    fn new() -> Self {
        Self(Mutex::new(LruCache::new(KNOWN_MAX)))
    }

    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let clean = *self.0.lock().peek(key)?;
        let allowed = EACH * (BURST - 1);
        let wait = clean.saturating_duration_since(now).checked_sub(allowed)?;
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts one; the time to wait when there were too many before.
    fn failed(&self, key: K, now: Instant) -> Option<Duration> {
        let wait = self.wait(&key, now);
        let mut counts = self.0.lock();
        let clean = counts.get(&key).copied().unwrap_or(now).max(now) + EACH;
        counts.put(key, clean.min(now + EACH * BURST));
        wait
    }
}

/// The failures of a running gateway.
pub struct Failures {
    sources: Counts<Source>,
    users: Counts<UserName>,
    good: Mutex<LruCache<TokenHash, ()>>,
}

impl Default for Failures {
    fn default() -> Self {
        let good = Mutex::new(LruCache::new(KNOWN_MAX));
        Self { sources: Counts::new(), users: Counts::new(), good }
    }
}

impl Failures {
    /// How long the source must wait before a token that is not known to be good is looked up for it.
    pub fn wait(&self, source: Source, now: Instant) -> Option<Duration> {
        self.sources.wait(&source, now)
    }

    /// Counts a failure of a source; the time to wait when there were too many.
    pub fn failed(&self, source: Source, now: Instant) -> Option<Duration> {
        self.sources.failed(source, now)
    }

    /// Counts a failure under the name of a user; the time to wait when there were too many.
    pub fn failed_as(&self, user: &UserName, now: Instant) -> Option<Duration> {
        self.users.failed(user.clone(), now)
    }

    /// Notes that a token was good. It is looked up all the same the next time, but not refused for its neighbours.
    pub fn was_good(&self, token: TokenHash) {
        self.good.lock().put(token, ());
    }

    /// Notes that a token is good no more.
    pub fn was_bad(&self, token: TokenHash) {
        self.good.lock().pop(&token);
    }

    /// Whether the token was good when it was last seen.
    pub fn is_known(&self, token: TokenHash) -> bool {
        self.good.lock().contains(&token)
    }
}

impl std::fmt::Debug for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failures").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn a_source_waits_after_its_burst_and_not_for_ever() {
        let failures = Failures::default();
        let (start, bad) = (Instant::now(), source("192.0.2.1"));
        for _ in 0..BURST {
            assert_eq!(failures.wait(bad, start), None);
            assert_eq!(failures.failed(bad, start), None);
        }
        assert_eq!(failures.wait(bad, start), Some(EACH));
        assert_eq!(failures.wait(source("192.0.2.2"), start), None);
        assert_eq!(failures.wait(source("::ffff:192.0.2.1"), start), Some(EACH));
        for _ in 0..1000 {
            assert_eq!(failures.failed(bad, start), Some(EACH));
        }
        assert_eq!(failures.wait(bad, start), Some(EACH), "what is refused does not add up");
        assert_eq!(failures.wait(bad, start + EACH), None);
        assert_eq!(failures.failed(bad, start + EACH), None);
        assert_eq!(failures.wait(bad, start + EACH), Some(EACH));
        assert_eq!(failures.wait(bad, start + EACH * (BURST + 1)), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
    }

    #[test]
    fn a_user_is_slowed_down_and_memory_has_a_bound() {
        let failures = Failures::default();
        let (start, user): (_, UserName) = (Instant::now(), "alice".parse().unwrap());
        for _ in 0..BURST {
            assert_eq!(failures.failed_as(&user, start), None);
        }
        assert_eq!(failures.failed_as(&user, start), Some(EACH));
        for number in 0..20_000_u32 {
            assert_eq!(failures.failed(Source::V4(number.into()), start), None);
        }
        assert_eq!(failures.sources.0.lock().len(), KNOWN_MAX.get());
    }
}
