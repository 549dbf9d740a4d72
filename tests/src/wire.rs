//! Answers of model servers in each dialect, as their documents describe them; short, but with every part in place.

use serde_json::{Value, json};

use crate::{http::Event, script::Script};

/// A whole answer of the chat dialect.
pub fn chat(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": text, "refusal": null}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    })
}

/// A whole answer of the chat dialect that calls a tool.
pub fn chat_tool(name: &str, arguments: &str) -> Value {
    json!({
        "id": "chatcmpl-2", "object": "chat.completion", "created": 1_700_000_000, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null,
            "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    })
}

/// The events of a stream of the chat dialect, one per piece of text, with usage before the end mark.
pub fn chat_events(pieces: &[&str]) -> Vec<Event> {
    let delta = |delta: &Value, finish: &Value| {
        Event::data(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }))
    };
    let mut events = vec![delta(&json!({"role": "assistant", "content": ""}), &Value::Null)];
    events.extend(pieces.iter().map(|piece| delta(&json!({"content": piece}), &Value::Null)));
    events.push(delta(&json!({}), &json!("stop")));
    events.push(Event::data(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "scripted",
        "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    })));
    events.push(Event::done());
    events
}

/// The events of a tool call in the chat dialect, its arguments in pieces.
pub fn chat_tool_events(name: &str, pieces: &[&str]) -> Vec<Event> {
    let chunk = |delta: &Value, finish: &Value| {
        Event::data(&json!({
            "id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }))
    };
    let begin = json!({"role": "assistant", "content": null, "tool_calls": [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}]});
    let mut events = vec![chunk(&begin, &Value::Null)];
    for piece in pieces {
        let piece = json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
        events.push(chunk(&piece, &Value::Null));
    }
    events.push(chunk(&json!({}), &json!("tool_calls")));
    events.push(Event::done());
    events
}

/// A whole answer of the messages dialect.
pub fn message(text: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 11, "output_tokens": 7,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    })
}

/// The events of a stream of the messages dialect, one per piece of text.
pub fn message_events(pieces: &[&str]) -> Vec<Event> {
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 11, "output_tokens": 1,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}}});
    let mut events = vec![
        Event::typed(&start),
        Event::typed(
            &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        Event::typed(&json!({"type": "ping"})),
    ];
    for piece in pieces {
        let delta = json!({"type": "text_delta", "text": piece});
        events.push(Event::typed(
            &json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        ));
    }
    events.push(Event::typed(&json!({"type": "content_block_stop", "index": 0})));
    events.push(Event::typed(&json!({"type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 7}})));
    events.push(Event::typed(&json!({"type": "message_stop"})));
    events
}

/// A whole answer of the responses dialect.
pub fn response(text: &str) -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "completed",
        "model": "scripted", "error": null, "incomplete_details": null, "parallel_tool_calls": true,
        "tool_choice": "auto", "tools": [],
        "output": [output_message(text)],
        "usage": {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 18},
    })
}

/// The events of a stream of the responses dialect, one per piece of text.
pub fn response_events(pieces: &[&str]) -> Vec<Event> {
    let text = pieces.concat();
    let mut begun = response("");
    if let Some(begun) = begun.as_object_mut() {
        begun.insert("status".to_owned(), json!("in_progress"));
        begun.insert("output".to_owned(), json!([]));
        begun.insert("usage".to_owned(), Value::Null);
    }
    let at = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0});
    let open = json!({"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let mut all = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": open}),
        with(&at, &json!({"type": "response.content_part.added", "part": part("")})),
    ];
    for piece in pieces {
        all.push(with(
            &at,
            &json!({"type": "response.output_text.delta", "delta": piece, "logprobs": []}),
        ));
    }
    all.extend([
        with(&at, &json!({"type": "response.output_text.done", "text": text, "logprobs": []})),
        with(&at, &json!({"type": "response.content_part.done", "part": part(&text)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": output_message(&text)}),
        json!({"type": "response.completed", "response": response(&text)}),
    ]);
    let number = |(index, event): (usize, Value)| {
        Event::typed(&with(&event, &json!({"sequence_number": index})))
    };
    all.into_iter().enumerate().map(number).collect()
}

/// A vector of the embeddings dialect.
pub fn embedding(vector: &[f64]) -> Value {
    json!({
        "object": "list", "model": "scripted", "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    })
}

/// An error as servers of the chat dialect report it.
pub fn error(message: &str, kind: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}

/// A refusal for now, with the seconds to wait.
pub fn rate_limited(seconds: u32) -> Script {
    let body = error("slow down", "rate_limit_exceeded").to_string();
    let headers = [("content-type", "application/json"), ("retry-after", &*seconds.to_string())];
    Script::whole(429, &headers, body.as_bytes())
}

/// The text of a chat answer, whole or streamed.
pub fn chat_text(events: &[Event]) -> String {
    let piece = |event: &Event| {
        let data = event.json();
        data.pointer("/choices/0/delta/content")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    events.iter().map(piece).collect()
}

/// The arguments of the first tool call of a chat stream.
pub fn chat_arguments(events: &[Event]) -> String {
    let piece = |event: &Event| {
        let data = event.json();
        let at = "/choices/0/delta/tool_calls/0/function/arguments";
        data.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    events.iter().map(piece).collect()
}

/// The text of a stream of the messages dialect.
pub fn message_text(events: &[Event]) -> String {
    let piece = |event: &Event| {
        let data = event.json();
        data.pointer("/delta/text").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    events.iter().map(piece).collect()
}

/// The text of a stream of the responses dialect.
pub fn response_text(events: &[Event]) -> String {
    let piece = |event: &Event| {
        let data = event.json();
        let is_text = event.name == "response.output_text.delta";
        if is_text {
            data.get("delta").and_then(Value::as_str).unwrap_or_default().to_owned()
        } else {
            String::new()
        }
    };
    events.iter().map(piece).collect()
}

fn output_message(text: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
}

fn with(base: &Value, more: &Value) -> Value {
    let mut all = more.as_object().cloned().unwrap_or_default();
    all.extend(base.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}
