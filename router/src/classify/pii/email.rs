//! Mail addresses, grown from each `@` to both sides.

use domain::Label;

use super::group::{byte, byte_before};
use crate::classify::{
    Finding,
    candidates::{Candidates, slice},
};

/// Longest local part (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Longest domain (RFC 5321, 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;

/// Adds the mail addresses of `text`.
pub(crate) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for &at in &candidates.ats {
        if let Some(found) = address(text, at) {
            out.push(found);
        }
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
        || byte >= 0x80
}

/// The address around the `@` at `at`.
fn address(text: &str, at: usize) -> Option<Finding> {
    let bytes = text.as_bytes();
    let mut start = at;
    while start > 0 && at - start < LOCAL_BYTES_MAX && is_local(byte_before(bytes, start)) {
        start -= 1;
    }
    start = text.ceil_char_boundary(start);
    // Foreign letters before the address, as in text without spaces, belong to it only when it is nothing else.
    let local = slice(text, start..at);
    let tail = local.rfind(|c: char| !c.is_ascii() && !c.is_alphabetic()).map_or(0, |found| {
        found + local.get(found..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    start += tail;
    while start < at && matches!(byte(bytes, start), b'.' | b'\'' | b'-' | b'%' | b'+') {
        start += 1;
    }
    let end = domain_end(text, at + 1)?;
    let (local, domain) = (text.get(start..at)?, text.get(at + 1..end)?);
    if local.is_empty()
        || local.ends_with('.')
        || local.contains("..")
        || !is_plausible(bytes, start, local, domain)
        || is_machine(local, domain)
    {
        return None;
    }
    Some(Finding {
        label: Label::fixed("pii/email"),
        span: start..end,
        confidence: 95,
        evidence: "shape",
        example: is_example(domain),
    })
}

/// Where the domain that begins at `from` ends: labels with dots, the last one letters only.
fn domain_end(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = from;
    while end - from < DOMAIN_BYTES_MAX {
        let byte = byte(bytes, end);
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || byte >= 0x80) {
            break;
        }
        end += 1;
    }
    let mut domain = text.get(from..text.floor_char_boundary(end))?;
    if let Some(foreign) = domain.find(|c: char| !c.is_ascii() && !c.is_alphanumeric()) {
        domain = domain.get(..foreign)?;
    }
    domain = domain.trim_end_matches(['.', '-']);
    let (head, top) = domain.rsplit_once('.')?;
    let fine = !head.is_empty()
        && !head.starts_with(['.', '-'])
        && !domain.contains("..")
        && (2..=24).contains(&top.len())
        && (top.bytes().all(|b| b.is_ascii_alphabetic())
            || top.starts_with("xn--")
            || !top.is_ascii());
    fine.then_some(from + domain.len())
}

/// Endings of files and code that stand where a top-level domain would.
const NO_DOMAINS: [&str; 34] = [
    "js", "ts", "tsx", "jsx", "json", "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "scss",
    "html", "md", "txt", "yml", "yaml", "lock", "toml", "tgz", "gz", "zip", "whl", "jar", "class",
    "java", "go", "service", "socket", "target", "local", "mount", "vue",
];

fn is_plausible(bytes: &[u8], start: usize, local: &str, domain: &str) -> bool {
    let top = domain.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let before = byte_before(bytes, start);
    // `git@host:path` and `user:password@host` are ways to a machine.
    let transport = local == "git" || (matches!(before, b':' | b'/') && !is_mailto(bytes, start));
    let package = local.contains(['%']) && local.len() < 3;
    !NO_DOMAINS.contains(&top.as_str())
        && !transport
        && !package
        && local.bytes().any(|b| b.is_ascii_alphanumeric() || b >= 0x80)
}

/// Whether `mailto:` or a key such as `email:` stands before.
fn is_mailto(bytes: &[u8], start: usize) -> bool {
    let head = bytes.get(start.saturating_sub(3)..start).unwrap_or_default();
    !head.ends_with(b"://") && byte_before(bytes, start) == b':'
}

/// Addresses of machines: nobody is behind them, and agents carry them in every prompt (`Co-Authored-By`).
fn is_machine(local: &str, domain: &str) -> bool {
    const NOBODY: [&str; 7] = [
        "noreply",
        "no-reply",
        "donotreply",
        "do-not-reply",
        "mailer-daemon",
        "postmaster",
        "actions",
    ];
    NOBODY.iter().any(|nobody| local.eq_ignore_ascii_case(nobody))
        || domain.ends_with("noreply.github.com")
}

/// Domains reserved for documentation (RFC 2606, RFC 6761).
fn is_example(domain: &str) -> bool {
    let lower = domain.to_ascii_lowercase();
    let reserved = ["example.com", "example.org", "example.net", "example.edu"];
    reserved.iter().any(|name| {
        lower == *name || lower.strip_suffix(name).is_some_and(|head| head.ends_with('.'))
    }) || [".example", ".test", ".invalid", ".localhost"].iter().any(|top| lower.ends_with(top))
}
