//! What a stranger may present at the gateway's door: tokens of sandboxes and users, client certificates, serial numbers.
//!
//! Nothing that was not made with the key is believed, whatever its bytes; what is read is printed as it was. One token that was
//! made with it is there too: as it is it is believed, and with any change it is not.
#![no_main]

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway::auth::{
    peer::ClientCertificate,
    revoked::Serial,
    sandbox::{Keys, PREFIX},
    token,
};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

/// When the good token was made, seconds since 1970.
const MADE: u64 = 1_800_000_000;

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::new(&[7; 32]).unwrap());

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for token in [text.to_string(), format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))] {
        for now in [0, 1_800_000_000, u64::MAX] {
            assert!(KEYS.verify(&token, now).is_err());
            assert!(KEYS.verify_for_refresh(&token, now).is_err());
        }
    }
    changed_in_one_place(bytes);
    if let Ok(hash) = token::read(&text) {
        assert_eq!(text.len(), 53);
        assert_eq!(hash.to_hex().len(), 64);
    }
    if let Ok(certificate) = ClientCertificate::read(bytes) {
        let again = certificate.serial.to_string().parse::<Serial>();
        assert_eq!(again, Ok(certificate.serial));
        assert!(!certificate.user.as_str().is_empty());
        certificate.is_timely(1_800_000_000);
    }
    if let Some(serial) = Serial::of_der(bytes) {
        assert_eq!(serial.to_string().parse::<Serial>(), Ok(serial));
    }
});

/// Takes a good token, and the first three bytes as a place and a change of it: only none at all leaves it good.
fn changed_in_one_place(bytes: &[u8]) {
    let sandbox = Uuid::from_u128(7);
    let minted = KEYS.mint(sandbox, MADE);
    let good = minted.expose_secret();
    let says = KEYS.verify(good, MADE + 1).unwrap();
    assert_eq!((says.sandbox, says.issued), (sandbox, MADE));
    assert!(KEYS.verify(good, says.expires).is_err());
    assert!(KEYS.verify_for_refresh(good, says.expires).is_ok());
    let [high, low, change, ..] = bytes else { return };
    let mut raw = URL_SAFE_NO_PAD.decode(&good[PREFIX.len()..]).unwrap();
    let at = usize::from(u16::from_be_bytes([*high, *low])) % raw.len();
    raw[at] ^= change;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(raw));
    assert_eq!(KEYS.verify(&token, MADE + 1).is_ok(), *change == 0);
    // Nor is there another way to write the same.
    let mut text = good.to_owned().into_bytes();
    let at = usize::from(u16::from_be_bytes([*high, *low])) % text.len();
    text[at] ^= change;
    if let Ok(text) = String::from_utf8(text) {
        assert_eq!(KEYS.verify(&text, MADE + 1).is_ok(), *change == 0);
    }
}
