//! Remembers the findings of texts: an agent resends its whole conversation each turn, and only the new part costs.
//!
//! A key is a keyed 128-bit hash over tenant, rules version, kind of text and text, so that tenants cannot probe each other's
//! entries and a new version starts empty. The memo holds findings (places and labels), never the text.
//! Randomness comes from the caller. Invariant: the bytes held never exceed the bound given at the start.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;
#[expect(
    deprecated,
    reason = "the keyed SipHash of the standard library is the one with two keys"
)]
use std::hash::SipHasher;

use super::{Finding, Hint};

/// Shards: a power of two. Each has a lock of its own, held for one look-up.
const SHARDS: usize = 16;
/// What an entry costs beside its findings, in bytes: key, counters, table slots.
const ENTRY_BYTES: usize = 128;

/// The keyed hash under which findings are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoKey(u64, u64);

/// What a scan depends on beside the text.
#[derive(Clone, Copy, Debug)]
pub struct MemoScope<'a> {
    /// Whose text it is: entries are never shared between tenants.
    pub tenant: &'a [u8],
    /// Changes whenever rules or terms change.
    pub version: u64,
    /// What kind of text it is.
    pub hint: Hint,
}

/// A bounded memory of findings, shared between threads.
pub struct Memo {
    keys: [u64; 4],
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
}

/// One part of the memory: entries, and the order in which they were last used (with stale records).
#[derive(Default)]
struct Shard {
    entries: HashMap<MemoKey, Entry>,
    order: VecDeque<(MemoKey, u64)>,
    clock: u64,
    bytes: usize,
}

struct Entry {
    findings: Arc<[Finding]>,
    used: u64,
    bytes: usize,
}

impl Memo {
    /// A memory of at most `bytes_max` bytes. `keys` must be random and secret.
    pub fn new(keys: [u64; 4], bytes_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self { keys, shards, shard_bytes: bytes_max / SHARDS }
    }

    /// The key of `text` in `scope`.
    pub fn key(&self, scope: &MemoScope<'_>, text: &str) -> MemoKey {
        let [a, b, c, d] = self.keys;
        let half = |first, second| {
            #[expect(
                deprecated,
                reason = "keyed, and stable within one process, which is all that is needed"
            )]
            let mut hasher = SipHasher::new_with_keys(first, second);
            scope.tenant.hash(&mut hasher);
            scope.version.hash(&mut hasher);
            scope.hint.hash(&mut hasher);
            text.hash(&mut hasher);
            hasher.finish()
        };
        MemoKey(half(a, b), half(c, d))
    }

    /// The findings under `key`, if they are still held.
    pub fn get(&self, key: MemoKey) -> Option<Arc<[Finding]>> {
        let mut shard = self.shard(key)?.lock();
        shard.clock += 1;
        let now = shard.clock;
        let entry = shard.entries.get_mut(&key)?;
        entry.used = now;
        let findings = Arc::clone(&entry.findings);
        shard.order.push_back((key, now));
        shard.compact();
        Some(findings)
    }

    /// Remembers `findings` under `key`; what was used least recently makes room. Findings larger than a shard are not held.
    pub fn put(&self, key: MemoKey, findings: Arc<[Finding]>) {
        let bytes = size_of_val::<[Finding]>(&findings).saturating_add(ENTRY_BYTES);
        let Some(shard) = self.shard(key).filter(|_| bytes <= self.shard_bytes) else { return };
        let mut shard = shard.lock();
        shard.remove(key);
        while shard.bytes + bytes > self.shard_bytes && shard.evict() {}
        shard.clock += 1;
        let used = shard.clock;
        shard.bytes += bytes;
        shard.order.push_back((key, used));
        shard.entries.insert(key, Entry { findings, used, bytes });
        shard.compact();
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    fn shard(&self, key: MemoKey) -> Option<&Mutex<Shard>> {
        let at = usize::try_from(key.0 % SHARDS as u64).ok()?;
        self.shards.get(at)
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Shard {
    /// Removes the entry that was used least recently. Gives `false` when there is none.
    fn evict(&mut self) -> bool {
        while let Some((key, used)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.used == used) {
                self.remove(key);
                return true;
            }
        }
        false
    }

    fn remove(&mut self, key: MemoKey) {
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= entry.bytes;
        }
    }

    /// Drops stale records once they are the larger part; amortised constant time per use.
    fn compact(&mut self) {
        if self.order.len() <= self.entries.len() * 2 + 16 {
            return;
        }
        let entries = &self.entries;
        self.order.retain(|(key, used)| entries.get(key).is_some_and(|entry| entry.used == *used));
    }
}

#[cfg(test)]
mod tests {
    use domain::Label;

    use super::*;

    const KEYS: [u64; 4] = [1, 2, 3, 4];

    fn findings(count: usize) -> Arc<[Finding]> {
        let one = Finding {
            label: Label::fixed("pii/email"),
            span: 0..1,
            confidence: 90,
            evidence: "shape",
            example: false,
        };
        vec![one; count].into()
    }

    fn scope(tenant: &[u8], version: u64) -> MemoScope<'_> {
        MemoScope { tenant, version, hint: Hint::Prose }
    }

    #[test]
    fn what_was_put_is_found_until_anything_in_the_key_differs() {
        let memo = Memo::new(KEYS, 1 << 20);
        let key = memo.key(&scope(b"a", 1), "text");
        memo.put(key, findings(2));
        assert_eq!(memo.get(key).map(|found| found.len()), Some(2));
        let others = [
            memo.key(&scope(b"b", 1), "text"),
            memo.key(&scope(b"a", 2), "text"),
            memo.key(&scope(b"a", 1), "texts"),
            memo.key(&MemoScope { hint: Hint::Json, ..scope(b"a", 1) }, "text"),
            Memo::new([1, 2, 3, 5], 1).key(&scope(b"a", 1), "text"),
        ];
        for other in others {
            assert_ne!(other, key);
            assert!(memo.get(other).is_none());
        }
    }

    #[test]
    fn the_bytes_held_stay_within_the_bound_and_what_is_used_stays() {
        let bound = 64 * 1024;
        let memo = Memo::new(KEYS, bound);
        let kept = memo.key(&scope(b"t", 0), "kept");
        memo.put(kept, findings(1));
        for at in 0..5_000 {
            let key = memo.key(&scope(b"t", 0), &format!("text {at}"));
            memo.put(key, findings(at % 5));
            assert!(memo.get(kept).is_some(), "{at}");
            assert!(memo.bytes() <= bound);
        }
    }

    #[test]
    fn findings_that_do_not_fit_are_not_held() {
        let memo = Memo::new(KEYS, 1024);
        let key = memo.key(&scope(b"t", 0), "x");
        memo.put(key, findings(1000));
        assert!(memo.get(key).is_none());
        assert_eq!(memo.bytes(), 0);
    }

    #[test]
    fn records_of_use_do_not_pile_up() {
        let memo = Memo::new(KEYS, 1 << 16);
        let key = memo.key(&scope(b"t", 0), "x");
        memo.put(key, findings(1));
        for _ in 0..10_000 {
            assert!(memo.get(key).is_some());
        }
        let records: usize = memo.shards.iter().map(|shard| shard.lock().order.len()).sum();
        assert!(records < 64, "{records}");
    }
}
