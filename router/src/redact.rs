//! Reversible placeholders: what stands in a prompt instead of a value that its backend may not see.
//!
//! A placeholder looks like `<EMAIL_1_k7q>`: what the value is, its number in order of first appearance, and a tag
//! that only the holder of the key can compute. It holds no character that JSON escapes, so it can be spliced
//! into a string at any depth of nesting. Here: choosing placeholders ([`Masker`]) and keeping the values behind
//! them ([`Vault`]). Not here: finding the values (`classify`), putting them back (`restore`).
//!
//! Invariant: within one conversation a value has one placeholder in every turn, two values never share one, and
//! nothing that somebody typed reads as a placeholder that is in use.

use std::collections::{HashMap, HashSet};

use domain::{Label, limits::PLACEHOLDERS_MAX};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::redact::shape::{Key, Read};

mod kind;
pub(crate) mod shape;
mod vault;

pub use vault::Vault;

/// Why a value cannot be hidden. The caller must then treat it as visible, or refuse the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MaskError {
    /// The conversation already hides [`PLACEHOLDERS_MAX`] distinct values.
    #[error("one conversation hides at most {PLACEHOLDERS_MAX} distinct values")]
    TooMany,
    /// The request itself holds more than 65 536 texts that read like placeholders.
    #[error("the request holds more than {TYPED_MAX} texts that read like placeholders")]
    TooManyTyped,
}

/// What a value with this label is called where it is hidden: 2 to 8 capital letters, such as `EMAIL`.
pub fn kind(label: &Label) -> &'static str {
    kind::of(label)
}

/// Most placeholder-like texts of a request that are told apart: 4 MB of memory. Honest requests have none.
const TYPED_MAX: usize = 1 << 16;

/// Hands out the placeholders of one request.
///
/// First give every text of the request to [`reserve`](Self::reserve), then every value to [`mask`](Self::mask)
/// in the order of the conversation. A later turn repeats the earlier ones, so it repeats their placeholders.
pub struct Masker {
    keyed: Hmac<Sha256>,
    scope: Box<[u8]>,
    /// Placeholder-like texts that the request itself holds.
    typed: HashSet<Key>,
    /// Digest of a value to its placeholder; the value itself stands only in the vault.
    known: HashMap<[u8; 32], Box<str>>,
    /// Last number given out, per kind.
    numbers: HashMap<&'static str, u32>,
    vault: Vault,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").field("vault", &self.vault).finish_non_exhaustive()
    }
}

impl Masker {
    /// A masker for one conversation. `scope` names its tenant and conversation: with another scope or key the
    /// same value gets another tag, so placeholders tell nobody that two conversations share a value.
    pub fn new(key: &[u8; 32], scope: &[u8]) -> Self {
        let mut padded = [0; 64];
        for (to, from) in padded.iter_mut().zip(key) {
            *to = *from;
        }
        // A key of one SHA-256 block is used as it is; HMAC pads a shorter one with zeros, so this is the same.
        let keyed = Hmac::new(&padded.into());
        Self {
            keyed,
            scope: scope.into(),
            typed: HashSet::new(),
            known: HashMap::new(),
            numbers: HashMap::new(),
            vault: Vault::default(),
        }
    }

    /// Notes what `text` holds that reads like a placeholder, in any way that `restore` would read it: those
    /// placeholders are never given out. Costs one look at each byte where there is nothing; a request in which
    /// nothing is masked need not be looked through.
    pub fn reserve(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(found) = shape::candidate(bytes, at) {
            at = match shape::read(bytes, found, 0) {
                Read::Whole(spot) => {
                    if kind::is_kind(spot.key.kind()) && self.typed.len() <= TYPED_MAX {
                        self.typed.insert(spot.key);
                    }
                    spot.next
                }
                Read::Cut { next, .. } | Read::Other { next } => next,
            };
        }
    }

    /// The placeholder of `value`, such as `<EMAIL_1_k7q>`. The label decides the kind when the value is first
    /// seen; later it changes nothing.
    ///
    /// # Errors
    /// [`MaskError::TooMany`] for a new value once [`PLACEHOLDERS_MAX`] are hidden, and
    /// [`MaskError::TooManyTyped`] if more was reserved than can be told apart.
    pub fn mask(&mut self, label: &Label, value: &str) -> Result<&str, MaskError> {
        let digest = self.digest(&[b"value", value.as_bytes()]);
        if !self.known.contains_key(&digest) {
            let placeholder = self.fresh(label, value)?;
            self.known.insert(digest, placeholder);
        }
        self.known.get(&digest).map(AsRef::as_ref).ok_or(MaskError::TooMany)
    }

    /// The values behind all placeholders that were given out.
    pub fn into_vault(self) -> Vault {
        self.vault
    }

    fn fresh(&mut self, label: &Label, value: &str) -> Result<Box<str>, MaskError> {
        if self.typed.len() > TYPED_MAX {
            return Err(MaskError::TooManyTyped);
        }
        if self.vault.len() >= PLACEHOLDERS_MAX {
            return Err(MaskError::TooMany);
        }
        let kind = kind::of(label);
        let canonical = kind::canonical(kind, value);
        let digest = self.digest(&[kind.as_bytes(), canonical.as_bytes(), &self.scope]);
        let tag = tag(&digest);
        let number = self.numbers.entry(kind).or_default();
        loop {
            *number = number.saturating_add(1);
            let placeholder = format!("<{kind}_{number}_{tag}>");
            let key = Key::of(&placeholder).ok_or(MaskError::TooMany)?;
            // Numbers only grow and each reserved text can be met once, so this ends.
            if !self.typed.contains(&key) {
                self.vault.insert(key, value);
                return Ok(placeholder.into());
            }
            if *number == u32::MAX {
                return Err(MaskError::TooMany);
            }
        }
    }

    /// A digest of `parts`, each with its length before it, so that no two lists share one text.
    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(&part.len().to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Letters and digits of RFC 4648 §6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The first 15 bits of a digest as three characters.
fn tag(digest: &[u8; 32]) -> String {
    let [first, second, ..] = *digest;
    let bits = u16::from_be_bytes([first, second]);
    let character =
        |shift: u16| BASE32.get(usize::from((bits >> shift) & 31)).copied().unwrap_or(b'a');
    [11, 6, 1].map(|shift| char::from(character(shift))).iter().collect()
}

#[cfg(test)]
mod tests;
