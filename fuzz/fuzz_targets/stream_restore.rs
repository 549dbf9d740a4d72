#![no_main]
//! Passing a stream on: any bytes of a backend, cut in any way, give the caller the same bytes.

use std::sync::Arc;

use domain::Label;
use libfuzzer_sys::fuzz_target;
use router::{
    answer::{StreamOptions, StreamPass},
    redact::{Masker, Vault},
    wire::Dialect,
};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, size, bytes) = input;
    let dialect = DIALECTS[usize::from(choice) % DIALECTS.len()];
    assert_eq!(passed(dialect, bytes, bytes.len().max(1)), passed(dialect, bytes, usize::from(size).max(1)));
});

fn vault() -> Arc<Vault> {
    let mut masker = Masker::new(&[7; 32], b"conversation");
    drop(masker.mask(&Label::fixed("pii/email"), "someone@northwind-labs.com").map(str::to_owned));
    Arc::new(masker.into_vault())
}

/// What the caller gets, unless the stream was refused: then how far it got depends on the cut.
fn passed(dialect: Dialect, bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let options = StreamOptions { dialect, vault: vault(), hide_usage: false, model_alias: None };
    let mut pass = StreamPass::new(options);
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        pass.push(chunk, &mut out).ok()?;
    }
    let _ended = pass.finish(&mut out);
    pass.error().is_none().then_some(out)
}
