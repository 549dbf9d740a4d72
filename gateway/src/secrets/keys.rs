//! Master keys in memory: one that seals, and older ones that still open.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::limits::MASTER_KEYS_MAX;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::source::KeysError;

/// Bytes of a key of AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// Which master key sealed a value: 16 hexadecimal digits of a hash of the key. It says nothing about the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

/// The master key in force and those before it. Cheap to clone; `Debug` prints identities alone.
#[derive(Clone)]
pub struct Keys {
    first: Arc<MasterKey>,
    older: Arc<[Arc<MasterKey>]>,
}

/// One master key, overwritten when dropped.
pub(super) struct MasterKey {
    id: KeyId,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl Keys {
    /// One new random key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self, KeysError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut *bytes).map_err(|_| KeysError::Randomness)?;
        Ok(Self { first: Arc::new(MasterKey::new(bytes)), older: [].into() })
    }

    /// The keys of a text: one a line as 64 hexadecimal digits or 44 characters of base64, the one in force first; empty
    /// lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// [`KeysError::Line`] names the line that is no key; no key, too many, or one twice are refused too.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys: Vec<Arc<MasterKey>> = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = MasterKey::parse(line).ok_or(KeysError::Line { line: index + 1 })?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeysError::Twice { line: index + 1 });
            }
            if keys.len() == MASTER_KEYS_MAX {
                return Err(KeysError::Many);
            }
            keys.push(Arc::new(key));
        }
        let (first, older) = keys.split_first().ok_or(KeysError::None)?;
        Ok(Self { first: first.clone(), older: older.into() })
    }

    /// The identity of the key in force.
    pub fn current(&self) -> &KeyId {
        self.first.id()
    }

    /// The identities of all keys, the one in force first.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.all().map(|key| key.id())
    }

    /// These keys with another of them in force; `None` when it is not among them.
    pub fn led_by(&self, id: &str) -> Option<Self> {
        let first = self.all().find(|key| key.id.as_str() == id)?;
        let older = self.all().filter(|key| key.id != first.id).cloned().collect();
        Some(Self { first: first.clone(), older })
    }

    /// These keys behind a new random one that is in force from now on.
    pub(super) fn with_new(&self) -> Result<Self, KeysError> {
        if self.older.len() + 1 >= MASTER_KEYS_MAX {
            return Err(KeysError::Many);
        }
        Ok(Self { older: self.all().cloned().collect(), ..Self::random()? })
    }

    /// These keys without those behind the one of that identity; `None` when it is not among them.
    pub(super) fn up_to(&self, id: &KeyId) -> Option<Self> {
        let last = self.all().position(|key| key.id == *id)?;
        Some(Self {
            first: self.first.clone(),
            older: self.older.iter().take(last).cloned().collect(),
        })
    }

    /// One line a key, as [`Keys::parse`] reads them. For the file that the keys live in alone.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MASTER_KEYS_MAX * (2 * KEY_BYTES + 1)));
        for key in self.all() {
            let mut digits = [0; 2 * KEY_BYTES];
            // The room fits by its type; were it otherwise, the text would hold no key and be refused when read.
            if hex::encode_to_slice(*key.bytes, &mut digits).is_ok()
                && let Ok(line) = std::str::from_utf8(&digits)
            {
                text.push_str(line);
                text.push('\n');
            }
            digits.zeroize();
        }
        text
    }

    pub(super) fn first(&self) -> &MasterKey {
        &self.first
    }

    pub(super) fn find(&self, id: &str) -> Option<&MasterKey> {
        self.all().find(|key| key.id.as_str() == id).map(|key| &**key)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<MasterKey>> {
        std::iter::once(&self.first).chain(self.older.iter())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl KeyId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl MasterKey {
    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let hash = Sha256::new().chain_update(b"openshell master key\0").chain_update(*bytes);
        let mut id = hex::encode(hash.finalize());
        id.truncate(16);
        Self { id: KeyId(id.into()), bytes }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if hex::decode_to_slice(line, &mut *bytes).is_err() {
            let decoded = Zeroizing::new(STANDARD.decode(line).ok()?);
            *bytes = decoded.as_slice().try_into().ok()?;
        }
        // What somebody typed to have something there protects nothing.
        let is_one_byte = bytes.iter().all(|byte| Some(byte) == bytes.first());
        (!is_one_byte).then(|| Self::new(bytes))
    }

    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_is_printed() {
        let keys = Keys::random().unwrap();
        let text = keys.text();
        let printed = format!("{keys:?} {:?} {}", keys.current(), keys.current());
        assert!(text.trim().len() == 64 && !printed.contains(text.trim()), "{printed}");
        assert!(!text.contains(keys.current().as_str()));
    }

    #[test]
    fn keys_are_read_in_both_spellings_and_the_first_is_in_force() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let base64 = STANDARD.encode([[1_u8; 16], [2; 16]].concat());
        let keys = Keys::parse(&format!("# ours\n\n{hex}\n {base64} \n")).unwrap();
        assert_eq!(keys.ids().count(), 2);
        assert_eq!(keys.current(), Keys::parse(hex).unwrap().current());
        assert_eq!(Keys::parse(&keys.text()).unwrap().ids().count(), 2);
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_line() {
        let good = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let bad = |text: &str| Keys::parse(text).unwrap_err().to_string();
        assert_eq!(
            bad(&format!("{good}\nsecret")),
            "line 2 is no key of 32 bytes in hex or base64"
        );
        assert_eq!(bad(&format!("{good}\n{good}")), "line 2 repeats a key");
        assert_eq!(bad(&"00".repeat(32)), "line 1 is no key of 32 bytes in hex or base64");
        assert_eq!(bad("# nothing\n"), "no key is there");
        let many: Vec<String> =
            (1..18_u8).map(|byte| hex::encode([[byte; 16], [0; 16]].concat())).collect();
        let many = many.join(
            "
",
        );
        assert!(matches!(Keys::parse(&many), Err(KeysError::Many)));
    }

    #[test]
    fn a_new_key_comes_first_and_the_older_ones_go_on_request() {
        let old = Keys::random().unwrap();
        let both = old.with_new().unwrap();
        assert_eq!(both.ids().nth(1), Some(old.current()));
        assert_ne!(both.current(), old.current());
        assert_eq!(both.led_by(old.current().as_str()).unwrap().current(), old.current());
        assert!(old.led_by(both.current().as_str()).is_none());
        assert_eq!(both.up_to(both.current()).unwrap().ids().collect::<Vec<_>>(), [both.current()]);
    }
}
