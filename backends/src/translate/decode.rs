//! Frames of a stream to [`Event`]s; one file a dialect.

mod chat;
mod messages;
mod responses;

use router::wire::Dialect;

use crate::translate::{
    TranslateError,
    answer::invalid,
    event::Event,
    json::{self, Object},
};

/// Reads one backend's stream.
#[derive(Debug)]
pub(crate) enum Decoder {
    Chat(chat::Decoder),
    Messages(messages::Decoder),
    Responses(responses::Decoder),
}

impl Decoder {
    /// A decoder for `dialect`; `None` if it has no streams that are translated.
    pub(crate) fn new(dialect: Dialect) -> Option<Self> {
        Some(match dialect {
            Dialect::OpenAiChat => Self::Chat(chat::Decoder::default()),
            Dialect::AnthropicMessages => Self::Messages(messages::Decoder::default()),
            Dialect::OpenAiResponses => Self::Responses(responses::Decoder::default()),
            _ => return None,
        })
    }

    /// Reads the data of one frame.
    ///
    /// # Errors
    /// `invalid_answer` for data that does not follow the dialect.
    pub(crate) fn frame(
        &mut self,
        name: Option<&str>,
        data: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let data = data.trim();
        if data.is_empty() {
            // Comments, which backends send to keep the connection alive.
            events.push(Event::Ping);
            return Ok(());
        }
        if data == "[DONE]" {
            if let Self::Chat(decoder) = self {
                decoder.end(events);
            }
            return Ok(());
        }
        let root = json::document(data.as_bytes()).map_err(invalid)?;
        let root = root.object().map_err(invalid)?;
        match self {
            Self::Chat(decoder) => decoder.chunk(&root, events),
            Self::Messages(decoder) => decoder.event(&kind(name, &root), &root, events),
            Self::Responses(decoder) => decoder.event(&kind(name, &root), &root, events),
        }
        .map_err(invalid)
    }

    /// The stream has ended. Servers of the chat dialect that leave `[DONE]` out have said everything with the finish
    /// reason.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) {
        if let Self::Chat(decoder) = self {
            decoder.end(events);
        }
    }
}

/// The type of an event: in its data, or else in its `event:` line.
fn kind(name: Option<&str>, root: &Object<'_, '_>) -> String {
    match root.text("type") {
        Some(kind) => kind.into_owned(),
        None => name.unwrap_or_default().to_owned(),
    }
}
