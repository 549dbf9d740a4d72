//! A stream that can be ended from outside, and that a caller who takes nothing does not hold for ever.
//!
//! It is what HTTP runs on, and what remains when a request becomes a WebSocket; so both hold for all of a connection's life.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::serve::live::Place;

type Ended = Pin<Box<WaitForCancellationFutureOwned>>;

/// The stream of a connection that has a place.
pub(super) struct Guarded<S> {
    stream: S,
    // Reader and writer may be different tasks, and each must be woken.
    ended_reading: Ended,
    ended_writing: Ended,
    stalled: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<S> Guarded<S> {
    /// Ends when the connection of `place` is ended, or when a write makes no progress for so long.
    pub(super) fn new(stream: S, place: Place, stalled: Duration) -> Self {
        let ended = || Box::pin(place.connection().ended().clone().cancelled_owned());
        let (ended_reading, ended_writing) = (ended(), ended());
        Self { stream, ended_reading, ended_writing, stalled, waiting: None, _place: place }
    }

    /// What a write came to, or that it was waited for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let deadline = Instant::now() + self.stalled;
        let waiting =
            self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn check(ended: &mut Ended, context: &mut Context<'_>) -> io::Result<()> {
    let is_ended = ended.as_mut().poll(context).is_ready();
    if is_ended { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        check(&mut self.ended_reading, context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        check(&mut self.ended_writing, context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        check(&mut self.ended_writing, context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        check(&mut self.ended_writing, context)?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        check(&mut self.ended_writing, context)?;
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinSet,
    };

    use super::*;
    use crate::serve::live::Live;

    fn guarded(live: &Arc<Live>) -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(8);
        let rooms = Arc::new(tokio::sync::Semaphore::new(1));
        let place = live.enter(rooms.try_acquire_owned().unwrap(), None).unwrap();
        (Guarded::new(near, place, Duration::from_mins(1)), far)
    }

    #[tokio::test(start_paused = true)]
    async fn both_halves_end_when_the_connection_is_ended() {
        let live = Arc::new(Live::default());
        let (near, _far) = guarded(&live);
        let (mut reader, mut writer) = tokio::io::split(near);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { reader.read_u8().await.unwrap_err().kind() });
        tasks.spawn(async move { writer.write_all(&[0; 99]).await.unwrap_err().kind() });
        tokio::task::yield_now().await;
        live.end_all();
        let kinds = tasks.join_all().await;
        assert_eq!(kinds, [io::ErrorKind::ConnectionAborted; 2]);
        assert_eq!(live.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_not_waited_for() {
        let live = Arc::new(Live::default());
        let (mut near, mut far) = guarded(&live);
        let start = Instant::now();
        let slow = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                far.read_exact(&mut [0; 8]).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            error = near.write_all(&[0; 99]) => error.unwrap_err(),
            () = slow => unreachable!(),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 3 * 50 + 60, "progress gives it time again");
    }
}
