//! Hides a backend's own credential if the backend repeats it in an answer.
//!
//! Some servers echo request headers in error texts. The text of an answer passes through here before the caller
//! sees it. Invariant: for every way of cutting the bytes, the result is the same and holds no whole credential.

pub(crate) mod spelled;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use self::spelled::{Spelled, Watch};

/// What stands where a credential was.
const HIDDEN: &[u8] = b"[credential removed]";

/// Shorter credentials are no secrets, and would hit innocent text.
const SECRET_BYTES_MIN: usize = 8;

/// A credential in the form in which it is searched for. `Debug` prints no byte of it.
#[derive(Clone)]
pub(crate) struct Needle(Arc<Finder<'static>>);

impl Needle {
    /// A needle for `secret`; `None` when it is too short to be told from ordinary text.
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        let long = secret.len() >= SECRET_BYTES_MIN;
        long.then(|| Self(Arc::new(Finder::new(secret).into_owned())))
    }

    /// The credential, for comparing with the ends of texts.
    fn secret(&self) -> &[u8] {
        self.0.needle()
    }

    /// Whether `bytes` hold the credential.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.find(bytes).is_some()
    }
}

impl std::fmt::Debug for Needle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Needle(…)")
    }
}

/// Keeps a credential out of one stream, in one event or spelled out over many.
#[derive(Debug)]
pub(crate) struct Guard {
    watch: Watch,
    mask: Mask,
}

impl Guard {
    /// A guard for the credential `needle`.
    pub(crate) fn new(needle: Option<Needle>) -> Self {
        Self { watch: Watch::new(needle.clone()), mask: Mask::new(needle) }
    }

    /// What of these whole events may go on.
    ///
    /// # Errors
    /// When the credential is spelled out.
    pub(crate) fn push(&mut self, events: Vec<u8>) -> Result<Bytes, Spelled> {
        Ok(self.mask.push(self.watch.push(events)?.into()))
    }

    /// What was held back, when the stream has ended.
    pub(crate) fn finish(&mut self) -> Bytes {
        let held = self.mask.push(self.watch.finish().into());
        let mut last = BytesMut::from(held);
        last.extend_from_slice(&self.mask.finish());
        last.freeze()
    }

    /// How often the credential was hidden.
    pub(crate) fn hits(&self) -> u32 {
        self.mask.hits()
    }
}

/// Masks one answer, chunk by chunk.
#[derive(Debug)]
pub(crate) struct Mask {
    needle: Option<Needle>,
    /// The end of the last chunk that may be the start of the credential; shorter than it.
    held: BytesMut,
    /// How often the credential was hidden.
    hits: u32,
}

impl Mask {
    /// A mask for an answer of the backend whose credential is `needle`.
    pub(crate) fn new(needle: Option<Needle>) -> Self {
        Self { needle, held: BytesMut::new(), hits: 0 }
    }

    /// The bytes that may go on; what could be the start of a credential waits for the next chunk.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        let Some(needle) = &self.needle else { return chunk };
        let secret = needle.secret();
        let whole = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            self.held.split().freeze()
        };
        let clean = if needle.is_in(&whole) {
            let (clean, hits) = replaced(needle, &whole);
            self.hits = self.hits.saturating_add(hits);
            clean
        } else {
            whole
        };
        let keep = overlap(&clean, secret);
        if keep == 0 {
            return clean;
        }
        let cut = clean.len().saturating_sub(keep);
        self.held.extend_from_slice(clean.get(cut..).unwrap_or_default());
        clean.slice(..cut)
    }

    /// What was held back, when the answer has ended.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// How often the credential was hidden.
    pub(crate) fn hits(&self) -> u32 {
        self.hits
    }
}

/// A whole answer without the credential, and how often it was hidden.
pub(crate) fn masked(needle: Option<Needle>, body: Bytes) -> (Bytes, u32) {
    match needle {
        Some(needle) if needle.is_in(&body) => replaced(&needle, &body),
        _ => (body, 0),
    }
}

/// `bytes` with every credential hidden, and how many there were.
fn replaced(needle: &Needle, bytes: &[u8]) -> (Bytes, u32) {
    let mut out = BytesMut::with_capacity(bytes.len());
    let (mut from, mut hits) = (0, 0_u32);
    for at in needle.0.find_iter(bytes) {
        out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
        out.extend_from_slice(HIDDEN);
        from = at.saturating_add(needle.secret().len());
        hits = hits.saturating_add(1);
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    (out.freeze(), hits)
}

/// Length of the longest end of `bytes` that is a proper start of `secret`.
fn overlap(bytes: &[u8], secret: &[u8]) -> usize {
    let most = bytes.len().min(secret.len().saturating_sub(1));
    let Some(first) = secret.first() else { return 0 };
    let tail = bytes.len().saturating_sub(most);
    memchr::memchr_iter(*first, bytes.get(tail..).unwrap_or_default())
        .map(|at| bytes.len().saturating_sub(tail.saturating_add(at)))
        .find(|length| bytes.get(bytes.len().saturating_sub(*length)..) == secret.get(..*length))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &[u8] = b"sk-aab-aab-0123";

    fn mask(chunks: &[&[u8]]) -> Vec<u8> {
        let mut mask = Mask::new(Needle::new(SECRET));
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&mask.push(Bytes::copy_from_slice(chunk)));
        }
        out.extend_from_slice(&mask.finish());
        out
    }

    #[test]
    fn a_repeated_credential_is_hidden_and_the_rest_is_kept() {
        assert_eq!(mask(&[b"key sk-aab-aab-0123 is wrong"]), b"key [credential removed] is wrong");
        assert_eq!(mask(&[b"sk-aab-aa", b"b-012", b"3"]), b"[credential removed]");
        assert_eq!(mask(&[b"sk-aab-aab-012"]), b"sk-aab-aab-012");
    }

    #[test]
    fn a_short_credential_is_no_needle() {
        assert!(Needle::new(b"none").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_chunking_gives_the_same_text(
            pieces in prop::collection::vec(prop_oneof![
                Just(SECRET.to_vec()), Just(b"sk-aab-".to_vec()), "[a-z ]{0,8}".prop_map(String::into_bytes)
            ], 0..6),
            size in 1_usize..9,
        ) {
            let text = pieces.concat();
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let cut = mask(&chunks);
            prop_assert_eq!(&cut, &mask(&[&text]));
            prop_assert!(Needle::new(SECRET).is_some_and(|needle| !needle.is_in(&cut)));
        }
    }
}
