//! Placeholders in bodies and WebSocket messages, while they stream.
//!
//! Where the endpoint opts in, those in the first [`BODY_BYTES_MAX`] bytes of JSON, forms and plain text become values; all
//! others, and all elsewhere, refuse the request. A body in a `content-encoding` is not looked into.
//! Invariant: for every way of cutting a body the result is the same, and at most one placeholder is held back.

use bytes::{Bytes, BytesMut};
use domain::limits::EGRESS_REWRITTEN_BYTES_MAX;
use http::{HeaderMap, header};

use super::{
    CredentialError, Scope,
    head::Field,
    text::{self, Found},
};

/// How far into a body placeholders are replaced, bytes.
pub const BODY_BYTES_MAX: usize = EGRESS_REWRITTEN_BYTES_MAX;

/// Rewrites one body or message. What it gives differs in length from what it takes when
/// [`Rewriter::may_change_length`] says so: the sender then drops `content-length` and sends chunks, or, for a body that was
/// announced with at most [`BODY_BYTES_MAX`] bytes, collects the result and announces its length.
#[derive(Debug)]
pub struct Rewriter {
    scope: Scope,
    /// How values are written; `None` where placeholders are refused.
    field: Option<Field>,
    place: &'static str,
    /// The end of what was given so far that may be the begin of a placeholder.
    held: BytesMut,
    /// Bytes that went on.
    passed: usize,
    injected: usize,
}

impl Scope {
    /// A rewriter for the body of a request with these headers.
    ///
    /// # Errors
    /// [`CredentialError::Encoded`] for a compressed body of a kind that is rewritten.
    pub fn body(&self, headers: &HeaderMap) -> Result<Rewriter, CredentialError> {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let field = field_of(kind).filter(|_| self.in_body && !self.is_empty());
        let plain = |value: &header::HeaderValue| {
            matches!(value.as_bytes().trim_ascii(), b"" | b"identity")
        };
        let encoded = !headers.get_all(header::CONTENT_ENCODING).iter().all(plain);
        if field.is_some() && encoded {
            return Err(CredentialError::Encoded);
        }
        Ok(self.rewriter(field, "the body"))
    }

    /// A rewriter for one message of a WebSocket: `begin` is how a text message begins, `None` stands for a binary one.
    pub fn message(&self, begin: Option<&str>) -> Rewriter {
        let json = |text: &str| text.trim_start().starts_with(['{', '[', '"']);
        let field = begin.map(|text| if json(text) { Field::Json } else { Field::Text });
        let field = field.filter(|_| self.in_websocket && !self.is_empty());
        self.rewriter(field, "a WebSocket message")
    }

    fn rewriter(&self, field: Option<Field>, place: &'static str) -> Rewriter {
        let (held, scope) = (BytesMut::new(), self.clone());
        Rewriter { scope, field, place, held, passed: 0, injected: 0 }
    }
}

impl Rewriter {
    /// Whether the result may be longer or shorter than the body.
    pub fn may_change_length(&self) -> bool {
        self.field.is_some()
    }

    /// How many placeholders were replaced.
    pub fn injected(&self) -> usize {
        self.injected
    }

    /// What of the body may go on.
    ///
    /// # Errors
    /// For a placeholder that does not become a value; nothing of it went on, and the request must not be completed.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, CredentialError> {
        self.next(chunk, false)
    }

    /// The rest, when the body has ended.
    ///
    /// # Errors
    /// As for [`Rewriter::push`].
    pub fn finish(&mut self) -> Result<Bytes, CredentialError> {
        self.next(Bytes::new(), true)
    }

    fn next(&mut self, chunk: Bytes, last: bool) -> Result<Bytes, CredentialError> {
        let whole = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            self.held.split().freeze()
        };
        let Some((first, found)) = text::find(&whole, 0, last) else {
            self.passed = self.passed.saturating_add(whole.len());
            return Ok(whole);
        };
        let mut next = Some((first, found));
        let mut out = Vec::new();
        let mut from = 0;
        while let Some((at, found)) = next {
            let plain = whole.get(from..at).unwrap_or_default();
            self.passed = self.passed.saturating_add(plain.len());
            if found == Found::Short {
                self.held.extend_from_slice(whole.get(at..).unwrap_or_default());
                if from == 0 {
                    return Ok(whole.slice(..at));
                }
                out.extend_from_slice(plain);
                return Ok(out.into());
            }
            out.extend_from_slice(plain);
            let end = self.put(&found, &mut out)?;
            self.passed = self.passed.saturating_add(end.saturating_sub(at));
            from = end;
            next = text::find(&whole, from, last);
        }
        let rest = whole.get(from..).unwrap_or_default();
        self.passed = self.passed.saturating_add(rest.len());
        out.extend_from_slice(rest);
        Ok(out.into())
    }

    fn put(&mut self, found: &Found, out: &mut Vec<u8>) -> Result<usize, CredentialError> {
        let Some(field) = self.field else {
            // Whose it is comes first: "not here" would be no answer to "not to them".
            if let Found::Whole { key, .. } = found {
                self.scope.resolve(key)?;
            }
            return Err(CredentialError::Misplaced(self.place));
        };
        if self.passed >= BODY_BYTES_MAX {
            return Err(CredentialError::Large);
        }
        self.injected = self.injected.saturating_add(1);
        self.scope.put(found, field, out)
    }
}

/// How values are written into a body of this type; `None` where they are not.
fn field_of(kind: &[u8]) -> Option<Field> {
    let essence = kind.split(|byte| *byte == b';').next()?.trim_ascii().to_ascii_lowercase();
    match &*essence {
        b"application/json" | b"application/x-ndjson" | b"application/graphql-response+json" => {
            Some(Field::Json)
        }
        b"application/x-www-form-urlencoded" => Some(Field::Parameter),
        // Values would need the escapes of markup there.
        b"text/html" | b"text/xml" => None,
        other if other.ends_with(b"+json") => Some(Field::Json),
        other if other.starts_with(b"text/") => Some(Field::Text),
        _ => None,
    }
}
