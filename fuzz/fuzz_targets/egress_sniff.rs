#![no_main]
//! The first bytes of a connection: known at the same point however they are cut, and within the limit.

use libfuzzer_sys::fuzz_target;
use proxy::egress::sniff::{HELLO_BYTES_MAX, Sniffer};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let whole = Sniffer::default().look(bytes);
    let mut sniffer = Sniffer::default();
    let early = sniffer.look(bytes.get(..usize::from(cut)).unwrap_or(bytes));
    // TLS is known as soon as its first message is whole; more bytes change nothing.
    let parts = early.or_else(|| sniffer.look(bytes));
    assert_eq!(parts.is_some(), whole.is_some());
    if bytes.len() > HELLO_BYTES_MAX {
        assert!(whole.is_some());
    }
});
