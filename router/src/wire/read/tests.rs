use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::wire::{Dialect::*, Disposal, Edit, Given, Part, detachment, model_edit, splice};

mod refused;
mod taken;

fn read_value(dialect: Dialect, body: &Value, check: impl FnOnce(&View<'_>, &[u8])) {
    let body = serde_json::to_vec(body).unwrap();
    check(&read(dialect, &body).unwrap(), &body);
}

/// The body after the edits, as a value.
fn edited(body: &[u8], edits: Vec<Edit>) -> Value {
    let body = splice(&Bytes::copy_from_slice(body), edits).concat();
    serde_json::from_slice(&body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)))
}

/// Each segment whose text is among `texts`: text, role, part and turn.
fn found<'t>(view: &View<'_>, texts: &[&'t str]) -> Vec<(&'t str, Role, Part, Option<u32>)> {
    let named = |text: &str| texts.iter().find(|wanted| **wanted == text).copied();
    view.segments
        .iter()
        .filter_map(|s| named(&s.text).map(|text| (text, s.role, s.part, s.turn)))
        .collect()
}

/// Checks that each of these texts is one segment, with this role, part and turn, in this order.
fn check_segments(dialect: Dialect, body: &Value, wanted: &[(&str, Role, Part, Option<u32>)]) {
    let texts: Vec<&str> = wanted.iter().map(|(text, ..)| *text).collect();
    read_value(dialect, body, |view, _| assert_eq!(found(view, &texts), wanted));
}

#[test]
fn the_chat_dialect_says_who_wrote_what() {
    let body = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "be good"},
            {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "hello"}]},
            {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "read_file", "arguments": "{\"path\":\"x\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_2", "content": "file text"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "read_file2", "description": "reads it",
            "parameters": {"type": "object", "properties": {"path_name": {
                "type": "string", "description": "where", "enum": ["one", "two"],
            }}},
        }}],
        "stop": ["END"],
        "user": "ann@example.com",
    });
    let (system, user, assistant) = (Role::System, Role::User, Role::Assistant);
    let wanted = [
        ("be good", system, Part::Prose, Some(0)),
        ("be brief", system, Part::Prose, Some(1)),
        ("ann", user, Part::Field, Some(2)),
        ("hello", user, Part::Prose, Some(2)),
        ("hm", assistant, Part::Prose, Some(3)),
        ("call_1", Role::Other, Part::Field, Some(3)),
        ("read_file", assistant, Part::Field, Some(3)),
        ("{\"path\":\"x\"}", assistant, Part::Json, Some(3)),
        ("call_2", Role::Other, Part::Field, Some(4)),
        ("file text", Role::Tool, Part::Prose, Some(4)),
        ("read_file2", system, Part::Field, None),
        ("reads it", system, Part::Prose, None),
        ("path_name", system, Part::Field, None),
        ("where", system, Part::Prose, None),
        ("one", system, Part::Field, None),
        ("two", system, Part::Field, None),
        ("END", Role::Other, Part::Field, None),
        ("ann@example.com", Role::Other, Part::Field, None),
    ];
    check_segments(OpenAiChat, &body, &wanted);
}

#[test]
fn the_messages_dialect_says_who_wrote_what() {
    let body = json!({
        "model": "m", "max_tokens": 9,
        "system": [{"type": "text", "text": "be good", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "Write",
                 "input": {"file_path": "a.txt", "content": "my text"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "done"},
                {"type": "tool_result", "content": [{"type": "text", "text": "more"}]},
                {"type": "text", "text": "go on", "cache_control": {"type": "1h-mark"}},
                {"type": "document", "title": "plan", "source":
                    {"type": "text", "media_type": "text/plain", "data": "the plan"}},
            ]},
            {"role": "system", "content": "mid-way"},
        ],
        "tools": [{"name": "Write2", "description": "writes", "input_schema": {"type": "object"}}],
    });
    let (system, user, assistant) = (Role::System, Role::User, Role::Assistant);
    let wanted = [
        ("be good", system, Part::Prose, None),
        ("ephemeral", Role::Other, Part::Field, None),
        ("hello", user, Part::Prose, Some(0)),
        ("hm", assistant, Part::Prose, Some(1)),
        ("toolu_1", Role::Other, Part::Field, Some(1)),
        ("Write", assistant, Part::Field, Some(1)),
        ("file_path", assistant, Part::Field, Some(1)),
        ("a.txt", assistant, Part::Prose, Some(1)),
        ("my text", assistant, Part::Prose, Some(1)),
        ("toolu_2", Role::Other, Part::Field, Some(2)),
        ("done", Role::Tool, Part::Prose, Some(2)),
        ("more", Role::Tool, Part::Prose, Some(2)),
        ("go on", user, Part::Prose, Some(2)),
        ("1h-mark", Role::Other, Part::Field, None),
        ("plan", user, Part::Prose, Some(2)),
        ("the plan", user, Part::Prose, Some(2)),
        ("mid-way", system, Part::Prose, Some(3)),
        ("Write2", system, Part::Field, None),
        ("writes", system, Part::Prose, None),
    ];
    check_segments(AnthropicMessages, &body, &wanted);
}

#[test]
fn the_responses_dialect_says_who_wrote_what() {
    let body = json!({
        "model": "m",
        "instructions": "be good",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
            {"type": "message", "role": "user",
             "content": [{"type": "input_text", "text": "hello"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "call_id": "call_1", "name": "shell",
             "arguments": "{\"cmd\":\"ls\"}"},
            {"type": "function_call_output", "call_id": "call_2", "output": "a b c"},
            {"type": "custom_tool_call", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output",
             "output": [{"type": "input_text", "text": "patched"}]},
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["cat", "x y"]}},
            {"type": "message", "role": "assistant",
             "content": [{"type": "output_text", "text": "done"}]},
        ],
        "tools": [{"type": "namespace", "name": "ns", "tools": [
            {"type": "function", "name": "inner", "description": "inner text"},
        ]}],
        "text": {"format": {"type": "json_schema", "name": "answer", "schema":
            {"properties": {"street_name": {"type": "string"}}}}},
    });
    let (system, user, assistant) = (Role::System, Role::User, Role::Assistant);
    let wanted = [
        ("be good", system, Part::Prose, None),
        ("be brief", system, Part::Prose, Some(0)),
        ("hello", user, Part::Prose, Some(1)),
        ("hm", assistant, Part::Prose, Some(2)),
        ("call_1", Role::Other, Part::Field, Some(3)),
        ("shell", assistant, Part::Field, Some(3)),
        ("{\"cmd\":\"ls\"}", assistant, Part::Json, Some(3)),
        ("call_2", Role::Other, Part::Field, Some(4)),
        ("a b c", Role::Tool, Part::Prose, Some(4)),
        ("patch", assistant, Part::Field, Some(5)),
        ("*** Begin", assistant, Part::Prose, Some(5)),
        ("patched", Role::Tool, Part::Prose, Some(6)),
        ("cat", assistant, Part::Prose, Some(7)),
        ("x y", assistant, Part::Prose, Some(7)),
        ("done", assistant, Part::Prose, Some(8)),
        ("ns", system, Part::Field, None),
        ("inner", system, Part::Field, None),
        ("inner text", system, Part::Prose, None),
        ("answer", system, Part::Field, None),
        ("street_name", system, Part::Field, None),
    ];
    check_segments(OpenAiResponses, &body, &wanted);
}

#[test]
fn texts_of_the_other_dialects_are_turns_of_the_user() {
    let prose = |text, turn| (text, Role::User, Part::Prose, Some(turn));
    let cases = [
        (OpenAiResponses, json!({"model": "m", "input": "one text"}), vec![prose("one text", 0)]),
        (OpenAiCompletions, json!({"model": "m", "prompt": "a b"}), vec![prose("a b", 0)]),
        (
            OpenAiCompletions,
            json!({"model": "m", "prompt": ["a b", "c"]}),
            vec![prose("a b", 0), prose("c", 1)],
        ),
        (OpenAiEmbeddings, json!({"model": "m", "input": ["x y"]}), vec![prose("x y", 0)]),
    ];
    for (dialect, body, wanted) in cases {
        check_segments(dialect, &body, &wanted);
        read_value(dialect, &body, |view, _| {
            assert_eq!(view.messages.len(), wanted.len(), "{body}");
            assert_eq!(view.anchor, Some(0), "{body}");
        });
    }
}

#[test]
fn names_are_segments_where_they_are_data() {
    let body = json!({
        "model": "m", "max_tokens": 1,
        "messages": [{"role": "assistant", "content": [
            {"type": "tool_use", "id": "t", "name": "n", "input": {"key_in_input": {"deep key": 1}}},
        ], "key-in-message": true}],
        "metadata": {"key-in-metadata": "v"},
        "key-in-root": {"key below": [{"key lowest": 0}]},
        "tool_choice": {"type": "auto", "key-in-choice": 1},
        "logit_bias": {"50256": -100},
    });
    read_value(AnthropicMessages, &body, |view, _| {
        let names: Vec<&str> = view.segments.iter().filter(|s| s.key).map(|s| &*s.text).collect();
        let wanted = [
            "key_in_input",
            "deep key",
            "key-in-message",
            "key-in-metadata",
            "key-in-root",
            "key below",
            "key lowest",
            "key-in-choice",
            "50256",
        ];
        assert_eq!(names, wanted);
        assert!(view.segments.iter().all(|s| s.text != "messages" && s.text != "role"));
    });
}

#[test]
fn long_numbers_are_segments_where_a_person_could_have_put_them() {
    let body = json!({
        "model": "m", "max_tokens": 1_234_567_890, "seed": 1_234_567_890,
        "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n",
            "input": {"card": 4_111_111_111_111_111_u64, "short": 12_345_678, "float": 0.123_456_789}}]}],
        "tools": [{"name": "t", "input_schema": {"maximum": 9_007_199_254_740_991_u64}}],
        "unknown": [-123_456_789],
    });
    read_value(AnthropicMessages, &body, |view, body| {
        let numbers: Vec<&str> =
            view.segments.iter().filter(|s| s.number).map(|s| &*s.text).collect();
        assert_eq!(numbers, ["4111111111111111", "0.123456789", "-123456789"]);
        let card = view.segments.iter().find(|s| s.number).unwrap();
        assert_eq!(&body[card.span.clone()], b"4111111111111111");
        assert_eq!((card.role, card.part), (Role::Assistant, Part::Field));
    });
}
