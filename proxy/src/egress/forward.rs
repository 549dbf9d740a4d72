//! One request and its answer: asked about, sent on in the form that was judged, and streamed back.
//!
//! Bodies flow in both directions a piece at a time, and a side that is slow slows the other. Invariants: the path that
//! was judged is the path that is sent; an answer that has begun is ended properly or broken off, never both.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::{
    http::{RequestHeader, ResponseHeader},
    protocols::http::ServerSession,
};
use policy::Grant;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    ask::{self, Ask, Judged},
    content::Content,
    heads::{self, request_head},
    inspect::FAREWELL,
    linger,
    link::{About, Link},
    outlet::Outlet,
    patience::Patience,
    pump::{LIMITS, Pump},
    refusal::Refusal,
    room::Held,
    service::Snapshot,
    sigv4::Unsigned,
    socket::Backlog,
    tls::Unverified,
    upstream::{TakeError, Upstream},
};
use crate::audit::Outcome;

/// How long a body that is collected may pause.
const BODY: Duration = Duration::from_secs(30);

/// How long such a body may take in all: it is at most [`EGRESS_SIGNED_BYTES_MAX`], and room for it is taken from others.
///
/// [`EGRESS_SIGNED_BYTES_MAX`]: domain::limits::EGRESS_SIGNED_BYTES_MAX
const BODY_TOTAL: Duration = Duration::from_mins(5);

/// How long the rest of a request may take that was answered before it was read.
const DRAIN: Duration = Duration::from_mins(1);

/// Longest time for the caller to take a piece of an answer.
pub(super) const WRITE_PAUSE: Duration = Duration::from_mins(5);

/// Why an exchange ends early.
pub(super) enum Stop {
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

/// The way of a request.
#[derive(Clone, Copy)]
pub(super) struct Route<'r> {
    /// The connection it came on.
    pub(super) link: &'r Link,
    /// Where it goes.
    pub(super) upstream: &'r Upstream,
    /// What its caller was not sent yet, over HTTP/1.
    pub(super) caller: Option<&'r Backlog>,
}

impl<'r> Route<'r> {
    /// What opens the connection under this snapshot; nothing on the way to the router.
    fn grant(self, snapshot: &'r Snapshot) -> Option<Grant<'r>> {
        if self.upstream.is_router() { None } else { self.link.grant(snapshot) }
    }
}

/// Serves one request whose head was read. `target` is its path with its query. False when the connection must be
/// broken off.
pub(super) async fn serve(route: Route<'_>, session: &mut ServerSession, target: &str) -> bool {
    session.set_write_timeout(Some(WRITE_PAUSE));
    // Whoever reads knows how long that may take, and from when.
    session.set_read_timeout(None);
    session.set_total_drain_timeout(Some(DRAIN));
    route.link.carried.request();
    let stop = match exchange(route, session, target).await {
        Ok(()) => return true,
        Err(stop) => stop,
    };
    let answer = session.response_written().filter(|head| !head.status.is_informational());
    let begun = answer.is_some();
    if answer.is_some_and(ends_with_connection)
        && let Some(caller) = route.caller
    {
        caller.cut();
        return false;
    }
    let Stop::Refused(refusal) = stop else { return false };
    if begun || tell(session, &refusal).await.is_err() {
        return false;
    }
    linger::body(session).await;
    // Refusals over HTTP/1 end the connection; over HTTP/2 they end their stream.
    session.is_http2()
}

/// Whether an answer over HTTP/1 is whole when its connection ends (RFC 9112, section 6.3).
fn ends_with_connection(head: &ResponseHeader) -> bool {
    let tells = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    !tells.iter().any(|name| head.headers.contains_key(name))
}

/// Answers with a refusal.
pub(super) async fn tell(session: &mut ServerSession, refusal: &Refusal) -> pingora::Result<()> {
    let body = refusal.body();
    let mut head = ResponseHeader::build_no_case(refusal.status, Some(4))?;
    for (name, value) in refusal.headers() {
        head.insert_header(name, value)?;
    }
    if refusal.status == 426 && !session.is_http2() {
        // Which protocol is meant (RFC 9110, section 15.5.22).
        head.insert_header(header::UPGRADE, "HTTP/1.1")?;
    }
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    session.set_keepalive(None);
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == http::Method::HEAD {
        return session.finish_body().await;
    }
    session.write_response_body(body, true).await
}

async fn exchange(route: Route<'_>, session: &mut ServerSession, target: &str) -> Result<(), Stop> {
    let Route { link, upstream, .. } = route;
    let mut ask = Ask::new(link, session.req_header(), target, upstream)?;
    let first = link.shared.snapshot.load_full();
    let grant = route.grant(&first);
    // Until the exchange is over.
    let mut held = link.shared.bodies.hold();
    let later;
    let (snapshot, grant) = match grant.as_ref().and_then(|grant| ask.body_needed(grant)) {
        None => (&first, grant),
        Some(limit) => {
            // A body that is larger is not looked at: then it cannot be judged.
            let body = collect(session, limit, &mut held).await.inspect_err(|stop| {
                if let Stop::Refused(refusal) = stop {
                    link.refused(refusal, about(upstream, session.req_header()));
                }
            })?;
            if let Some(body) = body {
                ask.with_body(&session.req_header().headers, body);
            }
            // That may have taken a while.
            later = link.shared.snapshot.load_full();
            let same = Arc::ptr_eq(&first, &later);
            (&later, if same { grant } else { route.grant(&later) })
        }
    };
    let asked = (&ask, &session.req_header().headers);
    let mut judged = ask::judge(link, upstream, asked, (snapshot, grant))?;
    let policy = Arc::clone(&snapshot.policy);
    let whole = whole(session, &ask, &mut judged, &mut held).await;
    record(link, about(upstream, session.req_header()), judged.content.as_ref(), &whole);
    let whole = whole?;
    if let (Some(before), Some(sent)) = (ask.body(), &whole)
        && before != *sent
    {
        // What was hidden or put in may have changed what the body asks for: what is judged is what is sent.
        let headers = session.req_header().headers.clone();
        ask.with_body(&headers, sent.clone());
        if !ask::stands(link, upstream, &ask, &link.shared.snapshot.load()) {
            let detail =
                format!("{}: the body asks for something else once it is fit to be sent", link.to);
            let refusal = Refusal::new(403, "policy_denied", "body_changed", detail);
            link.refused(&refusal, about(upstream, session.req_header()));
            return Err(refusal.into());
        }
    }
    let head = head(link, upstream, session, &judged, whole.as_deref());
    if let Err(Stop::Refused(refusal)) = &head {
        link.refused(refusal, about(upstream, session.req_header()));
    }
    let head = head?;
    let still = |now: &Snapshot| ask::stands(link, upstream, &ask, now);
    tokio::select! {
        biased;
        () = link.revoked_after(policy, still) => {
            tracing::info!(to = %link.to, "a request was broken off: the policy changed");
            Err(Stop::BrokenOff)
        }
        done = send(route, &ask, session, (head, judged, whole)) => done,
    }
}

/// All of a body, if it is not larger than `limit`.
///
/// # Errors
/// When the sandbox has collected as much as it may, or the body does not come in time.
async fn collect(
    session: &mut ServerSession,
    limit: usize,
    held: &mut Held,
) -> Result<Option<Bytes>, Stop> {
    if session.is_body_empty() {
        return Ok(Some(Bytes::new()));
    }
    if session.req_header().headers.contains_key(header::EXPECT) {
        session.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    let end = Instant::now() + BODY_TOTAL;
    loop {
        let pause = end.min(Instant::now() + BODY);
        let piece = timeout_at(pause, session.read_request_body()).await;
        let slow = |_| {
            let detail = "the body of the request comes too slowly";
            Stop::Refused(Refusal::new(408, "request_timeout", "body_timeout", detail))
        };
        let Some(piece) = piece.map_err(slow)?? else {
            return Ok(Some(body.freeze()));
        };
        if body.len().saturating_add(piece.len()) > limit {
            return Ok(None);
        }
        if !held.grow(piece.len()) {
            let detail = "this sandbox has as many bytes of bodies under way as it may";
            return Err(Refusal::new(503, "too_many_bodies", "too_many_bodies", detail).into());
        }
        body.extend_from_slice(&piece);
    }
}

/// The body as it is sent, where it must be there before its head: it was judged, or its new length is announced, or it
/// is signed.
async fn whole(
    session: &mut ServerSession,
    ask: &Ask,
    judged: &mut Judged,
    held: &mut Held,
) -> Result<Option<Bytes>, Stop> {
    let Some(content) = &mut judged.content else { return Ok(None) };
    let length = session.req_header().headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let body = match (ask.body(), content.collects(length)) {
        (Some(body), _) => body,
        (None, None) => return Ok(None),
        (None, Some(limit)) => collect(session, limit, held).await?.ok_or_else(|| {
            let detail = format!("the body has more than {limit} bytes");
            Refusal::new(413, "invalid_request", "body_too_large", detail)
        })?,
    };
    let first = content.push(body)?;
    let rest = content.finish()?;
    Ok(Some(if rest.is_empty() { first } else { [first, rest].concat().into() }))
}

/// The head that is sent, signed where the policy asks for it.
fn head(
    link: &Link,
    upstream: &Upstream,
    session: &ServerSession,
    judged: &Judged,
    whole: Option<&[u8]>,
) -> Result<RequestHeader, Stop> {
    let mut head = request_head(link, upstream, session, judged)?;
    if let Some(body) = whole {
        head.remove_header(&header::TRANSFER_ENCODING);
        // The caller was told to go on, if it waited for that.
        head.remove_header(&header::EXPECT);
        if !body.is_empty() || head.headers.contains_key(header::CONTENT_LENGTH) {
            head.insert_header(header::CONTENT_LENGTH, body.len())?;
        }
    }
    if let Some(content) = &judged.content {
        let authority = heads::authority(link, upstream);
        let target = content.target().unwrap_or(&judged.path);
        let method = head.method.as_str();
        let request = Unsigned { method, target, authority: &authority, headers: &head.headers };
        for (name, value) in content.sign(&request, whole)? {
            head.insert_header(name, value)?;
        }
    }
    Ok(head)
}

/// Sends the request and streams the answer back. `whole` is all of its body, where that was collected.
async fn send(
    route: Route<'_>,
    ask: &Ask,
    session: &mut ServerSession,
    (head, judged, whole): (RequestHeader, Judged, Option<Bytes>),
) -> Result<(), Stop> {
    let Route { link, upstream, caller } = route;
    link.carried.sent(whole.as_ref().map_or(0, Bytes::len));
    let collected = whole.clone();
    let whole = match whole {
        None if session.is_body_empty() && !judged.websocket => Some(Bytes::new()),
        whole => whole,
    };
    let is_empty = whole.as_ref().is_some_and(Bytes::is_empty);
    let mut made = Some(head);
    let (mut taken, up) = loop {
        let mut taken = match upstream.take(link).await {
            Ok(taken) => taken,
            Err(error) => return Err(untaken(link, upstream, error, session).into()),
        };
        let head = match made.take() {
            Some(head) => head,
            None => self::head(link, upstream, session, &judged, collected.as_deref())?,
        };
        match taken.begin(Box::new(head), is_empty).await {
            Ok(up) => break (taken, up),
            // Its server closed it meanwhile: nothing has been done with the request yet.
            Err(error) if taken.used => {
                tracing::debug!(error = %error, "a used connection was closed");
            }
            Err(error) => {
                let refusal = unanswered(link, &error);
                link.refused(&refusal, about(upstream, session.req_header()));
                return Err(refusal.into());
            }
        }
    };
    let Judged { websocket, content, .. } = judged;
    let frames = content.as_ref().filter(|_| websocket).map(Content::messages);
    let was_collected = whole.is_some();
    let mut pump = Pump {
        ahead: whole.filter(|body| !body.is_empty()),
        sent: was_collected,
        answered: false,
        frames,
        tally: None,
        answers: None,
        content,
        kept: None,
        up,
        down: Outlet::Shut,
        caller: caller.cloned(),
        patience: Patience::new(LIMITS),
        heard: (0, 0),
    };
    let done = pump.run(link, ask, session, &mut taken.session).await;
    // What was collected is on record already.
    let streamed = pump.content.as_ref().filter(|_| !was_collected);
    record(link, about(upstream, session.req_header()), streamed, &done);
    match done {
        Ok(()) => {
            if pump.is_clean() {
                upstream.give_back(taken).await;
            }
            Ok(())
        }
        Err(stop) => {
            drop(timeout(FAREWELL, taken.session.shutdown()).await);
            Err(stop)
        }
    }
}

/// Puts on record what was seen in a body, and why it was refused.
fn record<T>(link: &Link, about: About<'_>, content: Option<&Content>, done: &Result<T, Stop>) {
    let outcome = if done.is_ok() { Outcome::Audited } else { Outcome::Denied };
    if let Err(Stop::Refused(refusal)) = done {
        link.refused(refusal, about);
    }
    if let Some(seen) = content.and_then(Content::seen) {
        link.found(seen, outcome, about);
    }
}

fn untaken(link: &Link, upstream: &Upstream, error: TakeError, session: &ServerSession) -> Refusal {
    let about = about(upstream, session.req_header());
    let refusal = match error {
        TakeError::Dial(error) => {
            return link.unreachable(link.shared.snapshot.load().revision, &error, about);
        }
        TakeError::Revoked => {
            let detail = format!("{} is no longer permitted by policy", link.to);
            Refusal::new(403, "policy_denied", "policy_changed", detail)
        }
        TakeError::Tls(ref why) => {
            tracing::info!(to = %link.to, error = %error, "a server could not be verified");
            let detail = match why {
                Unverified::NoAuthorities => format!("{} cannot be verified: {why}", link.to),
                Unverified::Handshake(_) => format!("{} cannot be verified over TLS", link.to),
            };
            Refusal::new(502, "upstream_unverified", "upstream_tls_failed", detail)
        }
        TakeError::Http2 => {
            let detail = format!("{}: {error}", link.to);
            Refusal::new(502, "upstream_unreachable", "upstream_broken", detail)
        }
        TakeError::Router(_) => {
            let detail = error.to_string();
            let told = Refusal::new(503, "inference_unavailable", "router_unreachable", detail);
            let step = "openshell inference set --provider NAME --model MODEL".to_owned();
            Refusal { next_steps: vec![step], ..told }
        }
    };
    link.refused(&refusal, about);
    refusal
}

pub(super) fn unanswered(link: &Link, error: &dyn fmt::Display) -> Refusal {
    tracing::debug!(to = %link.to, error = %error, "a server gave no answer");
    let detail = format!("{} gave no valid answer", link.to);
    Refusal::new(502, "upstream_unreachable", "upstream_no_answer", detail)
}

/// A request whose path is not said.
fn about<'h>(upstream: &Upstream, head: &'h RequestHeader) -> About<'h> {
    About::Request { scheme: upstream.scheme(), method: head.method.as_str(), path: "" }
}
