//! What goes to one side of an exchange while the other side, and this one, are still listened to.
//!
//! A session of HTTP/1 writes to a socket that takes everything (`socket`). One of HTTP/2 would wait for room of its peer, so
//! its stream is written to here. Invariant: whoever asks [`Outlet::has_room`] before each piece keeps at most that piece.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

use super::socket::Backlog;

/// One side of an exchange.
pub(super) enum Outlet {
    /// Nothing is to be sent, now or any more.
    Shut,
    /// HTTP/1: what its session wrote.
    Http1(Backlog),
    /// HTTP/2.
    Http2(Writer),
}

/// A stream of HTTP/2.
pub(super) struct Writer {
    stream: SendStream<Bytes>,
    left: Bytes,
    end: End,
    /// Bytes that the stream took so far; wraps.
    sent: u64,
}

/// How a stream ends.
enum End {
    /// It is open.
    Open,
    /// With what is left.
    Soon,
    /// With these, after what is left.
    Trailers(HeaderMap),
    /// It has been said.
    Said,
}

impl Outlet {
    /// To a stream of HTTP/2; nothing where there is none.
    pub(super) fn http2(stream: Option<SendStream<Bytes>>) -> Self {
        let writer = |stream| Writer { stream, left: Bytes::new(), end: End::Open, sent: 0 };
        stream.map_or(Self::Shut, |stream| Self::Http2(writer(stream)))
    }

    /// Whether another piece may be given.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Shut => true,
            Self::Http1(backlog) => backlog.has_room(),
            Self::Http2(writer) => writer.left.is_empty(),
        }
    }

    /// Whether everything is on its way.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Shut => true,
            Self::Http1(backlog) => backlog.is_empty(),
            Self::Http2(writer) => {
                writer.left.is_empty() && matches!(writer.end, End::Open | End::Said)
            }
        }
    }

    /// Whether there is something to wait for in [`Outlet::settle`].
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Http2(_)) || !self.is_empty()
    }

    /// How many bytes went out so far, where some still wait; wraps.
    pub(super) fn waits_at(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.sent())
    }

    /// How many bytes went out so far; wraps.
    pub(super) fn sent(&self) -> u64 {
        match self {
            Self::Shut => 0,
            Self::Http1(backlog) => backlog.sent(),
            Self::Http2(writer) => writer.sent,
        }
    }

    /// Returns when everything that waits was sent; where nothing does, only when a stream ends. Cancel-safe. How long a peer
    /// may take is for [`super::patience`].
    ///
    /// # Errors
    /// When the peer takes no more.
    pub(super) fn settle(&mut self) -> impl Future<Output = io::Result<()>> {
        // Known before anything else is polled: that may send what waits.
        let had_any = !self.is_empty();
        std::future::poll_fn(move |context| {
            if let Self::Http2(writer) = self {
                writer.check(context)?;
            }
            if had_any { self.poll_send(context) } else { Poll::Pending }
        })
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Shut => Poll::Ready(Ok(())),
            Self::Http1(backlog) => backlog.poll_send(context),
            Self::Http2(writer) => writer.poll_send(context).map_err(io::Error::other),
        }
    }
}

impl Writer {
    /// Gives the next piece, or the last bit that comes with the end.
    pub(super) fn put(&mut self, piece: Bytes) {
        self.left = match (self.left.is_empty(), piece.is_empty()) {
            (true, _) => piece,
            (false, true) => return,
            (false, false) => [&self.left[..], &piece[..]].concat().into(),
        };
    }

    /// Ends the stream, with trailers if there are some.
    pub(super) fn end(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.end, End::Open) {
            self.end = trailers.map_or(End::Soon, End::Trailers);
        }
    }

    /// Whether the peer still takes the stream; asks for being told when it no longer does.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.stream.poll_reset(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(reason)) => Err(io::Error::other(h2::Error::from(reason))),
            Poll::Ready(Err(error)) => Err(io::Error::other(error)),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while !self.left.is_empty() {
            self.stream.reserve_capacity(self.left.len());
            let Some(room) = ready!(self.stream.poll_capacity(context)) else {
                return Poll::Ready(Err(h2::Reason::STREAM_CLOSED.into()));
            };
            let piece = self.left.split_to(room?.min(self.left.len()));
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.sent = self.sent.wrapping_add(length);
            let last = self.left.is_empty() && matches!(self.end, End::Soon);
            self.stream.send_data(piece, last)?;
            if last {
                self.end = End::Said;
            }
        }
        match std::mem::replace(&mut self.end, End::Said) {
            End::Open => self.end = End::Open,
            End::Soon => self.stream.send_data(Bytes::new(), true)?,
            End::Trailers(trailers) => self.stream.send_trailers(trailers)?,
            End::Said => {}
        }
        Poll::Ready(Ok(()))
    }
}
