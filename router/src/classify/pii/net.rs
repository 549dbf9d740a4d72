//! Addresses of machines that lead to people: IPv4, IPv6 and hardware addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::Label;

use super::group::{Token, byte, byte_before};
use crate::classify::Finding;

/// Steps over an address that begins with `first` and returns where it ends; adds it when it can belong to a person.
pub(crate) fn scan(text: &str, first: Token, out: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    match byte(bytes, first.end) {
        b'.' if first.is_number() && first.len() <= 3 => v4(text, first, out),
        b':' | b'-' if first.len() == 2 => mac(text, first, out).or_else(|| v6(text, first, out)),
        b':' if first.len() <= 4 => v6(text, first, out),
        _ => None,
    }
}

fn push(label: &'static str, span: std::ops::Range<usize>, example: bool, out: &mut Vec<Finding>) {
    out.push(Finding {
        label: Label::fixed(label),
        span,
        confidence: 80,
        evidence: "shape",
        example,
    });
}

fn v4(text: &str, first: Token, out: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = first.end;
    while end - first.start < 16
        && (byte(bytes, end).is_ascii_digit()
            || byte(bytes, end) == b'.' && byte(bytes, end + 1).is_ascii_digit())
    {
        end += 1;
    }
    let address: Ipv4Addr = text.get(first.start..end)?.parse().ok()?;
    let (before, after) = (byte_before(bytes, first.start), byte(bytes, end));
    let joins = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let whole = !joins(before) && before != b'.' && !joins(after);
    let octets = address.octets();
    let [a, b, c, d] = octets;
    // Small first numbers are versions far more often than addresses.
    let version = a < 10
        && (b < 30 && c < 30)
        && after != b':'
        && octets != [1, 1, 1, 1]
        && octets != [8, 8, 8, 8];
    if whole && !version && after != b'/' && d != 0 && !is_nobody_v4(address) {
        push("pii/ip", first.start..end, address.is_documentation() || is_counted(octets), out);
    }
    Some(end)
}

/// `1.2.3.4` and `5.5.5.5` are what people type when they need any address.
fn is_counted([a, b, c, d]: [u8; 4]) -> bool {
    let step = b.wrapping_sub(a);
    step <= 1 && c.wrapping_sub(b) == step && d.wrapping_sub(c) == step
}

/// Private, local and special addresses lead to nobody.
fn is_nobody_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_unspecified()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || matches!(address.octets(), [8, 8, 8, 8] | [8, 8, 4, 4] | [1, 1, 1, 1] | [9, 9, 9, 9])
}

fn v6(text: &str, first: Token, out: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    if byte_before(bytes, first.start) == b':' || byte_before(bytes, first.start) >= 0x80 {
        return None;
    }
    let (mut end, mut colons, mut empty) = (first.end, 0, false);
    while end - first.start < 40 {
        match byte(bytes, end) {
            b':' => {
                colons += 1;
                empty |= byte(bytes, end + 1) == b':';
            }
            next if next.is_ascii_hexdigit() => {}
            _ => break,
        }
        end += 1;
    }
    // Eight parts, or fewer with an empty one: most colons stand in times of day.
    if colons < 7 && !empty {
        return None;
    }
    let value = text.get(first.start..end)?.trim_end_matches(':');
    let address: Ipv6Addr = value.parse().ok()?;
    let end = first.start + value.len();
    let [a, b, ..] = address.segments();
    let global = a & 0xE000 == 0x2000;
    if global && value.bytes().filter(|byte| *byte == b':').count() >= 3 {
        push("pii/ip", first.start..end, a == 0x2001 && b == 0x0DB8 || a == 0x3FFF, out);
    }
    Some(end)
}

/// Six pairs of hex digits with one separator.
fn mac(text: &str, first: Token, out: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = first.start + 17;
    let value = bytes.get(first.start..end)?;
    let joint = byte(bytes, first.end);
    let right = value.iter().enumerate().all(|(place, byte)| {
        if place % 3 == 2 { *byte == joint } else { byte.is_ascii_hexdigit() }
    });
    let next = byte(bytes, end);
    let before = byte_before(bytes, first.start);
    if !right
        || next == joint
        || next.is_ascii_alphanumeric()
        || before == joint
        || before.is_ascii_alphanumeric()
    {
        return None;
    }
    let plain = value.iter().all(|byte| *byte == b'0' || *byte == joint)
        || value.iter().all(|byte| matches!(byte, b'f' | b'F') || *byte == joint);
    if !plain {
        push(
            "pii/mac",
            first.start..end,
            value.starts_with(b"00:00:5E") || value.starts_with(b"00:00:5e"),
            out,
        );
    }
    Some(end)
}
