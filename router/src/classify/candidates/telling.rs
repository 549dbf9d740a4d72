//! Marks what only a few words tell: phrases before passwords, the beginnings of keys in armour, segments of claims.

use super::Candidates;
use crate::classify::masks::{Bits, Masks};

/// Looks at the set bits of one block.
pub(super) fn step(text: &[u8], base: usize, masks: &Masks, out: &mut Candidates) {
    let phrases = Bits(masks.phrase).map(|at| base + at);
    out.phrases.extend(phrases.filter(|at| may_tell(text, *at)));
    for at in Bits(masks.title).map(|at| base + at) {
        if let Some(start) = begins(text, at, 5, b"-----BEGIN") {
            out.begins.push(start);
        } else if let Some(start) = begins(text, at, 6, b"PuTTY-User-Key-File-") {
            out.putty.push(start);
        }
    }
    for at in Bits(masks.field).map(|at| base + at) {
        let start = begins(text, at, 3, b"NM1*").or_else(|| begins(text, at, 3, b"PID|"));
        out.segments.extend(start);
    }
}

/// Where `phrase` begins, when its byte number `inside` stands at `at`.
#[inline]
fn begins(text: &[u8], at: usize, inside: usize, phrase: &[u8]) -> Option<usize> {
    let start = at.checked_sub(inside)?;
    text.get(start..)?.starts_with(phrase).then_some(start)
}

/// Whether the bytes around leave open that a phrase before a password is told here. Decides for almost all.
#[inline]
fn may_tell(text: &[u8], at: usize) -> bool {
    let near = |back: usize, length: usize| {
        at.checked_sub(back).and_then(|from| text.get(from..from + length)).unwrap_or_default()
    };
    match text.get(at) {
        // A flag has a name; `-u` and `-p` stand alone.
        Some(b'-') => match near(0, 3) {
            [_, b'-', b'a'..=b'z' | b'-'] | [_, b'u', b' '] => true,
            [_, b'p', _] => near(8, 8) == b"sshpass ",
            _ => false,
        },
        Some(b'w' | b'W') => matches!(
            near(3, 8),
            [word @ .., b' ' | b'('] if word.eq_ignore_ascii_case(b"assword")
        ),
        Some(b's' | b'S') => near(10, 11) == b"requirepass",
        // Passphrase, passcode, secret, token, key.
        Some(b'i' | b'I') => matches!(
            near(3, 6),
            [b's' | b'd', b'e', b' ', _, b's', b' ']
                | [b'e', b't' | b'n' | b'y', b' ', _, b's', b' ']
        ),
        Some(_) => matches!(near(2, 5), [b'd' | b'D', b' ', _, b'y' | b'Y', b' ']),
        None => false,
    }
}
