//! What other dialects have no words for: left out and named when the answer can do without, refused when not.

use backends::translate::{self, RequestOptions, Translated};
use router::wire::Dialect::{self, AnthropicMessages, OpenAiChat, OpenAiResponses};
use serde_json::{Value, json};

fn translated(
    from: Dialect,
    to: Dialect,
    body: &Value,
    options: &RequestOptions<'_>,
) -> Translated {
    let body = serde_json::to_vec(body).unwrap();
    translate::request_with_names(from, to, &body, options).unwrap()
}

fn omitted(from: Dialect, to: Dialect, body: &Value) -> String {
    translated(from, to, body, &RequestOptions::new("m")).omitted.to_string()
}

fn refused(from: Dialect, to: Dialect, body: &Value) -> String {
    let body = serde_json::to_vec(body).unwrap();
    translate::request(from, to, &body, &RequestOptions::new("m")).unwrap_err().to_string()
}

fn read(value: &Translated) -> Value {
    serde_json::from_slice(&value.body).unwrap()
}

#[test]
fn hints_are_named_and_their_values_are_not() {
    let cases = [
        (
            OpenAiChat,
            AnthropicMessages,
            json!({"model": "m", "user": "who", "store": true, "service_tier": "flex", "verbosity": "low",
                "stream_options": {"include_obfuscation": false}, "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a", "detail": "high"}}]},
                    {"role": "assistant", "content": "b", "reasoning_content": "c"}, {"role": "user", "content": "d"}]}),
            "detail, messages.reasoning, service_tier, store, stream_options.include_obfuscation, user, verbosity",
        ),
        (
            OpenAiResponses,
            OpenAiChat,
            json!({"model": "m", "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "who",
                "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "auto",
                "input": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "d"}]}),
            "include, input.reasoning, prompt_cache_key, reasoning.summary, truncation",
        ),
        (
            AnthropicMessages,
            OpenAiResponses,
            json!({"model": "m", "max_tokens": 9, "metadata": {"user_id": "who"}, "cache_control": {"type": "ephemeral"},
                "thinking": {"type": "adaptive", "display": "omitted"},
                "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
                "messages": [{"role": "user", "content": "d"}]}),
            "cache_control, context_management, metadata, thinking, thinking.display",
        ),
        (
            AnthropicMessages,
            OpenAiChat,
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
                {"type": "text", "text": "d", "cache_control": {"type": "ephemeral"}}]}]}),
            "cache_control",
        ),
        (
            OpenAiChat,
            OpenAiResponses,
            json!({"model": "m", "store": false, "n": 1, "messages": [{"role": "user", "content": "d"}]}),
            "",
        ),
    ];
    for (from, to, body, expected) in cases {
        assert_eq!(omitted(from, to, &body), expected, "{body}");
    }
}

#[test]
fn a_hosted_tool_is_left_out_unless_it_is_forced() {
    let cases = [
        (
            OpenAiResponses,
            json!({"model": "m", "input": "x", "tool_choice": "auto",
            "tools": [{"type": "web_search", "external_web_access": true}, {"type": "function", "name": "f"}]}),
        ),
        (
            AnthropicMessages,
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}, {"name": "f", "input_schema": {}}]}),
        ),
    ];
    for (from, body) in cases {
        let made = translated(from, OpenAiChat, &body, &RequestOptions::new("m"));
        assert_eq!(made.omitted.to_string(), "tools.web_search", "{from:?}");
        assert_eq!(read(&made)["tools"].as_array().unwrap().len(), 1, "{from:?}");
    }
    let forced = [
        (
            OpenAiResponses,
            json!({"model": "m", "input": "x", "tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            "tool_choice.type: this type cannot be translated",
        ),
        (
            OpenAiResponses,
            json!({"model": "m", "input": "x", "tools": [{"type": "web_search"}], "tool_choice": "required"}),
            "tool_choice: forces a tool that runs at another provider",
        ),
        (
            AnthropicMessages,
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"name": "f", "input_schema": {}}],
            "tool_choice": {"type": "tool", "name": "web_search"}}),
            "tool_choice.name: forces a tool that runs at another provider",
        ),
    ];
    for (from, body, expected) in forced {
        assert_eq!(refused(from, OpenAiChat, &body), expected);
    }
}

#[test]
fn a_model_is_not_asked_for_what_it_cannot_do() {
    let mut options = RequestOptions::new("m");
    (options.reasons, options.output_max) = (false, Some(16_384));
    let cases = [
        (
            AnthropicMessages,
            json!({"model": "m", "max_tokens": 32_000, "output_config": {"effort": "high"},
            "messages": [{"role": "user", "content": "x"}]}),
            "output_config.effort",
        ),
        (
            AnthropicMessages,
            json!({"model": "m", "max_tokens": 32_000, "thinking": {"type": "enabled", "budget_tokens": 31_999},
            "messages": [{"role": "user", "content": "x"}]}),
            "thinking",
        ),
        (
            OpenAiResponses,
            json!({"model": "m", "max_output_tokens": 32_000, "reasoning": {"effort": "high"}, "input": "x"}),
            "reasoning.effort",
        ),
    ];
    for (from, body, omitted) in cases {
        let made = translated(from, OpenAiChat, &body, &options);
        assert_eq!(made.omitted.to_string(), omitted);
        let sent = read(&made);
        assert_eq!(sent["max_completion_tokens"], 16_384, "{sent}");
        assert!(sent.get("reasoning_effort").is_none(), "{sent}");
    }
}

#[test]
fn a_schema_is_asked_for_under_both_of_its_names() {
    let format = json!({"type": "json_schema", "schema": {"type": "object"}});
    for (key, value) in
        [("output_format", format.clone()), ("output_config", json!({"format": format}))]
    {
        let mut body =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
        body[key] = value;
        let sent =
            read(&translated(AnthropicMessages, OpenAiChat, &body, &RequestOptions::new("m")));
        let schema = &sent["response_format"]["json_schema"]["schema"];
        assert_eq!(schema["type"], "object", "{key}: {sent}");
    }
}

#[test]
fn every_call_is_answered_before_a_picture_follows() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "c1", "name": "view", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "view", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"}]},
        {"type": "function_call_output", "call_id": "c2", "output": "two"}]});
    let sent = read(&translated(OpenAiResponses, OpenAiChat, &body, &RequestOptions::new("m")));
    let roles: Vec<&str> =
        sent["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"], "{sent}");
}

#[test]
fn breakpoints_stay_where_the_target_knows_them() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let body = json!({"model": "m", "max_tokens": 9,
        "system": [{"type": "text", "text": "s"}, {"type": "text", "text": "t", "cache_control": mark}],
        "tools": [{"name": "f", "input_schema": {}, "cache_control": mark}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": mark}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r", "cache_control": mark}]}]});
    let mut options = RequestOptions::new("m");
    options.cache_control = true;
    let made = translated(AnthropicMessages, OpenAiChat, &body, &options);
    let sent = read(&made);
    assert_eq!(
        sent["messages"][0]["content"],
        json!([{"type": "text", "text": "s"}, {"type": "text", "text": "t", "cache_control": mark}])
    );
    assert_eq!(
        sent["messages"][1]["content"][1],
        json!({"type": "text", "text": "b", "cache_control": mark})
    );
    assert_eq!(made.omitted.to_string(), "cache_control", "tools and results cannot keep theirs");

    let plain = read(&translated(AnthropicMessages, OpenAiChat, &body, &RequestOptions::new("m")));
    assert_eq!(plain["messages"][0]["content"], "s\n\nt");
    assert!(!plain.to_string().contains("cache_control"), "{plain}");

    let chat = json!({"model": "m",
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": mark}],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
            {"role": "user", "content": "a", "cache_control": mark},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}], "cache_control": mark}]});
    let made = translated(OpenAiChat, AnthropicMessages, &chat, &RequestOptions::new("m"));
    let sent = read(&made);
    assert!(made.omitted.is_empty(), "{}", made.omitted);
    for place in ["/system/0", "/tools/0", "/messages/0/content/0", "/messages/2/content/0"] {
        assert_eq!(sent.pointer(place).unwrap()["cache_control"], mark, "{place}: {sent}");
    }
}

#[test]
fn a_cache_key_asks_the_anthropic_dialect_to_cache() {
    let body = json!({"model": "m", "input": "x", "prompt_cache_key": "who"});
    let made = translated(OpenAiResponses, AnthropicMessages, &body, &RequestOptions::new("m"));
    assert_eq!(read(&made)["cache_control"], json!({"type": "ephemeral"}));
    assert!(!String::from_utf8(made.body).unwrap().contains("who"));
}
