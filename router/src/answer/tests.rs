use std::{borrow::Cow, sync::Arc};

use domain::Label;

use super::*;
use crate::{
    redact::{Masker, Vault},
    restore::Escape,
    wire::Dialect,
};

/// A vault that hides one value, and its placeholder.
fn hide(value: &str) -> (Arc<Vault>, String) {
    let mut masker = Masker::new(&[7; 32], b"scope");
    let placeholder = masker.mask(&Label::fixed("pii/email"), value).unwrap().to_owned();
    (Arc::new(masker.into_vault()), placeholder)
}

fn pass(dialect: Dialect, vault: &Arc<Vault>, hide_usage: bool) -> StreamPass {
    StreamPass::new(StreamOptions {
        dialect,
        vault: Arc::clone(vault),
        hide_usage,
        model_alias: None,
    })
}

/// What a stream becomes, byte by byte and in one piece, which must be the same.
fn run(mut new: impl FnMut() -> StreamPass, stream: &str) -> (String, Ended, Observed) {
    let mut runs = [1, stream.len().max(1)].map(|size| {
        let (mut pass, mut out) = (new(), Vec::new());
        for chunk in stream.as_bytes().chunks(size) {
            pass.push(chunk, &mut out).unwrap();
        }
        let ended = pass.finish(&mut out);
        (String::from_utf8(out).unwrap(), ended, pass.observed().clone())
    });
    assert_eq!(runs[0], runs[1]);
    std::mem::take(&mut runs[0].0);
    let [_, run] = runs;
    run
}

/// In `stream`, `@` stands for the placeholder of `value`.
fn check(dialect: Dialect, value: &str, stream: &str, expected: &str) -> Observed {
    let (vault, placeholder) = hide(value);
    let stream = stream.replace('@', &placeholder);
    let (out, ended, observed) = run(|| pass(dialect, &vault, false), &stream);
    assert_eq!(out, expected.replace('@', &placeholder));
    assert_eq!(ended, Ended::Complete);
    observed
}

const CHAT: Dialect = Dialect::OpenAiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const RESPONSES: Dialect = Dialect::OpenAiResponses;

#[test]
fn only_the_string_that_changes_is_exchanged() {
    check(
        CHAT,
        "a\"b",
        ": note\n\ndata:  {\"id\" : \"x\",\"choices\":[ {\"index\":0, \"delta\":{\"content\":\"to <@>\\u0021\"},\"finish_reason\":\"stop\"} ] }  \r\nid: 7\r\n\r\ndata: [DONE]\n\n",
        ": note\n\ndata:  {\"id\" : \"x\",\"choices\":[ {\"index\":0, \"delta\":{\"content\":\"to <a\\\"b>!\"},\"finish_reason\":\"stop\"} ] }  \r\nid: 7\r\n\r\ndata: [DONE]\n\n",
    );
}

#[test]
fn what_is_held_back_leaves_before_the_end_of_its_choice() {
    let (_, placeholder) = hide("ann");
    let half = placeholder.split_at(5).0;
    let head = r#""id":"c","object":"chat.completion.chunk","created":1,"model":"m""#;
    let frame = |rest: &str| format!("data: {{{head},\"choices\":[{rest}]}}\n\n");
    let stream = [
        frame(&format!(
            r#"{{"index":1,"delta":{{"role":"assistant","content":"x {half}"}},"finish_reason":null}}"#
        )),
        frame(&format!(r#"{{"index":0,"delta":{{"content":"y {half}"}},"finish_reason":null}}"#)),
        frame(r#"{"index":1,"delta":{},"finish_reason":"length"}"#),
        "data: [DONE]\n\n".to_owned(),
    ];
    let expected = [
        frame(r#"{"index":1,"delta":{"role":"assistant","content":"x "},"finish_reason":null}"#),
        frame(r#"{"index":0,"delta":{"content":"y "},"finish_reason":null}"#),
        frame(&format!(r#"{{"index":1,"delta":{{"content":"{half}"}},"finish_reason":null}}"#)),
        frame(r#"{"index":1,"delta":{},"finish_reason":"length"}"#),
        frame(&format!(r#"{{"index":0,"delta":{{"content":"{half}"}},"finish_reason":null}}"#)),
        "data: [DONE]\n\n".to_owned(),
    ];
    check(CHAT, "ann", &stream.concat(), &expected.concat());
}

#[test]
fn a_fragment_in_the_last_frame_takes_what_was_held_back_along() {
    check(
        CHAT,
        "ann",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"<\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"EMAIL_\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"<EMAIL_\"},\"finish_reason\":\"stop\"}]}\n\n",
    );
}

#[test]
fn tool_arguments_are_escaped_as_json_inside_the_json() {
    check(
        CHAT,
        "a\"b",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"send\",\"arguments\":\"{\\\"to\\\":\\\"\"}}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"@\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"send\",\"arguments\":\"{\\\"to\\\":\\\"\"}}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"a\\\\\\\"b\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
    );
}

#[test]
fn anthropic_blocks_are_restored_and_end_whole() {
    let observed = check(
        ANTHROPIC,
        "a\"b",
        concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"is @ <EM\"}}\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EpAD+/=\"}}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"to\\\":\\\"@\\\"}\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"is a\\\"b \"}}\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EpAD+/=\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"<EM\"}}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"to\\\":\\\"a\\\\\\\"b\\\"}\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
    );
    let expected = Usage {
        input_uncached: Tokens(5),
        cache_read: Tokens(7),
        cache_write: Tokens(2),
        output: Tokens(9),
        reasoning: Tokens(0),
    };
    assert_eq!(observed.usage, Some(expected));
    assert_eq!(observed.response_id.as_deref(), Some("msg_1"));
    assert!(observed.content && observed.terminal && observed.error.is_none());
}

#[test]
fn responses_repeat_whole_texts_and_stay_numbered() {
    let frame = |kind: &str, number: u64, rest: &str| {
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},{rest}}}\n\n"
        )
    };
    let (delta, done) = ("response.output_text.delta", "response.output_text.done");
    let (arguments, arguments_done) =
        ("response.function_call_arguments.delta", "response.function_call_arguments.done");
    let part = r#""item_id":"m","output_index":0,"content_index":0"#;
    let call = r#""item_id":"f","output_index":1"#;
    let stream = [
        frame(
            delta,
            4,
            &format!(r#"{part},"delta":"Hi @ <E","logprobs":[{{"token":"<"}}],"obfuscation":"x""#),
        ),
        frame(done, 5, &format!(r#"{part},"text":"Hi @ <E","logprobs":[]"#)),
        frame(arguments, 6, &format!(r#"{call},"delta":"{{\"to\":\"@""#)),
        frame(arguments_done, 7, &format!(r#"{call},"arguments":"{{\"to\":\"@\"}}""#)),
        frame(
            "response.completed",
            8,
            r#""response":{"id":"resp_1","output":[{"type":"message","content":[{"text":"Hi @ <E"}]},{"arguments":"{\"to\":\"@\"}"}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1}}}"#,
        ),
    ];
    let expected = [
        frame(delta, 4, &format!(r#"{part},"delta":"Hi a\"b ","logprobs":[],"obfuscation":"x""#)),
        format!(
            "event: {delta}\ndata: {{\"type\":\"{delta}\",{part},\"delta\":\"<E\",\"sequence_number\":5}}\n\n"
        ),
        frame(done, 6, &format!(r#"{part},"text":"Hi a\"b <E","logprobs":[]"#)),
        frame(arguments, 7, &format!(r#"{call},"delta":"{{\"to\":\"a\\\"b""#)),
        frame(arguments_done, 8, &format!(r#"{call},"arguments":"{{\"to\":\"a\\\"b\"}}""#)),
        frame(
            "response.completed",
            9,
            r#""response":{"id":"resp_1","output":[{"type":"message","content":[{"text":"Hi a\"b <E"}]},{"arguments":"{\"to\":\"a\\\"b\"}"}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1}}}"#,
        ),
    ];
    let observed = check(RESPONSES, "a\"b", &stream.concat(), &expected.concat());
    let usage = observed.usage.unwrap();
    assert_eq!(
        (usage.input_uncached, usage.cache_read, usage.reasoning),
        (Tokens(6), Tokens(4), Tokens(1))
    );
    assert_eq!(observed.response_id.as_deref(), Some("resp_1"));
}

#[test]
fn the_forced_usage_chunk_is_observed_and_dropped() {
    let usage = "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":14,\"completion_tokens\":8,\"prompt_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":3}}}\n\n";
    let moderation = "data: {\"choices\":[],\"moderation\":{},\"usage\":null}\n\n";
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
    let vault = Arc::new(Vault::default());
    for (hidden, expected) in [(true, ""), (false, usage)] {
        let stream = format!("{end}{usage}{moderation}data: [DONE]\n\n");
        let (out, ended, observed) = run(|| pass(CHAT, &vault, hidden), &stream);
        assert_eq!(out, format!("{end}{expected}{moderation}data: [DONE]\n\n"));
        assert_eq!(ended, Ended::Complete);
        let found = observed.usage.unwrap();
        assert_eq!(
            (found.input_uncached, found.cache_read, found.cache_write),
            (Tokens(7), Tokens(4), Tokens(3))
        );
    }
}

#[test]
fn a_stream_that_stops_early_is_truncated() {
    let vault = Arc::new(Vault::default());
    let delta = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let stop = |index: u8| {
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n"
        )
    };
    let second = delta.replace("\"index\":0", "\"index\":1");
    let cases = [
        (CHAT, delta.to_owned(), Ended::Truncated),
        (CHAT, String::new(), Ended::Truncated),
        (CHAT, format!("{delta}{}", stop(0)), Ended::Complete),
        (CHAT, format!("{delta}{second}{}", stop(0)), Ended::Truncated),
        (CHAT, format!("{delta}{second}{}{}", stop(1), stop(0)), Ended::Complete),
        (CHAT, format!("{delta}data: [DONE]\n\n"), Ended::Complete),
        (
            ANTHROPIC,
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
                .to_owned(),
            Ended::Truncated,
        ),
        (ANTHROPIC, "data: {\"type\":\"message_stop\"}\n\n".to_owned(), Ended::Complete),
        (
            RESPONSES,
            "data: {\"type\":\"response.output_item.done\"}\n\n".to_owned(),
            Ended::Truncated,
        ),
        (RESPONSES, "data: {\"type\":\"response.incomplete\"}\n\n".to_owned(), Ended::Complete),
    ];
    for (dialect, stream, expected) in cases {
        let (out, ended, _) = run(|| pass(dialect, &vault, false), &stream);
        assert_eq!((out, ended), (stream.clone(), expected), "{stream}");
    }
}

#[test]
fn half_an_event_at_the_end_is_dropped_and_a_whole_one_is_ended() {
    let vault = Arc::new(Vault::default());
    let delta = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (tail, expected, ended) in [
        ("data: {\"choices\":[{\"ind", "", Ended::Truncated),
        ("data: [DO", "", Ended::Truncated),
        ("data: [DONE]", "data: [DONE]\n\n", Ended::Complete),
        ("data: [DONE]\n", "data: [DONE]\n\n", Ended::Complete),
    ] {
        let (out, how, _) = run(|| pass(CHAT, &vault, false), &format!("{delta}{tail}"));
        assert_eq!((out, how), (format!("{delta}{expected}"), ended), "{tail}");
    }
}

#[test]
fn errors_inside_a_stream_are_seen_without_their_message() {
    let vault = Arc::new(Vault::default());
    for (dialect, data, code) in [
        (
            CHAT,
            r#"{"error":{"message":"secret","type":"server_error","param":null,"code":null}}"#,
            "server_error",
        ),
        (CHAT, r#"{"error":{"message":"secret","code":429}}"#, "429"),
        (CHAT, r#"{"error":"out of memory"}"#, "unknown"),
        (CHAT, r#"{"error":{"code":"two words of prose"}}"#, "unknown"),
        (
            ANTHROPIC,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"secret"}}"#,
            "overloaded_error",
        ),
        (
            RESPONSES,
            r#"{"type":"error","code":"rate_limit_exceeded","message":"secret"}"#,
            "rate_limit_exceeded",
        ),
        (
            RESPONSES,
            r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"secret"}}}"#,
            "server_error",
        ),
    ] {
        let stream = format!("event: error\ndata: {data}\n\n");
        let (out, ended, observed) = run(|| pass(dialect, &vault, false), &stream);
        assert_eq!((out, ended), (stream, Ended::Complete));
        assert_eq!(observed.error, Some(ErrorSeen { code: code.to_owned() }), "{data}");
    }
}

#[test]
fn what_is_no_event_stream_is_refused() {
    let (vault, _) = hide("ann");
    for (stream, error) in [
        (b"<!DOCTYPE html><html>".as_slice(), AnswerError::NotAStream),
        (b"{\"error\":{\"message\":\"no\"}}", AnswerError::NotAStream),
        (b"\x1f\x8b\x08\x00", AnswerError::NotAStream),
        (b"Bad gateway\n\nmore", AnswerError::NotAStream),
        (b"data: <html>\n\n", AnswerError::NotJson),
        (b"data: {\"a\":\n\n", AnswerError::NotJson),
    ] {
        for size in [1, stream.len()] {
            let mut pass = pass(CHAT, &vault, false);
            let mut out = Vec::new();
            let found =
                stream.chunks(size).map(|chunk| pass.push(chunk, &mut out)).find(Result::is_err);
            assert_eq!(found, Some(Err(error)), "{}", String::from_utf8_lossy(stream));
            assert_eq!(pass.push(b"data: [DONE]\n\n", &mut out), Err(error));
            assert_eq!(pass.finish(&mut out), Ended::Truncated);
            assert_eq!(out, b"");
        }
    }
    let mut pass = pass(CHAT, &vault, false);
    let line = vec![b'd'; domain::limits::EVENT_BYTES_MAX];
    assert_eq!(pass.push(&line, &mut Vec::new()), Ok(()));
    assert_eq!(pass.push(b"dd", &mut Vec::new()), Err(AnswerError::TooLong));
    assert_eq!(AnswerError::TooLong.code(), "upstream_too_long");
}

#[test]
fn unknown_events_pass_and_are_restored_too() {
    check(
        RESPONSES,
        "ann",
        "event: response.brand_new\ndata: {\"type\":\"response.brand_new\",\"@\":{\"@\":1},\"a\":[{\"@\":\"for @\"}]}\n\nevent: x\n\ndata: {\"type\":\"response.completed\"}\n\ndata: [DONE]\n\n",
        "event: response.brand_new\ndata: {\"type\":\"response.brand_new\",\"ann\":{\"ann\":1},\"a\":[{\"ann\":\"for ann\"}]}\n\nevent: x\n\ndata: {\"type\":\"response.completed\"}\n\ndata: [DONE]\n\n",
    );
}

#[test]
fn token_probabilities_are_dropped_where_something_is_hidden() {
    check(
        CHAT,
        "ann",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{\"token\":\"<EM\"}]},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n",
    );
}

#[test]
fn reasoning_under_any_name_is_restored() {
    let stream = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"by <EMA\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"by <EMA\",\"index\":0}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"!\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"!\",\"index\":0}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"@<E\"}]}]}}]}\n\n",
        "data: [DONE]\n\n",
    );
    let expected = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"by \",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"by \",\"index\":0}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"<EMA!\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"<EMA!\",\"index\":0}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"ann\"}]}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"<E\"}]}]},\"finish_reason\":null}]}\n\n",
        "data: [DONE]\n\n",
    );
    check(CHAT, "ann", stream, expected);
}

#[test]
fn completions_are_restored() {
    check(
        Dialect::OpenAiCompletions,
        "ann",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"text\":\"@ <E\",\"finish_reason\":null}]}\n\ndata: [DONE]\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"text\":\"ann \",\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"text\":\"<E\",\"finish_reason\":null}]}\n\ndata: [DONE]\n\n",
    );
}

#[test]
fn data_over_several_lines_is_restored() {
    check(
        CHAT,
        "ann",
        "data: {\"choices\":\ndata: [{\"index\":0,\"delta\":{\"content\":\"@\"}}]}\n\ndata: [DONE]\n\n",
        "data: {\"choices\":\ndata: [{\"index\":0,\"delta\":{\"content\":\"ann\"}}]}\n\ndata: [DONE]\n\n",
    );
}

#[test]
fn words_that_are_json_are_escaped_as_json() {
    let (vault, placeholder) = hide("a\"b");
    for (dialect, event) in [
        (CHAT, r#"{"choices":[{"index":0,"delta":{"content":"{\"to\":\"@\"}"}}]}"#),
        (
            ANTHROPIC,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"{\"to\":\"@\"}"}}"#,
        ),
        (RESPONSES, r#"{"type":"response.output_text.delta","delta":"{\"to\":\"@\"}"}"#),
        (RESPONSES, r#"{"type":"response.output_text.done","text":"{\"to\":\"@\"}"}"#),
        (
            RESPONSES,
            r#"{"type":"response.content_part.done","part":{"type":"output_text","annotations":[{}],"text":"{\"to\":\"@\"}"}}"#,
        ),
    ] {
        let stream = format!("data: {}\n\n", event.replace('@', &placeholder));
        for (words, expected) in [(Escape::Json, r#"a\\\"b"#), (Escape::None, r#"a\"b"#)] {
            let (out, _, _) = run(|| pass(dialect, &vault, false).with_words(words), &stream);
            assert_eq!(out, format!("data: {}\n\n", event.replace('@', expected)));
        }
    }
    for (dialect, body) in [
        (CHAT, r#"{"choices":[{"message":{"content":"{\"to\":\"@\"}"}}]}"#),
        (ANTHROPIC, r#"{"content":[{"type":"text","text":"{\"to\":\"@\"}"}]}"#),
        (RESPONSES, r#"{"output":[{"content":[{"type":"output_text","text":"{\"to\":\"@\"}"}]}]}"#),
    ] {
        let masked = body.replace('@', &placeholder);
        let (out, _) =
            restore_buffered_words(dialect, masked.as_bytes(), &vault, Escape::Json).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), body.replace('@', r#"a\\\"b"#));
    }
}

#[test]
fn a_short_placeholder_of_a_long_value_does_not_fill_the_memory() {
    let (vault, placeholder) = hide(&"x".repeat(10_000));
    let many = placeholder.repeat(10_000);
    let body = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{many}\"}}}}]}}");
    assert_eq!(restore_buffered(CHAT, body.as_bytes(), &vault).unwrap_err(), AnswerError::TooLong);
    let frame = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{many}\"}}}}]}}\n\n");
    let mut pass = pass(CHAT, &vault, false);
    assert_eq!(pass.push(frame.as_bytes(), &mut Vec::new()), Err(AnswerError::TooLong));
    assert_eq!(pass.error(), Some(AnswerError::TooLong));
}

#[test]
fn what_is_kept_of_a_channel_is_bounded() {
    let (vault, _) = hide("ann");
    let mut pass = pass(CHAT, &vault, false);
    let frame = format!(
        "data: {{\"id\":\"{}\",\"choices\":[{{\"delta\":{{\"content\":\"<\"}}}}]}}\n\n",
        "x".repeat(10_000)
    );
    assert_eq!(pass.push(frame.as_bytes(), &mut Vec::new()), Err(AnswerError::TooComplex));
}

#[test]
fn texts_under_way_are_bounded() {
    let (vault, _) = hide("ann");
    let mut pass = pass(CHAT, &vault, false);
    let mut stream = String::new();
    for index in 0..2000 {
        let choice = format!(r#"{{"index":{index},"delta":{{"content":"<"}}}}"#);
        stream.extend(["data: {\"choices\":[", &choice, "]}\n\n"]);
    }
    assert_eq!(pass.push(stream.as_bytes(), &mut Vec::new()), Err(AnswerError::TooManyChannels));
}

#[test]
fn bodies_are_restored_in_place() {
    let cases = [
        (
            CHAT,
            r#" {"id":"c","choices":[{"message":{"content":"to @","tool_calls":[{"function":{"name":"f","arguments":"{\"to\":\"@\"}"}}]},"logprobs":{"content":[{"token":"<E"}]}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            r#" {"id":"c","choices":[{"message":{"content":"to a\"b","tool_calls":[{"function":{"name":"f","arguments":"{\"to\":\"a\\\"b\"}"}}]},"logprobs":null}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        ),
        (
            ANTHROPIC,
            r#"{"id":"m","content":[{"type":"tool_use","input":{"@":"@","arguments":"@","data":"@","logprobs":["@"]}}],"usage":{"input_tokens":3,"output_tokens":2}}"#,
            r#"{"id":"m","content":[{"type":"tool_use","input":{"a\"b":"a\"b","arguments":"a\"b","data":"a\"b","logprobs":["a\"b"]}}],"usage":{"input_tokens":3,"output_tokens":2}}"#,
        ),
        (
            RESPONSES,
            r#"{"id":"r","output":[{"type":"function_call","arguments":"{\"to\":\"@\"}"}],"usage":{"input_tokens":3,"output_tokens":2}}"#,
            r#"{"id":"r","output":[{"type":"function_call","arguments":"{\"to\":\"a\\\"b\"}"}],"usage":{"input_tokens":3,"output_tokens":2}}"#,
        ),
    ];
    let (vault, placeholder) = hide("a\"b");
    for (dialect, body, expected) in cases {
        let body = body.replace('@', &placeholder);
        let (out, observed) = restore_buffered(dialect, body.as_bytes(), &vault).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let usage = observed.usage.unwrap();
        assert_eq!((usage.input_uncached, usage.output), (Tokens(3), Tokens(2)));
        let nothing = Arc::new(Vault::default());
        let (out, again) = restore_buffered(dialect, body.as_bytes(), &nothing).unwrap();
        assert!(matches!(out, Cow::Borrowed(_)));
        assert_eq!(again, observed);
    }
}

#[test]
fn bodies_with_errors_and_garbage_are_told_apart() {
    let vault = Arc::new(Vault::default());
    let body = br#"{"error":{"message":"secret","code":"model_not_found"}}"#;
    let (_, observed) = restore_buffered(CHAT, body, &vault).unwrap();
    assert_eq!(observed.error, Some(ErrorSeen { code: "model_not_found".to_owned() }));
    assert!(!observed.content);
    for garbage in [b"<html>".as_slice(), b"", b"[]", b"\"text\"", b"{\"a\":1", b"\xff\xfe"] {
        assert_eq!(restore_buffered(CHAT, garbage, &vault), Err(AnswerError::NotJson));
    }
}

#[test]
fn why_the_model_stopped_is_one_word_in_all_dialects() {
    let none = Arc::new(Vault::default());
    let bodies = [
        (
            CHAT,
            r#"{"choices":[{"index":1,"finish_reason":"length"},{"index":0,"finish_reason":"tool_calls"}]}"#,
            vec![Finish::ToolCall, Finish::Length],
        ),
        (CHAT, r#"{"choices":[{"finish_reason":"sk-word-of-a-server"}]}"#, vec![Finish::Other]),
        (CHAT, r#"{"choices":[{"index":99,"finish_reason":"stop"}]}"#, vec![]),
        (ANTHROPIC, r#"{"content":[],"stop_reason":"refusal"}"#, vec![Finish::ContentFilter]),
        (RESPONSES, r#"{"output":[],"status":"completed"}"#, vec![Finish::Stop]),
        (
            RESPONSES,
            r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}"#,
            vec![Finish::Length],
        ),
    ];
    for (dialect, body, expected) in bodies {
        let (_, observed) = restore_buffered(dialect, body.as_bytes(), &none).unwrap();
        assert_eq!(observed.finishes.iter().collect::<Vec<_>>(), expected, "{body}");
    }
    let streams = [
        (
            CHAT,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
            Finish::Length,
        ),
        (
            ANTHROPIC,
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}\n\n",
            Finish::ToolCall,
        ),
        (
            RESPONSES,
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n",
            Finish::Stop,
        ),
    ];
    for (dialect, stream, expected) in streams {
        let (_, _, observed) = run(|| pass(dialect, &none, false), stream);
        assert_eq!(observed.finishes.iter().collect::<Vec<_>>(), [expected], "{stream}");
    }
}
