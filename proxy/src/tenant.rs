//! Who is asking: the sandbox that a token names, else a name that reveals nothing, a keyed hash of the caller's
//! credential or of its address.
//!
//! The key belongs to this process, or to its state folder: nobody else can compare names, or test a guessed credential
//! against one in the audit. Invariant: two callers with different credentials have different names.

use std::net::IpAddr;

use domain::Tenant;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The key of this process for names of callers.
#[derive(Clone)]
pub(crate) struct Naming(Hmac<Sha256>);

/// What is known of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// The value of its `authorization` or `x-api-key` header.
    Credential(&'a [u8]),
    /// Its address.
    Address(IpAddr),
    /// A process on this machine, by a Unix socket.
    Local,
}

impl Naming {
    /// Names under this key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // An HMAC takes a key of any length: this cannot fail, and without a key the names are merely guessable.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0_u8; 64].into())))
    }

    /// The name of `caller`: a kind and 128 bits.
    pub(crate) fn of(&self, caller: Caller<'_>) -> Tenant {
        let mut mac = self.0.clone();
        let kind = match caller {
            Caller::Credential(value) => {
                mac.update(b"credential\0");
                mac.update(value);
                "key"
            }
            Caller::Address(address) => {
                mac.update(b"address\0");
                mac.update(address.to_string().as_bytes());
                "peer"
            }
            Caller::Local => return Tenant::new("local"),
        };
        let digest = mac.finalize().into_bytes();
        let mut digits = [0; 32];
        // Sixteen bytes fill their digits: this cannot fail.
        let half = digest.get(..16).unwrap_or_default();
        hex::encode_to_slice(half, &mut digits).unwrap_or_default();
        Tenant::new(&[kind, "-", std::str::from_utf8(&digits).unwrap_or_default()].concat())
    }
}

impl std::fmt::Debug for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Naming(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_and_nothing_of_them_is_shown() {
        let naming = Naming::new(&[7; 32]);
        let names = [
            naming.of(Caller::Credential(b"Bearer sk-one")),
            naming.of(Caller::Credential(b"Bearer sk-two")),
            naming.of(Caller::Address([127, 0, 0, 1].into())),
            naming.of(Caller::Local),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!name.as_str().contains("sk-") && !name.as_str().contains("127"), "{name:?}");
            assert!(!names.iter().skip(at + 1).any(|other| other == name));
        }
        assert_eq!(names[0], naming.of(Caller::Credential(b"Bearer sk-one")));
    }

    #[test]
    fn another_process_gives_other_names() {
        let of = |key| Naming::new(&[key; 32]).of(Caller::Credential(b"Bearer sk-one"));
        assert_ne!(of(1), of(2));
    }
}
