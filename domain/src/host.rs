//! Where a connection goes: a host in its normal form, and a host with a port.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;

/// Longest DNS name, bytes, without a trailing dot (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Longest label of a DNS name, bytes (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Why a text is no host or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// Nothing was given.
    #[error("a host must not be empty")]
    Empty,
    /// Longer than a DNS name can be.
    #[error("a host name has at most {NAME_BYTES_MAX} bytes")]
    Long,
    /// A label that DNS does not know: empty, too long, or with a dash at its edge.
    #[error(
        "each part of a host name has 1 to {LABEL_BYTES_MAX} characters and no dash at its edges"
    )]
    Label,
    /// A character that stands in no host name.
    #[error("{0:?} cannot stand in a host name")]
    Character(char),
    /// Looks like an IPv4 address and is none; resolvers would read it as one all the same.
    #[error("this is no IPv4 address; write four decimal numbers")]
    Number,
    /// Brackets without an IPv6 address.
    #[error("this is no IPv6 address")]
    Address,
    /// No port from 1 to 65535.
    #[error("a port from 1 to 65535 is needed, as host:443")]
    Port,
}

/// A lower-case DNS name without a trailing dot, or an IP address. Cheap to compare; an IPv4 address that is
/// written as an IPv6 one (`::ffff:1.2.3.4`) is the IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Repr);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Name(Box<str>),
    Address(IpAddr),
}

impl Host {
    /// The name; `None` for an address.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Repr::Name(name) => Some(name),
            Repr::Address(_) => None,
        }
    }

    /// The address; `None` for a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0 {
            Repr::Name(_) => None,
            Repr::Address(address) => Some(address),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self(Repr::Address(address.to_canonical()))
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Address)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| HostError::Address)?;
            return Ok(IpAddr::from(address).into());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        check_name(name)?;
        if ends_in_number(name) {
            let address: Ipv4Addr = name.parse().map_err(|_| HostError::Number)?;
            return Ok(IpAddr::from(address).into());
        }
        Ok(Self(Repr::Name(name.to_ascii_lowercase().into())))
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    // `_` is common in container networks and service records.
    let known = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(bad) = name.chars().find(|c| !known(c)) {
        return Err(HostError::Character(bad));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(HostError::Long);
    }
    let sound = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(sound) { Ok(()) } else { Err(HostError::Label) }
}

/// Whether resolvers take the name for an IPv4 address in one of its old spellings (URL standard, "ends in a
/// number"): `2130706433`, `0x7f.1`, `127.1`.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Name(name) => f.pad(name),
            Repr::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A host and a port from 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    port: u16,
}

impl Destination {
    /// A destination; `None` for port 0, where nothing listens.
    pub fn new(host: Host, port: u16) -> Option<Self> {
        (port > 0).then_some(Self { host, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Destination {
    type Err = HostError;

    /// `host:443`, `10.0.0.1:80` or `[::1]:443`; the port is always written.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostError::Port)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(HostError::Address);
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = if digits { port.parse().ok() } else { None };
        Self::new(host.parse()?, port.ok_or(HostError::Port)?).ok_or(HostError::Port)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.address() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_normal_form() {
        let cases = [
            ("API.Example.COM", "api.example.com"),
            ("example.com.", "example.com"),
            ("_srv.example.com", "_srv.example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("::1", "::1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ];
        for (text, normal) in cases {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.to_string(), normal, "{text}");
            assert_eq!(normal.parse(), Ok(host), "{text}");
        }
    }

    #[test]
    fn what_resolvers_would_read_in_two_ways_is_refused() {
        let cases = [
            ("", HostError::Empty),
            ("2130706433", HostError::Number),
            ("0x7f.1", HostError::Number),
            ("127.1", HostError::Number),
            ("a.0x", HostError::Number),
            ("1.2.3.4.5", HostError::Number),
            ("127.0.0.01", HostError::Number),
            ("exämple.com", HostError::Character('ä')),
            ("a b", HostError::Character(' ')),
            ("a..b", HostError::Label),
            ("a.com..", HostError::Label),
            ("-a.com", HostError::Label),
            ("[::1", HostError::Address),
            ("[127.0.0.1]", HostError::Address),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Host>(), Err(error), "{text}");
        }
        assert_eq!(format!("{}.com", "a".repeat(64)).parse::<Host>(), Err(HostError::Label));
        assert!(format!("{}a", "a.".repeat(126)).parse::<Host>().is_ok());
        assert_eq!(format!("{}a", "a.".repeat(127)).parse::<Host>(), Err(HostError::Long));
    }

    #[test]
    fn a_destination_always_has_a_port() {
        let cases = ["example.com:443", "10.0.0.1:80", "[::1]:8080"];
        for text in cases {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["example.com", "example.com:0", "a:65536", "a:+1", "a:", "::1:80", ":80"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
