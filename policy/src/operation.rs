//! What a request asks for beyond its head, as a parser of bodies found it.
//!
//! Not here: the parsers; they work within the limits that an endpoint gives. Invariant: whoever cannot read a
//! body says [`Operation::Unreadable`], and that is denied.

/// What the body of a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation<'r> {
    /// The body does not matter to the protocol, or was not looked at.
    #[default]
    None,
    /// The GraphQL operations of the body; a batch has several.
    Graphql(&'r [GraphqlOperation<'r>]),
    /// The calls of an MCP or JSON-RPC body; a batch has several.
    Rpc(&'r [RpcCall<'r>]),
    /// The body should hold an operation and could not be read.
    Unreadable,
}

/// A GraphQL operation; for a persisted query, what was registered for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphqlOperation<'r> {
    /// What it does.
    pub kind: OperationKind,
    /// Its name, where it has one.
    pub name: Option<&'r str>,
    /// Its root fields, fragments and aliases resolved.
    pub fields: &'r [&'r str],
}

/// What a GraphQL operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Changes.
    Mutation,
    /// Listens.
    Subscription,
}

impl OperationKind {
    /// The word in GraphQL and in policy files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

/// A JSON-RPC message from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcCall<'r> {
    /// The method; `None` for an answer to a call of the server.
    pub method: Option<&'r str>,
    /// `params.name`: the tool of `tools/call`, the prompt of `prompts/get`.
    pub name: Option<&'r str>,
}

/// Methods that a client may call in the model context protocol (revision 2025-06-18), reading ones first.
const MCP_READING: [&str; 12] = [
    "initialize",
    "ping",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
];

const MCP_DOING: [&str; 5] = [
    "tools/call",
    "completion/complete",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
];

/// Whether a method is one of the model context protocol.
pub(crate) fn is_mcp(method: &str) -> bool {
    is_reading_mcp(method) || MCP_DOING.contains(&method)
}

/// Whether a method of the model context protocol only reads.
pub(crate) fn is_reading_mcp(method: &str) -> bool {
    MCP_READING.contains(&method)
}

/// Whether a tool's name is a plain word of at most 128 characters.
pub(crate) fn is_plain_tool_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(plain)
}
