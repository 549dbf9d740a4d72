//! The answer of a backend while it is read: its head, its pieces, its end.
//!
//! Invariant: a connection goes back to the pool only after its answer was read to the end.

use std::{sync::Arc, time::Duration};

use backends::{configuration::Timeouts, translate::read_error};
use bytes::{Bytes, BytesMut};
use domain::limits::ANSWER_BYTES_MAX;
use http::{HeaderMap, HeaderName, header};
use pingora::{connectors::http::Connector, protocols::http::client::HttpSession};
use router::restore::{Escape, restore_text};
use tokio::time::timeout;

use crate::{
    decode::{Decoder, Encoding},
    exchange::Asked,
    mask::{Mask, Needle},
    reject::Failure,
    snapshot::Reach,
    upstream::{IDLE_CONNECTION, Target},
};

/// Most of an error body that is read, bytes.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Longest time to read the rest of an error body.
const ERROR_TIME: Duration = Duration::from_secs(2);

/// Longest text of a backend's error that the caller sees, characters.
const ERROR_CHARS_MAX: usize = 2_000;

/// Codes that a backend may give to an error; others could carry text.
const CODE_BYTES_MAX: usize = 64;

/// What a backend answers.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it, decoded.
    Whole(Bytes),
    /// The first piece as it came, and where the rest comes from.
    Stream(Box<Upstream>, Bytes),
}

/// An answer whose head has been read.
pub(crate) struct Upstream {
    session: HttpSession,
    pool: Arc<Connector>,
    target: Target,
    /// The credential that the request carried.
    needle: Option<Needle>,
}

impl Upstream {
    /// The answer that comes over `session`.
    pub(crate) fn new(session: HttpSession, reach: &Reach) -> Self {
        let needle = reach.credential.as_ref().and_then(|credential| credential.needle.clone());
        Self { session, pool: Arc::clone(&reach.pool), target: reach.target.clone(), needle }
    }

    /// Its status; 0 if there is none.
    pub(crate) fn status(&self) -> u16 {
        self.session.response_header().map_or(0, |head| head.status.as_u16())
    }

    /// The text of a header.
    pub(super) fn text(&self, name: HeaderName) -> Option<&str> {
        self.session.response_header()?.headers.get(name)?.to_str().ok()
    }

    /// The credential that must not come back.
    pub(crate) fn needle(&self) -> Option<Needle> {
        self.needle.clone()
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks. Cancel-safe.
    pub(crate) async fn piece(&mut self) -> pingora::Result<Option<Bytes>> {
        self.session.read_response_body().await
    }

    /// Whether the last piece was the end.
    pub(crate) fn ended(&mut self) -> bool {
        self.session.response_done()
    }

    /// Gives the connection back after the end was read.
    pub(crate) async fn release(self) {
        let Self { session, pool, target, .. } = self;
        pool.release_http_session(session, &target, Some(IDLE_CONNECTION)).await;
    }

    /// The headers that the caller may see, and the content: whole, or its first piece if it is a stream.
    ///
    /// # Errors
    /// One word for what went wrong before the first content byte.
    pub(super) async fn content(
        mut self,
        timeouts: Timeouts,
    ) -> Result<(HeaderMap, Content), &'static str> {
        let headers = self.returned();
        let kind = self.text(header::CONTENT_TYPE).unwrap_or_default();
        if kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
            let first = timeout(timeouts.first_byte, self.piece()).await;
            return match first {
                Ok(Ok(Some(piece))) => Ok((headers, Content::Stream(Box::new(self), piece))),
                Ok(Ok(None)) => Err("empty"),
                Ok(Err(_)) => Err("broken"),
                Err(_) => Err("first_byte_timeout"),
            };
        }
        let whole = self.whole(ANSWER_BYTES_MAX, timeouts.idle).await?;
        self.release().await;
        Ok((headers, Content::Whole(whole)))
    }

    /// Reads the rest of a small error, so that its connection can be used again.
    pub(crate) async fn discard(mut self) {
        let idle = ERROR_TIME;
        if matches!(timeout(ERROR_TIME, self.whole(ERROR_BYTES_MAX, idle)).await, Ok(Ok(_))) {
            self.release().await;
        }
    }

    /// The backend's fault with the request, in words that the caller may see.
    pub(super) async fn refusal(mut self, asked: &Asked) -> Failure {
        let status = self.status();
        let body = timeout(ERROR_TIME, self.whole(ERROR_BYTES_MAX, ERROR_TIME)).await;
        let body = match body {
            Ok(Ok(body)) => body,
            _ => Bytes::new(),
        };
        let mut mask = Mask::new(self.needle.clone());
        let mut clean = mask.push(body).to_vec();
        clean.extend_from_slice(&mask.finish());
        let facts = read_error(status, &clean);
        let message = restore_text(&asked.vault, &facts.message, Escape::None);
        Failure::Provider {
            status,
            code: facts.code.or(Some(facts.kind)).filter(|code| is_code(code)),
            message: message.chars().take(ERROR_CHARS_MAX).collect(),
            param: facts.param.filter(|param| is_code(param)),
        }
    }

    /// The whole body, decoded.
    async fn whole(&mut self, limit: usize, idle: Duration) -> Result<Bytes, &'static str> {
        let encoding = self.encoding()?;
        let mut decoder = Decoder::new(encoding, limit).map_err(|_| "encoding")?;
        let mut whole = BytesMut::new();
        loop {
            let piece = match timeout(idle, self.piece()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break,
                Ok(Err(_)) => return Err("broken"),
                Err(_) => return Err("idle_timeout"),
            };
            let text = decoder.push(piece).map_err(|_| "damaged")?;
            if whole.is_empty() && self.ended() && encoding == Encoding::Identity {
                return Ok(text);
            }
            whole.extend_from_slice(&text);
            if self.ended() {
                break;
            }
        }
        whole.extend_from_slice(&decoder.finish().map_err(|_| "damaged")?);
        Ok(whole.freeze())
    }

    /// The encoding of the body.
    ///
    /// # Errors
    /// One word if it is not known.
    pub(crate) fn encoding(&self) -> Result<Encoding, &'static str> {
        let name = self.text(header::CONTENT_ENCODING).unwrap_or_default();
        Encoding::of(name.as_bytes()).map_err(|_| "encoding")
    }

    /// The headers that the caller may see; one that repeats the credential is dropped.
    fn returned(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some(head) = self.session.response_header() else { return headers };
        for (name, value) in &head.headers {
            let secret = self.needle.as_ref().is_some_and(|needle| needle.is_in(value.as_bytes()));
            let ours = *name == header::CONTENT_ENCODING || *name == header::CONTENT_LENGTH;
            if backends::headers::returned(name.as_str()) && !ours && !secret {
                headers.append(name.clone(), value.clone());
            }
        }
        headers
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A short word of a program, such as `context_length_exceeded` or `messages[0].content`.
fn is_code(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    (1..=CODE_BYTES_MAX).contains(&text.len()) && text.chars().all(word)
}
