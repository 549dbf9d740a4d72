//! The capture: nftables rules that hand every TCP connection and every question for a name to the supervisor's sockets,
//! and refuse everything else at once. Written to the kernel in one transaction, without any program of the host.
//!
//! ```text
//! table inet openshell {
//!   chain capture { type nat hook output priority -100; policy accept;
//!     udp dport 53 redirect to :53
//!     tcp dport 53 redirect to :53
//!     ip daddr 127.0.0.0/8 accept
//!     ip6 daddr ::1 accept
//!     meta l4proto tcp redirect to :3129
//!   }
//!   chain fence { type filter hook output priority 0; policy drop;
//!     ct state established,related accept
//!     ip daddr 127.0.0.0/8 accept
//!     ip6 daddr ::1 accept
//!     reject with icmpx admin-prohibited
//!   }
//! }
//! ```
//! After a redirect the address is a loopback one, so what is captured passes the fence. Numbers are those of
//! `linux/netfilter/nf_tables.h`.

use std::io;

use rustix::net::netlink;

use super::netlink::{APPEND, Attributes, CREATE, Line, Messages};

const TABLE: &str = "openshell";
const CAPTURE: &str = "capture";
const FENCE: &str = "fence";

/// Ports of the supervisor's sockets inside the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Where captured TCP connections go.
    pub(crate) captured: u16,
    /// Where questions for names go, whatever resolver they were meant for.
    pub(crate) dns: u16,
}

/// Installs the rules in the network namespace of this process.
///
/// # Errors
/// What the kernel answers; `ENOENT` or `EOPNOTSUPP` where it lacks a part of `nf_tables`.
pub(crate) fn install(ports: Ports) -> io::Result<()> {
    let line = Line::open(Some(netlink::NETFILTER))?;
    line.send(&transaction(ports))
}

const INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

fn transaction(ports: Ports) -> Messages {
    let mut messages = Messages::default();
    let [high, low] = SUBSYSTEM.to_be_bytes();
    messages.mark(BATCH_BEGIN, &[0, 0, high, low]);
    messages.ask(NEW_TABLE, CREATE, &HEAD, |table| table.text(1, TABLE));
    chain(&mut messages, CAPTURE, "nat", -100, ACCEPT);
    chain(&mut messages, FENCE, "filter", 0, DROP);

    rule(
        &mut messages,
        CAPTURE,
        &[Part::Protocol(UDP), Part::ToPort(ports.dns), Part::Redirect(ports.dns)],
    );
    rule(
        &mut messages,
        CAPTURE,
        &[Part::Protocol(TCP), Part::ToPort(ports.dns), Part::Redirect(ports.dns)],
    );
    rule(&mut messages, CAPTURE, &[Part::ToLoopback4, Part::Accept]);
    rule(&mut messages, CAPTURE, &[Part::ToLoopback6, Part::Accept]);
    rule(&mut messages, CAPTURE, &[Part::Protocol(TCP), Part::Redirect(ports.captured)]);

    rule(&mut messages, FENCE, &[Part::Known, Part::Accept]);
    rule(&mut messages, FENCE, &[Part::ToLoopback4, Part::Accept]);
    rule(&mut messages, FENCE, &[Part::ToLoopback6, Part::Accept]);
    rule(&mut messages, FENCE, &[Part::Reject]);
    messages.mark(BATCH_END, &[0, 0, high, low]);
    messages
}

const HEAD: [u8; 4] = [INET, 0, 0, 0];
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const OUTPUT_HOOK: u32 = 3;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn chain(messages: &mut Messages, name: &str, kind: &str, priority: i32, policy: u32) {
    messages.ask(NEW_CHAIN, CREATE, &HEAD, |chain| {
        chain.text(1, TABLE);
        chain.text(3, name);
        chain.nested(4, |hook| {
            hook.big(1, OUTPUT_HOOK);
            hook.big(2, priority.cast_unsigned());
        });
        chain.big(5, policy);
        chain.text(7, kind);
    });
}

fn rule(messages: &mut Messages, chain: &str, parts: &[Part]) {
    messages.ask(NEW_RULE, CREATE | APPEND, &HEAD, |rule| {
        rule.text(1, TABLE);
        rule.text(2, chain);
        rule.nested(4, |list| parts.iter().for_each(|part| part.write(list)));
    });
}

/// A part of a rule: a condition, or what to do.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The transport protocol has this number.
    Protocol(u8),
    /// The destination port is this one.
    ToPort(u16),
    /// The destination is in 127.0.0.0/8.
    ToLoopback4,
    /// The destination is `::1`.
    ToLoopback6,
    /// The packet belongs to a connection that was let through before.
    Known,
    /// Change the destination to this port of the loopback device.
    Redirect(u16),
    /// Let it go.
    Accept,
    /// Answer with "administratively prohibited".
    Reject,
}

const REGISTER: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

impl Part {
    fn write(self, list: &mut Attributes<'_>) {
        match self {
            Self::Protocol(number) => {
                meta(list, 16);
                compare(list, 0, &[number]);
            }
            Self::ToPort(port) => {
                payload(list, TRANSPORT_HEADER, 2, 2);
                compare(list, 0, &port.to_be_bytes());
            }
            Self::ToLoopback4 => {
                meta(list, 15);
                compare(list, 0, &[2]);
                payload(list, NETWORK_HEADER, 16, 1);
                compare(list, 0, &[127]);
            }
            Self::ToLoopback6 => {
                meta(list, 15);
                compare(list, 0, &[10]);
                payload(list, NETWORK_HEADER, 24, 16);
                compare(list, 0, &std::net::Ipv6Addr::LOCALHOST.octets());
            }
            Self::Known => known(list),
            Self::Redirect(port) => {
                immediate(list, REGISTER, |data| data.bytes(1, &port.to_be_bytes()));
                expression(list, "redir", |redirect| redirect.big(1, REGISTER));
            }
            Self::Accept => {
                immediate(list, 0, |data| data.nested(2, |verdict| verdict.big(1, ACCEPT)));
            }
            Self::Reject => expression(list, "reject", |reject| {
                const ANY_FAMILY: u32 = 2;
                const PROHIBITED: u8 = 3;
                reject.big(1, ANY_FAMILY);
                reject.bytes(2, &[PROHIBITED]);
            }),
        }
    }
}

/// `ct state established,related`.
fn known(list: &mut Attributes<'_>) {
    const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
    const NOT_EQUAL: u32 = 1;
    expression(list, "ct", |ct| {
        ct.big(1, REGISTER);
        ct.big(2, 0);
    });
    expression(list, "bitwise", |bitwise| {
        bitwise.big(1, REGISTER);
        bitwise.big(2, REGISTER);
        bitwise.big(3, 4);
        bitwise.nested(4, |mask| mask.bytes(1, &ESTABLISHED_OR_RELATED.to_ne_bytes()));
        bitwise.nested(5, |xor| xor.bytes(1, &[0; 4]));
    });
    compare(list, NOT_EQUAL, &[0; 4]);
}

fn meta(list: &mut Attributes<'_>, key: u32) {
    expression(list, "meta", |meta| {
        meta.big(1, REGISTER);
        meta.big(2, key);
    });
}

fn payload(list: &mut Attributes<'_>, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |payload| {
        payload.big(1, REGISTER);
        payload.big(2, base);
        payload.big(3, offset);
        payload.big(4, length);
    });
}

fn compare(list: &mut Attributes<'_>, operation: u32, value: &[u8]) {
    expression(list, "cmp", |cmp| {
        cmp.big(1, REGISTER);
        cmp.big(2, operation);
        cmp.nested(3, |data| data.bytes(1, value));
    });
}

fn immediate(list: &mut Attributes<'_>, register: u32, data: impl FnOnce(&mut Attributes<'_>)) {
    expression(list, "immediate", |immediate| {
        immediate.big(1, register);
        immediate.nested(2, data);
    });
}

fn expression(list: &mut Attributes<'_>, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
    list.nested(1, |element| {
        element.text(1, name);
        element.nested(2, data);
    });
}
