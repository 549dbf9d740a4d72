#![no_main]
//! Translating streams: any bytes of a backend, cut in any way, give the caller the same bytes.

use backends::translate::{AnswerContext, StreamTranslator};
use libfuzzer_sys::fuzz_target;
use router::wire::Dialect;

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages];

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (from, to, size, bytes) = input;
    let from = DIALECTS[usize::from(from) % DIALECTS.len()];
    let to = DIALECTS[usize::from(to) % DIALECTS.len()];
    let whole = translated(from, to, bytes, bytes.len().max(1));
    assert_eq!(whole, translated(from, to, bytes, usize::from(size).max(1)));
});

/// What the caller gets, unless the stream was refused: then how far it got depends on the cut.
fn translated(from: Dialect, to: Dialect, bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut translator = StreamTranslator::new(from, to, AnswerContext::default()).ok()?;
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        translator.push(chunk, &mut out).ok()?;
    }
    translator.finish(&mut out).ok()?;
    Some(out)
}
