//! Laws of translation over generated input.

use backends::translate::{self, AnswerContext, RequestOptions, StreamTranslator, TranslateError};
use proptest::prelude::*;
use router::wire::Dialect::{self, AnthropicMessages, OpenAiChat, OpenAiResponses};
use serde_json::{Value, json};

use crate::{
    support::{self, DIALECTS, translated},
    validate::{self, Said},
};

/// A chunk of the chat dialect with one choice.
fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    format!(
        "data: {}\n\n",
        json!({"id": "x", "object": "chat.completion.chunk", "choices": [choice]})
    )
}

fn fragment(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> String {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let (Some(id), Some(name)) = (id, name) {
        call["id"] = id.into();
        call["function"]["name"] = name.into();
    }
    chunk(&json!({"tool_calls": [call]}), None)
}

/// A stream of the chat dialect with everything in it.
fn sample() -> String {
    let mut stream = ": comment\n\n".to_owned();
    stream += &chunk(&json!({"role": "assistant", "content": ""}), None);
    stream += &chunk(&json!({"reasoning_content": "think é"}), None);
    stream += &chunk(&json!({"content": "Hel"}), None);
    stream += &chunk(&json!({"content": "lo 🦀"}), None);
    stream += &fragment(0, Some("c0"), Some("read"), "{\"a\": \"}");
    stream += &fragment(1, Some("c1"), Some("write"), "");
    stream += &fragment(0, None, None, "\"}");
    stream += &fragment(1, None, None, "{}");
    stream += &chunk(&json!({}), Some("tool_calls"));
    stream += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n";
    stream + "data: [DONE]\n\n"
}

/// The sample in any dialect.
fn sample_in(dialect: Dialect) -> String {
    let (stream, result) = translated(OpenAiChat, dialect, &[sample().as_bytes()]);
    result.unwrap();
    stream
}

#[test]
fn streams_keep_what_they_say_through_two_translations() {
    let expected = Said {
        text: "Hello 🦀".to_owned(),
        reasoning: "think é".to_owned(),
        calls: vec![
            ("c0".to_owned(), "read".to_owned(), "{\"a\": \"}\"}".to_owned()),
            ("c1".to_owned(), "write".to_owned(), "{}".to_owned()),
        ],
        stop: "tool_calls".to_owned(),
        usage: [9, 0, 4],
        ends: 1,
        errors: 0,
    };
    for from in DIALECTS {
        for to in DIALECTS {
            let (stream, result) = translated(from, to, &[sample_in(from).as_bytes()]);
            result.unwrap();
            assert_eq!(validate::strictly(to, &stream), expected, "{from:?} to {to:?}");
        }
    }
}

/// Where the data of the event that ends a stream is whole.
fn end_of(dialect: Dialect, stream: &str) -> usize {
    let marks: &[&str] = match dialect {
        OpenAiChat => &["\"finish_reason\":\"", "\"finish_reason\": \""],
        AnthropicMessages => &["data: {\"type\":\"message_stop\""],
        _ => &["data: {\"type\":\"response.completed\"", "data: {\"type\":\"response.incomplete\""],
    };
    let at = marks.iter().filter_map(|mark| stream.find(mark)).min().unwrap();
    at + stream.get(at..).unwrap().find('\n').unwrap()
}

#[test]
fn a_stream_that_is_cut_anywhere_never_ends_properly() {
    for from in DIALECTS {
        let stream = sample_in(from);
        let end = end_of(from, &stream);
        for cut in 0..stream.len() {
            // Each cut in one direction, so that all of them take seconds.
            let to = DIALECTS[cut % DIALECTS.len()];
            let (out, result) = translated(from, to, &[&stream.as_bytes()[..cut]]);
            let said = validate::strictly(to, &out);
            if cut < end {
                assert_eq!(said.ends + said.errors, 0, "{from:?} to {to:?} at {cut}");
                assert_eq!(result.unwrap_err().code, TranslateError::STREAM_TRUNCATED);
            } else {
                assert_eq!(said.ends, usize::from(result.is_ok()), "{from:?} to {to:?} at {cut}");
            }
        }
    }
}

#[test]
fn recorded_streams_that_are_cut_never_end_properly() {
    let Some(captures) = support::captures() else { return };
    let mut seen = 0;
    for stream in support::recorded_streams(&captures) {
        if stream.body.contains("event: error") {
            continue;
        }
        let end = end_of(stream.dialect, &stream.body);
        for part in 1..12 {
            let cut = end * part / 12;
            let bytes = &stream.body.as_bytes()[..cut];
            for to in DIALECTS {
                let (out, result) = translated(stream.dialect, to, &[bytes]);
                assert_eq!(validate::strictly(to, &out).ends, 0, "{} at {cut}", stream.name);
                assert_eq!(result.unwrap_err().code, TranslateError::STREAM_TRUNCATED);
                seen += 1;
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn a_failure_is_told_once_in_every_dialect() {
    for to in DIALECTS {
        let mut translator = StreamTranslator::new(OpenAiChat, to, support::context()).unwrap();
        let mut out = Vec::new();
        translator.push(chunk(&json!({"content": "Hel"}), None).as_bytes(), &mut out).unwrap();
        let facts = translate::read_error(500, b"gone");
        translator.fail(&facts, &mut out);
        translator.fail(&facts, &mut out);
        translator.push(sample().as_bytes(), &mut out).unwrap();
        translator.finish(&mut out).unwrap();
        let said = validate::strictly(to, std::str::from_utf8(&out).unwrap());
        assert_eq!((said.ends, said.errors), (0, 1), "{to:?}");
        assert!(!translator.is_ended());
    }
}

#[test]
fn what_follows_an_error_says_nothing_however_it_was_cut() {
    let (error, garbage) =
        ("data: {\"error\":{\"message\":\"m\",\"code\":500}}\n\n", "data: {\0\n\n");
    let piece = [error, garbage].concat();
    for to in [AnthropicMessages, OpenAiResponses] {
        let (whole, result) = translated(OpenAiChat, to, &[piece.as_bytes()]);
        result.unwrap();
        let (cut, result) = translated(OpenAiChat, to, &[error.as_bytes(), garbage.as_bytes()]);
        result.unwrap();
        assert_eq!(whole, cut, "{to:?}");
    }
}

#[test]
fn errors_in_a_stream_become_the_callers() {
    let cases = [
        (OpenAiChat, "data: {\"error\":{\"message\":\"m\",\"code\":500}}\n\n"),
        (
            AnthropicMessages,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
        ),
        (
            OpenAiResponses,
            "event: error\ndata: {\"type\":\"error\",\"code\":\"x\",\"message\":\"m\",\"param\":null}\n\n",
        ),
        (
            OpenAiResponses,
            "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\",\"message\":\"m\"}}}\n\n",
        ),
    ];
    for (from, stream) in cases {
        for to in DIALECTS {
            let (out, result) = translated(from, to, &[stream.as_bytes()]);
            result.unwrap();
            let said = validate::strictly(to, &out);
            assert_eq!((said.ends, said.errors), (0, 1), "{from:?} to {to:?}");
            assert!(out.contains("\"m\""), "{out}");
        }
    }
}

#[test]
fn servers_that_count_calls_in_their_own_way_are_understood() {
    let whole = |calls: Value| {
        chunk(&json!({"tool_calls": calls}), None)
            + &chunk(&json!({}), Some("stop"))
            + "data: [DONE]\n\n"
    };
    let call = |index: Option<u64>, id: Option<&str>, arguments: Value| {
        let mut call = json!({"function": {"name": "f", "arguments": arguments}});
        if let Some(index) = index {
            call["index"] = index.into();
        }
        if let Some(id) = id {
            call["id"] = id.into();
        }
        call
    };
    let cases = [
        (
            "the index repeats",
            json!([
                call(Some(0), Some("a"), "{\"n\":1}".into()),
                call(Some(0), Some("b"), "{\"n\":2}".into())
            ]),
        ),
        (
            "no index",
            json!([
                call(None, Some("a"), "{\"n\":1}".into()),
                call(None, Some("b"), "{\"n\":2}".into())
            ]),
        ),
        (
            "neither index nor id",
            json!([call(None, None, "{\"n\":1}".into()), call(None, None, "{\"n\":2}".into())]),
        ),
        (
            "arguments are an object",
            json!([
                call(Some(0), Some("a"), json!({"n":1})),
                call(Some(1), Some("b"), json!({"n":2}))
            ]),
        ),
    ];
    for (name, calls) in cases {
        for to in DIALECTS {
            let (out, result) = translated(OpenAiChat, to, &[whole(calls.clone()).as_bytes()]);
            result.unwrap();
            let said = validate::strictly(to, &out);
            let arguments: Vec<&str> = said.calls.iter().map(|call| call.2.as_str()).collect();
            assert_eq!(arguments, ["{\"n\":1}", "{\"n\":2}"], "{name} to {to:?}");
            assert_eq!(said.stop, "tool_calls", "{name} to {to:?}");
            assert_ne!(said.calls[0].0, said.calls[1].0, "{name} to {to:?}");
        }
    }
}

#[test]
fn a_responses_server_that_sends_only_whole_items_is_understood() {
    let item = json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]});
    let done = format!(
        "data: {}\n\n",
        json!({"type": "response.output_item.done", "output_index": 0, "item": item})
    );
    let end = |output: Value| {
        format!(
            "data: {}\n\n",
            json!({"type": "response.completed", "response": {"status": "completed", "output": output}})
        )
    };
    for stream in [done + &end(json!([item])), end(json!([item]))] {
        for to in DIALECTS {
            let (out, result) = translated(OpenAiResponses, to, &[stream.as_bytes()]);
            result.unwrap();
            assert_eq!(validate::strictly(to, &out).text, "Hi", "{to:?}");
        }
    }
}

#[test]
fn names_that_were_rewritten_come_back_in_answers() {
    let request = json!({"model": "m", "input": "x", "tools": [{"type": "namespace", "name": "agents", "tools": [
        {"type": "function", "name": "close"}]}]});
    let body = serde_json::to_vec(&request).unwrap();
    let made = translate::request_with_names(
        OpenAiResponses,
        OpenAiChat,
        &body,
        &RequestOptions::new("m"),
    );
    let context = AnswerContext { tool_names: made.unwrap().tool_names, ..support::context() };
    let stream = fragment(0, Some("c"), Some("agents__close"), "{}")
        + &chunk(&json!({}), Some("tool_calls"));
    let mut translator = StreamTranslator::new(OpenAiChat, OpenAiResponses, context).unwrap();
    let mut out = Vec::new();
    translator.push(stream.as_bytes(), &mut out).unwrap();
    translator.finish(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(r#""name":"close","namespace":"agents""#), "{out}");
    assert!(!out.contains("agents__close"), "{out}");
}

#[test]
fn usage_is_shown_to_chat_callers_only_on_request() {
    let context = AnswerContext { include_usage: false, ..support::context() };
    let mut translator = StreamTranslator::new(AnthropicMessages, OpenAiChat, context).unwrap();
    let mut out = Vec::new();
    translator.push(sample_in(AnthropicMessages).as_bytes(), &mut out).unwrap();
    translator.finish(&mut out).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("usage"));
}

#[test]
fn dialects_without_a_second_form_are_refused() {
    let body = br#"{"model":"a","input":"x"}"#;
    for from in
        [Dialect::OpenAiEmbeddings, Dialect::OpenAiCompletions, Dialect::AnthropicCountTokens]
    {
        let same = translate::request(from, from, body, &RequestOptions::new("m")).unwrap();
        assert_eq!(same, br#"{"model":"m","input":"x"}"#);
        for to in DIALECTS {
            let refused = [
                translate::request(from, to, body, &RequestOptions::new("m")).unwrap_err(),
                translate::request(to, from, body, &RequestOptions::new("m")).unwrap_err(),
                translate::answer(from, to, body, &support::context()).unwrap_err(),
                StreamTranslator::new(from, to, support::context()).unwrap_err(),
            ];
            for error in refused {
                assert_eq!(error.code, TranslateError::DIALECT_UNSUPPORTED, "{from:?} {to:?}");
            }
        }
    }
}

#[test]
fn repeated_keys_are_refused() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}"#;
    let error = translate::request(OpenAiChat, AnthropicMessages, body, &RequestOptions::new("m"))
        .unwrap_err();
    assert_eq!(error.param, "messages[0]");
}

/// A conversation of the chat dialect: turns of text, and rounds of calls with their results.
fn conversations() -> impl Strategy<Value = Vec<Value>> {
    let text =
        "[a-zA-Z é🦀\"\\\\\n]{1,12}".prop_filter("not blank", |text| !text.trim().is_empty());
    let talk = (text.clone(), text.clone()).prop_map(|(question, answer)| {
        vec![
            json!({"role": "user", "content": question}),
            json!({"role": "assistant", "content": answer}),
        ]
    });
    let round = (text.clone(), proptest::collection::vec(text.clone(), 1..4)).prop_map(|(question, results)| {
        let mut messages = vec![json!({"role": "user", "content": question})];
        let call = |n: usize, result: &String| {
            let arguments = json!({"n": n, "s": result}).to_string();
            json!({"id": format!("call_{n}"), "type": "function", "function": {"name": "f", "arguments": arguments}})
        };
        let calls: Vec<Value> = results.iter().enumerate().map(|(n, result)| call(n, result)).collect();
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        for (n, result) in results.into_iter().enumerate() {
            messages.push(json!({"role": "tool", "tool_call_id": format!("call_{n}"), "content": result}));
        }
        messages.push(json!({"role": "assistant", "content": question}));
        messages
    });
    let body = proptest::collection::vec(prop_oneof![talk, round], 0..4);
    (text.clone(), body, text).prop_map(|(system, body, last)| {
        let mut messages = vec![json!({"role": "system", "content": system})];
        messages.extend(body.into_iter().flatten());
        messages.push(json!({"role": "user", "content": last}));
        messages
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conversations_survive_the_way_there_and_back(messages in conversations()) {
        let given = json!({"model": "m", "messages": messages});
        for over in [AnthropicMessages, OpenAiResponses] {
            let options = RequestOptions::new("m");
            let body = serde_json::to_vec(&given).unwrap();
            let there = translate::request(OpenAiChat, over, &body, &options).unwrap();
            let back = translate::request(over, OpenAiChat, &there, &options).unwrap();
            let back: Value = serde_json::from_slice(&back).unwrap();
            prop_assert_eq!(&back["messages"], &given["messages"], "over {:?}", over);
        }
    }

    #[test]
    fn every_dialect_survives_the_way_through_every_other(messages in conversations()) {
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
        let given = json!({"model": "m", "messages": messages, "tools": tools, "max_tokens": 7, "temperature": 0.5});
        let options = RequestOptions::new("m");
        for first in [AnthropicMessages, OpenAiResponses] {
            let body = translate::request(OpenAiChat, first, given.to_string().as_bytes(), &options).unwrap();
            for second in DIALECTS.into_iter().filter(|second| *second != first) {
                let there = translate::request(first, second, &body, &options).unwrap();
                let back = translate::request(second, first, &there, &options).unwrap();
                let (back, body): (Value, Value) = (serde_json::from_slice(&back).unwrap(), serde_json::from_slice(&body).unwrap());
                prop_assert_eq!(back, body, "{:?} over {:?}", first, second);
            }
        }
    }

    #[test]
    fn any_chunking_gives_the_same_bytes(cuts in proptest::collection::vec(0_usize..4000, 0..40), from in 0_usize..3, to in 0_usize..3) {
        let stream = sample_in(DIALECTS[from]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
        let (whole, _) = translated(DIALECTS[from], DIALECTS[to], &[stream.as_bytes()]);
        let (cut, result) = translated(DIALECTS[from], DIALECTS[to], &chunks);
        result.unwrap();
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn calls_stay_whole_however_their_fragments_are_mixed(order in proptest::collection::vec(0_usize..4, 0..40), to in 0_usize..3) {
        let arguments: Vec<String> = (0..4).map(|n| json!({"n": n, "text": "}{\\\"[é"}).to_string()).collect();
        let mut rest: Vec<Vec<char>> = arguments.iter().map(|text| text.chars().rev().collect()).collect();
        let mut stream = String::new();
        for (n, _) in arguments.iter().enumerate() {
            stream += &fragment(n, Some(&format!("c{n}")), Some("f"), "");
        }
        for n in order {
            if let Some(next) = rest[n].pop() {
                stream += &fragment(n, None, None, &next.to_string());
            }
        }
        for (n, rest) in rest.into_iter().enumerate() {
            stream += &fragment(n, None, None, &rest.into_iter().rev().collect::<String>());
        }
        stream += &chunk(&json!({}), Some("tool_calls"));
        let (out, result) = translated(OpenAiChat, DIALECTS[to], &[stream.as_bytes()]);
        result.unwrap();
        let said = validate::strictly(DIALECTS[to], &out);
        let found: Vec<&str> = said.calls.iter().map(|call| call.2.as_str()).collect();
        prop_assert_eq!(found, arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_input_never_panics_and_never_ends_twice(at in 0_usize..4000, byte in any::<u8>(), from in 0_usize..3, to in 0_usize..3) {
        let mut stream = sample_in(DIALECTS[from]).into_bytes();
        let at = at % stream.len();
        stream[at] = byte;
        let (out, _) = translated(DIALECTS[from], DIALECTS[to], &[&stream]);
        let ends = out.matches("[DONE]").count() + out.matches("event: message_stop").count() + out.matches("event: response.completed").count();
        prop_assert!(ends <= 1);
        let body = stream.split(|byte| *byte == b'\n').next().unwrap();
        let _answer = translate::answer(DIALECTS[from], DIALECTS[to], body, &support::context());
        let _facts = translate::read_error(500, &stream);
    }

    #[test]
    fn damaged_requests_never_panic(messages in conversations(), at in any::<usize>(), byte in any::<u8>(), to in 0_usize..3) {
        let given = json!({"model": "m", "messages": messages, "tools": [], "temperature": 1, "stream": true});
        for from in DIALECTS {
            let mut body = translate::request(OpenAiChat, from, given.to_string().as_bytes(), &RequestOptions::new("m")).unwrap();
            let at = at % body.len();
            body[at] = byte;
            let _made = translate::request(from, DIALECTS[to], &body, &RequestOptions::new("m"));
        }
    }
}
