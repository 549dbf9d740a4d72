//! The stream of `POST /v1/messages`.

use crate::translate::{
    AnswerContext, UNSIGNED,
    answer::{Answer, Kind, messages::write_stop, prefixed},
    encode::write,
    failure::ErrorFacts,
    json::Writer,
    usage::Usage,
};

/// What was written so far.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Index of the next block; the open one has the one before.
    next: u64,
}

pub(crate) fn start(context: &AnswerContext, usage: Usage, out: &mut Vec<u8>) {
    event("message_start", out, |w| {
        w.key("message").object(|w| {
            w.field("id", &prefixed("msg_", &context.id));
            w.field("type", "message");
            w.field("role", "assistant");
            w.field("model", &context.model);
            w.key("content").raw("[]");
            w.key("stop_reason").null();
            w.key("stop_sequence").null();
            usage.write_messages(w.key("usage"));
        });
    });
}

impl Encoder {
    pub(crate) fn begin(&mut self, context: &AnswerContext, kind: &Kind, out: &mut Vec<u8>) {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        event("content_block_start", out, |w| {
            w.key("index").number(index);
            w.key("content_block").object(|w| match kind {
                Kind::Text | Kind::Refusal => {
                    w.field("type", "text");
                    w.field("text", "");
                }
                Kind::Reasoning => {
                    w.field("type", "thinking");
                    w.field("thinking", "");
                    w.field("signature", "");
                }
                Kind::Call { id, name } => {
                    w.field("type", "tool_use");
                    w.field("id", id);
                    w.field("name", context.tool_names.name(name));
                    w.key("input").raw("{}");
                }
            });
        });
    }

    pub(crate) fn text(&mut self, kind: &Kind, text: &str, out: &mut Vec<u8>) {
        let (delta, key) = match kind {
            Kind::Text | Kind::Refusal => ("text_delta", "text"),
            Kind::Reasoning => ("thinking_delta", "thinking"),
            Kind::Call { .. } => ("input_json_delta", "partial_json"),
        };
        self.delta(delta, key, text, out);
    }

    pub(crate) fn done(&mut self, kind: &Kind, out: &mut Vec<u8>) {
        if *kind == Kind::Reasoning {
            self.delta("signature_delta", "signature", UNSIGNED, out);
        }
        let index = self.open();
        event("content_block_stop", out, |w| w.key("index").number(index));
    }

    fn delta(&self, delta: &str, key: &str, text: &str, out: &mut Vec<u8>) {
        event("content_block_delta", out, |w| {
            w.key("index").number(self.open());
            w.key("delta").object(|w| {
                w.field("type", delta);
                w.field(key, text);
            });
        });
    }

    fn open(&self) -> u64 {
        self.next.saturating_sub(1)
    }
}

pub(crate) fn end(answer: &Answer, out: &mut Vec<u8>) {
    event("message_delta", out, |w| {
        w.key("delta").object(|w| write_stop(w, &answer.stop));
        answer.usage.unwrap_or_default().write_messages(w.key("usage"));
    });
    event("message_stop", out, |_| {});
}

pub(crate) fn fail(facts: &ErrorFacts, out: &mut Vec<u8>) {
    event("error", out, |w| {
        w.key("error").object(|w| {
            w.field("type", error_type(&facts.kind));
            w.field("message", &facts.message);
        });
    });
}

/// The type that clients of this dialect know for a provider's type (Anthropic API reference, errors, 2026-11).
fn error_type(kind: &str) -> &'static str {
    match kind {
        "invalid_request_error" | "INVALID_ARGUMENT" => "invalid_request_error",
        "authentication_error" | "UNAUTHENTICATED" => "authentication_error",
        "permission_error" | "PERMISSION_DENIED" => "permission_error",
        "not_found_error" | "NOT_FOUND" => "not_found_error",
        "request_too_large" => "request_too_large",
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => "rate_limit_error",
        "timeout_error" | "DEADLINE_EXCEEDED" => "timeout_error",
        "overloaded_error" | "UNAVAILABLE" => "overloaded_error",
        _ => "api_error",
    }
}

fn event(kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer)) {
    write(Some(kind), out, |w| {
        w.field("type", kind);
        members(w);
    });
}
