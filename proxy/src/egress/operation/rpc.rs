//! Calls of MCP and JSON-RPC (version 2.0, sections 4 to 6), one or a batch.

use router::json::{self, Kind, Value};

use super::{Message, Odd, OwnedCall, batch, is_exact, is_json, media_type, member, text};

const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The calls of the body; `None` if it cannot be read in one way only.
pub(super) fn read(message: &Message<'_>) -> Option<Vec<OwnedCall>> {
    let kind = media_type(message.headers)?;
    if !(kind.is_empty()
        || is_json(&kind)
        || matches!(&*kind, "application/json-rpc" | "application/jsonrequest"))
    {
        return None;
    }
    let tape = json::parse(message.body).ok()?;
    batch(tape.root())?.into_iter().map(call).collect()
}

fn call(object: Value<'_, '_>) -> Option<OwnedCall> {
    if !is_exact(object, &ENVELOPE) {
        return None;
    }
    let answer = object.get("result").is_some() || object.get("error").is_some();
    let Some(method) = object.get("method") else {
        return answer.then_some(OwnedCall { method: None, name: None });
    };
    // A call that is an answer as well is read as either.
    if answer || !method.is_string() {
        return None;
    }
    let name = match member(object, "params") {
        None => Ok(None),
        Some(params) if params.kind() == Kind::Array => Ok(None),
        Some(params) if params.kind() == Kind::Object && is_exact(params, &["name"]) => {
            text(params, "name")
        }
        Some(params) if params.kind() == Kind::Object => Err(Odd),
        Some(_) => return None,
    };
    let method = method.text().into_owned();
    match name {
        Ok(name) => Some(OwnedCall { method: Some(method), name }),
        // Where a name is no matter, it may be anything.
        Err(Odd) if !NAMED.contains(&&*method) => {
            Some(OwnedCall { method: Some(method), name: None })
        }
        Err(Odd) => None,
    }
}

/// The methods of MCP that are about something with a name.
const NAMED: [&str; 2] = ["tools/call", "prompts/get"];
