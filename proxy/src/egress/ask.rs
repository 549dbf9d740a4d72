//! What a request asks for, in the form that is judged, and what the policy says about it.
//!
//! Invariant: the answer goes on record before the request is sent.

use domain::Destination;
use http::{HeaderMap, Method, header};
use pingora::{http::RequestHeader, protocols::http::ServerSession};
use policy::{
    Because, CanonicalPath, EncodedSlash, Grant, Operation, Protocol, Query, Request,
    RequestVerdict,
};

use super::{
    denials::What,
    inspect::{self, authority_of},
    link::{About, Link},
    refusal::{Asked, Refusal},
    service::Snapshot,
    upstream::Upstream,
};
use crate::audit::{Activity, Engine, Event, Outcome};

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    query: Option<String>,
    websocket: bool,
}

/// A request that may be sent.
pub(super) struct Judged {
    /// Its path and query.
    pub(super) path: String,
    /// Whether it opens a WebSocket.
    pub(super) websocket: bool,
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
        Ok(Self { method: head.method.clone(), path: path.to_owned(), query, websocket })
    }

    /// Asks `grant` and gives the answer to `found`.
    fn answer<T>(
        &self,
        grant: &Grant<'_>,
        found: impl FnOnce(&CanonicalPath<'_>, &RequestVerdict<'_>) -> T,
    ) -> Result<T, Refusal> {
        let path = CanonicalPath::new(&self.path, grant.encoded_slash());
        let path = path.map_err(|error| bad_target(&error.to_string()))?;
        let query = Query::new(self.query.as_deref().unwrap_or_default());
        let query = query.map_err(|error| bad_target(&error.to_string()))?;
        let operation = operation(grant);
        let method = self.method.as_str();
        let request = Request { method, path: &path, query: &query, operation };
        Ok(found(&path, &grant.request(&request)))
    }

    /// The path and query that are sent.
    fn target(&self, path: &CanonicalPath<'_>) -> String {
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_string(),
        }
    }
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
pub(super) async fn judge(
    link: &Link,
    upstream: &Upstream,
    _session: &mut ServerSession,
    ask: &mut Ask,
) -> Result<Judged, Refusal> {
    let snapshot = link.shared.snapshot.load_full();
    let method = ask.method.clone();
    if upstream.is_router() {
        return to_router(link, upstream, ask, &snapshot);
    }
    let (scheme, method) = (upstream.scheme(), method.as_str());
    let about = About::Request { scheme, method, path: "" };
    let Some(grant) = link.grant(&snapshot) else {
        return Err(match link.admit(&snapshot, about) {
            Err(refusal) => refusal,
            Ok(_) => Refusal::new(403, "policy_denied", "policy_changed", String::new()),
        });
    };
    let judged = ask.answer(&grant, |path, verdict| {
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
            None => Ok(Judged { path: ask.target(path), websocket }),
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
    let path = CanonicalPath::new(&ask.path, EncodedSlash::Keep);
    let path = path.map_err(|error| bad_target(&error.to_string()))?;
    Ok(Judged { path: ask.target(&path), websocket: false })
}

/// Whether a request that is under way may go on under this snapshot.
pub(super) fn stands(link: &Link, upstream: &Upstream, ask: &Ask, snapshot: &Snapshot) -> bool {
    if upstream.is_router() {
        return inspect::stands(link, upstream, snapshot);
    }
    let Some(grant) = link.grant(snapshot) else { return false };
    let stands = ask.answer(&grant, |_, verdict| match verdict {
        RequestVerdict::Allow(_) | RequestVerdict::Audit(_) => {
            !ask.websocket || speaks_websocket(verdict)
        }
        RequestVerdict::Deny(_) => false,
    });
    stands.unwrap_or(false)
}

/// What the body asks for, where an endpoint judges that.
fn operation(grant: &Grant<'_>) -> Operation<'static> {
    let mut needed = false;
    grant.each(|place| needed |= place.endpoint.operation_body_bytes_max().is_some());
    // Nobody reads it here: an endpoint that needs it denies.
    if needed { Operation::Unreadable } else { Operation::None }
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
