#![no_main]
//! Questions for names from inside a sandbox: whatever is sent, an answer is short and carries the question's number, and no
//! name has an address that may not be reached.

use std::{net::IpAddr, sync::LazyLock};

use domain::Host;
use libfuzzer_sys::fuzz_target;
use proxy::egress::{dns::Zone, names::Names};

fn is_permitted(host: &Host) -> bool {
    host.name().is_some_and(|name| name.ends_with("example"))
}

static NAMES: LazyLock<Names> = LazyLock::new(Names::default);
static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let refused = |refused: &proxy::egress::dns::Refused<'_>| assert!(!is_permitted(refused.name));
    Zone::new(NAMES.clone(), is_permitted, refused)
});

fuzz_target!(|message: &[u8]| {
    let Some(answer) = ZONE.answer(message) else { return };
    assert!((12..=512).contains(&answer.len()), "no answer has to be cut");
    assert_eq!(answer[..2], message[..2]);
    assert_eq!(answer[2] & 0x80, 0x80, "it is an answer");
    let records = u16::from_be_bytes([answer[6], answer[7]]);
    assert!(records <= 1);
    // An IPv4 address is the data of the last record but that of EDNS, which an answer repeats without options.
    let extension = if answer[11] == 1 { 11 } else { 0 };
    let end = answer.len() - extension;
    let is_v4 = records == 1 && answer[end - 6..end - 4] == [0, 4];
    if is_v4 {
        let address: [u8; 4] = answer[end - 4..end].try_into().unwrap();
        let name = NAMES.name(IpAddr::from(address));
        assert!(address == [127, 0, 0, 1] || name.is_some_and(|name| is_permitted(&name)));
    }
});
