//! Keeps secrets out of what comes back: an answer that repeats one shows its placeholder instead.
//!
//! Some servers echo requests. Every secret of the sandbox is looked for in every answer of an endpoint that secrets belong
//! to, as it is and as servers spell it: with percent escapes, in JSON, in markup, in hexadecimal, and within base64. An
//! answer in a known `content-encoding` is decoded and goes on without it; in an unknown one it is refused, so the sender
//! asks upstreams for `identity` ([`ACCEPT_ENCODING`]).
//!
//! Invariant: for every way of cutting an answer the result is the same, and holds no secret in these spellings. Not
//! here: secrets in pieces, with other text between them, and those of less than [`SECRET_BYTES_MIN`] bytes, which
//! would hit innocent text.

use std::{fmt, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};

use super::credentials::Secret;
use crate::decode::{DecodeError, Decoder, Encoding};

/// What a request to such an endpoint says in `accept-encoding`.
pub const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("identity");

/// Shorter secrets are not looked for.
pub const SECRET_BYTES_MIN: usize = 8;

/// Most bytes that one chunk may be decoded to.
const PIECE_BYTES_MAX: usize = 16 << 20;

/// All spellings of all secrets, ready to be looked for. Cheap to clone; `Debug` shows none.
#[derive(Clone)]
pub struct Needles(Arc<Inner>);

struct Inner {
    finder: AhoCorasick,
    /// The spellings, each with the index of its placeholder.
    spellings: Vec<(Vec<u8>, usize)>,
    placeholders: Vec<String>,
    /// Which bytes a spelling may begin with.
    begins: [bool; 256],
    longest: usize,
}

impl Needles {
    /// Needles for secrets with their placeholders; `None` if there is nothing to look for.
    pub fn new<'s>(secrets: impl Iterator<Item = (String, &'s Secret)>) -> Option<Self> {
        let (mut spellings, mut placeholders) = (Vec::new(), Vec::new());
        for (placeholder, secret) in secrets {
            let long = |text: &Vec<u8>| text.len() >= SECRET_BYTES_MIN;
            if secret.open().len() >= SECRET_BYTES_MIN {
                let all = secret.spellings().into_iter().filter(long);
                spellings.extend(all.map(|text| (text, placeholders.len())));
                placeholders.push(placeholder);
            }
        }
        let patterns = spellings.iter().map(|(text, _)| text);
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns);
        let mut begins = [false; 256];
        for byte in spellings.iter().filter_map(|(text, _)| text.first()) {
            if let Some(slot) = begins.get_mut(usize::from(*byte)) {
                *slot = true;
            }
        }
        let longest = spellings.iter().map(|(text, _)| text.len()).max()?;
        // Building fails for more patterns than memory has room for; their number and length are bounded.
        let finder = finder.ok()?;
        Some(Self(Arc::new(Inner { finder, spellings, placeholders, begins, longest })))
    }

    /// The value without secrets, if it holds one.
    pub fn header(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let bytes = value.as_bytes();
        if !self.0.finder.is_match(bytes) {
            return None;
        }
        let (mut out, mut hits) = (Vec::new(), 0);
        let settled = self.settle(bytes, Ending::Last, &mut out, &mut hits);
        out.extend_from_slice(bytes.get(settled..).unwrap_or_default());
        // Placeholders are plain text, so this holds whatever the value was.
        Some(HeaderValue::from_bytes(&out).unwrap_or(HeaderValue::from_static("")))
    }

    /// Hides secrets in all headers of an answer or of its trailers; gives how many values changed.
    pub fn headers(&self, headers: &mut HeaderMap) -> usize {
        let mut changed = 0_usize;
        for value in headers.values_mut() {
            if let Some(new) = self.header(value) {
                *value = new;
                changed = changed.saturating_add(1);
            }
        }
        changed
    }

    /// Copies what is sure to `out`, secrets replaced, and gives how many bytes of `bytes` that are: what follows may
    /// be the begin of a secret.
    fn settle(&self, bytes: &[u8], ending: Ending, out: &mut Vec<u8>, hits: &mut u32) -> usize {
        let inner = &*self.0;
        let mut from = 0;
        loop {
            let rest = bytes.get(from..).unwrap_or_default();
            let open = match ending {
                Ending::Last => rest.len(),
                Ending::More => self.open(rest),
            };
            let found = inner.finder.find(rest).filter(|found| found.start() < open);
            let Some(found) = found else {
                out.extend_from_slice(rest.get(..open).unwrap_or_default());
                return from.saturating_add(open);
            };
            out.extend_from_slice(rest.get(..found.start()).unwrap_or_default());
            let spelling = inner.spellings.get(found.pattern().as_usize());
            let placeholder = spelling.and_then(|(_, index)| inner.placeholders.get(*index));
            out.extend_from_slice(placeholder.map_or(b"", |text| text.as_bytes()));
            *hits = hits.saturating_add(1);
            from = from.saturating_add(found.end());
        }
    }

    /// Where the first end of `bytes` begins that is a proper begin of a spelling; its length if there is none.
    fn open(&self, bytes: &[u8]) -> usize {
        let inner = &*self.0;
        let first = bytes.len().saturating_sub(inner.longest.saturating_sub(1));
        let begins = |byte: u8| inner.begins.get(usize::from(byte)).copied().unwrap_or(false);
        let open = |end: &[u8]| {
            inner.spellings.iter().any(|(text, _)| text.len() > end.len() && text.starts_with(end))
        };
        (first..bytes.len())
            .find(|at| {
                let end = bytes.get(*at..).unwrap_or_default();
                end.first().copied().is_some_and(begins) && open(end)
            })
            .unwrap_or(bytes.len())
    }
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Needles({} secrets)", self.0.placeholders.len())
    }
}

/// Whether more bytes follow.
#[derive(Clone, Copy)]
enum Ending {
    More,
    Last,
}

/// Why an answer cannot be passed on.
#[derive(Debug, thiserror::Error)]
#[error("the answer is in an encoding that cannot be searched for credentials")]
pub struct Opaque(#[source] DecodeError);

/// Passes one answer on without secrets. The length changes: the sender drops `content-length`, and
/// `content-encoding` where [`Guard::decodes`].
pub struct Guard {
    needles: Needles,
    decoder: Option<Decoder>,
    /// The end of the last chunk that may be the begin of a secret.
    held: BytesMut,
    hits: u32,
    /// Answers without a body have an encoding all the same.
    begun: bool,
}

impl Guard {
    /// A guard for an answer with these headers.
    ///
    /// # Errors
    /// [`Opaque`] for a content encoding that is not known, or more than one.
    pub fn new(needles: &Needles, headers: &HeaderMap) -> Result<Self, Opaque> {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let encoding = encodings.next().map_or(&b""[..], |value| value.as_bytes());
        let encoding = Encoding::of(encoding).map_err(Opaque)?;
        if encodings.next().is_some() {
            return Err(Opaque(DecodeError::Unsupported));
        }
        let decoder = match encoding {
            Encoding::Identity => None,
            _ => Some(Decoder::in_pieces(encoding, usize::MAX, PIECE_BYTES_MAX).map_err(Opaque)?),
        };
        let (needles, held) = (needles.clone(), BytesMut::new());
        Ok(Self { needles, decoder, held, hits: 0, begun: false })
    }

    /// Whether the answer goes on without its `content-encoding`.
    pub fn decodes(&self) -> bool {
        self.decoder.is_some()
    }

    /// How often a secret was hidden.
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// What of the answer may go on; what could be the begin of a secret waits for the next chunk.
    ///
    /// # Errors
    /// [`Opaque`] if the answer cannot be decoded; it must not be completed then.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, Opaque> {
        self.begun |= !chunk.is_empty();
        let chunk = match &mut self.decoder {
            Some(decoder) => decoder.push(chunk).map_err(Opaque)?,
            None => chunk,
        };
        Ok(self.pass(chunk, Ending::More))
    }

    /// The rest, when the answer has ended.
    ///
    /// # Errors
    /// [`Opaque`] if the encoded answer is not complete.
    pub fn finish(&mut self) -> Result<Bytes, Opaque> {
        let rest = match &mut self.decoder {
            Some(decoder) if self.begun => decoder.finish().map_err(Opaque)?,
            _ => Bytes::new(),
        };
        Ok(self.pass(rest, Ending::Last))
    }

    fn pass(&mut self, chunk: Bytes, ending: Ending) -> Bytes {
        let whole = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            self.held.split().freeze()
        };
        if !self.needles.0.finder.is_match(&whole) {
            let open = match ending {
                Ending::More => self.needles.open(&whole),
                Ending::Last => whole.len(),
            };
            self.held.extend_from_slice(whole.get(open..).unwrap_or_default());
            return whole.slice(..open);
        }
        let mut out = Vec::with_capacity(whole.len());
        let settled = self.needles.settle(&whole, ending, &mut out, &mut self.hits);
        self.held.extend_from_slice(whole.get(settled..).unwrap_or_default());
        out.into()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("hits", &self.hits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
