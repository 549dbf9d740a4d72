//! Requests of the chat dialect: a conversation of a given size in which chosen messages are new each time.
//!
//! A text counts as new to the router when one of its bytes is: findings and token counts are kept per text.

use crate::text::{Author, word};

/// Texts of messages are about this long, bytes.
const MESSAGE_BYTES: usize = 2_000;

/// Stands where each request gets a word of its own.
const SLOT: &[u8] = b"@@@@@@@@";

/// Which texts of a conversation are new in each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New {
    /// None: the same request again and again.
    Nothing,
    /// The last one, as in the next turn of a conversation.
    Last,
    /// All of them.
    Everything,
}

/// What a conversation looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// About how long the body is, bytes.
    pub bytes: usize,
    /// How long the last message is, bytes.
    pub last_bytes: usize,
    /// What changes.
    pub new: New,
    /// Tokens of a streamed answer; 0 asks for an answer in one piece.
    pub stream_tokens: u32,
}

/// A request body with places for words that make texts new.
#[derive(Clone, Debug)]
pub struct Conversation {
    body: Vec<u8>,
    slots: Vec<usize>,
}

impl Conversation {
    /// A conversation of this shape. Its last message holds the address of a person.
    pub fn new(shape: &Shape) -> Self {
        let mut author = Author::new(u64::try_from(shape.bytes).unwrap_or(0));
        let slot = |new| {
            if shape.new == New::Everything || shape.new == new { "@@@@@@@@" } else { "together" }
        };
        let last_bytes = shape.last_bytes.min(shape.bytes);
        let mut left = shape.bytes.saturating_sub(last_bytes + 240);
        let mut messages = Vec::new();
        let mut put = |role: &str, text: &str| {
            let text = text.replace('\n', "\\n");
            messages.push(format!("{{\"role\":\"{role}\",\"content\":\"{text}\"}}"));
        };
        let system = (left / 4).clamp(80, 1_500);
        put(
            "system",
            &format!("You write code {}. {}", slot(New::Everything), author.prose(system)),
        );
        left = left.saturating_sub(system);
        let mut role = "user";
        while left > 400 {
            let bytes = left.min(MESSAGE_BYTES);
            put(role, &format!("{} {}", slot(New::Everything), author.mixed(bytes)));
            left = left.saturating_sub(bytes + 45);
            role = if role == "user" { "assistant" } else { "user" };
        }
        let text = author.mixed(last_bytes.saturating_sub(80));
        put("user", &format!("Write to anna.{}@northwind-orders.net {text}", slot(New::Last)));
        let body = format!(
            "{{\"model\":\"bench\",\"stream\":{},\"max_tokens\":{},\"messages\":[{}]}}",
            shape.stream_tokens > 0,
            if shape.stream_tokens > 0 { shape.stream_tokens } else { 256 },
            messages.join(",")
        );
        Self::with_slots(body.into_bytes())
    }

    fn with_slots(body: Vec<u8>) -> Self {
        let slots = body.windows(SLOT.len()).enumerate();
        let slots = slots.filter(|(_, bytes)| *bytes == SLOT).map(|(at, _)| at).collect();
        Self { body, slots }
    }

    /// Bytes of each body.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Appends the body with this number.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&self.body);
        for at in &self.slots {
            let place = from + at..from + at + SLOT.len();
            if let Some(place) = out.get_mut(place) {
                place.copy_from_slice(&word(number));
            }
        }
    }

    /// The body with this number.
    pub fn body(&self, number: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.body.len());
        self.write(number, &mut body);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(new: New, number: u64) -> Vec<String> {
        let shape = Shape { bytes: 10_000, last_bytes: 900, new, stream_tokens: 0 };
        let body = Conversation::new(&shape).body(number);
        assert!((9_000..11_500).contains(&body.len()), "{}", body.len());
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let text = |message: &serde_json::Value| message["content"].as_str().unwrap().to_owned();
        body["messages"].as_array().unwrap().iter().map(text).collect()
    }

    #[test]
    fn exactly_the_texts_that_should_be_new_are_new() {
        for new in [New::Nothing, New::Last, New::Everything] {
            let (one, two) = (messages(new, 1), messages(new, 2));
            let changed: Vec<bool> = one.iter().zip(&two).map(|(a, b)| a != b).collect();
            let (last, before) = changed.split_last().unwrap();
            assert!(before.len() > 3);
            assert_eq!(*last, new != New::Nothing, "{new:?}");
            assert!(before.iter().all(|changed| *changed == (new == New::Everything)), "{new:?}");
        }
    }
}
