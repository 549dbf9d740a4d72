//! Errors in the caller's own shape (OpenAI and Anthropic error references, 2026-11).

use crate::{
    json,
    wire::{Dialect, Manner, ReadError},
};

/// What went wrong, for the caller.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The HTTP status, which also chooses the error type.
    pub status: u16,
    /// A stable word for programs.
    pub code: &'a str,
    /// A sentence for people. Must not hold content of the request.
    pub message: &'a str,
    /// The field that is to blame.
    pub param: Option<&'a str>,
    /// The id of this request.
    pub request_id: Option<&'a str>,
}

/// The JSON body of an error answer.
///
/// OpenAI: `{"error":{"message","type","param","code"}}`. Anthropic: `{"type":"error","error":{"type","message"},
/// "request_id"}`, which has no place for the code and the field; the message must say enough.
pub fn error_body(manner: Manner, failure: &Failure<'_>) -> Vec<u8> {
    let mut out = Writer::default();
    match manner {
        Manner::OpenAi => out.openai(failure),
        Manner::Anthropic => out.anthropic(failure),
    }
    out.0.into_bytes()
}

/// The JSON body that answers a request which could not be read; its status is [`ReadError::status`].
pub fn read_error_body(manner: Manner, error: &ReadError, request_id: Option<&str>) -> Vec<u8> {
    let message = error.to_string();
    let (status, code, param) = (error.status(), error.code(), error.param());
    error_body(manner, &Failure { status, code, message: &message, param, request_id })
}

/// The server-sent event that ends a stream with an error after the status 200 has gone out.
pub fn error_event(dialect: Dialect, failure: &Failure<'_>) -> Vec<u8> {
    let mut out = Writer::default();
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiCompletions | Dialect::OpenAiEmbeddings => {
            out.0.push_str("data: ");
            out.openai(failure);
        }
        Dialect::OpenAiResponses => {
            out.0.push_str("event: error\ndata: {\"type\":\"error\",\"code\":");
            out.string(failure.code);
            out.0.push_str(",\"message\":");
            out.string(failure.message);
            out.0.push_str(",\"param\":");
            out.optional(failure.param);
            out.0.push('}');
        }
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            out.0.push_str("event: error\ndata: ");
            out.anthropic(failure);
        }
    }
    out.0.push_str("\n\n");
    out.0.into_bytes()
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn string(&mut self, text: &str) {
        self.0.push('"');
        json::escape_into(&mut self.0, text);
        self.0.push('"');
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.0.push_str("null"),
        }
    }

    fn openai(&mut self, failure: &Failure<'_>) {
        self.0.push_str("{\"error\":{\"message\":");
        self.string(failure.message);
        self.0.push_str(",\"type\":");
        self.string(openai_type(failure.status));
        self.0.push_str(",\"param\":");
        self.optional(failure.param);
        self.0.push_str(",\"code\":");
        self.string(failure.code);
        self.0.push_str("}}");
    }

    fn anthropic(&mut self, failure: &Failure<'_>) {
        self.0.push_str("{\"type\":\"error\",\"error\":{\"type\":");
        self.string(anthropic_type(failure.status));
        self.0.push_str(",\"message\":");
        self.string(failure.message);
        self.0.push('}');
        if let Some(id) = failure.request_id {
            self.0.push_str(",\"request_id\":");
            self.string(id);
        }
        self.0.push('}');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FAILURE: Failure<'static> = Failure {
        status: 413,
        code: "body_too_large",
        message: "too \"large\"\nby far",
        param: Some("messages[2].content"),
        request_id: Some("req_1"),
    };

    #[test]
    fn bodies_have_the_shape_of_the_dialect() {
        let openai = json!({"error": {
            "message": "too \"large\"\nby far", "type": "invalid_request_error",
            "param": "messages[2].content", "code": "body_too_large",
        }});
        let anthropic = json!({
            "type": "error", "request_id": "req_1",
            "error": {"type": "request_too_large", "message": "too \"large\"\nby far"},
        });
        for (manner, wanted) in [(Manner::OpenAi, openai), (Manner::Anthropic, anthropic)] {
            let body: Value = serde_json::from_slice(&error_body(manner, &FAILURE)).unwrap();
            assert_eq!(body, wanted);
        }
    }

    #[test]
    fn a_request_that_is_not_read_is_answered_with_the_field_to_blame() {
        let error = crate::wire::read(Dialect::OpenAiChat, br#"{"model":"m"}"#).unwrap_err();
        let body: Value =
            serde_json::from_slice(&read_error_body(Manner::OpenAi, &error, None)).unwrap();
        let wanted = json!({"error": {
            "message": "`messages` is required", "type": "invalid_request_error",
            "param": "messages", "code": "missing_field",
        }});
        assert_eq!(body, wanted);
    }

    #[test]
    fn events_are_one_event_each_with_a_name_where_clients_need_one() {
        let cases = [
            (Dialect::OpenAiChat, "data: {\"error\":{"),
            (Dialect::OpenAiResponses, "event: error\ndata: {\"type\":\"error\",\"code\":"),
            (Dialect::AnthropicMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{"),
        ];
        for (dialect, start) in cases {
            let event = String::from_utf8(error_event(dialect, &FAILURE)).unwrap();
            assert!(event.starts_with(start), "{event}");
            assert_eq!(event.find("\n\n"), Some(event.len() - 2), "{event}");
            let data = event.split("data: ").nth(1).unwrap();
            assert!(serde_json::from_str::<Value>(data).is_ok(), "{event}");
        }
    }
}
