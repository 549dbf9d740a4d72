//! One request and its answer: asked about, sent on in the form that was judged, and streamed back.
//!
//! Bodies flow in both directions a piece at a time, and a side that is slow slows the other. Invariants: the path that
//! was judged is the path that is sent; an answer that has begun is ended properly or broken off, never both.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::{
    http::{RequestHeader, ResponseHeader},
    protocols::http::{ServerSession, client::HttpSession},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use super::{
    ask::{self, Ask, Judged},
    inference,
    link::{About, Link},
    refusal::Refusal,
    upstream::{TakeError, Taken, Upstream},
    websocket::Frames,
};

/// Longest time for the caller to take a piece of an answer.
const WRITE_PAUSE: Duration = Duration::from_mins(5);

/// How long, and how many bytes, are taken from a caller that goes on sending what was refused.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Headers that belong to one connection (RFC 9110, section 7.6.1), and those of proxies.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers by which some servers take another method or path than the one that was judged.
const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Names that only we give: a caller has no say in who it is.
const OURS: [&str; 2] = ["x-openshell-", "x-sandbox-"];

/// Why an exchange ends early.
enum Stop {
    /// The caller must be told.
    Refused(Refusal),
    /// There is nobody to tell, or the answer has begun.
    BrokenOff,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Box<pingora::Error>> for Stop {
    fn from(error: Box<pingora::Error>) -> Self {
        tracing::debug!(error = %error, "an exchange broke off");
        Self::BrokenOff
    }
}

/// Serves one request whose head was read. `target` is its path with its query. False when the connection must be
/// broken off.
pub(super) async fn serve(
    link: &Link,
    upstream: &Upstream,
    session: &mut ServerSession,
    target: &str,
) -> bool {
    session.set_write_timeout(Some(WRITE_PAUSE));
    let stop = match exchange(link, upstream, session, target).await {
        Ok(()) => return true,
        Err(stop) => stop,
    };
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    let Stop::Refused(refusal) = stop else { return false };
    if begun || tell(session, &refusal).await.is_err() {
        return false;
    }
    if !session.is_http2() {
        let rest = async {
            let mut left = LINGER_BYTES_MAX;
            while let Ok(Some(piece)) = session.read_request_body().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    break;
                }
            }
        };
        if timeout(LINGER, rest).await.is_err() {
            tracing::debug!("a refused caller went on sending");
        }
    }
    // Refusals over HTTP/1 end the connection; over HTTP/2 they end their stream.
    session.is_http2()
}

/// Takes what a refused caller still sends.
pub(super) async fn linger(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 4 << 10];
    let rest = async {
        let mut left = LINGER_BYTES_MAX;
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                break;
            }
        }
    };
    if timeout(LINGER, rest).await.is_err() {
        tracing::debug!("a refused caller went on sending");
    }
}

async fn tell(session: &mut ServerSession, refusal: &Refusal) -> pingora::Result<()> {
    let body = refusal.body();
    let mut head = ResponseHeader::build_no_case(refusal.status, Some(4))?;
    for (name, value) in refusal.headers() {
        head.insert_header(name, value)?;
    }
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    session.set_keepalive(None);
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == http::Method::HEAD {
        return session.finish_body().await;
    }
    session.write_response_body(body, true).await
}

async fn exchange(
    link: &Link,
    upstream: &Upstream,
    session: &mut ServerSession,
    target: &str,
) -> Result<(), Stop> {
    let mut ask = Ask::new(link, session.req_header(), target, upstream)?;
    let Judged { path, websocket } = ask::judge(link, upstream, session, &mut ask).await?;
    let head = request_head(link, upstream, session, &path, websocket)?;
    let still = |now: &super::service::Snapshot| ask::stands(link, upstream, &ask, now);
    tokio::select! {
        biased;
        () = link.revoked(still) => {
            tracing::info!(to = %link.to, "a request was broken off: the policy changed");
            Err(Stop::BrokenOff)
        }
        done = send(link, upstream, session, (head, websocket)) => done,
    }
}

/// Sends the request and streams the answer back.
async fn send(
    link: &Link,
    upstream: &Upstream,
    session: &mut ServerSession,
    (head, websocket): (RequestHeader, bool),
) -> Result<(), Stop> {
    let empty = session.is_body_empty() && !websocket;
    let mut server = loop {
        let Taken { session: mut server, used } = match upstream.take(link).await {
            Ok(taken) => taken,
            Err(error) => return Err(untaken(link, upstream, error, session).into()),
        };
        match begin(&mut server, &head, empty).await {
            Ok(()) => break server,
            // Its server closed it meanwhile: nothing has been done with the request yet.
            Err(error) if used => tracing::debug!(error = %error, "a used connection was closed"),
            Err(error) => return Err(unanswered(link, &error).into()),
        }
    };
    let mut frames = websocket.then(Frames::default);
    let mut pump = Pump { sent: empty, answered: false };
    match pump.run(link, session, &mut server, &mut frames).await {
        Ok(()) => {
            if pump.sent && frames.is_none() {
                upstream.give_back(server).await;
            }
            Ok(())
        }
        Err(stop) => {
            server.shutdown().await;
            Err(stop)
        }
    }
}

/// Sends the head, and the end of a body that is empty.
async fn begin(
    server: &mut HttpSession,
    head: &RequestHeader,
    empty: bool,
) -> Result<(), Box<pingora::Error>> {
    server.write_request_header(Box::new(head.clone())).await?;
    if empty {
        server.finish_request_body().await?;
    }
    Ok(())
}

/// How far an exchange is.
struct Pump {
    /// The whole request has been sent.
    sent: bool,
    /// The head of the answer has been given to the caller.
    answered: bool,
}

/// What happens next in an exchange.
enum Turn {
    Request(pingora::Result<Option<Bytes>>),
    Head(pingora::Result<()>),
    Answer(pingora::Result<Option<Bytes>>),
}

/// What comes next from the server.
async fn next(server: &mut HttpSession, answered: bool) -> Turn {
    if answered {
        Turn::Answer(server.read_response_body().await)
    } else {
        Turn::Head(server.read_response_header().await)
    }
}

impl Pump {
    async fn run(
        &mut self,
        link: &Link,
        session: &mut ServerSession,
        server: &mut HttpSession,
        frames: &mut Option<Frames>,
    ) -> Result<(), Stop> {
        loop {
            let turn = tokio::select! {
                piece = session.read_body_or_idle(self.sent) => Turn::Request(piece),
                turn = next(server, self.answered) => turn,
            };
            match turn {
                // The caller is gone.
                Turn::Request(Err(error)) => return Err(error.into()),
                Turn::Request(Ok(piece)) => {
                    self.request(server, frames, piece).await?;
                    // The end may have come with the last piece.
                    if frames.is_none() && !self.sent && session.is_body_done() {
                        self.request(server, frames, None).await?;
                    }
                }
                Turn::Head(Err(error)) => return Err(unanswered(link, &error).into()),
                Turn::Head(Ok(())) => self.head(session, server, frames).await?,
                Turn::Answer(Err(error)) => return Err(error.into()),
                Turn::Answer(Ok(Some(piece))) => session.write_response_body(piece, false).await?,
                Turn::Answer(Ok(None)) => return self.end(session, server).await,
            }
        }
    }

    /// Sends a piece of the request.
    async fn request(
        &mut self,
        server: &mut HttpSession,
        frames: &mut Option<Frames>,
        piece: Option<Bytes>,
    ) -> Result<(), Stop> {
        let sent = match piece {
            Some(piece) if piece.is_empty() => Ok(()),
            Some(piece) => {
                if let Some(frames) = frames
                    && frames.check(&piece).is_err()
                {
                    return Err(Stop::BrokenOff);
                }
                server.write_request_body(piece, false).await
            }
            None => {
                self.sent = true;
                server.finish_request_body().await
            }
        };
        if let Err(error) = sent {
            // It may have answered before it had taken everything.
            tracing::debug!(error = %error, "a server took no more of a request");
            self.sent = true;
        }
        Ok(())
    }

    /// Gives the head of the answer on.
    async fn head(
        &mut self,
        session: &mut ServerSession,
        server: &mut HttpSession,
        frames: &mut Option<Frames>,
    ) -> Result<(), Stop> {
        let Some(answer) = server.response_header() else { return Err(Stop::BrokenOff) };
        match answer.status {
            StatusCode::CONTINUE => return Ok(session.write_continue_response().await?),
            StatusCode::SWITCHING_PROTOCOLS if frames.is_some() => {
                let head = switching(answer)?;
                session.write_response_header(Box::new(head)).await?;
                if let HttpSession::H1(server) = server {
                    server.maybe_upgrade_body_writer();
                }
                self.answered = true;
                return Ok(());
            }
            // Nobody asked for it.
            StatusCode::SWITCHING_PROTOCOLS => return Err(Stop::BrokenOff),
            status if status.is_informational() => return Ok(()),
            _ => {}
        }
        if frames.take().is_some() {
            // The server does not switch: what follows is an ordinary answer.
            self.sent = true;
        }
        let head = Box::new(response_head(session, answer)?);
        match session {
            // A stream that has no body ends with its head.
            ServerSession::H2(stream) if is_bodiless(stream.req_header(), head.status) => {
                stream.write_response_header(head, true)?;
            }
            _ => session.write_response_header(head).await?,
        }
        self.answered = true;
        Ok(())
    }

    /// Ends the answer.
    async fn end(
        &mut self,
        session: &mut ServerSession,
        server: &mut HttpSession,
    ) -> Result<(), Stop> {
        if let HttpSession::H2(server) = server
            && session.is_http2()
            && let Ok(Some(trailers)) = server.read_trailers().await
        {
            return Ok(session.write_response_trailers(trailers).await?);
        }
        if !self.sent {
            // What is still on its way would be taken for the next request.
            session.set_keepalive(None);
        }
        Ok(session.finish_body().await?)
    }
}

/// The head that is sent to the server.
fn request_head(
    link: &Link,
    upstream: &Upstream,
    session: &ServerSession,
    path: &str,
    websocket: bool,
) -> pingora::Result<RequestHeader> {
    let from = session.req_header();
    let mut head =
        RequestHeader::build(from.method.clone(), path.as_bytes(), Some(from.headers.len()))?;
    let named = |name: &HeaderName| {
        let all = from.headers.get_all(header::CONNECTION).iter();
        let mut names =
            all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        names.any(|named| named.trim().eq_ignore_ascii_case(name.as_str()))
    };
    for (name, value) in &from.headers {
        let ours = OURS.iter().any(|prefix| name.as_str().starts_with(prefix));
        let websocket_extension = websocket && name == header::SEC_WEBSOCKET_EXTENSIONS;
        if HOP_BY_HOP.contains(name) || OVERRIDES.contains(name) || ours || websocket_extension {
            continue;
        }
        if name == header::HOST || name.as_str() == "http2-settings" || named(name) {
            continue;
        }
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(header::HOST, authority(link, upstream))?;
    let trailers = from.headers.get(header::TE);
    if trailers.is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        head.insert_header(header::TE, "trailers")?;
    }
    let chunked = from.headers.contains_key(header::TRANSFER_ENCODING)
        || (session.is_http2()
            && !from.headers.contains_key(header::CONTENT_LENGTH)
            && has_body(session));
    if chunked {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    if websocket {
        head.insert_header(header::CONNECTION, "Upgrade")?;
        head.insert_header(header::UPGRADE, "websocket")?;
    }
    if upstream.is_router()
        && let Some(router) = &link.shared.inference
    {
        head.insert_header(inference::TOKEN, router.token())?;
    }
    head.set_version(Version::HTTP_11);
    Ok(head)
}

/// Whether a stream of HTTP/2 has a body of a length that nobody said.
fn has_body(session: &ServerSession) -> bool {
    session.as_http2().is_some_and(|stream| !stream.is_body_empty())
}

/// The value of the host header: the port only where it is not the usual one.
fn authority(link: &Link, upstream: &Upstream) -> String {
    let usual = if upstream.is_tls() { 443 } else { 80 };
    let text = link.to.to_string();
    if link.to.port() == usual {
        let bare = text.rsplit_once(':').map(|(host, _)| host.to_owned());
        return bare.unwrap_or(text);
    }
    text
}

/// The head that is given to the caller.
fn response_head(
    session: &ServerSession,
    from: &ResponseHeader,
) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(from.status, Some(from.headers.len()))?;
    let mut length = false;
    for (name, value) in &from.headers {
        if HOP_BY_HOP.contains(name) || name == header::TRAILER {
            continue;
        }
        length |= name == header::CONTENT_LENGTH;
        head.append_header(name.clone(), value.clone())?;
    }
    let request = session.req_header();
    let bodiless = is_bodiless(request, from.status);
    if !length && !bodiless && !session.is_http2() && request.version == Version::HTTP_11 {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(head)
}

/// Whether an answer with this status has no body, whatever its head says.
fn is_bodiless(request: &RequestHeader, status: StatusCode) -> bool {
    request.method == http::Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The head of an answer that makes a WebSocket of the connection.
fn switching(from: &ResponseHeader) -> pingora::Result<ResponseHeader> {
    let mut head =
        ResponseHeader::build(StatusCode::SWITCHING_PROTOCOLS, Some(from.headers.len()))?;
    for (name, value) in &from.headers {
        if !HOP_BY_HOP.contains(name) && name != header::CONTENT_LENGTH {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    head.insert_header(header::CONNECTION, HeaderValue::from_static("Upgrade"))?;
    head.insert_header(header::UPGRADE, HeaderValue::from_static("websocket"))?;
    Ok(head)
}

fn untaken(link: &Link, upstream: &Upstream, error: TakeError, session: &ServerSession) -> Refusal {
    let method = session.req_header().method.clone();
    let about = About::Request { scheme: upstream.scheme(), method: method.as_str(), path: "" };
    let refusal = match error {
        TakeError::Dial(error) => {
            return link.unreachable(link.shared.snapshot.load().revision, &error, about);
        }
        TakeError::Revoked => {
            let detail = format!("{} is no longer permitted by policy", link.to);
            Refusal::new(403, "policy_denied", "policy_changed", detail)
        }
        TakeError::Tls(_) => {
            tracing::info!(to = %link.to, error = %error, "a server could not be verified");
            let detail = format!("{} cannot be verified over TLS", link.to);
            Refusal::new(502, "upstream_unverified", "upstream_tls_failed", detail)
        }
        TakeError::Http2 => {
            let detail = format!("{}: {error}", link.to);
            Refusal::new(502, "upstream_unreachable", "upstream_broken", detail)
        }
        TakeError::Router(_) => {
            Refusal::new(503, "inference_unavailable", "router_unreachable", error.to_string())
        }
    };
    link.refused(&refusal, about);
    refusal
}

fn unanswered(link: &Link, error: &pingora::Error) -> Refusal {
    tracing::debug!(to = %link.to, error = %error, "a server gave no answer");
    let detail = format!("{} gave no valid answer", link.to);
    Refusal::new(502, "upstream_unreachable", "upstream_no_answer", detail)
}
