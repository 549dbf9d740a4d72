//! The three dialects that converse, so that a test can say a thing once and ask it in each.

use serde_json::{Value, json};

use crate::{
    http::{Event, Reply},
    wire,
};

/// A dialect in which a caller converses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/responses`
    Responses,
}

/// All of them.
pub const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Messages, Dialect::Responses];

impl Dialect {
    /// Where it is spoken.
    pub fn target(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
        }
    }

    /// Its name in the router file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Messages => "messages",
            Self::Responses => "responses",
        }
    }

    /// The provider whose backends speak it, in the router file.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Chat => "openai-compatible",
            Self::Messages => "anthropic",
            Self::Responses => "openai",
        }
    }

    /// A request with one message.
    pub fn ask(self, prompt: &str, stream: bool) -> Value {
        match self {
            Self::Chat => json!({"model": "auto", "stream": stream,
                "messages": [{"role": "user", "content": prompt}]}),
            Self::Messages => json!({"model": "auto", "stream": stream, "max_tokens": 256,
                "messages": [{"role": "user", "content": prompt}]}),
            Self::Responses => {
                json!({"model": "auto", "stream": stream, "store": false, "input": prompt})
            }
        }
    }

    /// The text of a whole answer or of a stream.
    pub fn text(self, reply: &Reply) -> String {
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return self.stream_text(&reply.events());
        }
        let body = reply.json();
        let at = match self {
            Self::Chat => "/choices/0/message/content",
            Self::Messages => "/content/0/text",
            Self::Responses => "/output/0/content/0/text",
        };
        body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The text of a stream.
    pub fn stream_text(self, events: &[Event]) -> String {
        match self {
            Self::Chat => wire::chat_text(events),
            Self::Messages => wire::message_text(events),
            Self::Responses => wire::response_text(events),
        }
    }

    /// The events of a stream as a server of this dialect sends them.
    pub fn events(self, pieces: &[&str]) -> Vec<Event> {
        match self {
            Self::Chat => wire::chat_events(pieces),
            Self::Messages => wire::message_events(pieces),
            Self::Responses => wire::response_events(pieces),
        }
    }

    /// How often the stream says that it is over: by its end mark or by an error.
    pub fn endings(self, events: &[Event]) -> usize {
        events.iter().filter(|event| self.is_end(event) || self.is_error(event)).count()
    }

    /// The same for a whole reply; nothing may come after it.
    pub fn events_ended(self, reply: &Reply) -> usize {
        self.endings(&reply.events())
    }

    /// Whether an event reports an error.
    pub fn is_error(self, event: &Event) -> bool {
        let data = event.json();
        match self {
            Self::Chat => data.get("error").is_some_and(Value::is_object),
            Self::Messages => event.name == "error",
            Self::Responses => matches!(event.name.as_str(), "error" | "response.failed"),
        }
    }

    /// Whether an event is the proper end.
    pub fn is_end(self, event: &Event) -> bool {
        match self {
            Self::Chat => event.data == "[DONE]",
            Self::Messages => event.name == "message_stop",
            Self::Responses => {
                matches!(event.name.as_str(), "response.completed" | "response.incomplete")
            }
        }
    }

    /// Fails the test unless the body is an error as this dialect writes it; gives its message.
    pub fn error_message(self, reply: &Reply) -> String {
        let body = reply.json();
        if self == Self::Messages {
            assert_eq!(body["type"], "error", "{body}");
        }
        assert!(body["error"]["type"].is_string(), "{body}");
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{body}");
        message.to_owned()
    }
}
