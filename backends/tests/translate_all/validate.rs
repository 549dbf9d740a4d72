//! Strict readers of the three kinds of stream. They follow the order of events that clients rely on, share no code with
//! what they check, and give what was said in one form.

use std::collections::BTreeMap;

use router::wire::Dialect;
use serde_json::Value;

/// What a stream said.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<(String, String, String)>,
    /// In the words of the chat dialect.
    pub(crate) stop: String,
    /// Input, cached input, output.
    pub(crate) usage: [u64; 3],
    /// Number of proper ends.
    pub(crate) ends: usize,
    pub(crate) errors: usize,
}

/// Reads a stream that was written here.
pub(crate) fn strictly(dialect: Dialect, stream: &str) -> Said {
    let frames = frames(stream);
    match dialect {
        Dialect::OpenAiChat => chat(&frames),
        Dialect::AnthropicMessages => messages(&frames),
        _ => responses(&frames),
    }
}

fn frames(stream: &str) -> Vec<(Option<String>, String)> {
    assert!(stream.is_empty() || stream.ends_with("\n\n"), "the last frame is cut");
    let blocks = stream.split("\n\n").filter(|block| !block.is_empty());
    blocks
        .filter(|block| *block != ": ping")
        .map(|block| {
            let mut event = None;
            let mut data = None;
            for line in block.lines() {
                match line.split_once(": ").unwrap() {
                    ("event", name) => assert!(event.replace(name.to_owned()).is_none()),
                    ("data", text) => assert!(data.replace(text.to_owned()).is_none()),
                    other => panic!("unexpected line {other:?}"),
                }
            }
            (event, data.unwrap())
        })
        .collect()
}

fn json(data: &str) -> Value {
    serde_json::from_str(data).unwrap()
}

fn chat(frames: &[(Option<String>, String)]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
    let mut finished = false;
    for (at, (event, data)) in frames.iter().enumerate() {
        assert_eq!(*event, None);
        assert_eq!(said.ends + said.errors, 0, "something follows the end");
        if data == "[DONE]" {
            assert!(finished, "an end without a finish reason");
            said.ends += 1;
            continue;
        }
        let chunk = json(data);
        if chunk.get("error").is_some() {
            assert!(chunk["error"]["message"].is_string());
            said.errors += 1;
            continue;
        }
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert!(chunk["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert!(chunk["created"].is_u64() && chunk["model"].is_string());
        let choices = chunk["choices"].as_array().unwrap();
        if choices.is_empty() {
            assert!(finished, "usage before the finish reason");
            said.usage = openai_usage(&chunk["usage"], "prompt", "completion");
            continue;
        }
        assert!(!finished, "a choice after the finish reason");
        let delta = &choices[0]["delta"];
        if at == 0 {
            assert_eq!(delta["role"], "assistant");
        }
        said.text.push_str(delta["content"].as_str().unwrap_or(""));
        said.text.push_str(delta["refusal"].as_str().unwrap_or(""));
        said.reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or(""));
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap();
            if let Some(id) = call["id"].as_str() {
                assert_eq!(index, calls.len() as u64, "indexes count up");
                let name = call["function"]["name"].as_str().unwrap();
                calls.insert(index, (id.to_owned(), name.to_owned(), String::new()));
            }
            let arguments = call["function"]["arguments"].as_str().unwrap();
            calls.get_mut(&index).unwrap().2.push_str(arguments);
        }
        if let Some(reason) = choices[0]["finish_reason"].as_str() {
            reason.clone_into(&mut said.stop);
            finished = true;
        }
    }
    said.calls = calls.into_values().collect();
    said
}

fn openai_usage(usage: &Value, input: &str, output: &str) -> [u64; 3] {
    if usage.is_null() {
        return [0; 3];
    }
    let count = |value: &Value| value.as_u64().unwrap();
    let total = count(&usage["total_tokens"]);
    let (read, made) =
        (count(&usage[format!("{input}_tokens")]), count(&usage[format!("{output}_tokens")]));
    assert_eq!(total, read + made);
    assert!(usage[format!("{output}_tokens_details")]["reasoning_tokens"].is_u64());
    [read, count(&usage[format!("{input}_tokens_details")]["cached_tokens"]), made]
}

#[expect(clippy::too_many_lines, reason = "one event after the other, as the dialect has them")]
fn messages(frames: &[(Option<String>, String)]) -> Said {
    let mut said = Said::default();
    let mut open: Option<(u64, String)> = None;
    let mut next = 0;
    let mut stopped = false;
    for (at, (event, data)) in frames.iter().enumerate() {
        assert_eq!(said.ends + said.errors, 0, "something follows the end");
        let data = json(data);
        let kind = data["type"].as_str().unwrap();
        assert_eq!(event.as_deref(), Some(kind));
        assert_eq!(at == 0, kind == "message_start", "{kind} at {at}");
        match kind {
            "message_start" => {
                let message = &data["message"];
                assert!(message["id"].as_str().unwrap().starts_with("msg_"));
                assert_eq!(message["content"], Value::Array(Vec::new()));
                assert_eq!(message["role"], "assistant");
                assert!(message["usage"]["input_tokens"].is_u64());
            }
            "content_block_start" => {
                assert!(open.is_none() && !stopped);
                assert_eq!(data["index"].as_u64(), Some(next));
                let block = &data["content_block"];
                let kind = block["type"].as_str().unwrap();
                if kind == "tool_use" {
                    let text = |key: &str| block[key].as_str().unwrap().to_owned();
                    said.calls.push((text("id"), text("name"), String::new()));
                }
                open = Some((next, kind.to_owned()));
                next += 1;
            }
            "content_block_delta" => {
                let (index, block) = open.as_ref().unwrap();
                assert_eq!(data["index"].as_u64(), Some(*index));
                let delta = &data["delta"];
                match (delta["type"].as_str().unwrap(), block.as_str()) {
                    ("text_delta", "text") => said.text.push_str(delta["text"].as_str().unwrap()),
                    ("thinking_delta", "thinking") => {
                        said.reasoning.push_str(delta["thinking"].as_str().unwrap());
                    }
                    ("signature_delta", "thinking") => assert!(delta["signature"].is_string()),
                    ("input_json_delta", "tool_use") => {
                        let json = delta["partial_json"].as_str().unwrap();
                        said.calls.last_mut().unwrap().2.push_str(json);
                    }
                    other => panic!("unexpected delta {other:?}"),
                }
            }
            "content_block_stop" => {
                assert_eq!(data["index"].as_u64(), open.take().map(|(index, _)| index));
            }
            "message_delta" => {
                assert!(open.is_none() && !stopped);
                stopped = true;
                said.stop = chat_word(data["delta"]["stop_reason"].as_str().unwrap()).to_owned();
                let count = |key: &str| data["usage"][key].as_u64().unwrap();
                let cached = count("cache_read_input_tokens");
                let input = count("input_tokens") + cached + count("cache_creation_input_tokens");
                said.usage = [input, cached, count("output_tokens")];
            }
            "message_stop" => {
                assert!(stopped, "an end without a reason");
                said.ends += 1;
            }
            "error" => {
                assert!(data["error"]["message"].is_string() && data["error"]["type"].is_string());
                said.errors += 1;
            }
            "ping" => {}
            other => panic!("unexpected event {other}"),
        }
    }
    for (_, _, arguments) in &said.calls {
        if said.ends > 0 {
            assert!(json(arguments).is_object(), "{arguments}");
        }
    }
    said
}

fn chat_word(reason: &str) -> &'static str {
    match reason {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => panic!("unexpected stop reason {other}"),
    }
}

#[expect(clippy::too_many_lines, reason = "one event after the other, as the dialect has them")]
fn responses(frames: &[(Option<String>, String)]) -> Said {
    let mut said = Said::default();
    let mut items: Vec<Value> = Vec::new();
    let mut open: Option<Value> = None;
    let mut delta = String::new();
    for (at, (event, data)) in frames.iter().enumerate() {
        assert_eq!(said.ends + said.errors, 0, "something follows the end");
        let data = json(data);
        let kind = data["type"].as_str().unwrap();
        assert_eq!(event.as_deref(), Some(kind));
        assert_eq!(data["sequence_number"].as_u64(), Some(at as u64));
        assert_eq!(at == 0, kind == "response.created");
        if !kind.starts_with("response.output_item") && data.get("output_index").is_some() {
            let item = open.as_ref().unwrap();
            assert_eq!(data["item_id"], item["id"]);
            assert_eq!(data["output_index"].as_u64(), Some(items.len() as u64));
        }
        match kind {
            "response.created" | "response.in_progress" => {
                assert_eq!(data["response"]["status"], "in_progress");
                assert!(data["response"]["id"].as_str().unwrap().starts_with("resp_"));
            }
            "response.output_item.added" => {
                assert_eq!(data["output_index"].as_u64(), Some(items.len() as u64));
                assert_eq!(data["item"]["status"], "in_progress");
                assert!(open.replace(data["item"].clone()).is_none());
                delta.clear();
            }
            "response.content_part.added" => assert_eq!(data["content_index"], 0),
            "response.output_text.delta"
            | "response.refusal.delta"
            | "response.reasoning_text.delta"
            | "response.function_call_arguments.delta" => {
                delta.push_str(data["delta"].as_str().unwrap());
            }
            "response.output_text.done" | "response.reasoning_text.done" => {
                assert_eq!(data["text"], delta.as_str());
            }
            "response.refusal.done" => assert_eq!(data["refusal"], delta.as_str()),
            "response.function_call_arguments.done" => {
                assert_eq!(data["arguments"], delta.as_str());
                assert!(data["name"].is_string());
            }
            "response.content_part.done" => {
                let part = &data["part"];
                let text = part.get("text").unwrap_or(&part["refusal"]);
                assert_eq!(text, delta.as_str());
            }
            "response.output_item.done" => {
                let item = data["item"].clone();
                let added = open.take().unwrap();
                assert_eq!(item["status"], "completed");
                assert_eq!((&item["id"], &item["type"]), (&added["id"], &added["type"]));
                items.push(item);
            }
            "response.completed" | "response.incomplete" => {
                assert!(open.is_none());
                let response = &data["response"];
                assert_eq!(response["output"], Value::Array(items.clone()));
                assert_eq!(format!("response.{}", response["status"].as_str().unwrap()), kind);
                said.usage = openai_usage(&response["usage"], "input", "output");
                said.stop = match response["incomplete_details"]["reason"].as_str() {
                    Some("max_output_tokens") => "length",
                    Some("content_filter") => "content_filter",
                    Some(other) => panic!("unexpected reason {other}"),
                    None => "stop",
                }
                .to_owned();
                said.ends += 1;
            }
            "response.failed" => {
                assert!(data["response"]["error"]["message"].is_string());
                said.errors += 1;
            }
            other => panic!("unexpected event {other}"),
        }
    }
    of_items(&items, &mut said);
    said
}

/// What output items say.
pub(crate) fn of_items(items: &[Value], said: &mut Said) {
    for item in items {
        match item["type"].as_str().unwrap() {
            "function_call" => {
                let text = |key: &str| item[key].as_str().unwrap().to_owned();
                said.calls.push((text("call_id"), text("name"), text("arguments")));
            }
            kind => {
                for part in item["content"].as_array().unwrap() {
                    let text = part.get("text").unwrap_or(&part["refusal"]).as_str().unwrap();
                    match kind {
                        "reasoning" => said.reasoning.push_str(text),
                        _ => said.text.push_str(text),
                    }
                }
            }
        }
    }
    if !said.calls.is_empty() && said.stop == "stop" {
        "tool_calls".clone_into(&mut said.stop);
    }
}
