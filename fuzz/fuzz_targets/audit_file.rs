#![no_main]
//! The reader of audit files behind `openshell audit` and `openshell cost`: lines of any bytes give events or nothing, and one
//! bad line hides no other.

#[path = "../../cli/src/failure.rs"]
#[allow(dead_code)]
mod failure;

#[path = "../../cli/src/commands"]
mod commands {
    #[allow(dead_code)]
    pub(crate) mod events;
}

use commands::events;
use libfuzzer_sys::fuzz_target;

const EVENT: &[u8] = b"{\"class_uid\":6003,\"time\":5,\"unmapped\":{\"openshell\":{\"request_id\":\"last\"}}}\n";

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    file.push(b'\n');
    file.extend_from_slice(EVENT);
    let mut last = String::new();
    let mut take = |event: events::Event| {
        let _ = (event.tenant().len(), event.time_ms(), event.number("/unmapped/openshell/cost_usd"));
        event.own("request_id").clone_into(&mut last);
    };
    let read = events::read(&mut std::io::Cursor::new(file), &mut take);
    assert!(read.is_ok(), "a line of any bytes is skipped");
    assert_eq!(last, "last", "what follows a bad line is read");
});
