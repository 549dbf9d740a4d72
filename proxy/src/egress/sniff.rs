//! What a connection speaks, by the first bytes that its caller sends.
//!
//! TLS is read by rustls' own parser, which answers nothing here. Invariant: never more than [`HELLO_BYTES_MAX`] are needed.

use std::fmt;

use rustls::server::Acceptor;

use super::head::is_token;

/// Largest first message of TLS, or first line of HTTP, that is waited for, bytes.
pub const HELLO_BYTES_MAX: usize = 64 << 10;

/// Longest first line that may still become one of HTTP, bytes.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Longest method, bytes.
const METHOD_BYTES_MAX: usize = 32;

/// The first line of HTTP/2 without TLS (RFC 9113, section 3.4).
const PRIOR_KNOWLEDGE: &[u8] = b"PRI * HTTP/2.0";

/// What the first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// TLS, for this name if it says one.
    Tls(Option<String>),
    /// Something that begins like TLS and is none.
    BrokenTls,
    /// HTTP/1.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// Something else.
    Other,
}

/// Looks at bytes that grow.
#[derive(Default)]
pub struct Sniffer {
    hello: Acceptor,
    fed: usize,
}

impl fmt::Debug for Sniffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sniffer").field("fed", &self.fed).finish_non_exhaustive()
    }
}

impl Sniffer {
    /// What `bytes`, all that came so far, are; `None` while that is open.
    pub fn look(&mut self, bytes: &[u8]) -> Option<Spoken> {
        match bytes.first() {
            None => None,
            Some(0x16) => self.tls(bytes),
            Some(_) => line(bytes),
        }
    }

    fn tls(&mut self, bytes: &[u8]) -> Option<Spoken> {
        let mut new = bytes.get(self.fed..).unwrap_or_default();
        while !new.is_empty() {
            match self.hello.read_tls(&mut new) {
                Ok(0) | Err(_) => return Some(Spoken::BrokenTls),
                Ok(count) => self.fed = self.fed.saturating_add(count),
            }
            match self.hello.accept() {
                Ok(Some(hello)) => {
                    let name = hello.client_hello().server_name().map(str::to_owned);
                    return Some(Spoken::Tls(name));
                }
                Ok(None) => {}
                Err(_) => return Some(Spoken::BrokenTls),
            }
        }
        (bytes.len() > HELLO_BYTES_MAX).then_some(Spoken::BrokenTls)
    }
}

/// HTTP says its version at the end of its first line.
fn line(bytes: &[u8]) -> Option<Spoken> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
    let after = line.get(method);
    if method == 0 || method > METHOD_BYTES_MAX || after.is_some_and(|byte| *byte != b' ') {
        return Some(Spoken::Other);
    }
    match end {
        Some(_) if line == PRIOR_KNOWLEDGE => Some(Spoken::Http2),
        Some(_) if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") => {
            Some(Spoken::Http)
        }
        Some(_) => Some(Spoken::Other),
        None if line.len() > LINE_BYTES_MAX => Some(Spoken::Other),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use proptest::prelude::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// The first message of a client for this name.
    fn hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = name.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes.flush().unwrap();
        bytes
    }

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        let cases: [(&[u8], Option<Spoken>); 13] = [
            (b"", None),
            (b"GET /", None),
            (b"GET / HTTP/1.1\r\n", Some(Spoken::Http)),
            (b"PROPFIND /a HTTP/1.0\n", Some(Spoken::Http)),
            (b"PRI * HTTP/2.0\r\n\r\nSM", Some(Spoken::Http2)),
            (b"PRI * HTTP/2.0", None),
            (b"NICK someone\r\n", Some(Spoken::Other)),
            (b"SSH-2.0-OpenSSH_9\r\n", Some(Spoken::Other)),
            (b"\r\nGET / HTTP/1.1\r\n", Some(Spoken::Other)),
            (b"\0\0", Some(Spoken::Other)),
            (b"GET\t/", Some(Spoken::Other)),
            (b"\x16\x03\x01\xff\xff", Some(Spoken::BrokenTls)),
            (b"\x16GET / HTTP/1.1\r\n\r\n", Some(Spoken::BrokenTls)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Sniffer::default().look(bytes), expected, "{bytes:?}");
        }
        let long = vec![b'A'; METHOD_BYTES_MAX + 1];
        assert_eq!(Sniffer::default().look(&long), Some(Spoken::Other));
        let line = [b"GET /".to_vec(), vec![b'a'; LINE_BYTES_MAX]].concat();
        assert_eq!(Sniffer::default().look(&line), Some(Spoken::Other));
    }

    #[test]
    fn a_hello_says_its_name_also_in_single_bytes() {
        for (name, said) in [("api.example.com", Some("api.example.com")), ("10.1.2.3", None)] {
            let bytes = hello(name);
            let expected = Some(Spoken::Tls(said.map(str::to_owned)));
            assert_eq!(Sniffer::default().look(&bytes), expected);
            let mut sniffer = Sniffer::default();
            for end in 1..bytes.len() {
                assert_eq!(sniffer.look(&bytes[..end]), None, "{end}");
            }
            assert_eq!(sniffer.look(&bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_within_the_limit(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            let mut long = bytes;
            long.resize(HELLO_BYTES_MAX + 1, b'a');
            prop_assert!(Sniffer::default().look(&long).is_some());
        }
    }
}
