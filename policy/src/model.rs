//! A policy as it is written, every value sound: what is merged, compared, printed and compiled.
//!
//! Not here: reading (`file`), deciding (`compiled`, `connect`, `request`). Invariant: what `parse` and `merged` give
//! has passed every check of the reader; whoever builds a policy by hand prints it and reads it back.

use std::{collections::BTreeMap, fmt};

use domain::Host;
use ipnet::IpNet;
use serde_json::Value;

use crate::{glob::Glob, host_pattern::HostPattern, rule::Rule};

/// A whole policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFile {
    /// What the agent may read and write; fixed when the sandbox starts.
    pub filesystem: Option<Filesystem>,
    /// How much isolation of files is required; fixed when the sandbox starts.
    pub landlock: Option<Landlock>,
    /// Whom the agent runs as; fixed when the sandbox starts.
    pub process: Option<Process>,
    /// Who may reach what, by key; changes while the sandbox runs. Empty: nothing is reachable.
    pub network: BTreeMap<String, Block>,
    /// What looks at requests after the policy allowed them, by key; changes while the sandbox runs.
    pub middlewares: BTreeMap<String, Middleware>,
}

/// The section `filesystem_policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    /// Whether the working directory is added to `read_write`.
    pub include_workdir: bool,
    /// Absolute paths that may be read.
    pub read_only: Vec<String>,
    /// Absolute paths that may be read and written.
    pub read_write: Vec<String>,
}

/// The section `landlock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landlock {
    /// What the kernel offers.
    #[default]
    BestEffort,
    /// Without it the sandbox does not start.
    HardRequirement,
}

impl Landlock {
    /// The word in a policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "best_effort",
            Self::HardRequirement => "hard_requirement",
        }
    }
}

/// The section `process`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// `sandbox`, or a user id from 1.
    pub run_as_user: String,
    /// `sandbox`, or a group id from 1.
    pub run_as_group: String,
}

impl Default for Process {
    fn default() -> Self {
        Self { run_as_user: "sandbox".to_owned(), run_as_group: "sandbox".to_owned() }
    }
}

/// One entry of `network_policies`: these binaries may reach these endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// How it is called in answers and logs; its key where the file gives none.
    pub name: Option<String>,
    /// What may be reached.
    pub endpoints: Vec<Endpoint>,
    /// Who may reach it; nobody where the list is empty.
    pub binaries: Vec<BinaryPattern>,
}

/// An executable by its real path; a glob if it holds `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryPattern(pub(crate) Glob, pub(crate) bool);

impl BinaryPattern {
    /// The path as written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether wildcards stand in it.
    pub fn is_glob(&self) -> bool {
        self.1
    }

    /// Whether this path is meant.
    pub fn matches(&self, path: &str) -> bool {
        self.0.matches(path)
    }
}

/// A place that may be reached, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The host or hosts; `None` is any host whose addresses are all in `allowed_ips`.
    pub host: Option<HostPattern>,
    /// The ports; none matches nothing.
    pub ports: Vec<u16>,
    /// Which paths of the host this endpoint speaks for; `None` is all of them.
    pub path: Option<Glob>,
    /// What is spoken there; `None` is not looked into.
    pub protocol: Option<Protocol>,
    /// Whether TLS is opened.
    pub tls: Tls,
    /// What happens to requests that no rule allows.
    pub enforcement: Enforcement,
    /// A ready set of rules.
    pub access: Option<Access>,
    /// What is allowed.
    pub rules: Vec<Rule>,
    /// What is denied all the same.
    pub deny_rules: Vec<Rule>,
    /// Addresses that the host may resolve to; empty is any public one.
    pub allowed_ips: Vec<IpNet>,
    /// Whether `%2F` is kept in paths.
    pub allow_encoded_slash: bool,
    /// What happens to sensitive data in request bodies.
    pub sensitivity: Scrutiny,
    /// Where credentials are put in and how.
    pub credentials: Credentials,
    /// Options of `protocol: graphql`.
    pub graphql: GraphqlOptions,
    /// Options of `protocol: mcp`.
    pub mcp: McpOptions,
    /// Largest JSON-RPC body, bytes.
    pub json_rpc_body_bytes_max: Option<u64>,
}

impl Endpoint {
    /// Largest request body that is read for what it asks, bytes; `None` where the protocol has it in the head.
    pub fn operation_body_bytes_max(&self) -> Option<u64> {
        let given = match self.protocol? {
            Protocol::Graphql => self.graphql.body_bytes_max,
            Protocol::Mcp => self.mcp.body_bytes_max,
            Protocol::JsonRpc => self.json_rpc_body_bytes_max,
            Protocol::Rest | Protocol::Websocket | Protocol::Sql | Protocol::Tcp => return None,
        };
        Some(given.unwrap_or(OPERATION_BODY_BYTES_MAX))
    }
}

/// What is spoken at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP requests.
    Rest,
    /// SQL: observed, not parsed.
    Sql,
    /// Any TCP protocol, captured transparently.
    Tcp,
    /// HTTP upgrades and their text frames.
    Websocket,
    /// GraphQL over HTTP.
    Graphql,
    /// The model context protocol over HTTP.
    Mcp,
    /// JSON-RPC over HTTP.
    JsonRpc,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 7] = [
        Self::Rest,
        Self::Sql,
        Self::Tcp,
        Self::Websocket,
        Self::Graphql,
        Self::Mcp,
        Self::JsonRpc,
    ];

    /// The word in a policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Sql => "sql",
            Self::Tcp => "tcp",
            Self::Websocket => "websocket",
            Self::Graphql => "graphql",
            Self::Mcp => "mcp",
            Self::JsonRpc => "json-rpc",
        }
    }

    /// Whether one reader of requests serves both: a WebSocket begins as an HTTP request.
    pub(crate) fn reads_like(self, other: Self) -> bool {
        let http = |one| matches!(one, Self::Rest | Self::Websocket);
        self == other || (http(self) && http(other))
    }

    /// Whether each request is looked at.
    pub fn is_inspected(self) -> bool {
        !matches!(self, Self::Sql | Self::Tcp)
    }
}

/// Whether TLS is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Where it is spoken.
    #[default]
    Auto,
    /// Never: bytes are passed on as they are.
    Skip,
}

/// What happens to requests that no rule allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enforcement {
    /// They are recorded and forwarded.
    #[default]
    Audit,
    /// They are refused.
    Enforce,
}

/// A ready set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// What only reads.
    ReadOnly,
    /// What reads, makes and changes, but does not delete.
    ReadWrite,
    /// Everything.
    Full,
    /// A word that nobody knows: nothing.
    Unknown,
}

impl Access {
    /// The word in a policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
            Self::Full => "full",
            Self::Unknown => "unknown",
        }
    }
}

/// What happens to sensitive data in the bodies of inspected requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scrutiny {
    /// Nobody looks.
    #[default]
    Off,
    /// It is recorded.
    Audit,
    /// It is replaced by placeholders.
    Redact,
    /// The request is refused.
    Block,
}

impl Scrutiny {
    /// The word in a policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// Where credentials are put in, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The provider whose credential belongs to this endpoint.
    pub provider: Option<String>,
    /// Whether placeholders in WebSocket text frames are replaced.
    pub in_websocket: bool,
    /// Whether placeholders in request bodies are replaced.
    pub in_body: bool,
    /// Whether credentials may go where requests are not looked at.
    pub uninspected: bool,
    /// Requests are signed anew.
    pub signing: Option<Signing>,
}

/// AWS Signature Version 4 over requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// What of the body is signed.
    pub body: SignedBody,
    /// The service in the signature's scope.
    pub service: Option<String>,
    /// The region in the signature's scope.
    pub region: Option<String>,
}

/// What of the body a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBody {
    /// As the caller's own signature did.
    AsSent,
    /// All of it.
    Whole,
    /// Nothing.
    Unsigned,
}

impl SignedBody {
    /// The word in a policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsSent => "sigv4",
            Self::Whole => "sigv4:body",
            Self::Unsigned => "sigv4:no_body",
        }
    }
}

/// Options of `protocol: graphql`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphqlOptions {
    /// Whether persisted queries that are registered here are allowed.
    pub persisted: bool,
    /// What the registered persisted queries do, by their id.
    pub registered: BTreeMap<String, RegisteredQuery>,
    /// Largest body, bytes.
    pub body_bytes_max: Option<u64>,
}

/// What a persisted query does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredQuery {
    /// `query`, `mutation` or `subscription`.
    pub operation_type: String,
    /// Its name.
    pub operation_name: Option<String>,
    /// Its root fields.
    pub fields: Vec<String>,
}

/// Options of `protocol: mcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpOptions {
    /// Largest body, bytes.
    pub body_bytes_max: Option<u64>,
    /// Whether names of tools must be plain words.
    pub strict_tool_names: bool,
    /// Whether every method of the protocol is allowed where no rule says otherwise.
    pub all_known_methods: bool,
}

impl Default for McpOptions {
    fn default() -> Self {
        Self { body_bytes_max: None, strict_tool_names: true, all_known_methods: false }
    }
}

/// Largest body of an MCP, JSON-RPC or GraphQL request that is looked at, bytes, where a file says nothing else.
const OPERATION_BODY_BYTES_MAX: u64 = 65_536;

/// One entry of `network_middlewares`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// How it is called; its key where the file gives none.
    pub name: Option<String>,
    /// What runs.
    pub middleware: String,
    /// When it runs: lower is earlier; unique.
    pub order: i64,
    /// What it is told.
    pub config: Value,
    /// Whether requests pass when it fails.
    pub fail_open: bool,
    /// Hosts whose requests it sees; all where the list is empty.
    pub include: Vec<Scope>,
    /// Hosts whose requests it does not see all the same.
    pub exclude: Vec<Scope>,
}

/// Hosts that a middleware is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every host.
    All,
    /// These.
    Hosts(HostPattern),
}

impl Scope {
    fn holds(&self, host: &Host) -> bool {
        match self {
            Self::All => true,
            Self::Hosts(pattern) => pattern.matches(host),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Hosts(pattern) => write!(f, "{pattern}"),
        }
    }
}

impl Middleware {
    /// Whether it sees requests to this host.
    pub fn sees(&self, host: &Host) -> bool {
        let any = |scopes: &[Scope]| scopes.iter().any(|scope| scope.holds(host));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}
