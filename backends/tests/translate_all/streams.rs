//! Recorded streams in every direction.

use router::wire::Dialect;
use serde_json::Value;

use crate::{
    support::{self, DIALECTS},
    validate::{self, Said},
};

#[test]
fn recorded_streams_say_the_same_in_every_dialect() {
    let Some(captures) = support::captures() else { return };
    let mut seen = 0;
    for stream in support::recorded_streams(&captures) {
        let expected = plainly(stream.dialect, &stream.body);
        for to in DIALECTS {
            let name = format!("{} to {to:?}", stream.name);
            let (out, result) = support::translated(stream.dialect, to, &[stream.body.as_bytes()]);
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
            let said = validate::strictly(to, &out);
            if expected.errors > 0 {
                assert_eq!((said.ends, said.errors), (0, 1), "{name}");
                continue;
            }
            assert_eq!(said, expected, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

/// What a provider's own stream says, read without any care for order.
fn plainly(dialect: Dialect, stream: &str) -> Said {
    let stream = stream.replace("\r\n", "\n");
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    match dialect {
        Dialect::OpenAiChat => plain_chat(&events),
        Dialect::AnthropicMessages => plain_messages(&events),
        _ => plain_responses(&events),
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn plain_chat(events: &[Value]) -> Said {
    let mut said = Said { ends: 1, ..Said::default() };
    for event in events {
        if event.get("error").is_some() {
            said.errors = 1;
        }
        let usage = event.get("usage").filter(|usage| usage.is_object());
        if let Some(usage) = usage.or_else(|| event["x_groq"].get("usage")) {
            let cached = count(&usage["prompt_tokens_details"]["cached_tokens"]);
            said.usage =
                [count(&usage["prompt_tokens"]), cached, count(&usage["completion_tokens"])];
        }
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        for key in ["content", "refusal"] {
            said.text.push_str(delta[key].as_str().unwrap_or(""));
        }
        for part in delta["content"].as_array().into_iter().flatten() {
            said.text.push_str(part["text"].as_str().unwrap_or(""));
            for part in part["thinking"].as_array().into_iter().flatten() {
                said.reasoning.push_str(part["text"].as_str().unwrap_or(""));
            }
        }
        let reasoning = delta["reasoning_content"].as_str().or(delta["reasoning"].as_str());
        said.reasoning.push_str(reasoning.unwrap_or(""));
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            if let Some(id) = call["id"].as_str() {
                let name = call["function"]["name"].as_str().unwrap();
                said.calls.push((id.to_owned(), name.to_owned(), String::new()));
            }
            let arguments = call["function"]["arguments"].as_str().unwrap_or("");
            said.calls.last_mut().unwrap().2.push_str(arguments);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            reason.clone_into(&mut said.stop);
        }
    }
    said
}

fn plain_messages(events: &[Value]) -> Said {
    let mut said = Said { ends: 1, ..Said::default() };
    let mut kind = "";
    for event in events {
        let block = &event["content_block"];
        if let Some(next) = block["type"].as_str() {
            kind = next;
            if kind == "tool_use" {
                let text = |key: &str| block[key].as_str().unwrap().to_owned();
                said.calls.push((text("id"), text("name"), String::new()));
            }
        }
        let delta = &event["delta"];
        said.text.push_str(delta["text"].as_str().unwrap_or(""));
        said.reasoning.push_str(delta["thinking"].as_str().unwrap_or(""));
        if kind == "tool_use" {
            let json = delta["partial_json"].as_str().unwrap_or("");
            said.calls.last_mut().unwrap().2.push_str(json);
        }
        match delta["stop_reason"].as_str() {
            None => {}
            Some("end_turn") => "stop".clone_into(&mut said.stop),
            Some("tool_use") => "tool_calls".clone_into(&mut said.stop),
            Some(_) => "length".clone_into(&mut said.stop),
        }
        if let Some(usage) = event.get("usage").or_else(|| event["message"].get("usage")) {
            let cached = count(&usage["cache_read_input_tokens"]);
            let written = count(&usage["cache_creation_input_tokens"]);
            if usage.get("input_tokens").is_some() {
                said.usage = [count(&usage["input_tokens"]) + cached + written, cached, 0];
            }
            said.usage[2] = count(&usage["output_tokens"]);
        }
    }
    for call in &mut said.calls {
        if call.2.is_empty() {
            "{}".clone_into(&mut call.2);
        }
    }
    said
}

fn plain_responses(events: &[Value]) -> Said {
    let mut said = Said { ends: 1, ..Said::default() };
    let end = events.iter().rev().find(|event| event["response"]["usage"].is_object()).unwrap();
    let usage = &end["response"]["usage"];
    let cached = count(&usage["input_tokens_details"]["cached_tokens"]);
    said.usage = [count(&usage["input_tokens"]), cached, count(&usage["output_tokens"])];
    "stop".clone_into(&mut said.stop);
    let items = events.iter().filter(|event| event["type"] == "response.output_item.done");
    for item in items.map(|event| &event["item"]) {
        match item["type"].as_str().unwrap() {
            "message" => validate::of_items(std::slice::from_ref(item), &mut said),
            "function_call" => validate::of_items(std::slice::from_ref(item), &mut said),
            "reasoning" => {
                let parts = [&item["summary"], &item["content"]];
                for part in parts.iter().filter_map(|list| list.as_array()).flatten() {
                    said.reasoning.push_str(part["text"].as_str().unwrap());
                }
            }
            _ => {}
        }
    }
    said
}
