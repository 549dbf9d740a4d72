//! A network without a way out: the loopback device, up, and every address there is made local to it.
//!
//! Whatever address a program connects to is then this namespace itself, and nothing can be routed anywhere, with or
//! without the capture rules.

use std::{io, net::Ipv4Addr};

use super::netlink::{CREATE, Line, Messages};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
/// An address of the sandbox that is none of loopback: resolvers that are asked for the kinds of addresses that this machine
/// has (`AI_ADDRCONFIG`) leave loopback out, and would find nothing. Nobody else is there, so the address means nothing.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);
/// The loopback device is the first device of every network namespace.
const LOOPBACK: u32 = 1;
const UP: u32 = 1;
const OUT_DEVICE: u16 = 4;
const EXCLUSIVE: u16 = 0x200;

/// Which versions of IP this kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// IPv4 alone.
    Four,
    /// IPv4 and IPv6.
    Both,
}

/// Brings the loopback device up.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn bring_up() -> io::Result<()> {
    let mut messages = Messages::default();
    let mut link = vec![0; 16];
    link.splice(4..8, LOOPBACK.to_ne_bytes());
    link.splice(8..16, [UP.to_ne_bytes(), UP.to_ne_bytes()].concat());
    messages.ask(NEW_LINK, 0, &link, |_| ());
    Line::open(None)?.send(&messages)
}

/// Gives it these addresses, beside those that it has.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn add_addresses(addresses: &[Ipv4Addr]) -> io::Result<()> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    const WHOLE: u8 = 32;
    let family = u8::try_from(libc::AF_INET).unwrap_or_default();
    let mut messages = Messages::default();
    for address in addresses {
        let mut fixed = vec![family, WHOLE, 0, 0];
        fixed.extend(LOOPBACK.to_ne_bytes());
        messages.ask(NEW_ADDRESS, CREATE | EXCLUSIVE, &fixed, |attributes| {
            attributes.bytes(LOCAL, &address.octets());
            attributes.bytes(ADDRESS, &address.octets());
        });
    }
    Line::open(None)?.send(&messages)
}

/// Makes every address local to it.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn close(versions: Versions) -> io::Result<()> {
    let mut messages = Messages::default();
    everything_is_local(&mut messages, libc::AF_INET);
    if versions == Versions::Both {
        everything_is_local(&mut messages, libc::AF_INET6);
    }
    Line::open(None)?.send(&messages)
}

/// `ip route add local 0.0.0.0/0 dev lo`, or `::/0`.
fn everything_is_local(messages: &mut Messages, family: i32) {
    const LOCAL_TABLE: u8 = 255;
    const STATIC: u8 = 4;
    const THIS_HOST: u8 = 254;
    const LOCAL: u8 = 2;
    let family = u8::try_from(family).unwrap_or_default();
    let route = [family, 0, 0, 0, LOCAL_TABLE, STATIC, THIS_HOST, LOCAL, 0, 0, 0, 0];
    messages.ask(NEW_ROUTE, CREATE | EXCLUSIVE, &route, |attributes| {
        attributes.bytes(OUT_DEVICE, &LOOPBACK.to_ne_bytes());
    });
}
