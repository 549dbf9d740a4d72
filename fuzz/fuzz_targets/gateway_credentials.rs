//! What a stranger may present at the gateway's door: tokens of sandboxes and users, client certificates, serial numbers.
//!
//! Nothing that was not made with the key is believed, whatever its bytes; what is read is printed as it was.
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

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::new(&[7; 32]).unwrap());

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for token in [text.to_string(), format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))] {
        for now in [0, 1_800_000_000, u64::MAX] {
            assert!(KEYS.verify(&token, now).is_err());
            assert!(KEYS.verify_for_refresh(&token, now).is_err());
        }
    }
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
