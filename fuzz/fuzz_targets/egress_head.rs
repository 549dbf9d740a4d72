#![no_main]
//! The head of a request: found at the same place however it is cut, and read in one way or not at all.

use libfuzzer_sys::fuzz_target;
use proxy::egress::head::{End, HEAD_BYTES_MAX, Head, Length};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let whole = End::default().find(bytes);
    let mut end = End::default();
    let early = end.find(bytes.get(..usize::from(cut)).unwrap_or(bytes));
    let cut = if early == Ok(None) { end.find(bytes) } else { early };
    assert_eq!(cut, whole);
    let Ok(Some(length)) = whole else { return };
    assert!(length <= HEAD_BYTES_MAX);
    let raw = &bytes[..length];
    let Ok(head) = Head::parse(raw) else { return };
    assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
    let lower = raw.to_ascii_lowercase();
    let count = |name: &[u8]| lower.windows(name.len()).filter(|part| *part == name).count();
    let lengths = count(b"\ncontent-length:") + count(b"\ntransfer-encoding:");
    assert_eq!(lengths, usize::from(head.length != Length::None));
    assert_eq!(count(b"\nhost:"), usize::from(head.host.is_some()));
    if let Some(own) = head.in_origin_form(raw, "/own") {
        assert_eq!(Head::parse(&own).map(|own| (own.target, own.length)), Ok(("/own", head.length)));
    }
});
