//! Requests that are not read, and what is said about them.

use super::*;

fn check(dialect: Dialect, body: &str, wanted: (&str, u16, Option<&str>)) {
    let error = read(dialect, body.as_bytes()).map(|view| view.segments).unwrap_err();
    assert_eq!((error.code(), error.status(), error.param()), wanted, "{body}: {error}");
}

/// Dialect, body, code and field.
const WRONG: [(Dialect, &str, &str, Option<&str>); 25] = [
    (OpenAiChat, "[]", "invalid_type", None),
    (OpenAiChat, "{", "invalid_json", None),
    (OpenAiChat, r#"{"model":"m","model":"n","messages":[]}"#, "duplicate_key", None),
    (OpenAiChat, r#"{"messages":[]}"#, "missing_field", Some("model")),
    (OpenAiChat, r#"{"model":null,"messages":[]}"#, "invalid_type", Some("model")),
    (OpenAiChat, r#"{"model":"a b","messages":[]}"#, "invalid_value", Some("model")),
    (OpenAiChat, r#"{"model":"","messages":[]}"#, "invalid_value", Some("model")),
    (OpenAiChat, r#"{"model":"m"}"#, "missing_field", Some("messages")),
    (OpenAiChat, r#"{"model":"m","messages":"hi"}"#, "invalid_type", Some("messages")),
    (OpenAiChat, r#"{"model":"m","messages":["hi"]}"#, "invalid_type", Some("messages[0]")),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[{"role":"user"},{"content":"x"}]}"#,
        "missing_field",
        Some("messages[1].role"),
    ),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[{"role":1,"content":"x"}]}"#,
        "invalid_type",
        Some("messages[0].role"),
    ),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[{"role":"user","content":1}]}"#,
        "invalid_type",
        Some("messages[0].content"),
    ),
    (OpenAiChat, r#"{"model":"m","messages":[],"stream":"yes"}"#, "invalid_type", Some("stream")),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[],"max_tokens":-1}"#,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[],"max_completion_tokens":1.5}"#,
        "invalid_type",
        Some("max_completion_tokens"),
    ),
    (OpenAiChat, r#"{"model":"m","messages":[],"tools":{}}"#, "invalid_type", Some("tools")),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[],"stream_options":{"include_usage":1}}"#,
        "invalid_type",
        Some("stream_options.include_usage"),
    ),
    (
        OpenAiChat,
        r#"{"model":"m","messages":[],"Messages":[{"role":"user","content":"x"}]}"#,
        "invalid_value",
        Some("messages"),
    ),
    (OpenAiCompletions, r#"{"model":"m"}"#, "missing_field", Some("prompt")),
    (OpenAiEmbeddings, r#"{"model":"m","input":{}}"#, "invalid_type", Some("input")),
    (OpenAiResponses, r#"{"model":"m"}"#, "missing_field", Some("input")),
    (OpenAiResponses, r#"{"model":"m","input":[1]}"#, "invalid_type", Some("input[0]")),
    (AnthropicMessages, r#"{"model":"m","messages":[]}"#, "missing_field", Some("max_tokens")),
    (
        AnthropicMessages,
        r#"{"model":"m","messages":[],"max_tokens":1,"system":{}}"#,
        "invalid_type",
        Some("system"),
    ),
];

#[test]
fn what_is_missing_or_of_the_wrong_type_is_named() {
    for (dialect, body, code, param) in WRONG {
        check(dialect, body, (code, 400, param));
    }
    let count = read(AnthropicCountTokens, br#"{"model":"m","messages":[]}"#);
    assert!(count.is_ok(), "counting needs no limit");
}

#[test]
fn hostile_bodies_are_refused_within_bounds() {
    let chat = |inside: String| format!(r#"{{"model":"m","messages":[{inside}]}}"#);
    let message = r#"{"role":"user","content":"a"}"#;
    check(OpenAiChat, &"[".repeat(100_000), ("too_deep", 400, None));
    check(OpenAiChat, &chat("{\"content\":[".repeat(100_000)), ("too_deep", 400, None));
    check(OpenAiChat, &chat(vec![message; 1_000_000].join(",")), ("too_many_values", 413, None));
    check(OpenAiChat, &chat(vec![message; 150_000].join(",")), ("too_many_segments", 413, None));
    let large = " ".repeat(domain::limits::BODY_BYTES_MAX + 1);
    check(OpenAiChat, &large, ("body_too_large", 413, None));
}

#[test]
fn errors_do_not_repeat_what_was_sent() {
    let bodies = [
        r#"{"model":"hunter2 hunter2","messages":[]}"#,
        r#"{"hunter2":1,"hunter2":2}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"hunter2\x"}]}"#,
        r#"{"model":{"hunter2":1},"messages":[]}"#,
    ];
    for body in bodies {
        let error = read(OpenAiChat, body.as_bytes()).map(|view| view.segments).unwrap_err();
        let said = format!("{error} {:?} {}", error.param(), error.code());
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_body_cut_anywhere_is_an_error_and_never_a_panic() {
    let body = json!({
        "model": "m", "max_tokens": 1, "stream": true,
        "system": [{"type": "text", "text": "x-anthropic-billing-header: é\u{1F600}\n"}],
        "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
            {"type": "thinking", "thinking": "x", "signature": "eA=="},
        ]}],
    });
    let body = serde_json::to_vec(&body).unwrap();
    for dialect in [OpenAiChat, OpenAiResponses, OpenAiEmbeddings, AnthropicMessages] {
        for end in 0..body.len() {
            assert!(read(dialect, &body[..end]).is_err(), "{end}");
        }
    }
}
