//! Connections to where the requests of one caller go: opened for it, reused by it, shared with nobody.
//!
//! Invariant: every connection that is opened was granted under the policy of that moment.

use std::{
    fmt, io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use pingora::{
    connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake},
    protocols::{
        ALPN, Stream,
        http::{client::HttpSession, v1},
        l4,
    },
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::{
    dial::DialError,
    link::Link,
    tls::{Offer, Unverified},
};

/// Idle connections that are kept for one caller.
const IDLE_MAX: usize = 32;

/// Requests that share one connection of HTTP/2; servers commonly allow 100 (RFC 9113, section 6.5.2).
const STREAMS_MAX: usize = 100;

/// How often a connection of HTTP/2 is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Flow-control windows of HTTP/2: what one slow caller may make us hold.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Longest silence between two reads or writes of a server.
const SERVER_PAUSE: Duration = Duration::from_hours(1);

/// Why no connection can be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// The policy no longer opens it.
    #[error("the policy no longer opens this connection")]
    Revoked,
    /// It cannot be dialled.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server is not the one it should be, or does not speak TLS.
    #[error("the server cannot be verified: {0}")]
    Tls(Unverified),
    /// The server does not speak HTTP/2 although it said so.
    #[error("the server breaks off HTTP/2")]
    Http2,
    /// The router does not listen.
    #[error("the router service cannot be reached")]
    Router(#[source] io::Error),
}

/// Where requests go.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// To the server of the link, with TLS where there is an offer.
    Server(Option<Offer>),
    /// To the router.
    Router,
    /// To the router too, as far as they are model calls: the host is none that may be reached.
    ModelCalls,
}

/// The connections of one caller to one place.
pub(super) struct Upstream {
    place: Place,
    open: Mutex<Open>,
    /// Held while a connection is opened that others may share.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    first: Option<TcpStream>,
    idle: Vec<Stream>,
    shared: Option<ConnectionRef>,
}

/// A connection that was taken for one request.
pub(super) struct Taken {
    pub(super) session: HttpSession,
    /// Whether it has carried others: then its server may have closed it meanwhile.
    pub(super) used: bool,
}

impl Upstream {
    /// Goes to the link's server, first over `first`.
    pub(super) fn server(first: Option<TcpStream>, offer: Option<Offer>) -> Arc<Self> {
        Self::new(Place::Server(offer), Open { first, ..Open::default() })
    }

    /// Goes to the router.
    pub(super) fn router() -> Arc<Self> {
        Self::new(Place::Router, Open::default())
    }

    /// Goes to the router with model calls and takes nothing else.
    pub(super) fn model_calls() -> Arc<Self> {
        Self::new(Place::ModelCalls, Open::default())
    }

    fn new(place: Place, open: Open) -> Arc<Self> {
        Arc::new(Self { place, open: Mutex::new(open), opening: tokio::sync::Mutex::default() })
    }

    /// Whether requests go to the router.
    pub(super) fn is_router(&self) -> bool {
        matches!(self.place, Place::Router | Place::ModelCalls)
    }

    /// Whether only model calls are taken.
    pub(super) fn takes_model_calls_only(&self) -> bool {
        matches!(self.place, Place::ModelCalls)
    }

    /// Whether requests go over TLS.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.place, Place::Server(Some(_)))
    }

    /// The scheme of the requests.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// A connection for one request.
    ///
    /// # Errors
    /// When none can be opened.
    pub(super) async fn take(&self, link: &Link) -> Result<Taken, TakeError> {
        if let Some(taken) = self.waiting().await {
            return Ok(taken);
        }
        let offer = match self.place {
            Place::Server(offer) => offer,
            Place::Router | Place::ModelCalls => {
                let Some(router) = &link.shared.inference else { return Err(TakeError::Revoked) };
                let stream = router.connect().await.map_err(TakeError::Router)?;
                return Ok(taken(HttpSession::H1(v1::client::HttpSession::new(stream)), false));
            }
        };
        let may_share = offer == Some(Offer::Http2);
        let _opening = if may_share { Some(self.opening.lock().await) } else { None };
        if may_share && let Some(taken) = self.waiting().await {
            return Ok(taken);
        }
        let server = self.dial(link).await?;
        let Some(offer) = offer else {
            let stream = Box::new(l4::stream::Stream::from(server));
            return Ok(taken(HttpSession::H1(v1::client::HttpSession::new(stream)), false));
        };
        let verifier = link.shared.verifier().await.map_err(TakeError::Tls)?;
        let stream = verifier.connect(server, &link.to.host, offer).await;
        let stream = stream.map_err(TakeError::Tls)?;
        if !matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return Ok(taken(HttpSession::H1(v1::client::HttpSession::new(stream)), false));
        }
        let mut settings = H2HandshakeSettings::new();
        settings.max_streams = STREAMS_MAX;
        settings.ping_interval = Some(PING_EVERY);
        settings.stream_window_size = Some(STREAM_WINDOW);
        settings.connection_window_size = Some(CONNECTION_WINDOW);
        let connection = handshake(stream, settings).await.map_err(|_| TakeError::Http2)?;
        let session = connection.spawn_stream().await.map_err(|_| TakeError::Http2)?;
        self.open.lock().shared = Some(connection);
        Ok(taken(HttpSession::H2(session.ok_or(TakeError::Http2)?), false))
    }

    /// A connection that is open already.
    async fn waiting(&self) -> Option<Taken> {
        let shared = self.open.lock().shared.clone();
        if let Some(shared) = shared {
            let usable = !shared.is_closed() && !shared.is_shutting_down();
            if usable && let Ok(Some(session)) = shared.spawn_stream().await {
                return Some(taken(HttpSession::H2(session), true));
            }
        }
        loop {
            let mut stream = self.open.lock().idle.pop()?;
            if is_silent(&mut stream) {
                let session = v1::client::HttpSession::new(stream);
                return Some(taken(HttpSession::H1(session), true));
            }
        }
    }

    /// The connection that was dialled for the decision, if its server still waits; else a new one.
    async fn dial(&self, link: &Link) -> Result<TcpStream, TakeError> {
        let first = self.open.lock().first.take();
        if let Some(first) = first {
            let read = first.try_read(&mut [0]);
            if read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Ok(first);
            }
        }
        let snapshot = link.shared.snapshot.load_full();
        let grant = link.grant(&snapshot).ok_or(TakeError::Revoked)?;
        Ok(link.dial(&grant).await?)
    }

    /// Takes a connection back whose answer was read to the end.
    pub(super) async fn give_back(&self, session: HttpSession) {
        // A stream of HTTP/2 ends by itself.
        let HttpSession::H1(mut session) = session else { return };
        session.respect_keepalive();
        if let Some(mut stream) = session.reuse().await
            && is_silent(&mut stream)
        {
            let idle = &mut self.open.lock().idle;
            if idle.len() < IDLE_MAX {
                idle.push(stream);
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("place", &self.place).finish_non_exhaustive()
    }
}

fn taken(mut session: HttpSession, used: bool) -> Taken {
    session.set_read_timeout(Some(SERVER_PAUSE));
    session.set_write_timeout(Some(SERVER_PAUSE));
    Taken { session, used }
}

/// Whether the server has neither closed the connection nor said anything.
fn is_silent(stream: &mut Stream) -> bool {
    let mut byte = [0];
    // Without a budget: a read that only yields would look like one that waits.
    let read = pin!(tokio::task::unconstrained(stream.read(&mut byte)));
    matches!(read.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}
