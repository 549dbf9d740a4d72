#![no_main]
//! The stream decoder: every way of cutting gives the same frames, and nothing grows beyond the limit.

use libfuzzer_sys::fuzz_target;
use router::sse::Decoder;

const LIMIT: usize = 4096;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    assert_eq!(frames(bytes, bytes.len().max(1)), frames(bytes, usize::from(size).max(1)));
});

/// The frames, and whether the stream was refused.
fn frames(bytes: &[u8], size: usize) -> Vec<(Option<String>, String)> {
    let mut decoder = Decoder::new(LIMIT);
    let mut all = Vec::new();
    for chunk in bytes.chunks(size) {
        let refused = decoder.push(chunk).is_err();
        while let Some(frame) = decoder.next_frame() {
            all.push((frame.event.map(str::to_owned), frame.data.to_owned()));
        }
        if refused {
            return all;
        }
    }
    if let Some(frame) = decoder.finish() {
        all.push((frame.event.map(str::to_owned), frame.data.to_owned()));
    }
    all
}
