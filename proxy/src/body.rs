//! Reads the body of a request: whole, bounded in size and time, decoded.
//!
//! Invariant: memory for a body grows with what has arrived, never with what a header promises.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::ServerSession;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    decode::{DecodeError, Decoder, Encoding},
    until::until,
};

/// Longest time for a whole body, however steadily it trickles.
const TOTAL: Duration = Duration::from_mins(5);

/// Most memory that is set aside for a body before it has come, bytes.
const AHEAD_BYTES_MAX: usize = 256 << 10;

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most bytes, before and after decoding.
    pub(crate) bytes_max: usize,
    /// Between two reads.
    pub(crate) pause: Duration,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More bytes than allowed.
    #[error("the body has more than {0} bytes")]
    Large(usize),
    /// It came too slowly.
    #[error("the body did not arrive in time")]
    Timeout,
    /// The name in `content-encoding` is not known.
    #[error("the content encoding is not supported; use gzip, deflate, br, zstd or none")]
    Encoding,
    /// Its encoding or framing is damaged.
    #[error("the body is damaged")]
    Damaged,
    /// The caller left.
    #[error("the caller left")]
    Gone,
    /// All bodies together take all the memory that is set aside for them.
    #[error("there is no room for the body now")]
    Full,
}

/// Memory for all bodies together, KiB. Bodies of at most [`SMALL_BYTES_MAX`] are not counted: the number of
/// connections bounds them.
pub(crate) const ROOM_KIB: usize = 1 << 20;

/// Largest body that is not counted, bytes.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// The place of one body in the memory for all of them; given back when dropped.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    all: &'a Semaphore,
    taken: Option<SemaphorePermit<'a>>,
}

impl<'a> Room<'a> {
    /// No place yet.
    pub(crate) fn new(all: &'a Semaphore) -> Self {
        Self { all, taken: None }
    }

    /// Takes what a body of so many bytes needs beyond what it has; false if there is none.
    fn grow(&mut self, bytes: usize) -> bool {
        if bytes <= SMALL_BYTES_MAX {
            return true;
        }
        let has = self.taken.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = u32::try_from(bytes.div_ceil(1_024).saturating_sub(has)).unwrap_or(u32::MAX);
        let Ok(more) = self.all.try_acquire_many(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}

/// The whole body of the request, decoded; empty if there is none.
///
/// # Errors
/// See [`BodyError`]. After an error the connection cannot be used for another request.
pub(crate) async fn read(
    session: &mut ServerSession,
    limits: Limits,
    room: &mut Room<'_>,
) -> Result<Bytes, BodyError> {
    let encoding = Encoding::of(session.get_header_bytes(header::CONTENT_ENCODING))
        .map_err(|_| BodyError::Encoding)?;
    let announced = announced(session);
    if announced > limits.bytes_max {
        return Err(BodyError::Large(limits.bytes_max));
    }
    if session.get_header_bytes(header::EXPECT).eq_ignore_ascii_case(b"100-continue") {
        // Pingora takes any head before the end of a body for a reason to close the connection.
        let keepalive = session.get_keepalive();
        session.write_continue_response().await.map_err(|_| BodyError::Gone)?;
        session.set_keepalive(keepalive);
    }
    let mut decoder = Decoder::new(encoding, limits.bytes_max).map_err(|e| undecodable(&e))?;
    // Counted from the first wait.
    let mut end = None;
    let mut whole = BytesMut::new();
    let mut arrived: usize = 0;
    loop {
        let deadline = || {
            let now = Instant::now();
            (now + limits.pause).min(*end.get_or_insert(now + TOTAL))
        };
        let piece = match until(deadline, session.read_request_body()).await {
            Some(Ok(Some(piece))) => piece,
            Some(Ok(None)) => break,
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(BodyError::Timeout),
        };
        arrived = arrived.saturating_add(piece.len());
        if arrived > limits.bytes_max {
            return Err(BodyError::Large(limits.bytes_max));
        }
        let first = whole.is_empty() && arrived == piece.len();
        let text = decoder.push(piece).map_err(|error| undecodable(&error))?;
        if !room.grow(whole.len().saturating_add(text.len())) {
            return Err(BodyError::Full);
        }
        if first && encoding == Encoding::Identity && session.is_body_done() {
            // The usual body came in one piece and is not copied again.
            return Ok(text);
        }
        if first {
            whole.reserve(announced.min(AHEAD_BYTES_MAX).max(text.len()));
        }
        whole.extend_from_slice(&text);
    }
    if arrived > 0 {
        whole.extend_from_slice(&decoder.finish().map_err(|error| undecodable(&error))?);
    }
    Ok(whole.freeze())
}

/// The length that the head names; what is no number was refused before.
fn announced(session: &ServerSession) -> usize {
    let text = session.get_header(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    text.map_or(0, |text| text.trim().parse().unwrap_or(usize::MAX))
}

fn undecodable(error: &DecodeError) -> BodyError {
    match error {
        DecodeError::Unsupported => BodyError::Encoding,
        DecodeError::Large(limit) => BodyError::Large(*limit),
        DecodeError::Damaged(_) => BodyError::Damaged,
    }
}

fn broken(error: &pingora::Error) -> BodyError {
    match error.etype() {
        pingora::ErrorType::ReadTimedout => BodyError::Timeout,
        pingora::ErrorType::ConnectionClosed | pingora::ErrorType::ReadError => BodyError::Gone,
        _ => BodyError::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_a_bounded_memory_and_give_it_back() {
        let all = Semaphore::new(300);
        let (mut one, mut two) = (Room::new(&all), Room::new(&all));
        assert!(one.grow(SMALL_BYTES_MAX) && all.available_permits() == 300);
        assert!(one.grow(100 << 10) && one.grow(200 << 10));
        assert_eq!(all.available_permits(), 100);
        assert!(!two.grow(101 << 10));
        drop(one);
        assert!(two.grow(300 << 10));
    }
}
