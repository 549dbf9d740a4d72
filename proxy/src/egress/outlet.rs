//! What goes to one side of an exchange while the other side, and this one, are still listened to.
//!
//! A session of HTTP/1 writes to a socket that takes everything (`socket`). One of HTTP/2 would wait for room of its peer, so
//! its stream is written to here. Invariant: whoever asks [`Outlet::has_room`] before each piece keeps at most that piece.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use tokio::time::timeout;

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
        let writer = |stream| Self::Http2(Writer { stream, left: Bytes::new(), end: End::Open });
        stream.map_or(Self::Shut, writer)
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

    /// Returns when everything that waits was sent; where nothing does, only when a stream ends. Cancel-safe.
    ///
    /// # Errors
    /// When the peer takes no more, or took nothing for `pause`.
    pub(super) fn settle(&mut self, pause: Duration) -> impl Future<Output = io::Result<()>> {
        // Known before anything else is polled: that may send what waits.
        let had_any = !self.is_empty();
        let sent = std::future::poll_fn(move |context| {
            if let Self::Http2(writer) = self {
                writer.check(context)?;
            }
            if had_any { self.poll_send(context) } else { Poll::Pending }
        });
        async move {
            if !had_any {
                return sent.await;
            }
            let sent = timeout(pause, sent).await;
            sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
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
