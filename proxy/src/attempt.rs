//! One attempt at one backend: connect or take a connection from the pool, send, read the head of the answer.
//!
//! Not here: whether to try again elsewhere (`failover`), what an answer means (`backends::outcome`).
//! Head and body leave in one vectored write, so that a spliced prompt is never copied.
//! Invariant: a request is sent a second time only when its connection came from the pool and no byte of an answer
//! had come, which is how a server closes an idle connection.

use std::{collections::VecDeque, io::IoSlice, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Method, Uri, header};
use pingora::{
    Error, ErrorType, OrErr, RetryType,
    http::RequestHeader,
    protocols::http::{client::HttpSession, v1::client::HttpSession as H1Session},
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout_at},
};

use crate::{
    pool::{Pool, Taken},
    until::until,
    upstream::Target,
};

/// Dead connections that are taken from the pool before the attempt counts as failed.
const STALE_MAX: u32 = 16;

/// Time to write a request, per MiB of it and at least once.
const WRITE_MIB: Duration = Duration::from_secs(30);

/// A request as it leaves. Headers are complete but for `host` and `content-length`.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `GET` or `POST`.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// Headers with lower-case names; the credential is among them, marked as sensitive.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body in pieces.
    pub(crate) body: Vec<Bytes>,
}

/// Why there is no head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttemptError {
    /// No connection.
    #[error("cannot connect")]
    Connect,
    /// No connection in time.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The backend is not who it should be, or does not agree on how to speak TLS.
    #[error("the backend's certificate or TLS is refused")]
    Tls,
    /// No byte of an answer in time.
    #[error("no answer in time")]
    FirstByteTimeout,
    /// The connection broke before there was a head.
    #[error("the connection broke before an answer")]
    Broken,
    /// What came is no HTTP.
    #[error("the answer is no HTTP")]
    Protocol,
}

impl AttemptError {
    /// One word for audit and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::Broken => "broken",
            Self::Protocol => "protocol",
        }
    }
}

/// Sends `request` and gives the session whose response head has been read.
///
/// Dropping it closes the connection, or resets the stream of HTTP/2.
///
/// # Errors
/// When no head came.
pub(crate) async fn attempt(
    pool: &Pool,
    target: &Target,
    request: &Outgoing,
    first_byte: Duration,
) -> Result<HttpSession, AttemptError> {
    for _ in 0..STALE_MAX {
        let taken = pool.take(target).await.map_err(|error| connecting(target, &error))?;
        let reused = taken.was_used();
        match send(taken, target, request, first_byte).await {
            Ok(session) => return Ok(session),
            Err(Sent::Stale) if reused => {}
            Err(Sent::Stale) => return Err(AttemptError::Broken),
            Err(Sent::Failed(error)) => return Err(error),
        }
    }
    Err(AttemptError::Broken)
}

enum Sent {
    /// The connection ended before a byte came.
    Stale,
    Failed(AttemptError),
}

async fn send(
    taken: Taken,
    target: &Target,
    request: &Outgoing,
    first_byte: Duration,
) -> Result<HttpSession, Sent> {
    let length: usize = request.body.iter().map(Bytes::len).sum();
    let mib = u32::try_from(length >> 20).unwrap_or(u32::MAX).saturating_add(1);
    let limit = || Instant::now() + WRITE_MIB.saturating_mul(mib);
    let mut session = match until(limit, write(taken, target, request, length)).await {
        Some(Ok(session)) => session,
        Some(Err(error)) => return Err(sending(&error)),
        None => return Err(Sent::Failed(AttemptError::FirstByteTimeout)),
    };
    let deadline = Instant::now() + first_byte;
    loop {
        match timeout_at(deadline, session.read_response_header()).await {
            Err(_) => return Err(Sent::Failed(AttemptError::FirstByteTimeout)),
            Ok(Err(error)) => return Err(sending(&error)),
            Ok(Ok(())) => {}
        }
        match session.response_header() {
            // 100 and 103 come before the answer.
            Some(head) if head.status.is_informational() => {}
            Some(_) => return Ok(session),
            None => return Err(Sent::Failed(AttemptError::Protocol)),
        }
    }
}

async fn write(
    taken: Taken,
    target: &Target,
    request: &Outgoing,
    length: usize,
) -> pingora::Result<HttpSession> {
    match taken {
        Taken::New(mut stream) | Taken::Used(mut stream) => {
            // Pingora flushes after the head. Writing to the stream saves a system call and, for TLS, a record.
            let mut pieces = Pieces::new(head(target, request, length), &request.body);
            let sent = async {
                stream.write_all_buf(&mut pieces).await?;
                stream.flush().await
            };
            sent.await.or_err(ErrorType::WriteError, "cannot send the request")?;
            Ok(HttpSession::H1(H1Session::new_with_options(stream, target)))
        }
        Taken::Shared { mut session, .. } => {
            session.write_request_header(Box::new(h2_head(target, request, length)?)).await?;
            let mut left = request.body.iter();
            while let Some(piece) = left.next() {
                session.write_request_body(piece.clone(), left.len() == 0).await?;
            }
            if request.body.is_empty() {
                session.finish_request_body().await?;
            }
            Ok(*session)
        }
    }
}

/// The head of an HTTP/1.1 request.
fn head(target: &Target, request: &Outgoing, length: usize) -> Bytes {
    let mut head = Vec::with_capacity(1_024);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    put(&[request.method.as_str().as_bytes(), b" ", request.path.as_bytes(), b" HTTP/1.1\r\n"]);
    put(&[b"host: ", target.host_header().as_bytes(), b"\r\n"]);
    for (name, value) in &request.headers {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if request.method == Method::POST {
        put(&[b"content-length: ", HeaderValue::from(length).as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n"]);
    head.into()
}

fn h2_head(target: &Target, request: &Outgoing, length: usize) -> pingora::Result<RequestHeader> {
    let path = request.path.as_bytes();
    let mut head = RequestHeader::build(request.method.clone(), path, Some(request.headers.len()))?;
    let uri = Uri::builder()
        .scheme("https")
        .authority(target.host_header())
        .path_and_query(request.path.as_str())
        .build()
        .or_err(ErrorType::InvalidHTTPHeader, "the backend's address makes no URI")?;
    head.set_uri(uri);
    for (name, value) in &request.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if request.method == Method::POST {
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    Ok(head)
}

fn connecting(target: &Target, error: &Error) -> AttemptError {
    match error.etype() {
        ErrorType::InvalidCert | ErrorType::HandshakeError | ErrorType::TLSHandshakeFailure => {
            tracing::warn!(backend = %target, error = %error, "the certificate of a backend, or its TLS, is refused");
            return AttemptError::Tls;
        }
        _ => tracing::debug!(backend = %target, error = %error, "cannot connect"),
    }
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
            AttemptError::ConnectTimeout
        }
        _ => AttemptError::Connect,
    }
}

fn sending(error: &Error) -> Sent {
    tracing::debug!(error = %error, "no head of an answer");
    let unanswered = match error.etype() {
        ErrorType::WriteError => true,
        ErrorType::ConnectionClosed | ErrorType::ReadError => {
            // Pingora tells in words only how much of a head had come.
            let begun = error.context.as_ref().is_some_and(|text| !text.as_str().ends_with(": 0"));
            matches!(error.retry, RetryType::ReusedOnly) && !begun
        }
        _ => error.retry(),
    };
    match error.etype() {
        _ if unanswered => Sent::Stale,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            Sent::Failed(AttemptError::FirstByteTimeout)
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H2Error => Sent::Failed(AttemptError::Protocol),
        _ => Sent::Failed(AttemptError::Broken),
    }
}

/// Pieces of bytes as one buffer that a vectored write takes at once.
struct Pieces {
    queue: VecDeque<Bytes>,
    left: usize,
}

impl Pieces {
    fn new(head: Bytes, body: &[Bytes]) -> Self {
        let queue: VecDeque<Bytes> = std::iter::once(head)
            .chain(body.iter().cloned())
            .filter(|piece| !piece.is_empty())
            .collect();
        let left = queue.iter().map(Bytes::len).sum();
        Self { queue, left }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        self.left = self.left.saturating_sub(count);
        while let Some(piece) = self.queue.front_mut() {
            if piece.len() > count {
                piece.advance(count);
                return;
            }
            count = count.saturating_sub(piece.len());
            self.queue.pop_front();
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slot, piece) in into.iter_mut().zip(&self.queue) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_are_read_as_their_concatenation(
            pieces in prop::collection::vec("[a-z]{0,5}", 0..6), step in 1_usize..7,
        ) {
            let body: Vec<Bytes> = pieces.iter().map(|piece| piece.clone().into()).collect();
            let mut buffer = Pieces::new(Bytes::from_static(b"head"), &body);
            let mut read = Vec::new();
            while buffer.has_remaining() {
                let mut slots = [IoSlice::new(&[]); 3];
                let used = buffer.chunks_vectored(&mut slots);
                let seen: Vec<u8> = slots[..used].iter().flat_map(|slot| slot.to_vec()).collect();
                let count = step.min(seen.len());
                read.extend_from_slice(&seen[..count]);
                buffer.advance(count);
            }
            prop_assert_eq!(String::from_utf8(read).unwrap(), format!("head{}", pieces.concat()));
        }
    }
}
