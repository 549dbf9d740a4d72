//! Private keys in their armour: PEM, OpenSSH, PGP and `PuTTY`, with or without line ends, escaped or quoted.

use memchr::memmem;

use super::finding;
use crate::classify::{
    Finding,
    candidates::{Candidates, slice},
};

/// Longest key that is followed to its end.
const KEY_MAX: usize = 64 * 1024;
/// Fewest bytes of key material.
const BODY_MIN: usize = 40;

/// Adds every private key.
pub(super) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    let mut done = 0;
    for &begin in &candidates.begins {
        if begin < done {
            continue;
        }
        let window = slice(text, begin..begin.saturating_add(KEY_MAX));
        let Some(length) = key_length(window) else { continue };
        done = begin + length;
        out.push(finding("credential/private-key", begin..done, 99, "prefix"));
    }
    if let Some(start) = candidates.putty.first() {
        out.extend(putty(text, *start));
    }
}

/// The length of the private key at the beginning of `window`.
fn key_length(window: &str) -> Option<usize> {
    let title = window.get("-----BEGIN".len()..)?;
    let title_end = title.bytes().take(64).position(|byte| byte == b'-')?;
    let (name, rest) = title.split_at_checked(title_end)?;
    if !name.to_ascii_uppercase().contains("PRIVATE") {
        return None;
    }
    let (body, end) = if let Some(at) = memmem::find(rest.as_bytes(), b"-----END") {
        (rest.get(..at)?, at + closing(rest.get(at..)?))
    } else {
        // The rest of the key is missing: what stands there is still key material.
        let material = rest.bytes().take_while(|byte| in_material(*byte)).count();
        (rest.get(..material)?, material)
    };
    let material = body.bytes().filter(u8::is_ascii_alphanumeric).count();
    let real = material >= BODY_MIN && !super::is_dummy(longest_word(body).as_bytes());
    real.then_some("-----BEGIN".len() + title_end + end)
}

/// The length of `-----END … KEY-----` at the beginning of `text`.
fn closing(text: &str) -> usize {
    let name = "-----END".len();
    let dash =
        text.bytes().skip(name).take(64).position(|byte| byte == b'-').map_or(name, |at| at + name);
    dash + text.bytes().skip(dash).take(5).take_while(|byte| *byte == b'-').count()
}

/// Whether a byte may stand in a key or between its lines.
fn in_material(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte.is_ascii_whitespace()
        || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'\\' | b'"' | b'\'' | b',' | b':')
}

/// The longest run of letters and digits, cut at 80.
fn longest_word(body: &str) -> &str {
    let words = body.split(|c: char| !c.is_ascii_alphanumeric());
    let longest = words.max_by_key(|word| word.len()).unwrap_or_default();
    longest.get(..80).unwrap_or(longest)
}

/// The `PuTTY` key file at `start`: from its first line to the end of its private lines.
fn putty(text: &str, start: usize) -> Option<Finding> {
    let lines = start + text.get(start..)?.find("Private-Lines:")?;
    let mac = text.get(lines..)?.find("Private-MAC:").map_or(text.len(), |at| lines + at);
    let end = text.floor_char_boundary(mac.min(start + KEY_MAX));
    (end > lines).then(|| finding("credential/private-key", start..end, 99, "prefix"))
}
