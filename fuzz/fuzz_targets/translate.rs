#![no_main]
//! Translating requests and answers between dialects, and the edits where there is no translation: no panic, and what comes
//! out is JSON.

use backends::translate::{self, AnswerContext, LateSystem, RequestOptions};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use router::wire::{self, Dialect};
use serde::de::IgnoredAny;

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages];

const LATE: [Option<LateSystem>; 4] =
    [None, Some(LateSystem::AsUser), Some(LateSystem::InPlace), Some(LateSystem::Hoist)];

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (from, to, choice, body) = input;
    let from = DIALECTS[usize::from(from) % DIALECTS.len()];
    let to = DIALECTS[usize::from(to) % DIALECTS.len()];
    let options = RequestOptions {
        cache_control: choice & 4 == 0,
        late_system: LATE[usize::from(choice) % LATE.len()],
        ..RequestOptions::new("m")
    };
    if let Ok(made) = translate::request_with_names(from, to, body, &options) {
        is_json(&made.body);
        assert!(made.omitted.iter().all(|name| name.len() < 64));
    }
    if let Ok(answer) = translate::answer(from, to, body, &AnswerContext::default())
        && from != to
    {
        is_json(&answer);
    }
    if serde_json::from_slice::<IgnoredAny>(body).is_err() {
        return;
    }
    let late = translate::late_system_edits(from, body);
    for edits in [translate::strip_foreign(from, body), late].into_iter().flatten() {
        is_json(&wire::splice(&Bytes::copy_from_slice(body), edits).concat());
    }
});

fn is_json(text: &[u8]) {
    serde_json::from_slice::<IgnoredAny>(text).expect("what leaves is JSON");
}
