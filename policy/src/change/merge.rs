//! Changes of a policy in small steps, as `policy update` takes them: all of them or none.
//!
//! Invariant: the result has been read back from its own text, so it holds whatever the reader checks.

use std::str::FromStr;

use document::{Fault, Notice};
use thiserror::Error;

use super::propose::{self, ProposalError};
use crate::{
    glob::Glob,
    host_pattern::{HostPattern, HostPatternError},
    model::{Access, BinaryPattern, Block, Endpoint, Enforcement, PolicyFile, Protocol},
    rule::{Rule, Sense},
};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Opens an endpoint, or changes the one that is there.
    AddEndpoint {
        /// What is opened.
        endpoint: EndpointSpec,
        /// Who may use it, beside those who are listed already.
        binaries: Vec<String>,
        /// The key of the policy; `None` for the one that has the endpoint, or a new one named after it.
        key: Option<String>,
    },
    /// Closes a host and port wherever they are listed.
    RemoveEndpoint(HostPattern, u16),
    /// Allows requests at an inspected endpoint.
    AddAllow(RuleSpec),
    /// Denies requests at an inspected endpoint.
    AddDeny(RuleSpec),
    /// Removes a whole policy, by key or name.
    RemoveRule(String),
}

/// `host:port[:access[:protocol[:enforcement]]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The host or hosts.
    pub host: HostPattern,
    /// The port.
    pub port: u16,
    /// A ready set of rules.
    pub access: Option<Access>,
    /// What is spoken; not looked into where nothing is given.
    pub protocol: Option<Protocol>,
    /// What happens to what no rule allows.
    pub enforcement: Option<Enforcement>,
}

/// `host:port:METHOD:glob`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// The endpoint's host.
    pub host: HostPattern,
    /// The endpoint's port.
    pub port: u16,
    /// The method.
    pub method: String,
    /// The paths.
    pub path: Glob,
}

/// Why a text is no step.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Parts are missing or too many.
    #[error("expected {0}")]
    Shape(&'static str),
    /// The host.
    #[error(transparent)]
    Host(HostPatternError),
    /// The port.
    #[error("'{0}' is no port from 1 to 65535")]
    Port(String),
    /// A word that is not known at its place.
    #[error("'{word}' is not known here; use one of {known}")]
    Word {
        /// What was written.
        word: String,
        /// What would have been accepted.
        known: &'static str,
    },
    /// The path.
    #[error("bad glob syntax: {0}")]
    Glob(crate::GlobError),
}

/// Why a policy cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MergeError {
    /// There is no policy of this key or name.
    #[error("there is no policy '{0}'")]
    NoRule(String),
    /// No policy lists this host and port.
    #[error("no policy has an endpoint {0}:{1}")]
    NoEndpoint(HostPattern, u16),
    /// The endpoint is not inspected, so rules would do nothing.
    #[error(
        "endpoint {0}:{1} is not inspected; give it a protocol first, as {0}:{1}:read-only:rest:enforce"
    )]
    NotInspected(HostPattern, u16),
    /// It may not be opened.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The result would be no sound policy.
    #[error("the changed policy is not sound: {}", first(.0))]
    Faults(Vec<Fault>),
}

fn first(faults: &[Fault]) -> String {
    faults.first().map(ToString::to_string).unwrap_or_default()
}

impl PolicyFile {
    /// The policy with all changes, and what is odd about it.
    ///
    /// # Errors
    /// The first change that cannot be made, or what would be wrong with the result.
    pub fn merged(&self, changes: &[Change]) -> Result<(Self, Vec<Notice>), MergeError> {
        let mut next = self.clone();
        for change in changes {
            match change {
                Change::AddEndpoint { endpoint, binaries, key } => {
                    add_endpoint(&mut next, endpoint, binaries, key.as_deref())?;
                }
                Change::RemoveEndpoint(host, port) => remove_endpoint(&mut next, host, *port)?,
                Change::AddAllow(spec) => add_rule(&mut next, spec, Sense::Allow)?,
                Change::AddDeny(spec) => add_rule(&mut next, spec, Sense::Deny)?,
                Change::RemoveRule(name) => remove_rule(&mut next, name)?,
            }
        }
        // One reader checks everything; a merged policy is no exception.
        Self::parse(&next.to_yaml().unwrap_or_default()).map_err(MergeError::Faults)
    }
}

fn add_endpoint(
    policy: &mut PolicyFile,
    spec: &EndpointSpec,
    binaries: &[String],
    key: Option<&str>,
) -> Result<(), MergeError> {
    let has = |block: &Block| block.endpoints.iter().any(|one| is_at(one, &spec.host, spec.port));
    let there = policy.network.iter().find(|(_, block)| has(block)).map(|(key, _)| key.clone());
    let key = key.map(str::to_owned).or(there).unwrap_or_else(|| spec.rule_name());
    let block = policy.network.entry(key).or_default();
    let at = block.endpoints.iter().position(|one| is_at(one, &spec.host, spec.port));
    let fresh =
        Endpoint { host: Some(spec.host.clone()), ports: vec![spec.port], ..Endpoint::default() };
    let mut endpoint = at.and_then(|at| block.endpoints.get(at).cloned()).unwrap_or(fresh);
    if let Some(access) = spec.access {
        endpoint.access = Some(access);
        endpoint.rules.clear();
    }
    endpoint.protocol = spec.protocol.or(endpoint.protocol);
    endpoint.enforcement = spec.enforcement.unwrap_or(endpoint.enforcement);
    propose::check(&endpoint)?;
    match at.and_then(|at| block.endpoints.get_mut(at)) {
        Some(slot) => *slot = endpoint,
        None => block.endpoints.push(endpoint),
    }
    for path in binaries {
        if !block.binaries.iter().any(|binary| binary.as_str() == path) {
            let glob = path.contains('*');
            let pattern = if glob { Glob::path(path).ok() } else { None };
            block.binaries.push(BinaryPattern(pattern.unwrap_or_else(|| Glob::exact(path)), glob));
        }
    }
    Ok(())
}

fn remove_endpoint(
    policy: &mut PolicyFile,
    host: &HostPattern,
    port: u16,
) -> Result<(), MergeError> {
    let mut found = false;
    for block in policy.network.values_mut() {
        for endpoint in block.endpoints.iter_mut().filter(|one| is_at(one, host, port)) {
            endpoint.ports.retain(|one| *one != port);
            found = true;
        }
        if found {
            block
                .endpoints
                .retain(|one| !(one.host.as_ref() == Some(host) && one.ports.is_empty()));
        }
    }
    if !found {
        return Err(MergeError::NoEndpoint(host.clone(), port));
    }
    policy.network.retain(|_, block| !block.endpoints.is_empty());
    Ok(())
}

fn add_rule(policy: &mut PolicyFile, spec: &RuleSpec, sense: Sense) -> Result<(), MergeError> {
    let rule = Rule {
        method: Some(spec.method.clone()),
        path: Some(spec.path.clone()),
        ..Rule::default()
    };
    let mut found = false;
    for block in policy.network.values_mut() {
        for endpoint in block.endpoints.iter_mut().filter(|one| is_at(one, &spec.host, spec.port)) {
            if !endpoint.protocol.is_some_and(Protocol::is_inspected) {
                return Err(MergeError::NotInspected(spec.host.clone(), spec.port));
            }
            found = true;
            let list = match sense {
                Sense::Allow => {
                    written_out(endpoint);
                    &mut endpoint.rules
                }
                Sense::Deny => &mut endpoint.deny_rules,
            };
            if !list.contains(&rule) {
                list.push(rule.clone());
            }
        }
    }
    if found { Ok(()) } else { Err(MergeError::NoEndpoint(spec.host.clone(), spec.port)) }
}

/// Writes a ready set of rules out, so that one can be added to it.
fn written_out(endpoint: &mut Endpoint) {
    let methods: &[&str] = match endpoint.access.take() {
        None | Some(Access::Unknown) => &[],
        Some(Access::ReadOnly) => &["GET", "HEAD", "OPTIONS"],
        Some(Access::ReadWrite) => &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"],
        Some(Access::Full) => &["*"],
    };
    let rules = methods.iter().map(|method| Rule {
        method: Some((*method).to_owned()),
        path: Glob::path("**").ok(),
        ..Rule::default()
    });
    endpoint.rules.extend(rules);
}

fn remove_rule(policy: &mut PolicyFile, name: &str) -> Result<(), MergeError> {
    let before = policy.network.len();
    if policy.network.remove(name).is_none() {
        policy.network.retain(|_, block| block.name.as_deref() != Some(name));
    }
    if policy.network.len() == before { Err(MergeError::NoRule(name.to_owned())) } else { Ok(()) }
}

fn is_at(endpoint: &Endpoint, host: &HostPattern, port: u16) -> bool {
    endpoint.host.as_ref() == Some(host) && endpoint.ports.contains(&port)
}

/// A port from 1.
fn port(text: &str) -> Result<u16, SpecError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port > 0).ok_or_else(|| SpecError::Port(text.to_owned()))
}

/// The host, and what follows it behind a colon; an IPv6 address stands in brackets.
fn split_host<'t>(text: &'t str, shape: &'static str) -> Result<(HostPattern, &'t str), SpecError> {
    let end = if text.starts_with('[') { text.find(']') } else { Some(0) };
    let end = end.ok_or(SpecError::Shape(shape))?;
    let colon = text.get(end..).and_then(|rest| rest.find(':')).ok_or(SpecError::Shape(shape))?;
    let (host, rest) = text.split_at_checked(end + colon).ok_or(SpecError::Shape(shape))?;
    let host = host.parse().map_err(SpecError::Host)?;
    Ok((host, rest.strip_prefix(':').unwrap_or(rest)))
}

fn word<T: Copy>(
    text: &str,
    words: &[(&str, T)],
    known: &'static str,
) -> Result<Option<T>, SpecError> {
    if text.is_empty() {
        return Ok(None);
    }
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(SpecError::Word { word: text.to_owned(), known }),
    }
}

impl EndpointSpec {
    /// The key of a policy that is made for the endpoint alone: `allow_<host>_<port>`, as proposals have always had it.
    pub fn rule_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let host: String = self.host.to_string().chars().map(plain).collect();
        format!("allow_{}_{}", host.trim_matches('_'), self.port)
    }
}

impl FromStr for EndpointSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let shape = "host:port[:access[:protocol[:enforcement]]]";
        let (host, rest) = split_host(text, shape)?;
        let mut parts = rest.split(':');
        let port = port(parts.next().unwrap_or_default())?;
        let accesses = [Access::ReadOnly, Access::ReadWrite, Access::Full];
        let accesses = accesses.map(|access| (access.as_str(), access));
        let access =
            word(parts.next().unwrap_or_default(), &accesses, "read-only, read-write, full")?;
        let protocols = Protocol::ALL.map(|protocol| (protocol.as_str(), protocol));
        let known = "rest, sql, tcp, websocket, graphql, mcp, json-rpc";
        let protocol = word(parts.next().unwrap_or_default(), &protocols, known)?;
        let enforcements = [("audit", Enforcement::Audit), ("enforce", Enforcement::Enforce)];
        let enforcement = word(parts.next().unwrap_or_default(), &enforcements, "audit, enforce")?;
        if parts.next().is_some() {
            return Err(SpecError::Shape(shape));
        }
        Ok(Self { host, port, access, protocol, enforcement })
    }
}

impl FromStr for RuleSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let shape = "host:port:METHOD:glob";
        let (host, rest) = split_host(text, shape)?;
        let mut parts = rest.splitn(3, ':');
        let port = port(parts.next().unwrap_or_default())?;
        let (Some(method), Some(path)) = (parts.next(), parts.next()) else {
            return Err(SpecError::Shape(shape));
        };
        if method.is_empty() || path.is_empty() {
            return Err(SpecError::Shape(shape));
        }
        let path = Glob::path(path).map_err(SpecError::Glob)?;
        Ok(Self { host, port, method: method.to_owned(), path })
    }
}

impl Change {
    /// Reads `host:port`, as a step that closes it.
    ///
    /// # Errors
    /// A text that is no host and port.
    pub fn remove_endpoint(text: &str) -> Result<Self, SpecError> {
        let (host, rest) = split_host(text, "host:port")?;
        Ok(Self::RemoveEndpoint(host, port(rest)?))
    }
}
