//! Reads what a request asks for beyond its head: the operations of GraphQL, the calls of MCP and JSON-RPC.
//!
//! The bodies are read as strictly as any server reads them, or more so: what two servers could read in two ways is
//! [`Found::Unreadable`], and that is denied. Not here: what may be asked for (`policy`), and bodies beyond the endpoint's
//! limit; whoever stops reading such a one says [`Found::Unreadable`], too.

mod graphql;
mod rpc;

use http::{HeaderMap, header};
use policy::{
    GraphqlOperation, Operation, OperationKind, Place, Protocol, Query, RpcCall, model::Endpoint,
};
use router::json::{Kind, Value};

/// Most members of a batch.
const MEMBERS_MAX: usize = 256;

/// A request with its whole body.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// The HTTP method.
    pub method: &'m str,
    /// Its query.
    pub query: &'m Query<'m>,
    /// Its headers.
    pub headers: &'m HeaderMap,
    /// Its body, at most [`Endpoint::operation_body_bytes_max`] bytes; empty if there is none.
    pub body: &'m [u8],
}

/// What was found. [`Found::view`] gives it in the form that policies judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The protocol has nothing in the body, or there is none.
    Nothing,
    /// The operations of GraphQL.
    Graphql(Vec<OwnedOperation>),
    /// The calls of MCP or JSON-RPC.
    Rpc(Vec<OwnedCall>),
    /// It cannot be read, or could be read in several ways.
    Unreadable,
}

/// [`GraphqlOperation`] with its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedOperation {
    /// What it does.
    pub kind: OperationKind,
    /// Its name.
    pub name: Option<String>,
    /// Its root fields.
    pub fields: Vec<String>,
}

/// [`RpcCall`] with its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedCall {
    /// The method; `None` for an answer.
    pub method: Option<String>,
    /// `params.name`.
    pub name: Option<String>,
}

/// The endpoint whose protocol and limits a body is read by; `None` if none of them has its operations in the body.
/// As in the decision, one whose `path` selects the request goes before one for the whole host, then the first by name.
pub fn endpoint<'p>(places: &[Place<'p>], path: &str) -> Option<&'p Endpoint> {
    let speaks = |place: &&Place<'p>| {
        place.endpoint.operation_body_bytes_max().is_some()
            && place.endpoint.path.as_ref().is_none_or(|glob| glob.matches(path))
    };
    let order =
        |place: &&Place<'p>| (place.endpoint.path.is_none(), place.name(), place.key, place.index);
    places.iter().filter(speaks).min_by_key(order).map(|place| place.endpoint)
}

/// What the message asks for at an endpoint of this protocol.
pub fn read(endpoint: &Endpoint, message: &Message<'_>) -> Found {
    let found = match endpoint.protocol {
        Some(Protocol::Graphql) => graphql::read(&endpoint.graphql, message).map(Found::Graphql),
        Some(Protocol::Mcp | Protocol::JsonRpc) if message.body.is_empty() => Some(Found::Nothing),
        Some(Protocol::Mcp | Protocol::JsonRpc) => rpc::read(message).map(Found::Rpc),
        Some(Protocol::Rest | Protocol::Websocket | Protocol::Sql | Protocol::Tcp) | None => {
            Some(Found::Nothing)
        }
    };
    found.unwrap_or(Found::Unreadable)
}

impl Found {
    /// The borrowed form, first step.
    pub fn view(&self) -> View<'_> {
        let fields = match self {
            Self::Graphql(operations) => operations
                .iter()
                .map(|operation| operation.fields.iter().map(String::as_str).collect())
                .collect(),
            Self::Rpc(_) | Self::Nothing | Self::Unreadable => Vec::new(),
        };
        View { found: self, fields }
    }
}

/// What was found, with lists of borrowed fields.
#[derive(Debug)]
pub struct View<'f> {
    found: &'f Found,
    fields: Vec<Vec<&'f str>>,
}

impl View<'_> {
    /// The borrowed form, second step.
    pub fn members(&self) -> Members<'_> {
        match self.found {
            Found::Nothing => Members::Nothing,
            Found::Unreadable => Members::Unreadable,
            Found::Graphql(operations) => {
                let all = operations.iter().zip(&self.fields).map(|(operation, fields)| {
                    let name = operation.name.as_deref();
                    GraphqlOperation { kind: operation.kind, name, fields }
                });
                Members::Graphql(all.collect())
            }
            Found::Rpc(calls) => {
                let all = calls.iter().map(|call| RpcCall {
                    method: call.method.as_deref(),
                    name: call.name.as_deref(),
                });
                Members::Rpc(all.collect())
            }
        }
    }
}

/// What was found, as borrowed members.
#[derive(Debug)]
pub enum Members<'v> {
    /// The body holds nothing.
    Nothing,
    /// Operations of GraphQL.
    Graphql(Vec<GraphqlOperation<'v>>),
    /// Calls.
    Rpc(Vec<RpcCall<'v>>),
    /// It cannot be read.
    Unreadable,
}

impl Members<'_> {
    /// What a policy is asked about.
    pub fn operation(&self) -> Operation<'_> {
        match self {
            Self::Nothing => Operation::None,
            Self::Graphql(operations) => Operation::Graphql(operations),
            Self::Rpc(calls) => Operation::Rpc(calls),
            Self::Unreadable => Operation::Unreadable,
        }
    }
}

/// The type of a body in lower case, without parameters; `None` if there are several, if it is in an encoding, or in a
/// character set that is no UTF-8: a server would read other text than we do.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let plain = |value: &http::HeaderValue| value.as_bytes().trim_ascii() == b"identity";
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return None;
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(first) = types.next() else { return Some(String::new()) };
    if types.next().is_some() {
        return None;
    }
    let text = first.to_str().ok()?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next()?.to_owned();
    let known = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.trim() == "charset" => {
            matches!(value.trim().trim_matches('"'), "utf-8" | "utf8" | "us-ascii")
        }
        _ => true,
    };
    parts.all(known).then_some(essence)
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Whether no reader takes a name for one of `names` that is not exactly that: some ignore case, also that of characters
/// beyond ASCII.
fn is_exact(object: Value<'_, '_>, names: &[&str]) -> bool {
    object.members().all(|(key, _)| {
        let text = key.text();
        text.is_ascii()
            && names.iter().all(|name| *name == text || !name.eq_ignore_ascii_case(&text))
    })
}

/// The member `name` if it is there and no `null`.
fn member<'t, 'a>(object: Value<'t, 'a>, name: &str) -> Option<Value<'t, 'a>> {
    object.get(name).filter(|value| value.kind() != Kind::Null)
}

/// A value that is there and is not what it should be.
struct Odd;

/// The text of the member `name`; `None` where it is absent or `null`.
fn text(object: Value<'_, '_>, name: &str) -> Result<Option<String>, Odd> {
    match member(object, name) {
        None => Ok(None),
        Some(value) if value.is_string() => Ok(Some(value.text().into_owned())),
        Some(_) => Err(Odd),
    }
}

/// The members of a batch, or the one that is none.
fn batch<'t, 'a>(root: Value<'t, 'a>) -> Option<Vec<Value<'t, 'a>>> {
    let members: Vec<_> = match root.kind() {
        Kind::Object => vec![root],
        Kind::Array => root.elements().take(MEMBERS_MAX + 1).collect(),
        _ => return None,
    };
    let sound = (1..=MEMBERS_MAX).contains(&members.len())
        && members.iter().all(|member| member.kind() == Kind::Object);
    sound.then_some(members)
}

#[cfg(test)]
mod tests;
