//! The stream of `POST /v1/responses`.

use crate::translate::{
    AnswerContext,
    answer::{
        Answer, Kind, Stop,
        responses::{Status, content_part, item, item_id, response},
    },
    encode::write,
    failure::ErrorFacts,
    json::Writer,
};

/// What was written so far.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Number of the next event.
    sequence: u64,
    /// Index of the next output item; the open one has the one before.
    next: usize,
}

impl Encoder {
    pub(crate) fn start(&mut self, context: &AnswerContext, out: &mut Vec<u8>) {
        for kind in ["response.created", "response.in_progress"] {
            self.event(kind, out, |w| {
                w.key("response").object(|w| response(w, context, Status::InProgress));
            });
        }
    }

    pub(crate) fn begin(&mut self, context: &AnswerContext, kind: &Kind, out: &mut Vec<u8>) {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        self.event("response.output_item.added", out, |w| {
            w.key("output_index").number(number(index));
            w.key("item").object(|w| item(w, context, index, None, kind));
        });
        if !matches!(kind, Kind::Call { .. }) {
            self.part("response.content_part.added", (context, kind), "", out);
        }
    }

    pub(crate) fn text(
        &mut self,
        context: &AnswerContext,
        kind: &Kind,
        text: &str,
        out: &mut Vec<u8>,
    ) {
        let name = match kind {
            Kind::Text => "response.output_text.delta",
            Kind::Refusal => "response.refusal.delta",
            Kind::Reasoning => "response.reasoning_text.delta",
            Kind::Call { .. } => "response.function_call_arguments.delta",
        };
        self.place(name, (context, kind), out, |w| {
            w.field("delta", text);
            if *kind == Kind::Text {
                w.key("logprobs").raw("[]");
            }
        });
    }

    pub(crate) fn done(
        &mut self,
        context: &AnswerContext,
        kind: &Kind,
        text: &str,
        out: &mut Vec<u8>,
    ) {
        let (name, key) = match kind {
            Kind::Text => ("response.output_text.done", "text"),
            Kind::Refusal => ("response.refusal.done", "refusal"),
            Kind::Reasoning => ("response.reasoning_text.done", "text"),
            Kind::Call { .. } => ("response.function_call_arguments.done", "arguments"),
        };
        self.place(name, (context, kind), out, |w| {
            w.field(key, text);
            match kind {
                Kind::Text => w.key("logprobs").raw("[]"),
                Kind::Call { name, .. } => w.field("name", context.tool_names.name(name)),
                Kind::Refusal | Kind::Reasoning => {}
            }
        });
        if !matches!(kind, Kind::Call { .. }) {
            self.part("response.content_part.done", (context, kind), text, out);
        }
        let index = self.open();
        self.event("response.output_item.done", out, |w| {
            w.key("output_index").number(number(index));
            w.key("item").object(|w| item(w, context, index, Some(text), kind));
        });
    }

    pub(crate) fn end(&mut self, context: &AnswerContext, answer: &Answer, out: &mut Vec<u8>) {
        let kind = match answer.stop {
            Stop::Length | Stop::Filter => "response.incomplete",
            Stop::End | Stop::Calls | Stop::Sequence(_) => "response.completed",
        };
        self.event(kind, out, |w| {
            w.key("response").object(|w| response(w, context, Status::Ended(answer)));
        });
    }

    pub(crate) fn fail(&mut self, context: &AnswerContext, facts: &ErrorFacts, out: &mut Vec<u8>) {
        let code = facts.code.as_deref().unwrap_or("server_error");
        let status = Status::Failed(code, &facts.message);
        self.event("response.failed", out, |w| {
            w.key("response").object(|w| response(w, context, status));
        });
    }

    fn part(
        &mut self,
        name: &str,
        (context, kind): (&AnswerContext, &Kind),
        text: &str,
        out: &mut Vec<u8>,
    ) {
        self.place(name, (context, kind), out, |w| {
            w.key("part").object(|w| content_part(w, kind, text));
        });
    }

    /// An event about the open item.
    fn place(
        &mut self,
        name: &str,
        (context, kind): (&AnswerContext, &Kind),
        out: &mut Vec<u8>,
        members: impl FnOnce(&mut Writer),
    ) {
        let index = self.open();
        self.event(name, out, |w| {
            w.field("item_id", &item_id(context, index, kind));
            w.key("output_index").number(number(index));
            if !matches!(kind, Kind::Call { .. }) {
                w.key("content_index").number(0);
            }
            members(w);
        });
    }

    fn event(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer)) {
        let sequence = self.sequence;
        self.sequence = self.sequence.saturating_add(1);
        write(Some(kind), out, |w| {
            w.field("type", kind);
            w.key("sequence_number").number(sequence);
            members(w);
        });
    }

    fn open(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

/// An index as a JSON number; it counts items in memory, so it always fits.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}
