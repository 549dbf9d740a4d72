//! The decision about a request on a connection that was allowed.
//!
//! Every endpoint of every block that opens the connection takes part, if its `path` selects the request. A denying
//! rule of any of them wins; else one allowing rule is enough. What none allows is refused if one of them enforces,
//! and recorded otherwise. An endpoint that is not inspected says nothing about requests, unless all are so.
//!
//! Deciding allocates nothing; reasons are put into words when they are shown.

use std::fmt;

use crate::{
    compiled::Place,
    connect::Grant,
    model::{Access, Endpoint, Enforcement, Protocol},
    operation::{self, GraphqlOperation, Operation, OperationKind, RpcCall},
    path::CanonicalPath,
    question::Request,
    rule::{Rule, Sense, access_allows},
};

/// What may be done with a request.
#[derive(Clone, Copy, Debug)]
pub enum RequestVerdict<'p> {
    /// It may be forwarded.
    Allow(Because<'p>),
    /// No rule allows it, or one denies it, but nobody enforces that: it is recorded and forwarded.
    Audit(Refusal<'p>),
    /// It is refused.
    Deny(Refusal<'p>),
}

/// Why a request is allowed.
#[derive(Clone, Copy, Debug)]
pub enum Because<'p> {
    /// The endpoint is not looked into.
    NotInspected(Place<'p>),
    /// A rule of the endpoint, by its index.
    Rule(Place<'p>, usize),
    /// The endpoint's ready set of rules.
    Access(Place<'p>, Access),
    /// The endpoint takes every method of its protocol.
    KnownMethods(Place<'p>),
}

impl<'p> Because<'p> {
    /// The endpoint that allows it.
    pub fn place(&self) -> Place<'p> {
        match self {
            Self::NotInspected(place)
            | Self::Rule(place, _)
            | Self::Access(place, _)
            | Self::KnownMethods(place) => *place,
        }
    }
}

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        write!(f, "endpoints[{}] of policy '{}'", place.index, place.name())?;
        match self {
            Self::NotInspected(_) => f.write_str(", which is not looked into"),
            Self::Rule(_, index) => write!(f, ", rules[{index}]"),
            Self::Access(_, access) => write!(f, ", access {}", access.as_str()),
            Self::KnownMethods(_) => f.write_str(", allow_all_known_mcp_methods"),
        }
    }
}

/// Why a request is refused, or recorded.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'p> {
    /// The endpoint whose rule denies it; else the one that comes first among those asked.
    pub place: Place<'p>,
    /// What is wrong.
    pub code: RefusalCode,
    request: Request<'p>,
}

/// The kind of a refusal; stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// A denying rule, by its index.
    DenyRule(usize),
    /// No rule allows it.
    NoRule,
    /// No endpoint of this connection speaks for the path.
    NoEndpoint,
    /// Endpoints of several protocols speak for the path.
    Ambiguous,
    /// The body could not be read as the protocol's, or holds nothing.
    Unreadable,
    /// The name of a tool is no plain word.
    ToolName,
}

impl RefusalCode {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DenyRule(_) => "deny_rule",
            Self::NoRule => "no_rule",
            Self::NoEndpoint => "no_endpoint_for_path",
            Self::Ambiguous => "ambiguous_protocol",
            Self::Unreadable => "unreadable_operation",
            Self::ToolName => "tool_name",
        }
    }
}

impl fmt::Display for Refusal<'_> {
    /// `METHOD /path not permitted by policy`, as users know it from answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.request.method, self.request.path)?;
        f.write_str(match self.code {
            RefusalCode::DenyRule(_) => "blocked by deny rule",
            RefusalCode::NoRule => "not permitted by policy",
            RefusalCode::NoEndpoint => "not permitted by policy: no endpoint speaks for this path",
            RefusalCode::Ambiguous => {
                "not permitted by policy: endpoints of several protocols speak for this path"
            }
            RefusalCode::Unreadable => {
                "not permitted by policy: the body cannot be read in the endpoint's protocol"
            }
            RefusalCode::ToolName => "not permitted by policy: the tool's name is no plain word",
        })
    }
}

/// What was found among the endpoints asked so far.
#[derive(Clone, Copy, Default)]
struct Ballot<'p> {
    denied: Option<(Place<'p>, RefusalCode)>,
    allowed: Option<Because<'p>>,
    asked: Option<Place<'p>>,
    unasked: Option<Place<'p>>,
    plain: Option<Place<'p>>,
    enforcement: Enforcement,
    specific: bool,
}

impl<'p> Grant<'p> {
    /// Decides about a request on this connection.
    pub fn request(&self, request: &Request<'p>) -> RequestVerdict<'p> {
        let ballot = self.ballot(request);
        let (place, code) = match (ballot.denied, ballot.allowed, ballot.asked) {
            (Some(denied), ..) => denied,
            (None, Some(because), _) => return RequestVerdict::Allow(because),
            (None, None, Some(place)) => (place, RefusalCode::NoRule),
            (None, None, None) => match (ballot.unasked, ballot.plain) {
                (Some(place), _) => (place, RefusalCode::NoEndpoint),
                (None, Some(place)) => {
                    return RequestVerdict::Allow(Because::NotInspected(place));
                }
                (None, None) => (self.place(), RefusalCode::NoEndpoint),
            },
        };
        let enforcement = match ballot.asked {
            Some(_) => ballot.enforcement,
            None => self.enforcement(),
        };
        let refusal = Refusal { place, code, request: *request };
        match enforcement {
            // Whoever cannot be understood is not let through to be recorded.
            _ if matches!(code, RefusalCode::Ambiguous) => RequestVerdict::Deny(refusal),
            Enforcement::Enforce => RequestVerdict::Deny(refusal),
            Enforcement::Audit => RequestVerdict::Audit(refusal),
        }
    }

    fn ballot(&self, request: &Request<'p>) -> Ballot<'p> {
        // An endpoint without a selector speaks for what no other of its protocol's rivals selects.
        let mut selected = false;
        self.each(|place| selected |= is_selected(place.endpoint, request.path));
        let mut ballot = Ballot { specific: selected, ..Ballot::default() };
        self.each(|place| ballot.ask(place, request));
        ballot
    }
}

fn is_selected(endpoint: &Endpoint, path: &CanonicalPath<'_>) -> bool {
    inspected(endpoint).is_some() && endpoint.path.as_ref().is_some_and(|glob| selects(glob, path))
}

fn selects(glob: &crate::Glob, path: &CanonicalPath<'_>) -> bool {
    glob.matches(path.as_str()) || path.with_slashes().is_some_and(|path| glob.matches(path))
}

fn inspected(endpoint: &Endpoint) -> Option<Protocol> {
    endpoint.protocol.filter(|protocol| protocol.is_inspected())
}

impl<'p> Ballot<'p> {
    fn ask(&mut self, place: Place<'p>, request: &Request<'p>) {
        let endpoint = place.endpoint;
        let Some(protocol) = inspected(endpoint) else {
            self.plain.get_or_insert(place);
            return;
        };
        if endpoint.path.as_ref().is_some_and(|glob| !selects(glob, request.path)) {
            self.unasked.get_or_insert(place);
            return;
        }
        self.enforcement = self.enforcement.max(endpoint.enforcement);
        // Where a selector names the path, an endpoint of the whole host still denies, and allows nothing.
        let speaks = endpoint.path.is_some() || !self.specific;
        if speaks {
            self.clash(place, protocol);
            earliest(&mut self.asked, place);
        }
        match judge(endpoint, protocol, request) {
            Judged::Denied(code) => {
                // What only this endpoint's protocol cannot read is no matter where it does not speak.
                if speaks || matches!(code, RefusalCode::DenyRule(_)) {
                    self.deny(place, code);
                }
            }
            Judged::Allowed(by) if speaks => {
                // Of several the one whose name is smallest, so that the same request always names the same.
                let mut first = self.allowed.map(|because| because.place());
                earliest(&mut first, place);
                let chosen =
                    first.is_some_and(|first| first.key == place.key && first.index == place.index);
                if chosen {
                    self.allowed = Some(by.because(place));
                }
            }
            Judged::Allowed(_) | Judged::Nothing => {}
        }
    }

    /// Keeps the weightiest reason, and of several the one whose name is smallest.
    fn deny(&mut self, place: Place<'p>, code: RefusalCode) {
        let weight = |code| match code {
            RefusalCode::DenyRule(_) => 0,
            RefusalCode::Ambiguous => 1,
            RefusalCode::ToolName => 2,
            RefusalCode::Unreadable | RefusalCode::NoRule | RefusalCode::NoEndpoint => 3,
        };
        let order = |(place, code): &(Place<'p>, RefusalCode)| {
            (weight(*code), place.name(), place.key, place.index)
        };
        let new = (place, code);
        if self.denied.is_none_or(|kept| order(&new) < order(&kept)) {
            self.denied = Some(new);
        }
    }

    /// Two protocols at one path: nobody could tell which of them reads the body.
    fn clash(&mut self, place: Place<'p>, protocol: Protocol) {
        let other = self.asked.and_then(|asked| asked.endpoint.protocol);
        let other = other.is_some_and(|other| !other.reads_like(protocol));
        if other {
            self.deny(place, RefusalCode::Ambiguous);
        }
    }
}

fn earliest<'p>(slot: &mut Option<Place<'p>>, place: Place<'p>) {
    let order = |place: &Place<'p>| (place.name(), place.key, place.index);
    if slot.is_none_or(|kept| order(&place) < order(&kept)) {
        *slot = Some(place);
    }
}

/// What one endpoint says.
pub(crate) enum Judged {
    Denied(RefusalCode),
    Allowed(By),
    Nothing,
}

#[derive(Clone, Copy)]
pub(crate) enum By {
    Rule(usize),
    Access(Access),
    KnownMethods,
}

impl By {
    fn because(self, place: Place<'_>) -> Because<'_> {
        match self {
            Self::Rule(index) => Because::Rule(place, index),
            Self::Access(access) => Because::Access(place, access),
            Self::KnownMethods => Because::KnownMethods(place),
        }
    }
}

pub(crate) fn judge(endpoint: &Endpoint, protocol: Protocol, request: &Request<'_>) -> Judged {
    match protocol {
        Protocol::Rest | Protocol::Websocket => http(endpoint, protocol, request),
        Protocol::Graphql => graphql(endpoint, request),
        Protocol::Mcp | Protocol::JsonRpc => rpc(endpoint, protocol, request),
        Protocol::Sql | Protocol::Tcp => Judged::Nothing,
    }
}

fn http(endpoint: &Endpoint, protocol: Protocol, request: &Request<'_>) -> Judged {
    let meant =
        |rule: &Rule, sense| rule.matches_http(sense, request.method, request.path, request.query);
    if let Some(index) = endpoint.deny_rules.iter().position(|rule| meant(rule, Sense::Deny)) {
        return Judged::Denied(RefusalCode::DenyRule(index));
    }
    if !endpoint.allow_encoded_slash && request.path.with_slashes().is_some() {
        return Judged::Nothing;
    }
    if let Some(access) = endpoint.access {
        let allowed = access_allows(access, protocol, request.method);
        return if allowed { Judged::Allowed(By::Access(access)) } else { Judged::Nothing };
    }
    match endpoint.rules.iter().position(|rule| meant(rule, Sense::Allow)) {
        Some(index) => Judged::Allowed(By::Rule(index)),
        None => Judged::Nothing,
    }
}

/// Every operation of the body must be allowed, and none denied.
fn graphql(endpoint: &Endpoint, request: &Request<'_>) -> Judged {
    let operations = match request.operation {
        Operation::Graphql(operations) if !operations.is_empty() => operations,
        Operation::Graphql(_) | Operation::Rpc(_) | Operation::None | Operation::Unreadable => {
            return Judged::Denied(RefusalCode::Unreadable);
        }
    };
    let allowed = |operation: &GraphqlOperation<'_>| match endpoint.access {
        Some(Access::Full) => Some(By::Access(Access::Full)),
        Some(access) => {
            let reads = operation.kind == OperationKind::Query;
            let changes = operation.kind == OperationKind::Mutation;
            let allowed = match access {
                Access::ReadOnly => reads,
                Access::ReadWrite => reads || changes,
                Access::Full | Access::Unknown => false,
            };
            allowed.then_some(By::Access(access))
        }
        None => {
            let meant = |rule: &Rule| {
                rule.covers(Sense::Allow, request.path)
                    && rule.matches_graphql(Sense::Allow, operation)
            };
            endpoint.rules.iter().position(meant).map(By::Rule)
        }
    };
    every(operations, allowed, |operation| {
        let meant = |rule: &Rule| {
            rule.covers(Sense::Deny, request.path) && rule.matches_graphql(Sense::Deny, operation)
        };
        endpoint.deny_rules.iter().position(meant).map(RefusalCode::DenyRule)
    })
}

/// Every call of the body must be allowed, and none denied.
fn rpc(endpoint: &Endpoint, protocol: Protocol, request: &Request<'_>) -> Judged {
    let calls = match request.operation {
        Operation::Rpc(calls) if !calls.is_empty() => calls,
        Operation::Rpc(_) | Operation::Graphql(_) | Operation::None | Operation::Unreadable => {
            return without_body(endpoint, protocol, request);
        }
    };
    let mcp = protocol == Protocol::Mcp;
    let allowed = |call: &RpcCall<'_>| {
        let Some(method) = call.method else {
            // An answer to a call of the server carries nothing that a rule could be about.
            return mcp.then_some(By::KnownMethods);
        };
        if let Some(access) = endpoint.access {
            let allowed = match access {
                Access::Full => true,
                Access::ReadOnly => mcp && operation::is_reading_mcp(method),
                Access::ReadWrite => mcp && operation::is_mcp(method),
                Access::Unknown => false,
            };
            return allowed.then_some(By::Access(access));
        }
        let meant = |rule: &Rule| rule.covers(Sense::Allow, request.path) && rule.matches_rpc(call);
        let rule = endpoint.rules.iter().position(meant).map(By::Rule);
        let known = mcp && endpoint.mcp.all_known_methods && operation::is_mcp(method);
        rule.or(known.then_some(By::KnownMethods))
    };
    every(calls, allowed, |call| {
        let meant = |rule: &Rule| rule.covers(Sense::Deny, request.path) && rule.matches_rpc(call);
        let denied = endpoint.deny_rules.iter().position(meant).map(RefusalCode::DenyRule);
        let strict = mcp && endpoint.mcp.strict_tool_names && call.method == Some("tools/call");
        let odd = strict && !call.name.is_some_and(operation::is_plain_tool_name);
        denied.or(odd.then_some(RefusalCode::ToolName))
    })
}

/// MCP opens its stream with GET and ends its session with DELETE; neither has a body, and neither does more.
fn without_body(endpoint: &Endpoint, protocol: Protocol, request: &Request<'_>) -> Judged {
    let bare = protocol == Protocol::Mcp
        && request.operation == Operation::None
        && ["GET", "DELETE"].contains(&request.method)
        && endpoint.access != Some(Access::Unknown);
    if bare { Judged::Allowed(By::KnownMethods) } else { Judged::Denied(RefusalCode::Unreadable) }
}

/// Joins what is said about the members of a batch.
fn every<T>(
    members: &[T],
    allowed: impl Fn(&T) -> Option<By>,
    denied: impl Fn(&T) -> Option<RefusalCode>,
) -> Judged {
    if let Some(code) = members.iter().find_map(denied) {
        return Judged::Denied(code);
    }
    let mut by = None;
    for member in members {
        match allowed(member) {
            Some(one) => by = by.or(Some(one)),
            None => return Judged::Nothing,
        }
    }
    by.map_or(Judged::Nothing, Judged::Allowed)
}
