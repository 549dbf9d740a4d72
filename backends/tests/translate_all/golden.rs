//! Golden requests and answers: what each case becomes in the other dialects.
//!
//! The cases are written here; the results lie in `tests/golden/translate`.

use backends::translate::{self, LateSystem, RequestOptions};
use router::wire::Dialect::{self, AnthropicMessages, OpenAiChat, OpenAiResponses};
use serde_json::{Value, json};

use crate::support::{self, DIALECTS};

/// Compares `text` with the golden file `name`.
pub(crate) fn assert(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../golden/translate");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn check_request(name: &str, from: Dialect, body: &Value) {
    let body = serde_json::to_vec(body).unwrap();
    let mut text = String::new();
    for to in DIALECTS.into_iter().filter(|to| *to != from) {
        let made = translate::request(from, to, &body, &RequestOptions::new("backend-model"));
        text.push_str(&shown(to, made));
    }
    assert(&format!("request_{}_{name}", word(from)), &text);
}

fn check_answer(name: &str, from: Dialect, body: &Value) {
    let body = serde_json::to_vec(body).unwrap();
    let mut text = String::new();
    for to in DIALECTS.into_iter().filter(|to| *to != from) {
        text.push_str(&shown(to, translate::answer(from, to, &body, &support::context())));
    }
    assert(&format!("answer_{}_{name}", word(from)), &text);
}

fn shown(to: Dialect, made: Result<Vec<u8>, translate::TranslateError>) -> String {
    let text = match made {
        Ok(body) => {
            let body: Value = serde_json::from_slice(&body).unwrap();
            serde_json::to_string_pretty(&body).unwrap()
        }
        Err(error) => format!("{error} ({})", error.code),
    };
    format!("--- {to:?}\n{text}\n")
}

fn word(dialect: Dialect) -> &'static str {
    match dialect {
        OpenAiChat => "chat",
        AnthropicMessages => "messages",
        _ => "responses",
    }
}

const PIXEL: &str = "iVBORw0KGgo=";

#[test]
#[expect(clippy::too_many_lines, reason = "cases as data")]
fn requests_of_the_chat_dialect() {
    let weather = json!({"type": "function", "function": {
        "name": "weather", "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": true}});
    let cases = [
        (
            "text",
            json!({"model": "m", "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": [{"type": "text", "text": "No lists."}]},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}],
                "stream": true, "stream_options": {"include_usage": false},
                "temperature": 1.5, "top_p": 0.9, "max_tokens": 5, "max_completion_tokens": 100,
                "user": "u", "store": false, "n": 1, "metadata": {"a": "b"}, "prompt_cache_key": "k"}),
        ),
        (
            "tools",
            json!({"model": "m", "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                    {"id": "call.1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\", \"n\": 1.50}"}},
                    {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "call.1", "content": "sunny"},
                {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
                {"role": "user", "content": "And?"}],
                "tools": [weather], "tool_choice": "required", "parallel_tool_calls": false}),
        ),
        (
            "forced_tool_with_effort",
            json!({"model": "m", "messages": [{"role": "user", "content": "Weather?"}],
                "tools": [weather], "reasoning_effort": "high",
                "tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ),
        (
            "media",
            json!({"model": "m", "messages": [{"role": "user", "content": [
                {"type": "text", "text": ""},
                {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PIXEL}"), "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]}]}),
        ),
        (
            "schema",
            json!({"model": "m", "messages": [{"role": "user", "content": "Name a city."}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "city", "strict": true,
                    "schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}}}}),
        ),
        (
            "json_without_schema",
            json!({"model": "m", "messages": [{"role": "user", "content": "JSON"}],
                "response_format": {"type": "json_object"}}),
        ),
        (
            "system_in_the_middle",
            json!({"model": "m", "messages": [
                {"role": "assistant", "content": "I start."},
                {"role": "system", "content": "From now on in French."},
                {"role": "user", "content": "Go on."},
                {"role": "system", "content": ""},
                {"role": "user", "content": "Please."}],
                "stop": "END", "reasoning_effort": "minimal"}),
        ),
        (
            "prefill",
            json!({"model": "m", "messages": [{"role": "user", "content": "JSON"}, {"role": "assistant", "content": "{"}]}),
        ),
        (
            "history_of_tools_without_tools",
            json!({"model": "m", "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "refusal": "Not that.", "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "sunny"}]}),
        ),
    ];
    for (name, body) in cases {
        check_request(name, OpenAiChat, &body);
    }
}

#[test]
fn later_system_messages_go_where_the_operator_says() {
    let body = json!({"model": "m", "max_tokens": 9, "system": "First.", "messages": [
        {"role": "user", "content": "Hi"}, {"role": "system", "content": "Later."}, {"role": "user", "content": "Go on."}]});
    let body = serde_json::to_vec(&body).unwrap();
    let messages = |late_system| {
        let options = RequestOptions { late_system, ..RequestOptions::new("m") };
        let made = translate::request(AnthropicMessages, OpenAiChat, &body, &options).unwrap();
        let made: Value = serde_json::from_slice(&made).unwrap();
        let list = made["messages"].as_array().unwrap().clone();
        let shown = list.iter().map(|message| {
            let parts = message["content"].as_array().cloned().unwrap_or_default();
            let texts = parts.iter().map(|part| part["text"].as_str().unwrap().to_owned());
            let text = message["content"].as_str().map(str::to_owned);
            let text = text.unwrap_or_else(|| texts.collect::<Vec<String>>().join(" | "));
            format!("{}: {text}", message["role"].as_str().unwrap())
        });
        shown.collect::<Vec<String>>()
    };
    let in_place = ["system: First.", "user: Hi", "system: Later.", "user: Go on."];
    for late_system in [None, Some(LateSystem::InPlace)] {
        assert_eq!(messages(late_system), in_place, "{late_system:?}");
    }
    let one_turn = ["system: First.", "user: Hi | <system>\nLater.\n</system> | Go on."];
    assert_eq!(messages(Some(LateSystem::AsUser)), one_turn, "speakers take turns");
    let hoisted = messages(Some(LateSystem::Hoist));
    assert_eq!(hoisted, ["system: First.\n\nLater.", "user: Hi", "user: Go on."]);
}

#[test]
fn requests_of_the_anthropic_dialect() {
    let cases = [
        (
            "text",
            json!({"model": "m", "max_tokens": 50, "system": [
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "No lists."}],
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
                    {"role": "assistant", "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "redacted_thinking", "data": "d"},
                        {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]},
                    {"role": "system", "content": "From now on in French.", "output_config": {"effort": "low"}},
                    {"role": "user", "content": "Go on."}],
                "stream": true, "temperature": 0.5, "metadata": {"user_id": "u"}, "service_tier": "auto",
                "thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}),
        ),
        (
            "tools",
            json!({"model": "m", "max_tokens": 50,
                "messages": [
                    {"role": "user", "content": "Look"},
                    {"role": "assistant", "content": [
                        {"type": "text", "text": "Looking."},
                        {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.png", "n": 1.50}},
                        {"type": "tool_use", "id": "toolu_2", "name": "read", "input": {}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [
                            {"type": "text", "text": "a picture"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]},
                        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such file", "is_error": true},
                        {"type": "text", "text": "Well?"}]}],
                "tools": [{"name": "read", "description": "Reads", "input_schema": {"type": "object"}, "defer_loading": true,
                    "eager_input_streaming": true, "cache_control": {"type": "ephemeral"}}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
                "thinking": {"type": "enabled", "budget_tokens": 4096}, "stop_sequences": []}),
        ),
        (
            "media",
            json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
                {"type": "document", "title": "Notes", "context": "Old.", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}]}]}),
        ),
        (
            "schema_with_optional_member",
            json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "City"}],
                "output_config": {"format": {"type": "json_schema", "schema":
                    {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": false}}}}),
        ),
        (
            "long_tool_name",
            json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}],
                "tools": [{"name": "mcp__a_server_with_a_long_name__a_tool_with_a_name_that_is_longer_than_64", "input_schema": {"type": "object"}}],
                "tool_choice": {"type": "tool", "name": "mcp__a_server_with_a_long_name__a_tool_with_a_name_that_is_longer_than_64"}}),
        ),
    ];
    for (name, body) in cases {
        check_request(name, AnthropicMessages, &body);
    }
}

#[test]
fn requests_of_the_responses_dialect() {
    let cases = [
        ("text", json!({"model": "m", "input": "Hi", "instructions": "Be brief.", "store": false})),
        (
            "conversation",
            json!({"model": "m", "instructions": "Be brief.", "stream": true, "store": false,
                "include": ["reasoning.encrypted_content"], "max_output_tokens": 9, "prompt_cache_key": "k",
                "reasoning": {"effort": "medium", "summary": "auto"}, "text": {"format": {"type": "text"}, "verbosity": "medium"},
                "input": [
                    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "No lists."}]},
                    {"role": "user", "content": [{"type": "input_text", "text": "Look"},
                        {"type": "input_image", "detail": "auto", "image_url": format!("data:image/png;base64,{PIXEL}")}]},
                    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
                    {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
                        "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
                    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "close", "namespace": "agents", "arguments": "{\"id\":1}"},
                    {"type": "function_call", "call_id": "call_2", "name": "read", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "call_1", "output": "done"},
                    {"type": "function_call_output", "call_id": "call_2", "output": [
                        {"type": "input_text", "text": "a picture"},
                        {"type": "input_image", "image_url": format!("data:image/png;base64,{PIXEL}")}]},
                    {"role": "user", "content": "Well?"}],
                "tools": [
                    {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": true},
                    {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [
                        {"type": "function", "name": "close", "description": "Closes one.", "parameters": {"type": "object"}, "strict": false}]}],
                "tool_choice": "auto", "parallel_tool_calls": true}),
        ),
        (
            "schema",
            json!({"model": "m", "input": "City", "text": {"format": {"type": "json_schema", "name": "city", "strict": true,
                "schema": {"type": "object", "properties": {}, "additionalProperties": false}}}}),
        ),
        ("state", json!({"model": "m", "input": "Hi", "previous_response_id": "resp_1"})),
        ("hosted_tool", json!({"model": "m", "input": "Hi", "tools": [{"type": "web_search"}]})),
    ];
    for (name, body) in cases {
        check_request(name, OpenAiResponses, &body);
    }
}

#[test]
fn buffered_answers() {
    check_answer(
        "everything",
        OpenAiChat,
        &json!({"id": "x", "object": "chat.completion", "created": 1, "model": "b",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant",
                "reasoning": "hm", "content": "Looking.", "refusal": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{\"n\":1.50}"}},
                    {"id": "", "type": "function", "function": {"name": "read", "arguments": ""}}]}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}}),
    );
    check_answer(
        "refusal",
        OpenAiChat,
        &json!({"choices": [{"finish_reason": "content_filter",
            "message": {"role": "assistant", "content": null, "refusal": "No."}}]}),
    );
    check_answer(
        "broken_arguments",
        OpenAiChat,
        &json!({"choices": [{"finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{\"n\":"}}]}}]}),
    );
    check_answer(
        "everything",
        AnthropicMessages,
        &json!({"id": "x", "type": "message", "role": "assistant", "model": "b", "stop_reason": "tool_use", "stop_sequence": null,
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"n": 1.50}},
                {"type": "tool_use", "id": "toolu_2", "name": "read", "input": {}}],
            "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}, "output_tokens": 5}}),
    );
    check_answer(
        "stop_sequence",
        AnthropicMessages,
        &json!({"content": [{"type": "text", "text": "x"}], "stop_reason": "stop_sequence", "stop_sequence": "END",
            "usage": {"input_tokens": 1, "output_tokens": 1}}),
    );
    check_answer(
        "everything",
        OpenAiResponses,
        &json!({"id": "x", "object": "response", "status": "completed", "model": "b", "output": [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "e"},
            {"type": "web_search_call", "id": "ws", "status": "completed"},
            {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "Looking.", "annotations": []}, {"type": "refusal", "refusal": " No."}]},
            {"type": "function_call", "id": "fc", "call_id": "c1", "name": "read", "arguments": "{\"n\":1.50}", "status": "completed"}],
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15}}),
    );
    check_answer(
        "cut",
        OpenAiResponses,
        &json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}]}),
    );
    check_answer(
        "cut_call",
        OpenAiChat,
        &json!({"choices": [{"finish_reason": "length", "message": {"role": "assistant", "content": "x", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{\"n\":"}}]}}]}),
    );
    check_answer("failed", OpenAiResponses, &json!({"status": "failed", "output": []}));
}
