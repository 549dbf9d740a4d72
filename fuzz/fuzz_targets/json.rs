#![no_main]
//! The JSON reader against an independent one: what we take, the other takes, and both read the same strings.

use libfuzzer_sys::fuzz_target;
use router::json;
use serde::de::IgnoredAny;

fuzz_target!(|body: &[u8]| {
    let Ok(tape) = json::parse(body) else { return };
    serde_json::from_slice::<IgnoredAny>(body).expect("both readers take it");
    let root = tape.root();
    let other: Option<String> = serde_json::from_slice(body).ok();
    assert_eq!(root.is_string(), other.is_some());
    if let Some(text) = other {
        assert_eq!(root.text(), text);
    }
    let mut escaped = String::new();
    json::escape_into(&mut escaped, &root.text());
    assert_eq!(json::unescape(&escaped), root.text());
});
