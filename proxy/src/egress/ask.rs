//! What a request asks for, in the form that is judged, and what the policy says about it.
//!
//! Invariant: the answer goes on record before the request is sent.

use std::borrow::Cow;

use bytes::Bytes;
use domain::Destination;
use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;
use policy::{
    Because, CanonicalPath, EncodedSlash, Grant, PathError, Protocol, Query, Request,
    RequestVerdict, model::Endpoint,
};

use super::{
    content::{self, Content},
    credentials::{CredentialError, veiled},
    denials::What,
    inspect::{self, authority_of},
    link::{About, Link},
    operation::{self, Found, Message},
    refusal::{Asked, Refusal},
    service::Snapshot,
    tally::Tally,
    upstream::Upstream,
    websocket::{self, FrameError},
};
use crate::audit::{Activity, Engine, Event, Outcome};

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    query: Option<String>,
    websocket: bool,
    /// Headers and body, where what the request asks for is in there.
    message: Option<(HeaderMap, Bytes)>,
}

/// A request that may be sent.
pub(super) struct Judged {
    /// Its path and query.
    pub(super) path: String,
    /// Whether it opens a WebSocket.
    pub(super) websocket: bool,
    /// What becomes of its content; none on the way to the router.
    pub(super) content: Option<Content>,
}

impl Ask {
    /// Takes a request apart and checks what no policy is needed for.
    ///
    /// # Errors
    /// When it is meant for another server, or for another protocol.
    pub(super) fn new(
        link: &Link,
        head: &RequestHeader,
        target: &str,
        upstream: &Upstream,
    ) -> Result<Self, Refusal> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let websocket = upgrade(&head.headers);
        let about =
            About::Request { scheme: upstream.scheme(), method: head.method.as_str(), path: "" };
        let checked = check(&link.to, head, target, websocket, upstream);
        if let Err(refusal) = checked {
            link.refused(&refusal, about);
            return Err(refusal);
        }
        let websocket = websocket == Upgrade::Websocket;
        Ok(Self {
            method: head.method.clone(),
            path: path.to_owned(),
            query,
            websocket,
            message: None,
        })
    }

    /// Asks `grant` and gives the answer to `found`, with the path that was judged and the one that is sent.
    fn answer<T>(
        &self,
        method: &str,
        grant: &Grant<'_>,
        found: impl FnOnce([&CanonicalPath<'_>; 2], &RequestVerdict<'_>) -> T,
    ) -> Result<T, Refusal> {
        let slash = grant.encoded_slash();
        let unfit = |error: PathError| bad_target(&error.to_string());
        let sent = CanonicalPath::new(&self.path, slash).map_err(unfit)?;
        // Placeholders stand for what nobody but the server sees.
        let shown = veiled(sent.as_str());
        let other = match &shown {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Some(CanonicalPath::new(shown, slash).map_err(unfit)?),
        };
        let path = other.as_ref().unwrap_or(&sent);
        let query = veiled(self.query.as_deref().unwrap_or_default());
        let query = Query::new(&query).map_err(|error| bad_target(&error.to_string()))?;
        let asked = match (reading(grant, path), &self.message) {
            (None, _) => Found::Nothing,
            (Some(endpoint), Some((headers, body))) => {
                operation::read(endpoint, &Message { method, query: &query, headers, body })
            }
            (Some(_), None) => Found::Unreadable,
        };
        let asked = asked.view();
        let asked = asked.members();
        let operation = asked.operation();
        let request = Request { method, path, query: &query, operation };
        Ok(found([path, &sent], &grant.request(&request)))
    }

    /// How much of the body must be read before the request can be judged; `None` where that is nothing.
    pub(super) fn body_needed(&self, grant: &Grant<'_>) -> Option<usize> {
        if !has_operations(grant) {
            return None;
        }
        let path = CanonicalPath::new(&self.path, grant.encoded_slash()).ok()?;
        let endpoint = reading(grant, &path)?;
        usize::try_from(endpoint.operation_body_bytes_max()?).ok()
    }

    /// Takes the body that was needed.
    pub(super) fn with_body(&mut self, headers: &HeaderMap, body: Bytes) {
        self.message = Some((headers.clone(), body));
    }

    /// The body, where it was needed.
    pub(super) fn body(&self) -> Option<Bytes> {
        self.message.as_ref().map(|(_, body)| body.clone())
    }

    /// The canonical path where no endpoint is about it, as it is told and recorded; empty where it has none.
    fn shown(&self) -> String {
        let path = veiled(&self.path);
        let path = CanonicalPath::new(&path, EncodedSlash::Keep);
        path.map(|path| path.to_string()).unwrap_or_default()
    }

    /// The path and query that are sent.
    fn target(&self, path: &CanonicalPath<'_>) -> String {
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_string(),
        }
    }
}

/// Whether some endpoint has what is asked for in bodies.
fn has_operations(grant: &Grant<'_>) -> bool {
    let mut any = false;
    grant.each(|place| any |= place.endpoint.operation_body_bytes_max().is_some());
    any
}

/// The endpoint by whose protocol the body is read, if any is.
fn reading<'p>(grant: &Grant<'p>, path: &CanonicalPath<'_>) -> Option<&'p Endpoint> {
    if !has_operations(grant) {
        return None;
    }
    let mut places = Vec::new();
    grant.each(|place| places.push(place));
    operation::endpoint(&places, path.as_str())
}

/// What a request wants to make of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upgrade {
    /// Nothing, or something that a server may ignore.
    No,
    /// A WebSocket.
    Websocket,
    /// HTTP/2, which would carry requests that nobody asks about.
    Http2,
}

fn upgrade(headers: &HeaderMap) -> Upgrade {
    let mut wanted = Upgrade::No;
    for value in headers.get_all(header::UPGRADE) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if name.get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case(b"h2")) {
                return Upgrade::Http2;
            }
            if name.eq_ignore_ascii_case(b"websocket") {
                wanted = Upgrade::Websocket;
            }
        }
    }
    if headers.contains_key("http2-settings") { Upgrade::Http2 } else { wanted }
}

fn check(
    to: &Destination,
    head: &RequestHeader,
    target: &str,
    upgrade: Upgrade,
    upstream: &Upstream,
) -> Result<(), Refusal> {
    let usual = if upstream.is_tls() { 443 } else { 80 };
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    let same = host.is_none_or(|host| {
        let text = host.to_str().unwrap_or_default();
        let named = authority_of(text, usual);
        // Many clients leave out a port that is not the usual one.
        let bare = authority_of(text, to.port());
        named.as_ref() == Some(to) || bare.as_ref() == Some(to)
    });
    if !same || hosts.next().is_some() {
        let detail = format!("the request names another host than {to}");
        return Err(Refusal::new(421, "request_authority_mismatch", "host_mismatch", detail));
    }
    if target.contains('#') || head.method == Method::CONNECT {
        return Err(bad_target("the target holds a fragment, or is for a proxy"));
    }
    match upgrade {
        Upgrade::Http2 => {
            let detail = "an upgrade to HTTP/2 without TLS is not taken";
            Err(Refusal::new(403, "unsupported_l7_protocol", "h2c_upgrade", detail))
        }
        Upgrade::Websocket | Upgrade::No => Ok(()),
    }
}

/// Decides about the request and puts the answer on record.
///
/// # Errors
/// How to tell the refusal.
pub(super) fn judge(
    link: &Link,
    upstream: &Upstream,
    (ask, headers): (&Ask, &HeaderMap),
    (snapshot, grant): (&Snapshot, Option<Grant<'_>>),
) -> Result<Judged, Refusal> {
    if upstream.is_router() {
        return to_router(link, upstream, ask, snapshot);
    }
    let (scheme, method) = (upstream.scheme(), ask.method.as_str());
    let about = About::Request { scheme, method, path: "" };
    let Some(grant) = grant else {
        let path = ask.shown();
        let about = About::Request { scheme, method, path: &path };
        return Err(match link.admit(snapshot, about) {
            Err(refusal) => refusal,
            Ok(_) => Refusal::new(403, "policy_denied", "policy_changed", String::new()),
        });
    };
    let judged = ask.answer(method, &grant, |[path, sent], verdict| {
        let about = About::Request { scheme, method, path: path.as_str() };
        let mut event = link.event(snapshot.revision, about);
        event.engine = Engine::Request;
        let mut refusal = put(&mut event, verdict, &link.asked(about));
        let websocket = ask.websocket && speaks_websocket(verdict);
        if ask.websocket && !websocket && refusal.is_none() {
            let detail = format!("{} does not speak WebSocket by its policy", link.to);
            let told = Refusal::new(403, "policy_denied", "websocket_not_permitted", detail);
            event.outcome = Outcome::Denied;
            event.reason = Some(told.reason);
            refusal = Some(told);
        }
        let mut content = None;
        let target = ask.target(sent);
        if refusal.is_none() {
            let names = (path.as_str(), target.as_str());
            match Content::new(link, snapshot, &grant, names, headers) {
                Ok(fit) => content = Some(fit),
                Err(told) => {
                    event.outcome = Outcome::Denied;
                    event.engine = Engine::Proxy;
                    event.reason = Some(told.reason);
                    refusal = Some(told);
                }
            }
        }
        if let (Some(refusal), Activity::Request { status, .. }) = (&refusal, &mut event.activity) {
            *status = Some(refusal.status);
        }
        link.shared.record.record(event);
        match refusal {
            Some(refusal) => {
                let what = match refusal.reason {
                    "no_rule" => What::Request { method, path: path.as_str() },
                    _ => What::Other,
                };
                link.denied(refusal.reason, None, what);
                Err(refusal)
            }
            None => Ok(Judged { path: target, websocket, content }),
        }
    });
    match judged {
        Ok(judged) => judged,
        Err(refusal) => {
            link.refused(&refusal, about);
            Err(refusal)
        }
    }
}

/// The router takes any request; it says itself what it does not know.
fn to_router(
    link: &Link,
    upstream: &Upstream,
    ask: &Ask,
    snapshot: &Snapshot,
) -> Result<Judged, Refusal> {
    let about = About::Request { scheme: upstream.scheme(), method: ask.method.as_str(), path: "" };
    if !inspect::stands(link, upstream, snapshot) {
        let refused = link.admit(snapshot, about).err();
        let other = || Refusal::new(403, "policy_denied", "policy_changed", String::new());
        return Err(refused.unwrap_or_else(other));
    }
    if ask.websocket {
        // Agents that know both ways take HTTP when they are told so by this status, and only then.
        let detail = "answers are streamed over HTTP here; send this call as a POST";
        let refusal = Refusal::new(426, "websocket_not_spoken", "websocket_not_spoken", detail);
        link.refused(&refusal, about);
        return Err(refusal);
    }
    let path = CanonicalPath::new(&ask.path, EncodedSlash::Keep);
    let path = path.map_err(|error| bad_target(&error.to_string())).inspect_err(|refusal| {
        link.refused(refusal, about);
    })?;
    if upstream.takes_model_calls_only() {
        let about =
            About::Request { scheme: "https", method: ask.method.as_str(), path: path.as_str() };
        if !policy::inference::is_model_call(ask.method.as_str(), path.as_str()) {
            let refused = link.admit(snapshot, about).err();
            let other = || Refusal::new(403, "policy_denied", "policy_changed", String::new());
            return Err(refused.unwrap_or_else(other));
        }
        link.model_call(snapshot.revision, about);
    }
    Ok(Judged { path: ask.target(&path), websocket: false, content: None })
}

/// Whether a request that is under way may go on under this snapshot.
pub(super) fn stands(link: &Link, upstream: &Upstream, ask: &Ask, snapshot: &Snapshot) -> bool {
    if upstream.is_router() {
        return inspect::stands(link, upstream, snapshot);
    }
    let Some(grant) = link.grant(snapshot) else { return false };
    let stands = ask.answer(ask.method.as_str(), &grant, |_, verdict| match verdict {
        RequestVerdict::Allow(_) | RequestVerdict::Audit(_) => {
            !ask.websocket || speaks_websocket(verdict)
        }
        RequestVerdict::Deny(_) => false,
    });
    stands.unwrap_or(false)
}

/// Decides about a message on the WebSocket that the request opened. The answer goes on record, or is counted by `tally`.
pub(super) fn message(link: &Link, ask: &Ask, tally: &mut Tally) -> bool {
    let snapshot = link.shared.snapshot.load_full();
    let Some(grant) = link.grant(&snapshot) else {
        let about = About::Request { scheme: "ws", method: websocket::METHOD, path: &ask.shown() };
        let detail = format!("{} is no longer permitted by policy", link.to);
        let refusal = Refusal::new(403, "policy_denied", "policy_changed", detail);
        link.refused(&refusal, about);
        return false;
    };
    let allowed = ask.answer(websocket::METHOD, &grant, |[path, _], verdict| {
        let (method, path) = (websocket::METHOD, path.as_str());
        let about = About::Request { scheme: "ws", method, path };
        let mut event = link.event(snapshot.revision, about);
        event.engine = Engine::Request;
        let refusal = put(&mut event, verdict, &link.asked(about));
        if let Some(refusal) = &refusal {
            link.shared.record.record(event);
            link.denied(refusal.reason, None, What::Request { method, path });
        } else {
            tally.add(event);
        }
        refusal.is_none()
    });
    allowed.unwrap_or(false)
}

/// Puts on record that bytes of a WebSocket are no frames, or too long ones.
pub(super) fn broken_frame(link: &Link, ask: &Ask, error: &FrameError) {
    let path = ask.shown();
    let about = About::Request { scheme: "ws", method: websocket::METHOD, path: &path };
    link.refused(&Refusal::malformed(error.as_str(), error.to_string()), about);
}

/// Puts on record that a message holds a placeholder that does not become a value.
pub(super) fn unfit_message(link: &Link, ask: &Ask, error: &CredentialError) {
    let path = ask.shown();
    let about = About::Request { scheme: "ws", method: websocket::METHOD, path: &path };
    link.refused(&content::unfit(error), about);
}

/// Whether what allows the request lets it become a WebSocket.
fn speaks_websocket(verdict: &RequestVerdict<'_>) -> bool {
    let protocol = match verdict {
        RequestVerdict::Allow(Because::NotInspected(_)) => return true,
        RequestVerdict::Allow(because) => because.place().endpoint.protocol,
        RequestVerdict::Audit(refusal) | RequestVerdict::Deny(refusal) => {
            refusal.place.endpoint.protocol
        }
    };
    protocol == Some(Protocol::Websocket)
}

/// Puts a verdict into an event; gives the refusal, if it is one.
fn put(event: &mut Event, verdict: &RequestVerdict<'_>, asked: &Asked<'_>) -> Option<Refusal> {
    let (outcome, refusal) = match verdict {
        RequestVerdict::Allow(because) => {
            event.outcome = Outcome::Allowed;
            event.policy = Some(because.place().name().to_owned());
            event.rule = Some(because.to_string());
            return None;
        }
        RequestVerdict::Audit(refusal) => (Outcome::Audited, refusal),
        RequestVerdict::Deny(refusal) => (Outcome::Denied, refusal),
    };
    event.outcome = outcome;
    event.policy = Some(refusal.place.name().to_owned());
    event.reason = Some(refusal.code.as_str());
    event.detail = Some(refusal.to_string());
    if outcome == Outcome::Audited {
        return None;
    }
    Some(Refusal::request(refusal, asked))
}

fn bad_target(detail: &str) -> Refusal {
    Refusal::new(400, "invalid_request_target", "malformed_target", detail)
}
