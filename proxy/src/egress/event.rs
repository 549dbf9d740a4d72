//! What was decided, as it goes on record: one event per decision, before the bytes that it is about.
//!
//! Invariant: an event has no field that could hold content, a header, a query or a credential.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use domain::Label;

use super::caller::Identity;

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
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The policy, about a connection.
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
            Self::Policy => "opa",
            Self::Request => "l7",
            Self::Address => "ssrf",
            Self::Content => "sensitivity",
            Self::Proxy => "proxy",
        }
    }
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Event {
    /// The sandbox.
    pub sandbox: Arc<str>,
    /// The revision of the policy that decided.
    pub revision: u64,
    /// Who asked, where that is known.
    pub caller: Option<Arc<Identity>>,
    /// The caller's end.
    pub from: SocketAddr,
    /// Host and port that were asked for; what could not be read as such is empty.
    pub to: String,
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
    /// The status of the answer, where the proxy answered.
    pub status: Option<u16>,
    /// The method of the request; `CONNECT` for a tunnel, none for a captured connection.
    pub method: Option<String>,
    /// The canonical path of the request, without its query.
    pub path: Option<String>,
    /// How often each label was found in the body.
    pub findings: BTreeMap<Label, u32>,
}

/// Takes events. Must not wait: a queue that is full counts what it drops.
pub trait Record: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: Event);
}
