#![no_main]
//! A pattern over labels: parsing never panics, what is accepted prints as it was written, and matching ends.

use domain::{Label, LabelPattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(pattern) = text.parse::<LabelPattern>() else { return };
    assert_eq!(pattern.as_str(), text);
    assert!(pattern.closeness() <= text.len());
    let _matches = pattern.matches(&Label::recorded(text));
});
