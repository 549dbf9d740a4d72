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

use bytes::BytesMut;
use domain::limits::EGRESS_IDLE_CONNECTIONS_MAX;
use parking_lot::Mutex;
use pingora::{
    connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake},
    http::RequestHeader,
    protocols::{
        Stream,
        http::{client::HttpSession, v1, v2::client::Http2Session},
    },
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::{
    dial::DialError,
    link::Link,
    outlet::Outlet,
    socket::{Backlog, Socket, Wire},
    tls::{Offer, Unverified},
};

/// Requests that share one connection of HTTP/2; servers commonly allow 100 (RFC 9113, section 6.5.2).
const STREAMS_MAX: usize = 100;

/// How often a connection of HTTP/2 is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Flow-control windows of HTTP/2: what one slow caller may make us hold.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Longest silence between two reads or writes of a server.
pub(super) const SERVER_PAUSE: Duration = Duration::from_hours(1);

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
    idle: Vec<(Stream, Backlog)>,
    shared: Option<ConnectionRef>,
}

/// A connection that was taken for one request.
pub(super) struct Taken {
    pub(super) session: HttpSession,
    /// Whether it has carried others: then its server may have closed it meanwhile.
    pub(super) used: bool,
    /// What it has not sent yet, where it speaks HTTP/1.
    backlog: Option<Backlog>,
}

impl Taken {
    fn http1(stream: Stream, backlog: Backlog, used: bool) -> Self {
        let session = HttpSession::H1(v1::client::HttpSession::new(stream));
        Self { session, used, backlog: Some(backlog) }.patient()
    }

    fn http2(session: Http2Session, used: bool) -> Self {
        Self { session: HttpSession::H2(session), used, backlog: None }.patient()
    }

    fn patient(mut self) -> Self {
        self.session.set_read_timeout(Some(SERVER_PAUSE));
        self.session.set_write_timeout(Some(SERVER_PAUSE));
        self
    }

    /// Sends the head of a request, or leaves it to go out with what follows; gives what takes the body. `is_whole` says that
    /// there is none.
    ///
    /// # Errors
    /// When the server takes none.
    pub(super) async fn begin(
        &mut self,
        head: Box<RequestHeader>,
        is_whole: bool,
    ) -> pingora::Result<Outlet> {
        if let Some(backlog) = &self.backlog {
            backlog.cork(true);
        }
        let written = self.session.write_request_header(head).await;
        if let Some(backlog) = &self.backlog {
            backlog.cork(false);
        }
        written?;
        if is_whole {
            self.session.finish_request_body().await?;
        }
        Ok(match (&mut self.session, &self.backlog) {
            (HttpSession::H2(session), _) => Outlet::http2(session.take_request_body_writer()),
            (_, Some(backlog)) => Outlet::Http1(backlog.clone()),
            (_, None) => Outlet::Shut,
        })
    }
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
                let Wire { stream, backlog, .. } =
                    router.connect().await.map_err(TakeError::Router)?;
                return Ok(Taken::http1(stream, backlog, false));
            }
        };
        let may_share = offer == Some(Offer::Http2);
        let _opening = if may_share { Some(self.opening.lock().await) } else { None };
        if may_share && let Some(taken) = self.waiting().await {
            return Ok(taken);
        }
        let server = self.dial(link).await?;
        let socket = Socket::tcp(server, BytesMut::new());
        let wire = match offer {
            Some(offer) => {
                let verifier = link.shared.verifier().await.map_err(TakeError::Tls)?;
                verifier.connect(socket, &link.to.host, offer).await
            }
            None => Ok(Wire::plain(socket)),
        };
        let Wire { stream, backlog, is_http2 } = wire.map_err(TakeError::Tls)?;
        if !is_http2 {
            return Ok(Taken::http1(stream, backlog, false));
        }
        let mut settings = H2HandshakeSettings::new();
        settings.max_streams = STREAMS_MAX;
        settings.ping_interval = Some(PING_EVERY);
        settings.stream_window_size = Some(STREAM_WINDOW);
        settings.connection_window_size = Some(CONNECTION_WINDOW);
        let connection = handshake(stream, settings).await.map_err(|_| TakeError::Http2)?;
        let session = connection.spawn_stream().await.map_err(|_| TakeError::Http2)?;
        self.open.lock().shared = Some(connection);
        Ok(Taken::http2(session.ok_or(TakeError::Http2)?, false))
    }

    /// A connection that is open already.
    async fn waiting(&self) -> Option<Taken> {
        let shared = self.open.lock().shared.clone();
        if let Some(shared) = shared {
            let usable = !shared.is_closed() && !shared.is_shutting_down();
            if usable && let Ok(Some(session)) = shared.spawn_stream().await {
                return Some(Taken::http2(session, true));
            }
        }
        loop {
            let (mut stream, backlog) = self.open.lock().idle.pop()?;
            if is_silent(&mut stream) {
                return Some(Taken::http1(stream, backlog, true));
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
    pub(super) async fn give_back(&self, taken: Taken) {
        // A stream of HTTP/2 ends by itself.
        let (HttpSession::H1(mut session), Some(backlog)) = (taken.session, taken.backlog) else {
            return;
        };
        session.respect_keepalive();
        if let Some(mut stream) = session.reuse().await
            && backlog.is_empty()
            && is_silent(&mut stream)
        {
            let idle = &mut self.open.lock().idle;
            if idle.len() < EGRESS_IDLE_CONNECTIONS_MAX {
                idle.push((stream, backlog));
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Whether the server has neither closed the connection nor said anything.
fn is_silent(stream: &mut Stream) -> bool {
    let mut byte = [0];
    // Without a budget: a read that only yields would look like one that waits.
    let read = pin!(tokio::task::unconstrained(stream.read(&mut byte)));
    matches!(read.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}
