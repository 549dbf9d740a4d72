//! Blocks of an answer as a stream; one file a dialect.
//!
//! A caller of any of these gets: one start, blocks one after the other, exactly one end or one error.

mod chat;
mod messages;
mod responses;

use router::{sse, wire::Dialect};

use crate::translate::{
    AnswerContext,
    answer::{Answer, Kind},
    failure::ErrorFacts,
    json::Writer,
    usage::Usage,
};

/// Writes one caller's stream.
#[derive(Debug)]
pub(crate) enum Encoder {
    Chat(chat::Encoder),
    Messages(messages::Encoder),
    Responses(responses::Encoder),
}

impl Encoder {
    /// An encoder for `dialect`; `None` if it has no streams that are translated.
    pub(crate) fn new(dialect: Dialect) -> Option<Self> {
        Some(match dialect {
            Dialect::OpenAiChat => Self::Chat(chat::Encoder::default()),
            Dialect::AnthropicMessages => Self::Messages(messages::Encoder::default()),
            Dialect::OpenAiResponses => Self::Responses(responses::Encoder::default()),
            _ => return None,
        })
    }

    /// The backend has begun. `usage` is what it said of it so far.
    pub(crate) fn start(&mut self, context: &AnswerContext, usage: Usage, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) => chat::start(context, out),
            Self::Messages(_) => messages::start(context, usage, out),
            Self::Responses(encoder) => encoder.start(context, out),
        }
    }

    pub(crate) fn begin(&mut self, context: &AnswerContext, kind: &Kind, out: &mut Vec<u8>) {
        match self {
            Self::Chat(encoder) => encoder.begin(context, kind, out),
            Self::Messages(encoder) => encoder.begin(context, kind, out),
            Self::Responses(encoder) => encoder.begin(context, kind, out),
        }
    }

    pub(crate) fn text(
        &mut self,
        context: &AnswerContext,
        kind: &Kind,
        text: &str,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Chat(encoder) => encoder.text(context, kind, text, out),
            Self::Messages(encoder) => encoder.text(kind, text, out),
            Self::Responses(encoder) => encoder.text(context, kind, text, out),
        }
    }

    /// The block is whole.
    pub(crate) fn done(
        &mut self,
        context: &AnswerContext,
        kind: &Kind,
        text: &str,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Chat(_) => {}
            Self::Messages(encoder) => encoder.done(kind, out),
            Self::Responses(encoder) => encoder.done(context, kind, text, out),
        }
    }

    /// The backend is alive.
    pub(crate) fn ping(&self, out: &mut Vec<u8>) {
        match self {
            Self::Messages(_) => sse::write(Some("ping"), r#"{"type":"ping"}"#, out),
            // These have no event for it; a comment keeps the connection alive too.
            Self::Chat(_) | Self::Responses(_) => out.extend_from_slice(b": ping\n\n"),
        }
    }

    /// The answer is whole.
    pub(crate) fn end(&mut self, context: &AnswerContext, answer: &Answer, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) => chat::end(context, answer, out),
            Self::Messages(_) => messages::end(answer, out),
            Self::Responses(encoder) => encoder.end(context, answer, out),
        }
    }

    /// The answer will never be whole.
    pub(crate) fn fail(&mut self, context: &AnswerContext, facts: &ErrorFacts, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) => chat::fail(facts, out),
            Self::Messages(_) => messages::fail(facts, out),
            Self::Responses(encoder) => encoder.fail(context, facts, out),
        }
    }
}

/// Appends an event whose data is an object of these members.
fn write(event: Option<&str>, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer)) {
    let mut w = Writer::with_room(512);
    w.object(members);
    sse::write(event, &w.into_string(), out);
}
