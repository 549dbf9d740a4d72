#![no_main]
//! Reading a request in every dialect: segments lie inside the body, and edits give a body that is still JSON.

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use router::wire::{self, Dialect};
use serde::Deserialize;

const DIALECTS: [Dialect; 6] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiCompletions,
    Dialect::OpenAiResponses,
    Dialect::OpenAiEmbeddings,
    Dialect::AnthropicMessages,
    Dialect::AnthropicCountTokens,
];

/// What another reader must find after the edit.
#[derive(Deserialize)]
struct Edited {
    model: String,
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let dialect = DIALECTS[usize::from(choice) % DIALECTS.len()];
    let Ok(view) = wire::read(dialect, body) else { return };
    for segment in &view.segments {
        assert!(body.get(segment.span.clone()).is_some(), "a segment lies in the body");
    }
    let pieces = wire::splice(&Bytes::copy_from_slice(body), vec![wire::model_edit(&view, "another-model")]);
    let after = pieces.concat();
    let after: Edited = serde_json::from_slice(&after).expect("an edited body is still JSON");
    assert_eq!(after.model, "another-model");
});
