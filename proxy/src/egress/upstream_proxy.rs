//! The corporate proxy that an operator puts between the machine and the network: how it is written, which
//! destinations pass it by, and the one request it is asked (`CONNECT`, RFC 9110 §9.3.6).
//!
//! Invariant: its password is in the open only in the bytes that go to it, and no error repeats the text it came from.

use std::{fmt, io, net::IpAddr, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Destination, Host};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Largest head of the proxy's answer, bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Where HTTP proxies listen that are written without a port.
const PORT_DEFAULT: u16 = 80;

/// Why a text names no proxy. The text may hold a password, so none of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamProxyError {
    /// Another scheme than `http`.
    #[error("an upstream proxy is written http://HOST:PORT; other schemes are not spoken")]
    Scheme,
    /// No host and port.
    #[error("the host or port of the upstream proxy cannot be read")]
    Host,
    /// More than host and port.
    #[error("an upstream proxy has no path")]
    Path,
    /// A password that is no text, or would break a header.
    #[error("the credential of the upstream proxy cannot be read; escape odd characters as %40")]
    Credential,
    /// An entry of the list of exceptions.
    #[error("an entry of no_proxy is neither a host, a network nor *")]
    Exception,
}

/// An HTTP proxy that connections to the outside are made through.
#[derive(Clone)]
pub struct UpstreamProxy {
    at: Destination,
    /// Value of `Proxy-Authorization`.
    authorization: Option<SecretString>,
    exceptions: Vec<Exception>,
}

/// What is reached without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    /// A name and all names below it, or an address.
    Host(Host, Option<u16>),
    Network(IpNet),
}

impl UpstreamProxy {
    /// Where it listens.
    pub fn at(&self) -> &Destination {
        &self.at
    }

    /// The same with exceptions, as `NO_PROXY` writes them: hosts (with all hosts below them, with or without a port),
    /// addresses, networks, or `*`, with commas between.
    ///
    /// # Errors
    /// For an entry that is none of these: to pass it over could send what was to stay inside to the proxy.
    pub fn without(mut self, no_proxy: &str) -> Result<Self, UpstreamProxyError> {
        let entries = no_proxy.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        for entry in entries {
            self.exceptions.push(exception(entry).ok_or(UpstreamProxyError::Exception)?);
        }
        Ok(self)
    }

    /// Whether a destination, whose addresses are these, is reached through it.
    pub(super) fn is_for(&self, to: &Destination, addresses: &[IpAddr]) -> bool {
        let meant = |exception: &Exception| match exception {
            Exception::Everything => true,
            Exception::Host(host, port) => {
                port.is_none_or(|port| port == to.port()) && is_at_or_below(&to.host, host)
            }
            Exception::Network(net) => {
                !addresses.is_empty() && addresses.iter().all(|address| net.contains(address))
            }
        };
        !self.exceptions.iter().any(meant)
    }

    /// Asks for a tunnel on a connection to the proxy; gives the status of the answer. What follows the head of the
    /// answer is the tunnel's and stays in the socket.
    ///
    /// # Errors
    /// Of the socket; `InvalidData` for an answer that is no HTTP.
    pub(super) async fn connect(
        &self,
        stream: &mut TcpStream,
        to: &Destination,
    ) -> io::Result<u16> {
        let mut head = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"));
        if let Some(authorization) = &self.authorization {
            #[expect(clippy::disallowed_methods, reason = "the one request that carries it")]
            let value = authorization.expose_secret();
            head.push_str("Proxy-Authorization: ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        status(&answer_head(stream).await?).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl fmt::Debug for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamProxy").field("at", &self.at).finish_non_exhaustive()
    }
}

impl FromStr for UpstreamProxy {
    type Err = UpstreamProxyError;

    /// `http://[USER:PASSWORD@]HOST[:PORT]`; user and password with percent escapes.
    fn from_str(text: &str) -> Result<Self, UpstreamProxyError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UpstreamProxyError::Scheme);
        }
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(UpstreamProxyError::Path);
        }
        let whole = place.parse().or_else(|_| format!("{place}:{PORT_DEFAULT}").parse());
        let at = whole.map_err(|_| UpstreamProxyError::Host)?;
        let authorization = user.map(authorization).transpose()?;
        Ok(Self { at, authorization, exceptions: Vec::new() })
    }
}

/// The value of `Proxy-Authorization` (RFC 7617).
fn authorization(user: &str) -> Result<SecretString, UpstreamProxyError> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain = Zeroizing::new(Vec::with_capacity(user.len()));
    unescape(name, &mut plain)?;
    // A colon would move the border between the two.
    if plain.contains(&b':') {
        return Err(UpstreamProxyError::Credential);
    }
    plain.push(b':');
    unescape(password, &mut plain)?;
    Ok(SecretString::from(format!("Basic {}", STANDARD.encode(&*plain))))
}

fn unescape(text: &str, out: &mut Vec<u8>) -> Result<(), UpstreamProxyError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let value = value.and_then(|value| u8::try_from(value).ok());
        out.push(value.ok_or(UpstreamProxyError::Credential)?);
    }
    Ok(())
}

fn exception(entry: &str) -> Option<Exception> {
    if entry == "*" {
        return Some(Exception::Everything);
    }
    if let Ok(net) = entry.parse::<IpNet>() {
        return Some(Exception::Network(net));
    }
    let bare = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')).unwrap_or(entry);
    if let Ok(host) = bare.parse::<Host>() {
        return Some(match host.address() {
            Some(address) => Exception::Network(address.into()),
            None => Exception::Host(host, None),
        });
    }
    let place: Destination = bare.parse().ok()?;
    let port = place.port();
    Some(Exception::Host(place.host, Some(port)))
}

fn is_at_or_below(host: &Host, top: &Host) -> bool {
    let below =
        |name: &str, top: &str| name.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'));
    host == top || host.name().zip(top.name()).is_some_and(|(name, top)| below(name, top))
}

/// Takes the head of an answer out of the socket, and nothing behind it.
async fn answer_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    let mut seen = [0; 1024];
    loop {
        let count = stream.peek(&mut seen).await?;
        let fresh = seen.get(..count).unwrap_or_default();
        if fresh.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = head.len();
        head.extend_from_slice(fresh);
        let end = memchr::memmem::find(&head, b"\r\n\r\n").map(|at| at + 4);
        head.truncate(end.unwrap_or(head.len()));
        let take = head.len().saturating_sub(before);
        stream.read_exact(seen.get_mut(..take).unwrap_or_default()).await?;
        match end {
            Some(_) => return Ok(head),
            None if head.len() > ANSWER_BYTES_MAX => return Err(io::ErrorKind::InvalidData.into()),
            None => {}
        }
    }
}

/// The status of `HTTP/1.1 200 …`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Result<UpstreamProxy, UpstreamProxyError> {
        text.parse()
    }

    #[test]
    fn a_proxy_has_a_place_and_perhaps_a_credential_that_is_never_printed() {
        let with = proxy("http://us%40er:pa%3Ass@proxy.corp:3128/").unwrap();
        assert_eq!(with.at().to_string(), "proxy.corp:3128");
        #[expect(clippy::disallowed_methods, reason = "what is sent")]
        let sent = with.authorization.as_ref().unwrap().expose_secret().to_owned();
        assert_eq!(sent, format!("Basic {}", STANDARD.encode("us@er:pa:ss")));
        assert_eq!(
            format!("{with:?}"),
            "UpstreamProxy { at: Destination { host: Host(Name(\"proxy.corp\")), port: 3128 }, .. }"
        );
        assert_eq!(proxy("10.0.0.1").unwrap().at().to_string(), "10.0.0.1:80");
        for (text, error) in [
            ("https://proxy.corp:3128", UpstreamProxyError::Scheme),
            ("socks5://proxy.corp", UpstreamProxyError::Scheme),
            ("http://", UpstreamProxyError::Host),
            ("http://a b", UpstreamProxyError::Host),
            ("http://proxy.corp/path", UpstreamProxyError::Path),
            ("http://a%:b@proxy.corp", UpstreamProxyError::Credential),
            ("http://a%3A:b@proxy.corp", UpstreamProxyError::Credential),
        ] {
            assert_eq!(proxy(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn exceptions_pass_the_proxy_by() {
        let list = ".corp, git.example.com:22,10.0.0.0/8 192.0.2.7, *.wild.example";
        let proxy = proxy("proxy.corp:3128").unwrap().without(list).unwrap();
        let cases = [
            ("corp:80", "", false),
            ("a.b.corp:80", "", false),
            ("acorp:80", "", true),
            ("git.example.com:22", "", false),
            ("git.example.com:443", "", true),
            ("x.wild.example:1", "", false),
            ("10.1.1.1:80", "10.1.1.1", false),
            ("inside.example:80", "10.1.1.1", false),
            ("192.0.2.7:80", "192.0.2.7", false),
            ("192.0.2.8:80", "192.0.2.8", true),
            ("example.com:443", "", true),
        ];
        for (to, address, expected) in cases {
            let addresses: Vec<IpAddr> = address.parse().into_iter().collect();
            assert_eq!(proxy.is_for(&to.parse().unwrap(), &addresses), expected, "{to}");
        }
        let all = proxy.without("*").unwrap();
        assert!(!all.is_for(&"example.com:443".parse().unwrap(), &[]));
        assert_eq!(all.without("a b,!").err(), Some(UpstreamProxyError::Exception));
    }

    #[test]
    fn the_status_of_an_answer_is_three_digits() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\n\r\n", Some(407)),
            ("HTTP/2 200\r\n\r\n", None),
            ("HTTP/1.1 2x0\r\n\r\n", None),
            ("HTTP/1.1 20", None),
            ("SSH-2.0", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head:?}");
        }
    }
}
