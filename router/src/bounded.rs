//! A map that forgets its oldest unused entries: for memos, taint and warm caches, all of which are hints or
//! can be made anew.

use std::{collections::HashMap, hash::BuildHasherDefault, hash::Hasher};

use parking_lot::Mutex;

/// Shards that lock independently; a request touches each for a map access only.
const SHARDS: usize = 16;

/// A sharded map from keyed hashes to values with a bound on the sum of their weights.
///
/// Replacement is by generations: when the young half is full it becomes the old half, and what is not asked for
/// again before the next turn is dropped. That costs O(1) per access and no list.
#[derive(Debug)]
pub struct Bounded<V> {
    shards: Vec<Mutex<Shard<V>>>,
    weight_max: usize,
}

#[derive(Debug)]
struct Shard<V> {
    young: Table<V>,
    old: Table<V>,
    weight: usize,
}

type Table<V> = HashMap<u128, (V, usize), BuildHasherDefault<Keyed>>;

/// Keys are keyed hashes already: their low half is as good as any hash of them.
#[derive(Default)]
struct Keyed(u64);

impl Hasher for Keyed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
        let low = key as u64;
        self.0 = low;
    }
}

impl<V: Clone> Bounded<V> {
    /// A map that holds entries of at most `weight_max` in sum.
    pub fn new(weight_max: usize) -> Self {
        let shard =
            || Mutex::new(Shard { young: Table::default(), old: Table::default(), weight: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), weight_max: weight_max / SHARDS / 2 }
    }

    fn shard(&self, key: u128) -> Option<&Mutex<Shard<V>>> {
        // The high half picks the shard, so that the low half still spreads inside it.
        let index = usize::try_from((key >> 64) % (SHARDS as u128)).unwrap_or(0);
        self.shards.get(index)
    }

    /// The value of `key`, which counts as used.
    pub fn find(&self, key: u128) -> Option<V> {
        let mut shard = self.shard(key)?.lock();
        if let Some((value, _)) = shard.young.get(&key) {
            return Some(value.clone());
        }
        let (value, weight) = shard.old.remove(&key)?;
        shard.put(key, value.clone(), weight, self.weight_max);
        Some(value)
    }

    /// Keeps `value`, which weighs `weight`; a value too heavy for the map is not kept.
    pub fn keep(&self, key: u128, value: V, weight: usize) {
        if weight > self.weight_max {
            return;
        }
        if let Some(shard) = self.shard(key) {
            let mut shard = shard.lock();
            shard.old.remove(&key);
            shard.put(key, value, weight, self.weight_max);
        }
    }
}

impl<V> Shard<V> {
    fn put(&mut self, key: u128, value: V, weight: usize, weight_max: usize) {
        if self.weight.saturating_add(weight) > weight_max {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        let before = self.young.insert(key, (value, weight)).map_or(0, |(_, weight)| weight);
        self.weight = self.weight.saturating_sub(before).saturating_add(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_what_is_unused_is_forgotten() {
        let map = Bounded::new(SHARDS * 2 * 10);
        map.keep(1, "first", 1);
        assert_eq!(map.find(1), Some("first"));
        for key in 2..40 {
            map.keep(key, "later", 1);
            assert_eq!(map.find(1), Some("first"), "used at {key}");
        }
        assert_eq!(map.find(2), None);
        assert_eq!(map.find(39), Some("later"));
    }

    #[test]
    fn the_weight_is_bounded() {
        let map = Bounded::new(SHARDS * 2 * 10);
        map.keep(1, "heavy", 11);
        assert_eq!(map.find(1), None);
        for key in 0..1_000 {
            map.keep(key, "light", 1);
        }
        let entries = |shard: &Shard<&str>| shard.young.len() + shard.old.len();
        let held: usize = map.shards.iter().map(|shard| entries(&shard.lock())).sum();
        assert!(held <= SHARDS * 2 * 10, "{held}");
    }
}
