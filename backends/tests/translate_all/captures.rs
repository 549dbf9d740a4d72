//! Requests of real clients and answers of real providers.

use std::{collections::BTreeMap, fmt::Write};

use backends::translate::{self, RequestOptions, TranslateError};
use router::wire::Dialect;
use serde_json::Value;

use crate::{
    golden,
    support::{self, DIALECTS},
};

/// What is refused, and how often; the numbers say how many of the recorded requests.
#[test]
fn requests_of_real_clients_translate_or_name_the_field() {
    let Some(captures) = support::captures() else { return };
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut translated = 0;
    for (name, file) in support::files(&captures) {
        let Some((from, body)) = request(&file) else { continue };
        let body = serde_json::to_vec(body).unwrap();
        for to in DIALECTS.into_iter().filter(|to| *to != from) {
            match translate::request(from, to, &body, &RequestOptions::new("m")) {
                Ok(body) => {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["model"], "m", "{name}");
                    translated += 1;
                }
                Err(error) => {
                    assert!(!error.param.is_empty(), "{name}: {error}");
                    *refused.entry(format!("{from:?} to {to:?}: {error}")).or_default() += 1;
                }
            }
        }
    }
    let mut table = format!("translated {translated}\n");
    for (what, count) in refused {
        writeln!(table, "{count:3} {what}").unwrap();
    }
    golden::assert("refused_requests", &table);
}

/// The requests of two large agents with their default settings, and what the other dialects have no words for.
#[test]
fn requests_of_agents_translate_as_they_come() {
    let Some(captures) = support::captures() else { return };
    let cases = [
        ("codex", [Dialect::OpenAiChat, Dialect::AnthropicMessages], "tools.web_search"),
        ("claude-code", [Dialect::OpenAiChat, Dialect::OpenAiResponses], "cache_control"),
        ("claude-code-2.1.330", [Dialect::OpenAiChat, Dialect::OpenAiResponses], "cache_control"),
    ];
    for (client, others, omitted) in cases {
        let mut seen = 0;
        for (name, file) in support::files(&captures.join(client)) {
            let Some((from, body)) = request(&file) else { continue };
            let body = serde_json::to_vec(body).unwrap();
            for to in others {
                let made =
                    translate::request_with_names(from, to, &body, &RequestOptions::new("m"));
                let made = made.unwrap_or_else(|error| panic!("{client} {name}: {error}"));
                let has = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
                assert_eq!(
                    made.omitted.iter().any(|name| name == omitted),
                    has(omitted.trim_start_matches("tools.")),
                    "{client} {name}: {}",
                    made.omitted
                );
                seen += 1;
            }
        }
        assert!(seen >= 6, "{client}: {seen}");
    }
}

#[test]
fn answers_of_real_providers_translate() {
    let Some(captures) = support::captures() else { return };
    let mut seen = 0;
    for (name, file) in support::files(&captures.join("real-provider")) {
        let Some((from, _)) = request(&file) else { continue };
        let body = &file["response"]["body"];
        if !name.contains("-json-200-") || !body.is_object() {
            continue;
        }
        for to in DIALECTS.into_iter().filter(|to| *to != from) {
            let body = serde_json::to_vec(body).unwrap();
            let unfinished = matches!(file["response"]["body"]["status"].as_str(), Some("queued"));
            match translate::answer(from, to, &body, &support::context()) {
                Ok(answer) => {
                    let answer: Value = serde_json::from_slice(&answer).unwrap();
                    assert_eq!(answer["model"], "the-model", "{name}");
                    seen += 1;
                }
                Err(error) => {
                    assert_eq!(error.code, TranslateError::INVALID_ANSWER, "{name}: {error}");
                    assert!(unfinished, "{name}: {error}");
                }
            }
        }
    }
    assert!(seen > 250, "{seen}");
}

#[test]
fn errors_of_real_providers_are_read() {
    let Some(captures) = support::captures() else { return };
    let mut seen = 0;
    for (name, file) in support::files(&captures.join("real-provider")) {
        let status = file["response"]["status"].as_u64().unwrap();
        if status < 400 {
            continue;
        }
        let body = match &file["response"]["body"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let facts = translate::read_error(u16::try_from(status).unwrap(), body.as_bytes());
        assert!(!facts.message.contains("answered with status"), "{name}: {body}");
        assert!(!facts.kind.is_empty() && !facts.message.is_empty(), "{name}: {body}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// The dialect and body of a recorded request, if it is one of the three.
fn request(file: &Value) -> Option<(Dialect, &Value)> {
    let recorded = &file["request"];
    let (target, body) = if recorded.is_object() {
        (&recorded["uri"], &recorded["body"])
    } else {
        (&file["target"], &file["body"])
    };
    let dialect = support::dialect(target.as_str()?)?;
    body.is_object().then_some((dialect, body))
}
