//! Connections to backends between two calls.
//!
//! Opening connections and sharing those of HTTP/2 is Pingora's business. Idle HTTP/1.1 connections are kept here: Pingora's
//! pool starts a task for each of them after each call and waits for it before the next one, which costs more than the
//! rest of taking a connection. Here a connection is looked at when it is taken, and now and then while it waits.
//! Invariants: a connection serves only the backend that it was opened for; one that its server has closed or written
//! to is not handed out.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pingora::{
    connectors::http::Connector,
    protocols::{Stream, http::client::HttpSession},
    upstreams::peer::Peer as _,
};
use tokio::io::AsyncReadExt as _;

use crate::{service::Router, upstream::Target};

/// Idle connections that are kept, all backends together.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 1_024;

/// How long a connection waits for its next call. Servers close earlier ones themselves; most wait 60 s or longer.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// How often waiting connections are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// The connections to all backends that trust the same authorities.
pub(crate) struct Pool {
    connector: Connector,
    idle: Mutex<Idle>,
}

impl Pool {
    /// A pool that opens connections with `connector`.
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, idle: Mutex::default() }
    }

    /// A connection to `target`.
    ///
    /// # Errors
    /// When none can be opened.
    pub(crate) async fn take(&self, target: &Target) -> pingora::Result<Taken> {
        let key = target.reuse_hash();
        loop {
            let waiting = self.idle.lock().take(key);
            let Some(mut waiting) = waiting else { break };
            if waiting.is_usable() {
                return Ok(Taken::Used(waiting.stream));
            }
        }
        // Boxed: connecting and its TLS should not make room for themselves where a connection waits.
        Ok(match Box::pin(self.connector.get_http_session(target)).await? {
            (HttpSession::H1(session), _) => Taken::New(session.into_inner()),
            (session, used) => Taken::Shared { session: Box::new(session), used },
        })
    }

    /// Takes a connection back whose answer was read to the end.
    pub(crate) async fn give_back(&self, session: HttpSession, target: &Target) {
        match session {
            HttpSession::H1(mut session) => {
                session.respect_keepalive();
                if let Some(stream) = session.reuse().await {
                    let mut waiting = Waiting { stream, since: Instant::now() };
                    if waiting.is_silent() {
                        self.idle.lock().put(target.reuse_hash(), waiting);
                    }
                }
            }
            session @ (HttpSession::H2(_) | HttpSession::Custom(())) => {
                self.connector.release_http_session(session, target, Some(IDLE_CONNECTION)).await;
            }
        }
    }

    /// Closes what has waited too long or was closed by its server.
    pub(crate) fn sweep(&self) {
        self.idle.lock().sweep();
    }
}

/// A connection that was taken for a call.
pub(crate) enum Taken {
    /// HTTP/1.1, fresh.
    New(Stream),
    /// HTTP/1.1, after another call.
    Used(Stream),
    /// HTTP/2.
    Shared {
        /// The stream of this call.
        session: Box<HttpSession>,
        /// Whether the connection has carried other calls.
        used: bool,
    },
}

impl Taken {
    /// Whether the connection is older than the call: then its server may have closed it meanwhile.
    pub(crate) fn was_used(&self) -> bool {
        matches!(self, Self::Used(_) | Self::Shared { used: true, .. })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Looks at waiting connections for as long as the server runs.
pub(crate) async fn run(router: Arc<Router>) {
    loop {
        tokio::time::sleep(EVERY).await;
        router.pools.sweep();
    }
}

/// Connections that wait, by backend; the one used last is taken first.
#[derive(Default)]
struct Idle {
    by_target: HashMap<u64, Vec<Waiting>>,
    count: usize,
}

impl Idle {
    fn take(&mut self, target: u64) -> Option<Waiting> {
        let waiting = self.by_target.get_mut(&target)?.pop()?;
        self.count = self.count.saturating_sub(1);
        Some(waiting)
    }

    fn put(&mut self, target: u64, waiting: Waiting) {
        if self.count < IDLE_CONNECTIONS_MAX {
            self.count = self.count.saturating_add(1);
            self.by_target.entry(target).or_default().push(waiting);
        }
    }

    fn sweep(&mut self) {
        self.by_target.retain(|_, list| {
            list.retain_mut(Waiting::is_usable);
            !list.is_empty()
        });
        self.count = self.by_target.values().map(Vec::len).sum();
    }
}

/// A connection without a call.
struct Waiting {
    stream: Stream,
    since: Instant,
}

impl Waiting {
    /// Whether it may carry another call: it has not waited too long and is silent.
    fn is_usable(&mut self) -> bool {
        self.is_silent() && self.since.elapsed() < IDLE_CONNECTION
    }

    /// Whether its server has neither closed it nor said anything.
    fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        // Without a budget: a read that only yields would look like one that waits.
        let read = pin!(tokio::task::unconstrained(self.stream.read(&mut byte)));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4;
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A waiting connection and its server's side.
    async fn connection() -> (Waiting, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let stream = Box::new(l4::stream::Stream::from(stream.unwrap()));
        (Waiting { stream, since: Instant::now() }, server.unwrap().0)
    }

    /// Until the kernel has told about what the other side did.
    async fn noticed(waiting: &mut Waiting) {
        for _ in 0..500 {
            if !waiting.is_usable() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still looks usable");
    }

    #[tokio::test]
    async fn a_connection_is_taken_once_and_for_its_own_backend_only() {
        let mut idle = Idle::default();
        let (waiting, _server) = connection().await;
        idle.put(1, waiting);
        assert!(idle.take(2).is_none());
        assert!(idle.take(1).is_some_and(|mut waiting| waiting.is_usable()));
        assert!(idle.take(1).is_none());
        assert_eq!(idle.count, 0);
    }

    #[tokio::test]
    async fn what_was_closed_or_written_to_or_has_waited_too_long_is_not_used() {
        let (mut closed, server) = connection().await;
        drop(server);
        noticed(&mut closed).await;
        let (mut told, mut server) = connection().await;
        server.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        noticed(&mut told).await;
        let (mut old, _server) = connection().await;
        old.since = Instant::now().checked_sub(IDLE_CONNECTION).unwrap();
        assert!(!old.is_usable());
    }

    #[tokio::test]
    async fn a_sweep_closes_what_cannot_be_used_and_keeps_the_rest() {
        let mut idle = Idle::default();
        let (kept, _server) = connection().await;
        let (mut old, mut other) = connection().await;
        old.since = Instant::now().checked_sub(IDLE_CONNECTION).unwrap();
        idle.put(1, kept);
        idle.put(1, old);
        idle.sweep();
        assert_eq!(idle.count, 1);
        assert_eq!(other.read(&mut [0]).await.unwrap(), 0, "its server sees the end");
        assert!(idle.take(1).is_some());
    }

    #[tokio::test]
    async fn the_number_of_waiting_connections_is_bounded() {
        let mut idle = Idle { count: IDLE_CONNECTIONS_MAX, ..Idle::default() };
        let (waiting, mut server) = connection().await;
        idle.put(1, waiting);
        assert!(idle.take(1).is_none());
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    }
}
