//! The answer of a backend while it is read: its head, its pieces, its end.
//!
//! Invariant: a connection goes back to the pool only after its answer was read to the end.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use backends::translate::{ErrorFacts, read_error};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};
use pingora::protocols::http::client::HttpSession;
use router::restore::{Escape, restore_text};
use tokio::time::{Instant, timeout};

use crate::{
    decode::{DecodeError, Decoder, Encoding},
    exchange::Asked,
    mask::{Mask, Needle},
    pool::Pool,
    reject::Failure,
    snapshot::Reach,
    until::until,
    upstream::Target,
};

/// Most of an error body that is read, bytes.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Longest time to read the rest of an error body.
const ERROR_TIME: Duration = Duration::from_secs(2);

/// Longest text of a backend's error that the caller sees, characters.
const ERROR_CHARS_MAX: usize = 2_000;

/// Codes that a backend may give to an error; others could carry text.
const CODE_BYTES_MAX: usize = 64;

/// Bytes of an answer that are joined into one write when they are there at the same time.
const JOIN_BYTES_MAX: usize = 16 << 10;

/// What reading a piece gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// There is more to come.
    Piece(Bytes),
    /// The last piece.
    End(Bytes),
    /// What came before the connection broke.
    Broken(Bytes),
    /// Nothing came for too long.
    Idle,
}

/// An answer whose head has been read.
pub(crate) struct Upstream {
    session: HttpSession,
    pool: Arc<Pool>,
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
    async fn piece(&mut self) -> pingora::Result<Option<Bytes>> {
        self.session.read_response_body().await
    }

    /// Whether the last piece was the end.
    fn ended(&mut self) -> bool {
        self.session.response_done()
    }

    /// Gives the connection back after the end was read.
    pub(crate) async fn release(self) {
        let Self { session, pool, target, .. } = self;
        pool.give_back(session, &target).await;
    }

    /// The next piece, for which nobody waits longer than `pause`, with all that is there at the same time.
    pub(crate) async fn next(&mut self, pause: Duration) -> Read {
        match timeout(pause, self.piece()).await {
            Ok(Ok(Some(piece))) => self.join(piece),
            Ok(Ok(None)) => Read::End(Bytes::new()),
            Ok(Err(_)) => Read::Broken(Bytes::new()),
            Err(_) => Read::Idle,
        }
    }

    /// Adds to `piece` what has arrived already; nothing is waited for.
    fn join(&mut self, piece: Bytes) -> Read {
        if self.ended() {
            return Read::End(piece);
        }
        let mut more = BytesMut::new();
        while piece.len().saturating_add(more.len()) < JOIN_BYTES_MAX {
            match now(self.piece()) {
                None => break,
                Some(Ok(Some(next))) => more.extend_from_slice(&next),
                Some(Ok(None)) => return Read::End(joined(piece, &more)),
                Some(Err(_)) => return Read::Broken(joined(piece, &more)),
            }
            if self.ended() {
                return Read::End(joined(piece, &more));
            }
        }
        Read::Piece(joined(piece, &more))
    }

    /// Reads the rest of a small error, so that its connection can be used again.
    pub(crate) async fn discard(mut self) {
        let idle = ERROR_TIME;
        if matches!(timeout(ERROR_TIME, self.whole(ERROR_BYTES_MAX, idle)).await, Ok(Ok(_))) {
            self.release().await;
        }
    }

    /// The backend's fault with the request: in words that the caller may see, and as it was read.
    pub(super) async fn refusal(mut self, asked: &Asked) -> (Failure, ErrorFacts) {
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
        let code = facts.code.as_ref().unwrap_or(&facts.kind);
        let failure = Failure::Provider {
            status,
            code: Some(code.clone()).filter(|code| is_code(code)),
            message: message.chars().take(ERROR_CHARS_MAX).collect(),
            param: facts.param.clone().filter(|param| is_code(param)),
        };
        (failure, facts)
    }

    /// The whole body, decoded.
    ///
    /// # Errors
    /// One word for what went wrong.
    pub(super) async fn whole(
        &mut self,
        limit: usize,
        idle: Duration,
    ) -> Result<Bytes, &'static str> {
        let encoding = self.encoding()?;
        let mut decoder = Decoder::new(encoding, limit).map_err(|_| "encoding")?;
        let mut whole = BytesMut::new();
        loop {
            let piece = match until(|| Instant::now() + idle, self.piece()).await {
                Some(Ok(Some(piece))) => piece,
                Some(Ok(None)) => break,
                Some(Err(_)) => return Err("broken"),
                None => return Err("idle_timeout"),
            };
            let text = decoder.push(piece).map_err(|error| undecoded(&error))?;
            if whole.is_empty() && self.ended() && encoding == Encoding::Identity {
                return Ok(text);
            }
            whole.extend_from_slice(&text);
            if self.ended() {
                break;
            }
        }
        whole.extend_from_slice(&decoder.finish().map_err(|error| undecoded(&error))?);
        Ok(whole.freeze())
    }

    /// The encoding of the body.
    ///
    /// # Errors
    /// One word if it is not known.
    pub(super) fn encoding(&self) -> Result<Encoding, &'static str> {
        let name = self.text(header::CONTENT_ENCODING).unwrap_or_default();
        Encoding::of(name.as_bytes()).map_err(|_| "encoding")
    }

    /// The headers that the caller may see; one that repeats the credential is dropped.
    pub(super) fn returned(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::with_capacity(8);
        let Some(head) = self.session.response_header() else { return headers };
        for (name, value) in &head.headers {
            let secret = self.needle.as_ref().is_some_and(|needle| needle.is_in(value.as_bytes()));
            let ours = *name == header::CONTENT_ENCODING || *name == header::CONTENT_LENGTH;
            if backends::headers::returned(name.as_str()) && !ours && !secret {
                headers.push((name.clone(), value.clone()));
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

/// One word for a body that cannot be decoded.
fn undecoded(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Large(_) => "too_large",
        DecodeError::Unsupported => "encoding",
        DecodeError::Damaged(_) => "damaged",
    }
}

fn joined(piece: Bytes, more: &BytesMut) -> Bytes {
    if more.is_empty() {
        return piece;
    }
    let mut whole = BytesMut::with_capacity(piece.len().saturating_add(more.len()));
    whole.extend_from_slice(&piece);
    whole.extend_from_slice(more);
    whole.freeze()
}

/// The output of `work` if it is there at once. The same read is always polled again with a real waker.
fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A short word of a program, such as `context_length_exceeded` or `messages[0].content`.
fn is_code(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    (1..=CODE_BYTES_MAX).contains(&text.len()) && text.chars().all(word)
}
