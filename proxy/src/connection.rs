//! One request on a connection, from its head to the end of its answer: start here.
//!
//! Pingora reads and writes HTTP; this decides what a path asks for and how a failure is told.
//! Invariant: an answer that has begun is either ended properly or the connection is broken off, never both.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::{
    OrErr as _,
    apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream},
    http::ResponseHeader,
    protocols::http::{
        ServerSession,
        v1::server::HttpSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};
use router::wire::{self, Endpoint, Manner};
use tokio::time::timeout;

use crate::{
    call::Call,
    exchange,
    head::{self, HeadError},
    models,
    reject::{Failure, rejection},
    service::Router,
};

/// How long a connection waits for its next request, seconds. Longer than clients keep theirs idle in a pool would be
/// better for them, but every idle connection holds 64 KiB.
const KEEPALIVE_S: u64 = 75;

/// Longest time for the caller to take a piece of an answer.
const WRITE_PAUSE: Duration = Duration::from_mins(1);

/// How long, and how many bytes, are taken from a caller that goes on sending what was refused.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 << 20;

/// Flow-control windows of HTTP/2: the default of 64 KiB makes a large prompt wait for a round trip each time.
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;

/// Why a call stops without an answer of its own.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The caller must be told.
    Failure(Failure),
    /// There is nobody to tell, or the answer has begun and cannot be taken back.
    BrokenOff,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Box<pingora::Error>> for Stop {
    fn from(_: Box<pingora::Error>) -> Self {
        Self::BrokenOff
    }
}

#[async_trait]
impl HttpServerApp for Router {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !self.head(&mut session, shutdown).await {
            return None;
        }
        let flight = self.flights.start();
        let keep = !*shutdown.borrow() && keeps(&session);
        session.set_keepalive(keep.then_some(KEEPALIVE_S));
        // Else a byte of the next request would count as the caller leaving.
        session.set_pipelining_enabled(true);
        session.set_write_timeout(Some(WRITE_PAUSE));
        if !serve(self, &mut session).await {
            // Closes without the last chunk, or resets the stream: the caller sees that the answer is not whole.
            session.shutdown().await;
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let finished = session.finish().await;
        drop(flight);
        finished.ok()?.map(|stream| ReusedHttpStream::from_reusable_stream(stream, settings))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.http)
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .initial_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW);
        Some(options)
    }
}

impl Router {
    /// Waits for the head of a request; false when there is none to answer.
    async fn head(&self, session: &mut ServerSession, shutdown: &ShutdownWatch) -> bool {
        let limit = self.snapshot.load().configuration.server.head_timeout;
        // A kept connection waits longer for the start of its next request; the two cannot be told apart here.
        let reused = session.get_keepalive_reuses_remaining() != self.http.keepalive_request_limit;
        let limit = if reused { Duration::from_secs(KEEPALIVE_S) } else { limit };
        let mut shutdown = shutdown.clone();
        let read = tokio::select! {
            biased;
            read = timeout(limit, session.read_request()) => read,
            _ = shutdown.wait_for(|stop| *stop) => return false,
        };
        let error = match read {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) | Err(_) => return false,
            Ok(Err(error)) => error,
        };
        tracing::debug!(error = %error, "a head was refused");
        let error = match error.etype() {
            pingora::ErrorType::InvalidHTTPHeader => HeadError::Malformed,
            pingora::ErrorType::ReadTimedout => HeadError::Timeout,
            _ => return false,
        };
        session.set_keepalive(None);
        let failure = Failure::Head(error);
        let told = rejection(&failure);
        let body = error_body(Manner::OpenAi, &told, None);
        let told = async {
            let mut head = ResponseHeader::build_no_case(told.status, Some(3))?;
            head.insert_header(header::CONTENT_TYPE, "application/json")?;
            head.insert_header(header::CONTENT_LENGTH, body.len())?;
            session.write_error_response(head, body.into()).await
        };
        if told.await.is_err() {
            tracing::debug!("nobody was there to be told about a malformed head");
        }
        session.shutdown().await;
        false
    }
}

/// Whether the caller's side keeps the connection: HTTP/1.0 only when it says so. (`connection: close` is Pingora's.)
fn keeps(session: &ServerSession) -> bool {
    let head = session.req_header();
    let asked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    head.version != http::Version::HTTP_10
        || head.headers.get(header::CONNECTION).is_some_and(asked)
}

/// Answers one request; false when the connection must be broken off.
async fn serve(router: &Arc<Router>, session: &mut ServerSession) -> bool {
    let mut call = Call::begin(router, session);
    let head = session.req_header();
    // Shares the memory of the head.
    let path = head.uri.path_and_query().cloned();
    let path = path.as_ref().map_or("/", |path| path.as_str());
    let manner = wire::manner(path, |name| head.headers.contains_key(name));
    let outcome = dispatch(session, &mut call, path, manner).await;
    let failure = match outcome {
        Ok(()) => return true,
        Err(Stop::BrokenOff) => return false,
        Err(Stop::Failure(failure)) => failure,
    };
    if session.response_written().is_some_and(|head| !head.status.is_informational()) {
        return false;
    }
    // Boxed, as what is rare should not make room for itself in every call.
    let told = Box::pin(tell(session, &mut call, manner, &failure)).await.is_ok();
    drop(call);
    if told {
        Box::pin(linger(session)).await;
    }
    told
}

/// Takes what the caller still sends after it was refused: closing on it would reset the connection, and the refusal
/// might be lost on the way.
async fn linger(session: &mut ServerSession) {
    if session.is_http2() || session.is_body_done() {
        return;
    }
    let mut left = LINGER_BYTES_MAX;
    let taken = timeout(LINGER, async {
        while let Ok(Some(piece)) = session.read_request_body().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    });
    if taken.await.is_err() {
        tracing::debug!("a refused caller went on sending");
    }
}

async fn dispatch(
    session: &mut ServerSession,
    call: &mut Call,
    path: &str,
    manner: Manner,
) -> Result<(), Stop> {
    let head = session.req_header();
    let raw = session.as_http1().map(HttpSession::get_headers_raw_bytes).unwrap_or_default();
    if let Err(error) = head::check(head.version, &head.headers, &raw) {
        session.set_keepalive(None);
        return Err(Failure::Head(error).into());
    }
    let method = head.method.clone();
    match wire::route(method.as_str(), path) {
        Endpoint::Inference { dialect, model } => {
            // Boxed: a connection between two calls should not hold the memory of one.
            Box::pin(exchange::run(session, call, dialect, model)).await
        }
        Endpoint::Models => {
            call.record.path = "/v1/models";
            call.recorded = false;
            let body = models::list(&call.snapshot, manner);
            simple(session, call, body).await
        }
        Endpoint::Model(id) => {
            call.record.path = "/v1/models/{id}";
            call.recorded = false;
            let body = models::one(&call.snapshot, manner, &id).ok_or(Failure::Model)?;
            simple(session, call, body).await
        }
        Endpoint::Root => {
            call.record.path = "/";
            call.recorded = false;
            simple(session, call, b"{\"service\":\"openshell router\"}".to_vec()).await
        }
        Endpoint::WrongMethod { .. }
            if session.req_header().headers.contains_key(header::UPGRADE) =>
        {
            Err(Failure::Upgrade.into())
        }
        Endpoint::WrongMethod { allow } => Err(Failure::Method { allow }.into()),
        Endpoint::Unknown => Err(Failure::Path.into()),
    }
}

/// Answers 200 with a JSON body.
pub(crate) async fn simple(
    session: &mut ServerSession,
    call: &mut Call,
    body: Vec<u8>,
) -> Result<(), Stop> {
    call.record.status = 200;
    call.record.ended = "done";
    let mut headers = json_headers();
    headers.extend(call.headers());
    Ok(answer(session, 200, headers, body.into()).await?)
}

/// Tells the caller about a failure in its own dialect.
async fn tell(
    session: &mut ServerSession,
    call: &mut Call,
    manner: Manner,
    failure: &Failure,
) -> pingora::Result<()> {
    let told = rejection(failure);
    call.record.status = told.status;
    call.record.ended = told.word;
    if call.record.reason.is_empty() {
        told.word.clone_into(&mut call.record.reason);
    }
    let mut headers = json_headers();
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.push((name, value));
        }
    };
    if let Some(seconds) = told.retry_after {
        put(header::RETRY_AFTER, &seconds.to_string());
    }
    if let Some(allow) = told.allow {
        put(header::ALLOW, allow);
    }
    if told.status == StatusCode::UPGRADE_REQUIRED.as_u16() && !session.is_http2() {
        // Whoever answers so has to name what is spoken (RFC 9110 section 15.5.22).
        put(header::UPGRADE, "HTTP/1.1");
    }
    headers.extend(call.headers());
    let body = error_body(manner, &told, Some(&call.record.request_id));
    answer(session, told.status, headers, body.into()).await
}

fn error_body(
    manner: Manner,
    told: &crate::reject::Rejection<'_>,
    request_id: Option<&str>,
) -> Vec<u8> {
    let failure = wire::Failure {
        status: told.status,
        code: &told.code,
        message: &told.message,
        param: told.param,
        request_id,
    };
    wire::error_body(manner, &failure)
}

fn json_headers() -> Vec<(HeaderName, HeaderValue)> {
    vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]
}

/// The head of an answer. Pingora's own way of adding a header copies its name and reads it again.
pub(crate) fn answer_head(
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
) -> pingora::Result<ResponseHeader> {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(status)
        .or_err(pingora::ErrorType::InvalidHTTPHeader, "no status of HTTP")?;
    // Pingora adds its own.
    parts.headers.reserve(headers.len().saturating_add(4));
    for (name, value) in headers {
        let added = parts.headers.try_append(name, value);
        added.or_err(pingora::ErrorType::InvalidHTTPHeader, "too many headers")?;
    }
    Ok(parts.into())
}

/// Writes a whole answer to a request whose head was read.
pub(crate) async fn answer(
    session: &mut ServerSession,
    status: u16,
    mut headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> pingora::Result<()> {
    headers.retain(|(name, _)| name != header::CONTENT_LENGTH);
    headers.push((header::CONTENT_LENGTH, body.len().into()));
    let head = answer_head(status, headers)?;
    session.write_response_header(Box::new(head)).await?;
    // The head of an answer to HEAD says how long the body would be.
    if session.req_header().method == http::Method::HEAD || body.is_empty() {
        return session.finish_body().await;
    }
    session.write_response_body(body, true).await
}

/// What may interrupt a call from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The caller left.
    CallerLeft,
    /// The server stops and the grace is over.
    Cut,
    /// The call took too long.
    Total,
}

/// A future that ends when a call must end.
pub(crate) type Limit<'a> = Pin<&'a mut (dyn Future<Output = Interrupt> + Send)>;

/// Does `work` unless the caller leaves or the limit is reached. What is interrupted is dropped: an upstream session in
/// it is closed.
pub(crate) async fn watched<T>(
    session: &mut ServerSession,
    limit: &mut Limit<'_>,
    work: impl Future<Output = T>,
) -> Result<T, Interrupt> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        _ = session.read_body_or_idle(true) => Err(Interrupt::CallerLeft),
        why = limit.as_mut() => Err(why),
    }
}
