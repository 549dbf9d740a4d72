//! What a sandbox did on its network and what was decided about it: one event per decision.
//!
//! Not here: the shape of its line (`event_line`), calls of models (`record`). Invariant: an event has no field that
//! could hold content, a header, a query or a credential.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::Label;

use super::{event_line::EventLine, sink::Number};
use crate::{egress::Identity, service::now_ms};

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was allowed.
    Allowed,
    /// It would have been refused, but its endpoint only records.
    Audited,
    /// It was given to the router.
    Inference,
    /// It was refused.
    Denied,
    /// It was allowed and failed.
    Failed,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The policy, about a connection or a name.
    Policy,
    /// The policy, about a request.
    Request,
    /// The check of addresses.
    Address,
    /// The detectors of sensitive data, about a body.
    Content,
    /// The proxy itself: who is calling, whether the bytes are what they claim to be.
    Proxy,
}

impl Engine {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Request => "l7",
            Self::Address => "ssrf",
            Self::Content => "sensitivity",
            Self::Proxy => "proxy",
        }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A connection was asked for.
    Open,
    /// A connection ended.
    Close {
        /// Bytes that the sandbox sent.
        sent: u64,
        /// Bytes that it got.
        received: u64,
        /// How long it was open.
        open: Duration,
    },
    /// A request was read.
    Request {
        /// `http` or `https`.
        scheme: &'static str,
        /// The method; `WEBSOCKET_TEXT` for a text frame.
        method: String,
        /// The canonical path, without its query.
        path: String,
        /// Status of the answer, where there is one already.
        status: Option<u16>,
        /// How many this event stands for: messages of a WebSocket that were decided alike are counted.
        count: u64,
    },
    /// The address of a name was asked for.
    Name {
        /// The type of record: `A`, `AAAA`, ….
        kind: String,
        /// Names that were refused since the last event of this kind, beyond those with an event of their own.
        unlisted: u64,
    },
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, milliseconds since 1970.
    pub time_ms: u64,
    /// The sandbox.
    pub sandbox: Arc<str>,
    /// The revision of the policy that decided.
    pub revision: u64,
    /// Who asked, where that is known.
    pub caller: Option<Arc<Identity>>,
    /// The caller's end, where it is known.
    pub from: Option<SocketAddr>,
    /// Host and port that were asked for, as `host:443`; a name alone for names. Empty for what could not be read.
    pub to: String,
    /// The address that was dialled, where one was.
    pub dialled: Option<IpAddr>,
    /// What was done.
    pub activity: Activity,
    /// How it ended.
    pub outcome: Outcome,
    /// What decided.
    pub engine: Engine,
    /// The block of the policy.
    pub policy: Option<String>,
    /// The rule of the block, or the part of it that decided.
    pub rule: Option<String>,
    /// Why, as a stable word.
    pub reason: Option<&'static str>,
    /// The same for people.
    pub detail: Option<String>,
    /// How many refusals before this one were left out of the record; the sink says so.
    pub unlisted: u64,
    /// How many events before this one found no room; the sink says so.
    pub lost: u64,
    /// How often each label was found in a body.
    pub findings: BTreeMap<Label, u32>,
}

impl Event {
    /// An event of now, decided by the policy, without what is not known of every event.
    pub fn new(sandbox: Arc<str>, revision: u64, activity: Activity, outcome: Outcome) -> Self {
        Self {
            time_ms: now_ms(),
            sandbox,
            revision,
            caller: None,
            from: None,
            to: String::new(),
            dialled: None,
            activity,
            outcome,
            engine: Engine::Policy,
            policy: None,
            rule: None,
            reason: None,
            detail: None,
            unlisted: 0,
            lost: 0,
            findings: BTreeMap::new(),
        }
    }

    /// Whether this is about something that was not simply allowed; such events are the last to be dropped.
    pub(super) fn matters(&self) -> bool {
        !matches!(self.outcome, Outcome::Allowed | Outcome::Inference)
    }

    /// Appends the line, without its line end.
    pub(super) fn render_into(&self, number: &Number, out: &mut Vec<u8>) {
        // Names, numbers and texts in a vector: nothing of it can fail.
        if let Err(error) = serde_json::to_writer(out, &EventLine::of(self, number)) {
            tracing::error!(error = %error, "an audit line cannot be written");
        }
    }
}

#[cfg(test)]
mod tests;
