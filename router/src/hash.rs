//! Keyed 128-bit hashes: names for texts that reveal nothing and that nobody without the key can collide.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// A secret key for hashes; made from randomness once per process.
#[derive(Clone, Copy)]
pub struct HashKey([u8; 16]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

impl HashKey {
    /// A key of 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The hash of `parts`; their borders count, so `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn of(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_and_keys_count() {
        let key = HashKey::new([7; 16]);
        assert_eq!(key.of(&[b"ab", b"c"]), key.of(&[b"ab", b"c"]));
        assert_ne!(key.of(&[b"ab", b"c"]), key.of(&[b"a", b"bc"]));
        assert_ne!(key.of(&[b"ab"]), HashKey::new([8; 16]).of(&[b"ab"]));
    }
}
