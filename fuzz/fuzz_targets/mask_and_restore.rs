#![no_main]
//! Masking and restoring: what was hidden comes back, whatever stands around it and however the text is cut.

use std::sync::Arc;

use domain::Label;
use libfuzzer_sys::fuzz_target;
use router::{
    redact::Masker,
    restore::{Escape, Restorer, restore_text},
};

fuzz_target!(|input: (u8, &str, &str, &str)| {
    let (size, before, value, after) = input;
    if value.is_empty() || value.len() > 4096 {
        return;
    }
    let mut masker = Masker::new(&[7; 32], b"conversation");
    masker.reserve(before);
    masker.reserve(after);
    let Ok(mark) = masker.mask(&Label::fixed("pii/email"), value) else { return };
    let mark = mark.to_owned();
    let vault = Arc::new(masker.into_vault());
    // Separated by a space: what a caller typed directly beside it may make another word of it.
    let masked = format!("{before} {mark} {after}");
    let whole = restore_text(&vault, &masked, Escape::None).into_owned();
    assert_eq!(whole, format!("{before} {value} {after}"));
    let mut restorer = Restorer::new(Arc::clone(&vault), Escape::None);
    let mut streamed = String::new();
    let letters: Vec<char> = masked.chars().collect();
    for piece in letters.chunks(usize::from(size).max(1)) {
        restorer.push(&piece.iter().collect::<String>(), &mut streamed);
    }
    restorer.flush(&mut streamed);
    assert_eq!(streamed, whole);
});
