//! Laws of answers over generated bodies, and bounds against hostile ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write, sync::Arc};

use domain::Label;
use proptest::prelude::*;
use router::{
    answer::{StreamOptions, StreamPass, restore_buffered},
    redact::{Masker, Vault},
    wire::Dialect,
};
use serde_json::{Map, Value};

const VALUE: &str = "O\"Brien \\ \n🦀";

fn vault() -> (Vault, String) {
    let mut masker = Masker::new(&[3; 32], b"scope");
    let placeholder = masker.mask(&Label::fixed("pii/person"), VALUE).unwrap().to_owned();
    (masker.into_vault(), placeholder)
}

/// Any JSON value whose strings are made of `~`, which stands for the hidden value, and what is hard to read.
fn json() -> impl Strategy<Value = Value> {
    let text = "[~a \"\\\\\n\u{1}{}\\[\\],:äé🦀<>&%]{0,8}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// `value` as text: compact, spread out, or with everything but letters as `\u` escapes.
fn print(value: &Value, how: u8) -> String {
    match how {
        0 => value.to_string(),
        1 => serde_json::to_string_pretty(value).unwrap().replace('\n', " \r\n\t"),
        _ => value.to_string().chars().fold(String::new(), |mut out, letter| {
            if letter.is_ascii() {
                out.push(letter);
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}").unwrap();
                }
            }
            out
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_string_of_any_body_is_restored_and_nothing_else(inner in json(), how in 0u8..3) {
        let (vault, placeholder) = vault();
        let body = Value::from(Map::from_iter([("x".to_owned(), inner)]));
        // In the text of the body: a placeholder needs no escape, the value does.
        let escaped = serde_json::to_string(VALUE).unwrap();
        let text = print(&body, how);
        let masked = text.replace('~', &placeholder);
        let expected = text.replace('~', escaped.trim_matches('"'));
        let dialect = Dialect::OpenAiEmbeddings;
        let (out, _) = restore_buffered(dialect, masked.as_bytes(), &vault).unwrap();
        let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        prop_assert_eq!(read(&out), read(expected.as_bytes()));
        let (out, _) = restore_buffered(dialect, masked.as_bytes(), &Vault::default()).unwrap();
        prop_assert_eq!(&out[..], masked.as_bytes());
    }

    #[test]
    fn broken_bodies_are_refused_or_read_and_never_panic(inner in json(), cut in any::<prop::sample::Index>()) {
        let (vault, placeholder) = vault();
        let text = format!("{{\"x\":{inner}}}").replace('~', &placeholder);
        let at = text.floor_char_boundary(cut.index(text.len()));
        let (before, after) = text.split_at(at);
        prop_assert!(restore_buffered(Dialect::OpenAiChat, before.as_bytes(), &vault).is_err());
        let mut skipped = after.chars();
        skipped.next();
        let missing = format!("{before}{}", skipped.as_str());
        let valid = serde_json::from_str::<Map<String, Value>>(&missing).is_ok();
        if valid {
            prop_assert!(restore_buffered(Dialect::OpenAiChat, missing.as_bytes(), &vault).is_ok());
        }
    }
}

#[test]
fn hostile_frames_cost_linear_time() {
    // Each of these takes minutes if its cost grows with the square of its size.
    let many = |unit: &str| unit.repeat(40_000);
    let numbered = |unit: &str| {
        (0..40_000).fold(String::new(), |mut out, n| {
            out.push_str(&unit.replace('#', &n.to_string()));
            out
        })
    };
    let frames = [
        format!(
            r#"{{"choices":[{}{{}}]}}"#,
            numbered(r#"{"index":#,"delta":{"content":"<<x"},"finish_reason":"stop"},"#)
        ),
        format!(
            r#"{{"choices":[{{"delta":{{"tool_calls":[{{{}"index":0}}]}}}}]}}"#,
            numbered(r#""a#":"<<x","#)
        ),
        format!(
            r#"{{"choices":[{{"delta":{{"{}":{{{}"b":0}}}}}}]}}"#,
            "k".repeat(1_000_000),
            numbered(r#""a#":"<<x","#)
        ),
        format!(r#"{{"usage":{{{}"a":1}},"choices":[]}}"#, many(r#""prompt_tokens":"x","#)),
        format!(r#"{{"a":"{}"}}"#, many("<PERSON_1_")),
        format!(r#"{{"a":"{}"}}"#, many("\\\\\\\\")),
        format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100)),
    ];
    let (vault, _) = vault();
    let vault = Arc::new(vault);
    for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses] {
        for frame in &frames {
            let options = StreamOptions {
                dialect,
                vault: Arc::clone(&vault),
                hide_usage: true,
                model_alias: None,
            };
            let mut out = Vec::new();
            StreamPass::new(options)
                .push(format!("data: {frame}\n\n").as_bytes(), &mut out)
                .unwrap();
            assert!(out.len() <= frame.len() + 100);
        }
    }
}
