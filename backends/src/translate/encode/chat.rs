//! The stream of `POST /v1/chat/completions`.

use router::sse;

use crate::translate::{
    AnswerContext,
    answer::{Answer, Kind, chat::finish_reason, prefixed},
    encode::write,
    failure::ErrorFacts,
    json::Writer,
};

/// What was written so far.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Calls that have begun.
    calls: u64,
    reasoned: bool,
}

impl Encoder {
    pub(crate) fn begin(&mut self, context: &AnswerContext, kind: &Kind, out: &mut Vec<u8>) {
        match kind {
            Kind::Text | Kind::Refusal => {}
            // There is no border between two pieces of reasoning but what stands in the text.
            Kind::Reasoning if self.reasoned => self.text(context, kind, "\n\n", out),
            Kind::Reasoning => self.reasoned = true,
            Kind::Call { id, name } => {
                let index = self.calls;
                self.calls = self.calls.saturating_add(1);
                fragment(context, index, out, |w| {
                    w.field("id", id);
                    w.field("type", "function");
                    w.key("function").object(|w| {
                        w.field("name", context.tool_names.name(name));
                        w.field("arguments", "");
                    });
                });
            }
        }
    }

    pub(crate) fn text(
        &mut self,
        context: &AnswerContext,
        kind: &Kind,
        text: &str,
        out: &mut Vec<u8>,
    ) {
        let key = match kind {
            Kind::Text => "content",
            Kind::Refusal => "refusal",
            Kind::Reasoning => "reasoning_content",
            Kind::Call { .. } => {
                let index = self.calls.saturating_sub(1);
                fragment(context, index, out, |w| {
                    w.key("function").object(|w| w.field("arguments", text));
                });
                return;
            }
        };
        delta(context, out, |w| w.field(key, text));
    }
}

pub(crate) fn start(context: &AnswerContext, out: &mut Vec<u8>) {
    delta(context, out, |w| {
        w.field("role", "assistant");
        w.field("content", "");
    });
}

pub(crate) fn end(context: &AnswerContext, answer: &Answer, out: &mut Vec<u8>) {
    chunk(context, out, |w| {
        choice(w, Some(finish_reason(&answer.stop)), |_| {});
        nothing_used(w, context);
    });
    if context.include_usage {
        chunk(context, out, |w| {
            w.key("choices").raw("[]");
            answer.usage.unwrap_or_default().write_chat(w.key("usage"));
        });
    }
    sse::write(None, "[DONE]", out);
}

pub(crate) fn fail(facts: &ErrorFacts, out: &mut Vec<u8>) {
    write(None, out, |w| {
        w.key("error").object(|w| {
            w.field("message", &facts.message);
            w.field("type", &facts.kind);
            optional(w, "param", facts.param.as_deref());
            optional(w, "code", facts.code.as_deref());
        });
    });
}

/// `"key":"text"` or `"key":null`
pub(super) fn optional(w: &mut Writer, key: &str, text: Option<&str>) {
    match text {
        Some(text) => w.field(key, text),
        None => w.key(key).null(),
    }
}

fn fragment(
    context: &AnswerContext,
    index: u64,
    out: &mut Vec<u8>,
    members: impl FnOnce(&mut Writer),
) {
    delta(context, out, |w| {
        w.key("tool_calls").array(|w| {
            w.object(|w| {
                w.key("index").number(index);
                members(w);
            });
        });
    });
}

fn delta(context: &AnswerContext, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer)) {
    chunk(context, out, |w| {
        choice(w, None, members);
        nothing_used(w, context);
    });
}

fn choice(w: &mut Writer, finish: Option<&str>, members: impl FnOnce(&mut Writer)) {
    w.key("choices").array(|w| {
        w.object(|w| {
            w.key("index").number(0);
            w.key("delta").object(members);
            w.key("logprobs").null();
            optional(w, "finish_reason", finish);
        });
    });
}

/// Callers that want usage get the member in every chunk.
fn nothing_used(w: &mut Writer, context: &AnswerContext) {
    if context.include_usage {
        w.key("usage").null();
    }
}

fn chunk(context: &AnswerContext, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer)) {
    write(None, out, |w| {
        w.field("id", &prefixed("chatcmpl-", &context.id));
        w.field("object", "chat.completion.chunk");
        w.key("created").number(context.created);
        w.field("model", &context.model);
        members(w);
    });
}
