#![no_main]
//! Translating requests and answers between dialects: no panic, and what comes out is JSON.

use backends::translate::{self, AnswerContext, RequestOptions};
use libfuzzer_sys::fuzz_target;
use router::wire::Dialect;
use serde::de::IgnoredAny;

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (from, to, body) = input;
    let from = DIALECTS[usize::from(from) % DIALECTS.len()];
    let to = DIALECTS[usize::from(to) % DIALECTS.len()];
    if let Ok(body) = translate::request(from, to, body, &RequestOptions::new("m")) {
        serde_json::from_slice::<IgnoredAny>(&body).expect("a translated request is JSON");
    }
    if let Ok(answer) = translate::answer(from, to, body, &AnswerContext::default()) {
        drop(answer);
    }
});
