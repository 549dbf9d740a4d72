//! The values behind the placeholders of one request.

use std::{collections::BTreeMap, fmt, ops::Bound};

use secrecy::{ExposeSecret, SecretString};

use crate::redact::shape::Key;

/// Placeholders and the values they stand for. Values are zeroed on drop; `Debug` prints how many there are.
#[derive(Default)]
pub struct Vault {
    values: BTreeMap<Key, SecretString>,
    longest: usize,
}

impl Vault {
    /// Whether nothing was hidden, so that nothing needs restoring.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many distinct values are hidden.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn insert(&mut self, key: Key, value: &str) {
        self.longest = self.longest.max(value.len());
        self.values.insert(key, SecretString::from(value.to_owned()));
    }

    /// Bytes of the longest value.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The value behind a placeholder.
    pub(crate) fn reveal(&self, key: &Key) -> Option<&str> {
        let secret = self.values.get(key)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a hidden value comes back: into the answer of whoever sent it"
        )]
        Some(secret.expose_secret())
    }

    /// Whether a placeholder in use begins with this text.
    pub(crate) fn begins(&self, key: &Key) -> bool {
        let mut from = self.values.range((Bound::Included(key), Bound::Unbounded));
        from.next().is_some_and(|(found, _)| found.as_bytes().starts_with(key.as_bytes()))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} values)", self.values.len())
    }
}
