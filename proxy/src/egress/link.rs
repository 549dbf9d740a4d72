//! One connection of a sandbox: who opened it, where to, and what the policy says about that.
//!
//! Invariant: the answer goes on record before anything follows from it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use domain::Destination;
use parking_lot::Mutex;
use policy::{Caller, Connect, DenyCode, Grant, Policy, Verdict, address::Blocked, inference};
use tokio::net::TcpStream;

use super::{
    caller::{Connection, Identity, Unidentified},
    content::Seen,
    denials::{Refused, What},
    dial::DialError,
    refusal::{Asked, Refusal},
    service::{Shared, Snapshot},
};
use crate::{
    audit::{Activity, Engine, Event, Outcome},
    service::now_ms,
};

/// A connection.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) from: SocketAddr,
    pub(super) caller: Result<Arc<Identity>, Unidentified>,
    pub(super) to: Destination,
    pub(super) carried: Carried,
    /// The address that it leads to, once it was dialled.
    dialled: Mutex<Option<IpAddr>>,
}

/// What a connection has carried so far.
#[derive(Debug, Default)]
pub(super) struct Carried {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Carried {
    /// A request was read.
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that the caller sent, of a tunnel or of the bodies of requests.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The same of what it got.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether no request was read.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }
}

/// Where an admitted connection goes.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation in every decision")]
pub(super) enum Admitted<'p> {
    /// To where it wanted to go.
    Server(Grant<'p>),
    /// To the router.
    Router,
}

/// What a decision is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// The connection: a tunnel, or one that was captured.
    Open,
    /// A request on it.
    Request {
        /// `http` or `https`.
        scheme: &'static str,
        /// Its method.
        method: &'a str,
        /// Its canonical path; empty while it has none.
        path: &'a str,
    },
}

impl Link {
    /// Finds out who opened the connection.
    pub(super) async fn open(shared: Arc<Shared>, connection: Connection, to: Destination) -> Self {
        let caller = shared.identify.identify(&connection).await;
        let from = connection.from;
        Self { shared, from, caller, to, carried: Carried::default(), dialled: Mutex::default() }
    }

    /// The same caller, to somewhere else.
    pub(super) fn toward(&self, to: Destination) -> Self {
        let shared = Arc::clone(&self.shared);
        let (from, caller) = (self.from, self.caller.clone());
        Self { shared, from, caller, to, carried: Carried::default(), dialled: Mutex::default() }
    }

    /// What the policy says; `None` where nobody can say who is calling. The router's own name is for every caller.
    pub(super) fn verdict<'a>(&'a self, snapshot: &'a Snapshot) -> Option<Verdict<'a>> {
        let caller = match &self.caller {
            Ok(identity) => Caller { binary: &identity.binary, ancestors: &identity.ancestors },
            Err(_) if inference::is_router(&self.to) => Caller { binary: "", ancestors: &[] },
            Err(_) => return None,
        };
        let inference = self.shared.inference.is_some();
        Some(snapshot.policy.connect(&Connect { caller, to: &self.to, inference }))
    }

    /// What opens the connection under this snapshot.
    pub(super) fn grant<'a>(&'a self, snapshot: &'a Snapshot) -> Option<Grant<'a>> {
        match self.verdict(snapshot)? {
            Verdict::Allow(grant) => self.may_stay(&grant).then_some(grant),
            Verdict::Inference(_) | Verdict::Deny(_) => None,
        }
    }

    /// Opens the connection to where it wanted to go.
    ///
    /// # Errors
    /// As [`Dialer::dial`](super::dial::Dialer::dial).
    pub(super) async fn dial(&self, grant: &Grant<'_>) -> Result<TcpStream, DialError> {
        let dialled = self.shared.dial.dial(grant, &self.to).await?;
        *self.dialled.lock() = dialled.address;
        Ok(dialled.stream)
    }

    /// Whether the address that was dialled, if any was, is still one that may be.
    pub(super) fn may_stay(&self, grant: &Grant<'_>) -> bool {
        self.dialled.lock().is_none_or(|address| grant.check_address(address).is_ok())
    }

    /// Whether the connection is refused under this snapshot and may carry model calls all the same, which go to the
    /// router. Not at literal addresses, nor at other ports than that of model APIs.
    pub(super) fn takes_model_calls(&self, snapshot: &Snapshot) -> bool {
        let named = self.to.host.name().is_some() && self.to.port() == 443;
        if !named || !self.shared.model_calls_by_shape {
            return false;
        }
        match self.verdict(snapshot) {
            Some(Verdict::Deny(deny)) => match deny.code() {
                DenyCode::NoPolicies | DenyCode::Endpoint | DenyCode::Binary => true,
                DenyCode::Address(_) => false,
            },
            Some(Verdict::Allow(_) | Verdict::Inference(_)) | None => false,
        }
    }

    /// Puts on record that a request goes to the router for its shape.
    pub(super) fn model_call(&self, revision: u64, about: About<'_>) {
        let mut event = self.event(revision, about);
        event.outcome = Outcome::Inference;
        event.detail = Some("the request has the shape of a model call".to_owned());
        self.shared.record.record(event);
    }

    /// Decides about the connection. A refusal and a route to the router are on record when this returns; what is
    /// allowed goes there once its addresses are checked, by [`Link::allowed`].
    ///
    /// # Errors
    /// How to tell the refusal.
    pub(super) fn admit<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        about: About<'_>,
    ) -> Result<Admitted<'a>, Refusal> {
        let mut event = self.event(snapshot.revision, about);
        let mut blocked = None;
        let refusal = match (self.verdict(snapshot), &self.caller) {
            (Some(Verdict::Allow(grant)), _) => return Ok(Admitted::Server(grant)),
            (Some(Verdict::Inference(why)), _) if self.shared.inference.is_some() => {
                event.outcome = Outcome::Inference;
                event.detail = Some(why.to_string());
                self.shared.record.record(event);
                return Ok(Admitted::Router);
            }
            (Some(Verdict::Inference(_)), _) => {
                let detail = format!("{}: no inference is configured", self.asked(about));
                Refusal::new(503, "inference_unavailable", "inference_unconfigured", detail)
            }
            (Some(Verdict::Deny(deny)), _) => {
                event.detail = Some(deny.to_string());
                if let DenyCode::Address(why) = deny.code() {
                    blocked = Some(why);
                }
                Refusal::connection(&deny, &self.asked(about))
            }
            (None, Err(unidentified)) => {
                event.engine = Engine::Proxy;
                event.detail = Some(unidentified.to_string());
                Refusal::unidentified(unidentified, &self.asked(about))
            }
            (None, Ok(_)) => Refusal::new(403, "policy_denied", "caller_unknown", String::new()),
        };
        if blocked.is_some() {
            event.engine = Engine::Address;
        }
        event.policy = refusal.policy.as_deref().map(str::to_owned);
        self.put(event, &refusal);
        self.denied(refusal.reason, blocked, What::Connection);
        Err(refusal)
    }

    /// Puts on record that the connection was allowed.
    pub(super) fn allowed(&self, snapshot: &Snapshot, grant: &Grant<'_>, about: About<'_>) {
        let mut event = self.event(snapshot.revision, about);
        event.outcome = Outcome::Allowed;
        event.policy = Some(grant.name().to_owned());
        self.shared.record.record(event);
    }

    /// Puts on record that a connection has ended which was allowed by `policy` at `begun`.
    pub(super) fn closed(&self, policy: &str, begun: Instant) {
        let mut event = self.event(self.shared.snapshot.load().revision, About::Open);
        event.outcome = Outcome::Allowed;
        event.policy = Some(policy.to_owned());
        event.activity = Activity::Close {
            sent: self.carried.sent.load(Ordering::Relaxed),
            received: self.carried.received.load(Ordering::Relaxed),
            open: begun.elapsed(),
        };
        self.shared.record.record(event);
    }

    /// Puts on record that the destination cannot be reached, and tells how to say so.
    pub(super) fn unreachable(
        &self,
        revision: u64,
        error: &DialError,
        about: About<'_>,
    ) -> Refusal {
        let refusal = Refusal::undialled(error, &self.asked(about));
        let mut event = self.event(revision, about);
        event.engine = Engine::Address;
        match error {
            DialError::Blocked(blocked) => {
                self.denied(refusal.reason, Some(*blocked), What::Connection);
            }
            DialError::Unlisted => self.denied(refusal.reason, None, What::Other),
            _ => event.outcome = Outcome::Failed,
        }
        self.put(event, &refusal);
        refusal
    }

    /// Puts on record that the proxy itself refuses what came on the connection.
    pub(super) fn refused(&self, refusal: &Refusal, about: About<'_>) {
        let mut event = self.event(self.shared.snapshot.load().revision, about);
        event.engine = Engine::Proxy;
        if refusal.status >= 500 {
            event.outcome = Outcome::Failed;
        }
        self.put(event, refusal);
    }

    /// Puts on record which labels of sensitive data were in a body, and whether all of it could be looked at.
    pub(super) fn found(&self, seen: Seen<'_>, outcome: Outcome, about: About<'_>) {
        let mut event = self.event(self.shared.snapshot.load().revision, about);
        event.engine = Engine::Content;
        event.outcome = outcome;
        event.reason = Some(if seen.unread { "unreadable_content" } else { "sensitive_content" });
        event.findings.clone_from(seen.findings);
        self.shared.record.record(event);
    }

    /// Puts a refusal on record.
    fn put(&self, mut event: Event, refusal: &Refusal) {
        event.reason = Some(refusal.reason);
        if let Activity::Request { status, .. } = &mut event.activity {
            *status = Some(refusal.status);
        }
        self.shared.record.record(event);
    }

    /// Remembers what was refused, for whoever may want to allow it.
    pub(super) fn denied(&self, reason: &'static str, blocked: Option<Blocked>, what: What<'_>) {
        let binary = self.caller.as_ref().ok().map(|identity| identity.binary.as_str());
        let to = &self.to;
        self.shared.inbox.add(&Refused { to, binary, reason, blocked, what, at_ms: now_ms() });
    }

    /// An event about this connection; denied until something else is said.
    pub(super) fn event(&self, revision: u64, about: About<'_>) -> Event {
        let activity = match about {
            About::Open => Activity::Open,
            About::Request { scheme, method, path } => Activity::Request {
                scheme,
                method: method.to_owned(),
                path: path.to_owned(),
                status: None,
                count: 1,
            },
        };
        let sandbox = Arc::clone(&self.shared.sandbox);
        let mut event = Event::new(sandbox, revision, activity, Outcome::Denied);
        event.caller = self.caller.clone().ok();
        event.from = Some(self.from);
        event.to = self.to.to_string();
        event.dialled = *self.dialled.lock();
        event
    }

    /// What was asked for, as it is told back.
    pub(super) fn asked<'a>(&'a self, about: About<'a>) -> Asked<'a> {
        Asked {
            sandbox: &self.shared.sandbox,
            binary: self.caller.as_ref().ok().map(|identity| identity.binary.as_str()),
            to: &self.to,
            request: match about {
                About::Open => None,
                About::Request { method, path, .. } => Some((method, path)),
            },
        }
    }

    /// Returns once a policy is in force for which `allowed` is false. Nothing is asked as long as `judged` is in force, by
    /// which the answer is known.
    pub(super) async fn revoked_after(
        &self,
        mut judged: Arc<Policy>,
        allowed: impl Fn(&Snapshot) -> bool,
    ) {
        let mut changes = self.shared.changes();
        loop {
            {
                let now = self.shared.snapshot.load();
                if !Arc::ptr_eq(&now.policy, &judged) {
                    if !allowed(&now) {
                        return;
                    }
                    judged = Arc::clone(&now.policy);
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns once a policy is in force for which `allowed` is false.
    pub(super) async fn revoked(&self, allowed: impl Fn(&Snapshot) -> bool) {
        let mut changes = self.shared.changes();
        loop {
            if !allowed(&self.shared.snapshot.load()) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
