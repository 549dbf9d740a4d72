//! HTTP on one connection: both versions, with limits of size and time, and an end from outside.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tower::Service as _;

use crate::{
    auth::peer::{CertificateError, ClientCertificate, Peer, Via},
    serve::{Limits, Shared, io_guard::Guarded, live::Place},
};

/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// Requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 128;
/// How long a connection that was asked to end may take over it.
const CLOSE: Duration = Duration::from_secs(5);

/// What is known of the other side before it said anything.
pub(super) type Facts = (Via, Option<Result<ClientCertificate, CertificateError>>);

/// Serves until one side has enough.
pub(super) async fn serve<S>(shared: &Shared, stream: S, facts: Facts, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let (via, certificate) = facts;
    let peer = Peer { via, certificate, connection: Arc::clone(place.connection()) };
    let ended = peer.connection.ended().clone();
    let usage = Arc::new(Use::new(limits.head));
    let service = {
        let (usage, routes, idle) = (Arc::clone(&usage), shared.routes.clone(), limits.idle);
        hyper::service::service_fn(move |request| {
            answer(routes.clone(), request, peer.clone(), Busy::new(&usage, idle))
        })
    };
    let builder = builder(limits);
    let io = TokioIo::new(Guarded::new(stream, place, limits.stalled));
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let served = tokio::select! {
        biased;
        () = ended.cancelled() => return,
        served = connection.as_mut() => served,
        () = async { tokio::select! {
            () = shared.stopping.cancelled() => {},
            () = usage.idle() => {},
        }} => {
            connection.as_mut().graceful_shutdown();
            let overdue = async {
                if shared.stopping.is_cancelled() {
                    sleep(limits.grace).await;
                } else {
                    sleep(CLOSE).await;
                    usage.idle().await; // a request that was on its way may end
                }
            };
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                served = connection => served,
                () = overdue => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let _http1 = builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .max_headers(HEADERS_MAX);
    let head_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    let _http2 = builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(head_bytes)
        .max_concurrent_streams(STREAMS_MAX)
        .enable_connect_protocol();
    builder
}

async fn answer(
    mut routes: axum::Router,
    request: Request<Incoming>,
    peer: Peer,
    busy: Busy,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    let is_tunnel = *request.method() == Method::CONNECT;
    request.extensions_mut().insert(peer);
    let response = routes.call(request).await?;
    if is_tunnel && response.status().is_success() {
        // A WebSocket of HTTP/2 goes on without a body that could be watched; its handler says when it is idle.
        busy.stay();
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(Watched { body, _busy: busy })))
}

/// How a connection is used.
struct Use {
    state: Mutex<State>,
    rests: Notify,
}

struct State {
    requests: usize,
    /// When it is closed, if there is no request then.
    ends: Instant,
}

impl Use {
    fn new(first: Duration) -> Self {
        let state = State { requests: 0, ends: Instant::now() + first };
        Self { state: Mutex::new(state), rests: Notify::new() }
    }

    /// Waits until the connection was without a request for long enough.
    async fn idle(&self) {
        loop {
            let ends = {
                let state = self.state.lock();
                (state.requests == 0).then_some(state.ends)
            };
            match ends {
                Some(ends) if ends <= Instant::now() => return,
                Some(ends) => drop(timeout_at(ends, self.rests.notified()).await),
                None => self.rests.notified().await,
            }
        }
    }
}

/// One request that is under way, until its answer has gone.
struct Busy {
    usage: Arc<Use>,
    idle: Duration,
}

impl Busy {
    fn new(usage: &Arc<Use>, idle: Duration) -> Self {
        usage.state.lock().requests += 1;
        Self { usage: Arc::clone(usage), idle }
    }

    /// Leaves the connection busy for the rest of its life.
    fn stay(self) {
        self.usage.state.lock().requests += 1;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.usage.state.lock();
        state.requests -= 1;
        state.ends = Instant::now() + self.idle;
        if state.requests == 0 {
            self.usage.rests.notify_one();
        }
    }
}

/// The body of an answer that is under way.
struct Watched {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
