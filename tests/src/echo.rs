//! An upstream that answers with the words it was sent, in the dialect it was asked in.
//!
//! It shows both what a backend may see and what a caller gets back: nothing is known to it that was not sent.

use serde_json::{Value, json};

use crate::{
    http::Event,
    script::Script,
    upstream::{ScriptedUpstream, Seen},
    wire,
};

/// How the echo is cut when it streams.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Characters in one delta.
    pub delta: usize,
    /// Bytes in one write; 0 writes event by event.
    pub write: usize,
}

impl Cut {
    /// One delta, one write per event.
    pub const NONE: Self = Self { delta: usize::MAX, write: 0 };
}

/// Starts an echo.
pub fn upstream(cut: Cut) -> ScriptedUpstream {
    ScriptedUpstream::start(move |seen, _| answer(seen, cut))
}

/// The answer to one request: a tool call with the words as argument when tools are offered, else text.
pub fn answer(seen: &Seen, cut: Cut) -> Script {
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let text = format!("you said: {}", last_words(&body));
    let streams = body.get("stream").and_then(Value::as_bool).unwrap_or_default();
    let path = seen.target.split('?').next().unwrap_or_default();
    let tool = body.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty());
    let arguments = json!({"said": last_words(&body), "count": 1}).to_string();
    if path.ends_with("/embeddings") {
        return Script::json(200, &wire::embedding(&[0.25, -0.5]));
    }
    if path.ends_with("/messages") {
        return reply(streams, cut, &wire::message(&text), || {
            wire::message_events(&refs(&pieces(&text, cut.delta)))
        });
    }
    if path.ends_with("/responses") {
        return reply(streams, cut, &wire::response(&text), || {
            wire::response_events(&refs(&pieces(&text, cut.delta)))
        });
    }
    if tool {
        let whole = wire::chat_tool("note", &arguments);
        return reply(streams, cut, &whole, || {
            wire::chat_tool_events("note", &refs(&pieces(&arguments, cut.delta)))
        });
    }
    reply(streams, cut, &wire::chat(&text), || wire::chat_events(&refs(&pieces(&text, cut.delta))))
}

/// The text of the last message, wherever the dialect keeps it.
pub fn last_words(body: &Value) -> String {
    let last = ["messages", "input"].iter().find_map(|key| body.get(key));
    match last {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.last().map(words).unwrap_or_default(),
        _ => String::new(),
    }
}

fn words(message: &Value) -> String {
    match message.get("content").or_else(|| message.get("output")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        _ => String::new(),
    }
}

fn reply(streams: bool, cut: Cut, whole: &Value, events: impl Fn() -> Vec<Event>) -> Script {
    if !streams {
        Script::json(200, whole)
    } else if cut.write == 0 {
        Script::events(&events())
    } else {
        Script::events_cut(&events(), cut.write)
    }
}

/// Pieces of at most `most` characters.
fn pieces(text: &str, most: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(most.max(1)).map(|piece| piece.iter().collect()).collect()
}

fn refs(pieces: &[String]) -> Vec<&str> {
    pieces.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Ask;

    #[test]
    fn every_dialect_gets_its_own_words_back() {
        let upstream = upstream(Cut { delta: 2, write: 5 });
        let chat = json!({"stream": true, "messages": [{"role": "user", "content": "hello you"}]});
        let responses = json!({"stream": true, "input": "hello you"});
        let reply = Ask::post("/v1/chat/completions", &chat).send(upstream.address());
        assert_eq!(wire::chat_text(&reply.events()), "you said: hello you");
        let reply = Ask::post("/v1/messages?beta=true", &chat).send(upstream.address());
        assert_eq!(wire::message_text(&reply.events()), "you said: hello you");
        let reply = Ask::post("/v1/responses", &responses).send(upstream.address());
        assert_eq!(wire::response_text(&reply.events()), "you said: hello you");
    }
}
