//! What a backend's error says, whatever its shape.
//!
//! Shapes of OpenAI and those that copy it, Anthropic, Gemini, Bedrock, Cohere, Ollama, llama-server, vLLM; from recorded
//! answers. Not here: writing the error for the caller (`router::wire`), deciding what to do about it.

use crate::translate::json::{self, Node, Object};

/// Longest message that is kept, bytes. An error page is no message.
const MESSAGE_BYTES_MAX: usize = 2048;

/// A backend's error in one form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorFacts {
    /// The provider's words; never empty.
    pub message: String,
    /// The provider's type, such as `invalid_request_error` or `RESOURCE_EXHAUSTED`; after the status where it gives none.
    pub kind: String,
    /// The provider's code, such as `context_length_exceeded`, if it is a word.
    pub code: Option<String>,
    /// The field that is to blame, if the provider says.
    pub param: Option<String>,
}

/// Reads the error body of an answer with `status`; any body gives facts.
pub fn read_error(status: u16, body: &[u8]) -> ErrorFacts {
    let found = json::document(body).ok().and_then(|node| of_document(&node));
    let mut facts = found.unwrap_or_else(|| plain(body));
    if facts.message.is_empty() {
        facts.message = format!("the backend answered with status {status}");
    }
    if facts.kind.is_empty() {
        kind_of(status).clone_into(&mut facts.kind);
    }
    facts
}

/// Reads the value of an `error` member: an object, or the words alone.
pub(crate) fn read_member(error: &Node<'_, '_>) -> ErrorFacts {
    in_stream(of_member(error))
}

/// Reads an object that is an error as a whole.
pub(crate) fn read_object(error: &Object<'_, '_>) -> ErrorFacts {
    in_stream(of_object(error))
}

fn in_stream(mut facts: ErrorFacts) -> ErrorFacts {
    if facts.message.is_empty() {
        "the backend reported an error".clone_into(&mut facts.message);
    }
    if facts.kind.is_empty() {
        "api_error".clone_into(&mut facts.kind);
    }
    facts
}

fn of_document(node: &Node<'_, '_>) -> Option<ErrorFacts> {
    let object = match node.array() {
        // Gemini puts the error into a list.
        Ok(list) => list.iter().next()?.detached().object().ok()?,
        Err(_) => node.object().ok()?,
    };
    if let Some(error) = object.get("error") {
        let mut facts = of_member(&error);
        if facts.message.is_empty() {
            facts.message = message(&object);
        }
        return Some(facts);
    }
    Some(of_object(&object))
}

fn of_member(error: &Node<'_, '_>) -> ErrorFacts {
    match error.object() {
        Ok(object) => of_object(&object),
        Err(_) => ErrorFacts { message: words(error).unwrap_or_default(), ..ErrorFacts::default() },
    }
}

fn of_object(object: &Object<'_, '_>) -> ErrorFacts {
    let text = |key: &str| {
        object.text(key).filter(|text| !text.is_empty()).map(|text| clipped(&text).to_owned())
    };
    let kind = text("type").filter(|kind| kind != "error").or_else(|| text("status"));
    ErrorFacts {
        message: message(object),
        kind: kind.unwrap_or_default(),
        code: text("code"),
        param: text("param"),
    }
}

fn message(object: &Object<'_, '_>) -> String {
    ["message", "Message", "detail"]
        .into_iter()
        .find_map(|key| object.get(key).and_then(|node| words(&node)))
        .unwrap_or_default()
}

/// A string, or the `msg` members of a list, which is how `FastAPI` reports what it could not read.
fn words(node: &Node<'_, '_>) -> Option<String> {
    if let Ok(text) = node.string() {
        return Some(clipped(&text).to_owned());
    }
    let list = node.array().ok()?;
    let all: Vec<String> = list
        .iter()
        .filter_map(|item| Some(item.object().ok()?.text("msg")?.into_owned()))
        .collect();
    Some(clipped(&all.join("; ")).to_owned())
}

fn plain(body: &[u8]) -> ErrorFacts {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let is_page = text.starts_with('<') || text.starts_with('{');
    let message = if is_page { String::new() } else { clipped(text).to_owned() };
    ErrorFacts { message, ..ErrorFacts::default() }
}

fn clipped(text: &str) -> &str {
    let end = text.floor_char_boundary(MESSAGE_BYTES_MAX);
    text.get(..end).unwrap_or(text)
}

fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_error_gives_its_message_and_kind() {
        let cases: [(u16, &str, [&str; 4]); 12] = [
            (
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                ["m", "invalid_request_error", "context_length_exceeded", "messages"],
            ),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"}"#,
                ["m", "overloaded_error", "", ""],
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
                ["m", "RESOURCE_EXHAUSTED", "", ""],
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"m"}}]"#,
                ["m", "invalid_request_error", "", ""],
            ),
            (403, r#"{"message":"m"}"#, ["m", "permission_error", "", ""]),
            (404, r#"{"error":"m"}"#, ["m", "not_found_error", "", ""]),
            (
                422,
                r#"{"detail":[{"msg":"a"},{"msg":"b"}]}"#,
                ["a; b", "invalid_request_error", "", ""],
            ),
            (401, r#"{"detail":"m"}"#, ["m", "authentication_error", "", ""]),
            (
                400,
                r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
                ["m", "BadRequestError", "", ""],
            ),
            (502, "<html>", ["the backend answered with status 502", "api_error", "", ""]),
            (503, "busy\n", ["busy", "overloaded_error", "", ""]),
            (500, "", ["the backend answered with status 500", "api_error", "", ""]),
        ];
        for (status, body, [message, kind, code, param]) in cases {
            let facts = read_error(status, body.as_bytes());
            assert_eq!(facts.message, message, "{body}");
            assert_eq!(facts.kind, kind, "{body}");
            assert_eq!(facts.code.as_deref().unwrap_or(""), code, "{body}");
            assert_eq!(facts.param.as_deref().unwrap_or(""), param, "{body}");
        }
    }
}
