//! The port: TLS for everybody, and a Unix socket for the user who runs the gateway.
//!
//! | module | what it does |
//! |---|---|
//! | [`listen`] | binds the sockets; who may use the Unix one |
//! | [`mod@tls`] | which certificates are shown and asked for; what is not TLS |
//! | [`live`] | the open connections: how many, and how one is ended from outside |
//! | `io_guard` | a stream that can be ended, and that no slow reader holds |
//! | `connection` | HTTP on one connection, with its time limits |
//!
//! Invariants: every connection has a place from its first byte to its last, also as a WebSocket; before the first request is
//! there, nothing waits longer than [`Limits`] says. Not here: who may do what; every request carries the facts of its
//! connection as a [`Peer`](crate::auth::peer::Peer). What costs a stranger nothing is logged for debugging only.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::Router;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{failures::Source, peer::Via},
    serve::{
        listen::{Bound, SocketFile},
        live::{Live, Place},
    },
};

mod connection;
mod io_guard;
pub mod listen;
pub mod live;
pub mod tls;

/// How long the accept loop rests when the system has no more descriptors.
const REST: Duration = Duration::from_millis(50);

/// How often it is told that no connection can be accepted.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Descriptors that are kept for everything but connections: the store, logs, supervisors that are started.
const DESCRIPTORS_KEPT: usize = 256;
/// Descriptors that a connection may need: its own, and one to a supervisor.
const DESCRIPTORS_EACH: usize = 2;

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections of each listener; more wait in the kernel's queue.
    pub connections: usize,
    /// Of these, from one source over TLS; more are closed.
    pub connections_per_source: usize,
    /// From the first byte to the end of the TLS handshake.
    pub handshake: Duration,
    /// From there, or from the end of the last request over HTTP/1.1, to the end of the next head.
    pub head: Duration,
    /// Largest head of a request, bytes.
    pub head_bytes: usize,
    /// How long a connection without a request stays open.
    pub idle: Duration,
    /// How long a caller may take none of an answer that waits for it.
    pub stalled: Duration,
    /// How often open connections are looked at for proofs that are over.
    pub recheck: Duration,
    /// How long requests may go on when the gateway stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_source: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(20),
            head_bytes: 64 << 10,
            idle: Duration::from_mins(2),
            stalled: Duration::from_mins(1),
            recheck: Duration::from_secs(15),
            grace: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The same for so many listeners of a process that may have so many files open: whoever fills every place leaves some for
    /// everything else.
    #[must_use]
    pub fn within(self, descriptors: usize, listeners: usize) -> Self {
        let room = descriptors.saturating_sub(DESCRIPTORS_KEPT) / DESCRIPTORS_EACH;
        let connections = self.connections.min(room / listeners.max(1)).max(16);
        // A source has a quarter, as it has of the usual number.
        let each = self.connections_per_source.min(connections / 4);
        Self { connections, connections_per_source: each, ..self }
    }
}

/// A server: where it listens and what it answers with.
#[derive(Debug)]
pub struct Server {
    /// The sockets.
    pub bound: Bound,
    /// What TLS does on the TCP ones.
    pub tls: Arc<ServerConfig>,
    /// The routes, behind [`guarded`](crate::auth::layer::guarded).
    pub routes: Router,
    /// The open connections, shared with whoever ends some.
    pub live: Arc<Live>,
    /// What a connection may take.
    pub limits: Limits,
}

/// What every connection needs.
struct Shared {
    tls: Arc<ServerConfig>,
    routes: Router,
    live: Arc<Live>,
    limits: Limits,
    stopping: CancellationToken,
}

/// A socket that listens.
enum Listener {
    Tcp(TcpListener),
    /// With its file, which goes when it does.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its drop")] SocketFile),
}

/// A connection that was accepted.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, address))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Server {
    /// Serves until `stop` is done; then takes no more connections, lets requests end for [`Limits::grace`], and ends the rest.
    /// Dropped, it ends everything at once.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { bound, tls, routes, live, limits } = self;
        let stopping = CancellationToken::new();
        let _ends_all = EndsAll(Arc::clone(&live));
        let shared =
            Shared { tls, routes, live: Arc::clone(&live), limits, stopping: stopping.clone() };
        let shared = Arc::new(shared);
        let (tcp, unix) = bound.into_parts();
        let unix = unix.map(|(listener, file)| Listener::Unix(listener, file));
        let mut accepting = JoinSet::new();
        for listener in tcp.into_iter().map(Listener::Tcp).chain(unix) {
            accepting.spawn(accept_all(Arc::clone(&shared), listener));
        }
        drop(shared);
        tokio::select! {
            () = stop => {}
            () = end_over(&live, limits.recheck) => {}
        }
        stopping.cancel();
        while accepting.join_next().await.is_some() {}
    }
}

/// What became a WebSocket has left the task of its connection; its stream is ended here.
struct EndsAll(Arc<Live>);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.end_all();
    }
}

/// Looks again and again for connections whose callers have no valid proof any more. By the clock on the wall, because timers
/// stand still while a machine sleeps.
async fn end_over(live: &Live, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        live.end_over(now.as_secs());
    }
}

/// Accepts until the server stops, and waits for its connections.
async fn accept_all(shared: Arc<Shared>, listener: Listener) {
    let (mut connections, mut told) = (JoinSet::new(), None);
    // For each listener its own, so that no crowd on the port keeps the local user out.
    let rooms = Arc::new(Semaphore::new(shared.limits.connections));
    loop {
        // A room first: who finds none waits in the kernel's queue, which costs nothing here.
        let next = async {
            let room = Arc::clone(&rooms).acquire_owned().await;
            (room, listener.accept().await)
        };
        let (room, accepted) = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => break,
            next = next => next,
        };
        let Ok(room) = room else { break }; // never: nobody closes it
        match accepted {
            Ok(accepted) => {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(Arc::clone(&shared), accepted, room));
            }
            Err(error) => {
                // A connection that was gone before it was accepted, or no more descriptors; neither ends the server.
                if told.is_none_or(|told: Instant| told.elapsed() >= TELL_EVERY) {
                    told = Some(Instant::now());
                    tracing::warn!(%error, "a connection cannot be accepted");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(shared.limits.grace, ended).await.is_err() {
        tracing::warn!("requests that were still running were ended");
    }
}

async fn serve(shared: Arc<Shared>, accepted: Accepted, room: OwnedSemaphorePermit) {
    match accepted {
        Accepted::Tcp(stream, address) => {
            let source = Source::of(address.ip());
            let most = shared.limits.connections_per_source;
            let Some(place) = shared.live.enter(room, Some((source, most))) else {
                tracing::debug!(%address, "too many connections from one source");
                return;
            };
            if let Err(error) = listen::prepare(&stream) {
                tracing::debug!(%error, "a connection cannot be prepared");
                return;
            }
            tls(&shared, stream, address, place).await;
        }
        Accepted::Unix(stream) => {
            if let Err(why) = listen::check_own_user(&stream) {
                // An agent behind walls may try that all day.
                tracing::debug!(%why, "the local socket is for its own user alone");
                return;
            }
            let Some(place) = shared.live.enter(room, None) else { return };
            connection::serve(&shared, stream, (Via::OwnUser, None), place).await;
        }
    }
}

async fn tls(shared: &Shared, stream: TcpStream, address: SocketAddr, place: Place) {
    let shaken = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => return,
        () = place.connection().ended().cancelled() => return,
        shaken = timeout(shared.limits.handshake, tls::accept(&shared.tls, stream)) => shaken,
    };
    let stream = match shaken {
        Ok(Ok(Some(stream))) => stream,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "tls handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "tls handshake took too long");
            return;
        }
    };
    let certificate = tls::certificate(&stream);
    connection::serve(shared, stream, (Via::Tls(address), certificate), place).await;
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn places_leave_descriptors_for_everything_else() {
        let places = |descriptors, listeners| {
            let limits = Limits::default().within(descriptors, listeners);
            (limits.connections, limits.connections_per_source)
        };
        assert_eq!(places(1 << 20, 2), (4096, 1024));
        assert_eq!(places(1024, 2), (192, 48));
        assert_eq!(places(1024, 1), (384, 96));
        assert_eq!(places(64, 3), (16, 4), "few, but some");
        for (descriptors, listeners) in [(1024, 2), (4096, 3), (20_000, 2)] {
            let (connections, _) = places(descriptors, listeners);
            assert!(connections * listeners * 2 + 256 <= descriptors, "{descriptors}");
        }
    }
}
