//! A connection as the sessions of Pingora use it: writing never waits.
//!
//! A session reads and writes in turn, and while it waits for a peer to take something it would read nothing of it: a server
//! that answers before it reads, and a caller that reads only then, would stand still for ever. Here a write takes what
//! comes, and whoever writes looks after the rest with a [`Backlog`], beside everything else. Small pieces gather until
//! they are flushed, so that a head goes out with the body behind it.
//!
//! Invariants: no more than [`EGRESS_WAITING_BYTES_MAX`] wait in one direction; beyond that, writing waits as usual. A peer
//! that did not get everything sees its connection reset, never ended.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use domain::limits::EGRESS_WAITING_BYTES_MAX;
use parking_lot::Mutex;
use pingora::protocols::{
    Stream,
    l4::{
        self,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, tcp, unix},
};

use super::linger;

/// Pieces of this size go out at once, with what gathered before; smaller ones cost less to copy than to send.
const LARGE_BYTES: usize = 4 << 10;

/// Most pieces that one call of the system takes.
const PIECES_MAX: usize = 32;

/// Room for what waits that is kept when nothing does; more is given back.
const KEPT_BYTES: usize = 16 << 10;

/// A connection for a session of Pingora.
pub(super) struct Wire {
    /// What the session uses.
    pub(super) stream: Stream,
    /// What it has not sent yet.
    pub(super) backlog: Backlog,
    /// Whether HTTP/2 was agreed on.
    pub(super) is_http2: bool,
}

impl Wire {
    /// A connection on which nothing was agreed.
    pub(super) fn plain(socket: Socket) -> Self {
        let backlog = socket.backlog();
        Self::of(socket, backlog, false)
    }

    /// A connection whose bytes are made of those of a socket with this backlog.
    pub(super) fn of(
        connection: impl AsyncRead + AsyncWrite + Unpin + Send + Sync + fmt::Debug + 'static,
        backlog: Backlog,
        is_http2: bool,
    ) -> Self {
        let stream =
            l4::stream::Stream::from(VirtualSocketStream::new(Box::new(Inner(connection))));
        Self { stream: Box::new(stream), backlog, is_http2 }
    }
}

#[derive(Debug)]
enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

#[derive(Debug)]
enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl WriteHalf {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write_vectored(context, pieces),
            Self::Unix(half) => Pin::new(half).poll_write_vectored(context, pieces),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(context),
            Self::Unix(half) => Pin::new(half).poll_shutdown(context),
        }
    }
}

/// What goes out.
#[derive(Debug)]
struct Out {
    /// Gone only while this is dropped.
    write: Option<WriteHalf>,
    /// What was written and not sent.
    waiting: BytesMut,
    /// Whether flushing is left for later.
    is_corked: bool,
    /// Whether the system took no more when it was last asked.
    is_full: bool,
    /// Whether more waited than there is room kept for.
    has_grown: bool,
    /// Bytes that the system took so far; wraps.
    sent: u64,
    /// Why nothing is taken any more. Whatever was written since, or waited then, is lost.
    failed: Option<io::ErrorKind>,
}

impl Out {
    /// Sends what waits, and of `more` behind it as much as goes; gives how much that was.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        more: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        loop {
            if self.waiting.is_empty() && more.iter().all(|piece| piece.is_empty()) {
                self.is_full = false;
                return Poll::Ready(Ok(0));
            }
            let Some(write) = &mut self.write else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let sent = if self.waiting.is_empty() {
                write.poll_write(context, more)
            } else {
                let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
                let all = std::iter::once(IoSlice::new(&self.waiting)).chain(more.iter().copied());
                pieces.iter_mut().zip(all).for_each(|(slot, piece)| *slot = piece);
                let used = more.len().saturating_add(1);
                write.poll_write(context, pieces.get(..used).unwrap_or(&pieces))
            };
            self.is_full = sent.is_pending();
            let sent = match ready!(sent) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            };
            // Nobody takes it any more.
            let sent = sent.inspect_err(|error| self.fail(error.kind()))?;
            self.sent = self.sent.wrapping_add(u64::try_from(sent).unwrap_or(u64::MAX));
            let of_waiting = sent.min(self.waiting.len());
            self.waiting.advance(of_waiting);
            if self.waiting.is_empty() && std::mem::take(&mut self.has_grown) {
                self.waiting = BytesMut::new();
            }
            if sent > of_waiting {
                return Poll::Ready(Ok(sent.saturating_sub(of_waiting)));
            }
        }
    }

    /// Keeps as much of `pieces` as there is room for; gives how much that was.
    fn keep(&mut self, pieces: &[IoSlice<'_>]) -> usize {
        let mut kept = 0_usize;
        for piece in pieces {
            let room = EGRESS_WAITING_BYTES_MAX.saturating_sub(self.waiting.len());
            let part = piece.get(..room).unwrap_or(piece);
            self.waiting.extend_from_slice(part);
            kept = kept.saturating_add(part.len());
        }
        self.has_grown |= self.waiting.len() > KEPT_BYTES;
        kept
    }

    /// Whether anything is taken at all.
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Takes nothing more, and forgets what waits.
    fn fail(&mut self, kind: io::ErrorKind) {
        self.waiting = BytesMut::new();
        self.failed = Some(kind);
        self.is_full = false;
    }

    /// Has the connection reset when it is closed: its peer must not take what it got for all of it.
    fn reset(&self) {
        if let Some(WriteHalf::Tcp(half)) = &self.write {
            linger::reset(half.as_ref());
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if self.failed.is_some() || !self.waiting.is_empty() {
            self.reset();
        }
        // The end of both halves is the end of the connection: no need to say so for one of them first.
        match self.write.take() {
            Some(WriteHalf::Tcp(half)) => half.forget(),
            Some(WriteHalf::Unix(half)) => half.forget(),
            None => {}
        }
    }
}

/// What a connection has not sent yet.
#[derive(Clone, Debug)]
pub(super) struct Backlog(Arc<Mutex<Out>>);

impl Backlog {
    fn new(write: WriteHalf) -> Self {
        let out = Out {
            write: Some(write),
            waiting: BytesMut::new(),
            is_corked: false,
            is_full: false,
            has_grown: false,
            sent: 0,
            failed: None,
        };
        Self(Arc::new(Mutex::new(out)))
    }

    /// Whether more may be written without waiting.
    pub(super) fn has_room(&self) -> bool {
        !self.0.lock().is_full
    }

    /// Leaves flushing for later, or does not.
    pub(super) fn cork(&self, is_corked: bool) {
        self.0.lock().is_corked = is_corked;
    }

    /// Whether everything was sent.
    pub(super) fn is_empty(&self) -> bool {
        let out = self.0.lock();
        out.waiting.is_empty() && out.failed.is_none()
    }

    /// Bytes that went out so far; wraps.
    pub(super) fn sent(&self) -> u64 {
        self.0.lock().sent
    }

    /// Sends nothing more: the peer is to see that something is missing.
    pub(super) fn cut(&self) {
        self.0.lock().fail(io::ErrorKind::ConnectionAborted);
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// When the peer takes no more.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_send(context, &[]).map_ok(drop)
    }
}

/// A socket whose writes do not wait.
#[derive(Debug)]
pub(super) struct Socket {
    read: ReadHalf,
    /// What was read before.
    seen: BytesMut,
    backlog: Backlog,
}

impl Socket {
    /// A TCP connection of which `seen` was read and not used.
    pub(super) fn tcp(stream: TcpStream, seen: BytesMut) -> Self {
        let (read, write) = stream.into_split();
        Self { read: ReadHalf::Tcp(read), seen, backlog: Backlog::new(WriteHalf::Tcp(write)) }
    }

    /// A connection over a Unix socket.
    pub(super) fn unix(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        let backlog = Backlog::new(WriteHalf::Unix(write));
        Self { read: ReadHalf::Unix(read), seen: BytesMut::new(), backlog }
    }

    /// What is not sent yet.
    pub(super) fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut out = self.backlog.0.lock();
            if out.is_full {
                // Flushing did not wait for it. Who cannot be written to may still have said something; the next write is
                // told.
                drop(out.poll_send(context, &[]));
            }
        }
        if !self.seen.is_empty() {
            let count = self.seen.len().min(buffer.remaining());
            buffer.put_slice(&self.seen.split_to(count));
            return Poll::Ready(Ok(()));
        }
        match &mut self.read {
            ReadHalf::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            ReadHalf::Unix(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut out = self.backlog.0.lock();
        out.check()?;
        let more = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        let is_large = out.waiting.len().saturating_add(more) >= LARGE_BYTES;
        let has_no_room = out.waiting.len() >= EGRESS_WAITING_BYTES_MAX;
        if has_no_room || (is_large && !out.is_corked) {
            match out.poll_send(context, pieces) {
                Poll::Ready(sent) => return Poll::Ready(sent),
                Poll::Pending if has_no_room => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(out.keep(pieces)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.backlog.0.lock();
        if out.is_corked {
            return Poll::Ready(Ok(()));
        }
        match out.poll_send(context, &[]) {
            Poll::Ready(sent) => Poll::Ready(sent.map(drop)),
            // Reading, and whoever holds the backlog, go on with it.
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.backlog.0.lock();
        out.is_corked = false;
        match out.poll_send(context, &[]) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            // An answer that is whole has been sent before. Whoever takes nothing does not keep the connection open.
            Poll::Pending => {
                out.fail(io::ErrorKind::ConnectionAborted);
                return Poll::Ready(out.check());
            }
        }
        match &mut out.write {
            Some(write) => write.poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Whatever is read and written, as Pingora takes it.
#[derive(Debug)]
struct Inner<C>(C);

impl<C: AsyncRead + Unpin> AsyncRead for Inner<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Inner<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + Sync + fmt::Debug> VirtualSocket for Inner<C> {
    /// The options were set when the connection was opened.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    /// No test waits longer.
    const LONG: Duration = Duration::from_secs(20);

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let seen = BytesMut::from(&b"seen"[..]);
        (Socket::tcp(stream, seen), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_head_waits_for_what_follows_it() {
        let (mut socket, mut peer) = pair().await;
        let backlog = socket.backlog();
        backlog.cork(true);
        socket.write_all(b"head ").await.unwrap();
        socket.flush().await.unwrap();
        assert!(!backlog.is_empty() && backlog.has_room());
        backlog.cork(false);
        socket.write_all(b"body").await.unwrap();
        assert!(!backlog.is_empty(), "small pieces gather until they are flushed");
        socket.flush().await.unwrap();
        assert!(backlog.is_empty());
        let mut together = [0; 9];
        peer.read_exact(&mut together).await.unwrap();
        assert_eq!(&together, b"head body");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_still_read_and_gets_everything_later() {
        let (mut socket, mut peer) = pair().await;
        let backlog = socket.backlog();
        let piece = vec![7; 64 << 10];
        let mut written = 0;
        while backlog.has_room() {
            socket.write_all(&piece).await.unwrap();
            written += piece.len();
        }
        assert!(!backlog.is_empty());
        peer.write_all(b" and heard").await.unwrap();
        let mut heard = [0; 14];
        socket.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"seen and heard");
        // Waiting begins where nothing is kept any more.
        let more = vec![7; 2 * EGRESS_WAITING_BYTES_MAX];
        let waits = timeout(Duration::from_millis(50), socket.write_all(&more)).await;
        assert!(waits.is_err() && backlog.0.lock().waiting.len() <= EGRESS_WAITING_BYTES_MAX);
        let taken = async {
            let mut buffer = vec![0; 64 << 10];
            let mut count = 0;
            while count < written {
                count += peer.read(&mut buffer).await.unwrap();
            }
        };
        let sent = std::future::poll_fn(|context| backlog.poll_send(context));
        let done = timeout(LONG, async { tokio::join!(taken, sent) });
        done.await.unwrap().1.unwrap();
        assert!(backlog.is_empty() && backlog.has_room());
        let mut out = backlog.0.lock();
        assert!(!out.waiting.try_reclaim(2 * KEPT_BYTES), "what it had grown to is given back");
    }

    /// Writes more than the peer takes.
    async fn fill(socket: &mut Socket) {
        let backlog = socket.backlog();
        let piece = vec![7; 64 << 10];
        while backlog.has_room() {
            socket.write_all(&piece).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_write_that_fails_while_something_is_read_is_told_to_the_writer() {
        let (mut socket, peer) = pair().await;
        let backlog = socket.backlog();
        fill(&mut socket).await;
        linger::reset(&peer);
        drop(peer);
        let read = async {
            let mut buffer = [0; 64];
            while let Ok(1..) = socket.read(&mut buffer).await {}
        };
        timeout(LONG, read).await.unwrap();
        assert!(!backlog.is_empty(), "not everything was sent");
        let again = std::future::poll_fn(|context| backlog.poll_send(context));
        timeout(LONG, again).await.unwrap().unwrap_err();
        socket.write_all(b"small").await.unwrap_err();
        socket.flush().await.unwrap_err();
    }

    /// Reads to the end; the error that it ends with, if any.
    async fn end_of(peer: &mut TcpStream) -> Option<io::ErrorKind> {
        let read = async { peer.read_to_end(&mut Vec::new()).await };
        timeout(LONG, read).await.unwrap().err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn a_peer_that_did_not_get_everything_sees_no_clean_end() {
        for is_cut in [true, false] {
            for is_shut in [true, false] {
                let (mut socket, mut peer) = pair().await;
                fill(&mut socket).await;
                if is_cut {
                    socket.backlog().cut();
                }
                if is_shut {
                    timeout(LONG, socket.shutdown()).await.unwrap().unwrap_err();
                }
                drop(socket);
                let end = end_of(&mut peer).await;
                assert_eq!(end, Some(io::ErrorKind::ConnectionReset), "{is_cut} {is_shut}");
            }
        }
        let (mut socket, mut peer) = pair().await;
        socket.write_all(b"all").await.unwrap();
        socket.flush().await.unwrap();
        socket.shutdown().await.unwrap();
        drop(socket);
        assert_eq!(end_of(&mut peer).await, None);
    }
}
