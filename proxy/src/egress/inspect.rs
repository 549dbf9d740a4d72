//! The requests of one connection, one after the other or, over HTTP/2, beside each other.
//!
//! Each head of HTTP/1 is read strictly by `head` before Pingora reads the same bytes. Not here: what may be sent
//! (`ask`), how it is sent (`forward`). Invariant: every request is asked about, also those of a connection that was
//! allowed.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use domain::{Destination, Host};
use http::HeaderValue;
use pingora::protocols::{
    Digest, Stream,
    http::{
        ServerSession,
        v2::server::{H2Accept, HttpSession, default_h2_options, handshake},
    },
};
use policy::Verdict;
use tokio::{io::AsyncWriteExt as _, task::JoinSet, time::timeout};

use super::{
    caller::Connection,
    explicit::unread,
    forward::{self, Route},
    head::{self, Head, HeadError},
    linger,
    link::{About, Link},
    refusal::Refusal,
    service::{Shared, Snapshot},
    socket::Wire,
    tunnel::Client,
    upstream::Upstream,
};

/// How long a connection waits for its next request, seconds.
const KEEPALIVE_S: u64 = 75;
const KEEPALIVE: Duration = Duration::from_secs(KEEPALIVE_S);

/// How long a connection that is broken off may take to say so.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);

/// Requests that one connection of HTTP/2 carries at once.
const STREAMS_MAX: u32 = 100;

/// Streams of one connection of HTTP/2 that may be malformed.
const MALFORMED_MAX: usize = 100;

/// Largest list of headers over HTTP/2, bytes.
const HEADERS_BYTES_MAX: u32 = 64 << 10;

/// Flow-control windows of HTTP/2: what one slow server may make us hold.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Where the requests of a connection go.
enum Course {
    /// All to the place that the connection was opened to.
    Tunnel(Arc<Link>, Arc<Upstream>),
    /// Each to the server that it names; the last one is kept open.
    Forward {
        shared: Arc<Shared>,
        connection: Connection,
        last: Option<(Arc<Link>, Arc<Upstream>)>,
    },
}

/// Serves the requests inside a tunnel or captured connection.
pub(super) async fn tunnel(link: Arc<Link>, wire: Wire, upstream: Arc<Upstream>) {
    if wire.is_http2 {
        return http2(link, wire.stream, upstream).await;
    }
    http1(Course::Tunnel(link, upstream), wire).await;
}

/// Serves requests in absolute form.
pub(super) async fn forward(shared: Arc<Shared>, connection: Connection, client: Client) {
    let course = Course::Forward { shared, connection, last: None };
    http1(course, client.into_wire()).await;
}

async fn http1(mut course: Course, wire: Wire) {
    let Wire { mut stream, backlog, .. } = wire;
    let mut seen = BytesMut::new();
    // One for all requests: it asks again only when the policy changes.
    let mut revoked = pin!(course.revoked());
    loop {
        let next = tokio::select! {
            biased;
            () = &mut revoked => return,
            next = timeout(KEEPALIVE, head::read(&mut stream, &mut seen)) => next,
        };
        let length = match next {
            Ok(Ok(0)) | Err(_) => return,
            Ok(Ok(length)) => length,
            Ok(Err(HeadError::Ended)) => return,
            Ok(Err(error)) => return course.malformed(stream, error).await,
        };
        let raw = seen.get(..length).unwrap_or_default();
        let head = match Head::parse(raw) {
            Ok(head) => head,
            Err(error) => return course.malformed(stream, error).await,
        };
        let keep = head.keeps();
        let (link, upstream, target) = match course.of(head.target).await {
            Ok(found) => found,
            Err(refusal) => return course.refuse(stream, &refusal).await,
        };
        if let Some(own) = head.in_origin_form(raw, &target) {
            let _head = seen.split_to(length);
            seen = [&own[..], &seen[..]].concat().as_slice().into();
        }
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelining_enabled(true);
        session.set_pipelined_prefix(std::mem::take(&mut seen));
        if !matches!(session.read_request().await, Ok(true)) {
            // What passed `head` is a request: only one of them can be wrong about that.
            tracing::warn!(to = %link.to, "a head was read in two ways");
            return;
        }
        session.set_keepalive(keep.then_some(KEEPALIVE_S));
        let route = Route { link: &link, upstream: &upstream, caller: Some(&backlog) };
        if !Box::pin(forward::serve(route, &mut session, &target)).await {
            // Saying so may wait for a caller that takes nothing; the end does not.
            drop(timeout(FAREWELL, session.shutdown()).await);
            return;
        }
        let Ok(Some(reusable)) = session.finish().await else { return };
        let (next, prefix) = reusable.into_parts();
        stream = next;
        seen = prefix.unwrap_or_default();
    }
}

impl Course {
    /// Where a request with this target goes, and its path with its query.
    async fn of(&mut self, target: &str) -> Result<(Arc<Link>, Arc<Upstream>, String), Refusal> {
        match self {
            Self::Tunnel(link, upstream) => {
                if !target.starts_with('/') {
                    return Err(bad_target("the target must be a path here"));
                }
                Ok((Arc::clone(link), Arc::clone(upstream), target.to_owned()))
            }
            Self::Forward { shared, connection, last } => {
                let (to, path) = absolute(target)?;
                if let Some((link, upstream)) = last
                    && link.to == to
                    && !upstream.is_router()
                {
                    return Ok((Arc::clone(link), Arc::clone(upstream), path));
                }
                let link = match last {
                    Some((link, _)) => link.toward(to),
                    None => Link::open(Arc::clone(shared), *connection, to).await,
                };
                let snapshot = shared.snapshot.load_full();
                let routed = matches!(link.verdict(&snapshot), Some(Verdict::Inference(_)));
                let upstream = if routed && shared.inference.is_some() {
                    // The router records the call; that it leaves the sandbox, and by whom, is on record here.
                    link.admit(&snapshot, About::Open)?;
                    Upstream::router()
                } else {
                    Upstream::server(None, None)
                };
                let (link, upstream) = last.insert((Arc::new(link), upstream));
                Ok((Arc::clone(link), Arc::clone(upstream), path))
            }
        }
    }

    /// Returns once the policy no longer opens the tunnel; never where each request is asked about anew.
    fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        let tunnel = match self {
            Self::Tunnel(link, upstream) => Some((Arc::clone(link), Arc::clone(upstream))),
            Self::Forward { .. } => None,
        };
        async move {
            match tunnel {
                Some((link, upstream)) => link.revoked(|now| stands(&link, &upstream, now)).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn malformed(&self, stream: Stream, error: HeadError) {
        let refusal =
            Refusal::new(error.status(), "invalid_request", error.as_str(), error.to_string());
        self.refuse(stream, &refusal).await;
    }

    /// Tells a refusal of something that is no request, and ends the connection.
    async fn refuse(&self, mut stream: Stream, refusal: &Refusal) {
        match self {
            Self::Tunnel(link, _) => link.refused(refusal, About::Open),
            Self::Forward { shared, connection, .. } => unread(shared, connection.from, refusal),
        }
        let told = async {
            stream.write_all(&refusal.http1()).await?;
            stream.flush().await?;
            stream.shutdown().await
        };
        if !matches!(timeout(Duration::from_secs(1), told).await, Ok(Ok(()))) {
            tracing::debug!("a refused caller went away");
        }
        linger::bytes(&mut stream).await;
    }
}

/// Whether the policy still opens what the connection was opened for.
pub(super) fn stands(link: &Link, upstream: &Upstream, snapshot: &Snapshot) -> bool {
    match link.verdict(snapshot) {
        Some(Verdict::Allow(grant)) => !upstream.is_router() && link.may_stay(&grant),
        Some(Verdict::Inference(_)) => upstream.is_router(),
        Some(Verdict::Deny(_)) => {
            upstream.takes_model_calls_only() && link.takes_model_calls(snapshot)
        }
        None => false,
    }
}

/// The server and path of a target in absolute form.
fn absolute(target: &str) -> Result<(Destination, String), Refusal> {
    let scheme = |name: &str| {
        let (scheme, rest) = target.split_once("://")?;
        scheme.eq_ignore_ascii_case(name).then_some(rest)
    };
    if scheme("https").is_some() {
        return Err(bad_target("Use CONNECT for HTTPS URLs"));
    }
    let Some(rest) = scheme("http") else {
        let detail =
            "this is a proxy: the target must be an absolute http:// URL, or CONNECT host:port";
        return Err(bad_target(detail));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let to = authority_of(authority, 80).ok_or_else(|| bad_target("the URL names no server"))?;
    let path = match path.chars().next() {
        None => "/".to_owned(),
        Some('?') => format!("/{path}"),
        Some(_) => path.to_owned(),
    };
    Ok((to, path))
}

/// The destination of `host` or `host:port`. Names of users are refused with everything else that is none.
pub(super) fn authority_of(text: &str, port: u16) -> Option<Destination> {
    let bracket = text.rfind(']').unwrap_or(0);
    let has_port = text.rfind(':').is_some_and(|colon| colon >= bracket);
    if has_port {
        return text.parse().ok();
    }
    Destination::new(text.parse::<Host>().ok()?, port)
}

fn bad_target(detail: &str) -> Refusal {
    Refusal::new(400, "invalid_request_target", "malformed_target", detail)
}

async fn http2(link: Arc<Link>, stream: Stream, upstream: Arc<Upstream>) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: None,
        socket_digest: stream.get_socket_digest(),
    });
    let mut options = default_h2_options();
    options
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX);
    let Ok(mut connection) = handshake(stream, Some(options)).await else { return };
    let mut streams = JoinSet::new();
    let mut malformed = 0_usize;
    loop {
        let busy = !streams.is_empty();
        let accepted = tokio::select! {
            biased;
            () = link.revoked(|now| stands(&link, &upstream, now)) => {
                tracing::info!(to = %link.to, "a connection was closed: the policy changed");
                return;
            }
            _ = streams.join_next(), if busy => continue,
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => accepted,
            () = tokio::time::sleep(KEEPALIVE), if !busy => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let (link, upstream) = (Arc::clone(&link), Arc::clone(&upstream));
                streams.spawn(Box::pin(one(link, upstream, session)));
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed = malformed.saturating_add(1);
                if malformed > MALFORMED_MAX {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// One request over HTTP/2.
async fn one(link: Arc<Link>, upstream: Arc<Upstream>, session: HttpSession) {
    let mut session = ServerSession::new_http2(session);
    let head = session.req_header();
    let target = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    // The two ways of naming a host must agree; what is asked about is then the header.
    if let Some(authority) = head.uri.authority().map(|authority| authority.as_str().to_owned()) {
        let host = head.headers.get(http::header::HOST);
        if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
            let detail = format!("the request names another host than {}", link.to);
            let refusal = Refusal::new(421, "request_authority_mismatch", "host_mismatch", detail);
            link.refused(&refusal, About::Open);
            if forward::tell(&mut session, &refusal).await.is_err() {
                session.shutdown().await;
            }
            return;
        }
        let Ok(value) = HeaderValue::from_str(&authority) else { return };
        if session.req_header_mut().insert_header(http::header::HOST, value).is_err() {
            return;
        }
    }
    let route = Route { link: &link, upstream: &upstream, caller: None };
    if Box::pin(forward::serve(route, &mut session, &target)).await {
        drop(session.finish().await);
    } else {
        session.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_absolute_form_names_its_server() {
        let cases = [
            ("http://a.example/x?y", "a.example:80", "/x?y"),
            ("HTTP://A.example:8080", "a.example:8080", "/"),
            ("http://[::1]?q", "[::1]:80", "/?q"),
            ("http://[::1]:81/", "[::1]:81", "/"),
            ("http://a.example/http://b/", "a.example:80", "/http://b/"),
        ];
        for (target, to, path) in cases {
            let found = absolute(target).unwrap();
            assert_eq!(
                (found.0.to_string(), found.1),
                (to.to_owned(), path.to_owned()),
                "{target}"
            );
        }
        let bad = [
            "/x",
            "*",
            "https://a/",
            "ftp://a/",
            "http://",
            "http://u@a/",
            "http://a:0/",
            "http://a:/",
        ];
        for target in bad {
            assert_eq!(absolute(target).unwrap_err().status, 400, "{target}");
        }
    }
}
