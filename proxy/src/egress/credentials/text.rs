//! Finds placeholders in bytes, however they are spelled: as they are, with `%` escapes, with the escapes of JSON,
//! and with such escapes escaped again.
//!
//! Not here: what stands for a placeholder, and where one may stand. Invariant: what is found does not depend on how
//! the bytes are cut, as long as whoever holds [`Found::Short`] back gives it again with what follows.

use memchr::{memchr, memchr2, memchr3, memmem};

/// What every placeholder begins with; the name of a variable follows it.
pub(super) const MARKER: &str = "openshell:resolve:env:";

/// The part of it that nobody writes for another reason.
const MARK: &[u8] = b"openshell:resolve:";

/// Longest name of a variable, bytes.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// Most escapes of an escape that are seen through.
const LAYERS_MAX: usize = 8;

/// How a placeholder is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Plain,
    /// Some of its characters as `%XX`.
    Percent,
    /// Some of its characters as `\uXXXX`.
    Json,
    /// In several ways at once, or with escapes that are escaped again.
    Mixed,
}

impl Coding {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Plain, one) | (one, Self::Plain) => one,
            (one, two) if one == two => one,
            _ => Self::Mixed,
        }
    }
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A placeholder for the variable `key`, up to `end`.
    Whole { end: usize, key: String, coding: Coding },
    /// The begin of a placeholder that names no variable.
    Malformed,
    /// What may become a placeholder with the bytes that follow.
    Short,
}

/// What the next bytes stand for.
enum Unit {
    Byte(u8, usize, Coding),
    /// More bytes are needed to tell.
    Short,
}

/// The first placeholder at or behind `from`, or what may become one. `last` says that no more bytes follow.
pub(super) fn find(bytes: &[u8], mut from: usize, last: bool) -> Option<(usize, Found)> {
    let escaped = memchr2(b'%', b'\\', bytes.get(from..)?).is_some();
    loop {
        let at = candidate(bytes, from, escaped)?;
        if let Some(found) = read(bytes, at, last) {
            return Some((at, found));
        }
        from = at.saturating_add(1);
    }
}

/// The next place that is worth a look.
fn candidate(bytes: &[u8], from: usize, escaped: bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    if escaped {
        return Some(from.saturating_add(memchr3(b'o', b'%', b'\\', rest)?));
    }
    let whole = memmem::find(rest, MARK);
    let tail = rest.len().saturating_sub(MARK.len().saturating_sub(1));
    let cut = || Some(tail.saturating_add(memchr(b'o', rest.get(tail..)?)?));
    Some(from.saturating_add(whole.or_else(cut)?))
}

/// What begins at `at`; `None` if it is no placeholder.
fn read(bytes: &[u8], mut at: usize, last: bool) -> Option<Found> {
    let mut coding = Coding::Plain;
    for (index, wanted) in MARKER.bytes().enumerate() {
        match unit(bytes, at, last) {
            Some(Unit::Byte(byte, length, how)) if byte == wanted => {
                at = at.saturating_add(length);
                coding = coding.and(how);
            }
            Some(Unit::Short) => return Some(Found::Short),
            None if !last => return Some(Found::Short),
            _ => return (index >= MARK.len()).then_some(Found::Malformed),
        }
    }
    let mut key = String::new();
    loop {
        match unit(bytes, at, last) {
            Some(Unit::Byte(byte, length, how)) if in_key(byte) => {
                if key.len() >= KEY_BYTES_MAX {
                    return Some(Found::Malformed);
                }
                key.push(char::from(byte));
                at = at.saturating_add(length);
                coding = coding.and(how);
            }
            Some(Unit::Short) => return Some(Found::Short),
            None if !last => return Some(Found::Short),
            _ => break,
        }
    }
    let named = is_key(&key);
    Some(if named { Found::Whole { end: at, key, coding } } else { Found::Malformed })
}

/// Whether this is the name of a variable.
pub(super) fn is_key(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| in_key(byte) && !byte.is_ascii_digit())
        && text.len() <= KEY_BYTES_MAX
        && text.bytes().all(in_key)
}

fn in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The character that is written at `at`; `None` behind the end.
fn unit(bytes: &[u8], at: usize, last: bool) -> Option<Unit> {
    let rest = bytes.get(at..)?;
    let first = *rest.first()?;
    let read = match first {
        b'%' => percent(rest),
        b'\\' => backslash(rest),
        _ => Read::Other,
    };
    Some(match read {
        Read::Byte(byte, length, coding) => Unit::Byte(byte, length, coding),
        Read::Cut if !last => Unit::Short,
        Read::Cut | Read::Other => Unit::Byte(first, 1, Coding::Plain),
    })
}

/// What an escape says.
enum Read {
    Byte(u8, usize, Coding),
    /// It goes on behind the end.
    Cut,
    /// It is none.
    Other,
}

/// `%XX`, and `%25XX` and so on, which are the same escaped again.
fn percent(rest: &[u8]) -> Read {
    let mut at = 1_usize;
    let mut layers = 0;
    while layers < LAYERS_MAX && rest.get(at..at.saturating_add(2)) == Some(b"25") {
        at = at.saturating_add(2);
        layers = layers.saturating_add(1);
    }
    match hex(rest.get(at..).unwrap_or_default(), 2) {
        Hex::Value(value, length) => {
            let coding = if layers == 0 { Coding::Percent } else { Coding::Mixed };
            byte(value, at.saturating_add(length), coding)
        }
        Hex::Cut => Read::Cut,
        Hex::Other => Read::Other,
    }
}

/// `\uXXXX`, and `\\uXXXX` and so on, which are the same within a string of a string.
fn backslash(rest: &[u8]) -> Read {
    let slashes = rest.iter().take(LAYERS_MAX).take_while(|byte| **byte == b'\\').count();
    match rest.get(slashes) {
        Some(b'u') => {}
        None => return Read::Cut,
        Some(_) => return Read::Other,
    }
    let at = slashes.saturating_add(1);
    match hex(rest.get(at..).unwrap_or_default(), 4) {
        Hex::Value(value, length) => {
            let coding = if slashes == 1 { Coding::Json } else { Coding::Mixed };
            byte(value, at.saturating_add(length), coding)
        }
        Hex::Cut => Read::Cut,
        Hex::Other => Read::Other,
    }
}

fn byte(value: u32, length: usize, coding: Coding) -> Read {
    u8::try_from(value).map_or(Read::Other, |value| Read::Byte(value, length, coding))
}

enum Hex {
    Value(u32, usize),
    Cut,
    Other,
}

fn hex(rest: &[u8], digits: usize) -> Hex {
    let mut value = 0_u32;
    for at in 0..digits {
        let Some(byte) = rest.get(at) else { return Hex::Cut };
        let Some(digit) = char::from(*byte).to_digit(16) else { return Hex::Other };
        value = value << 4 | digit;
    }
    Hex::Value(value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<(usize, usize, String, Coding)> {
        match find(text.as_bytes(), 0, true)? {
            (at, Found::Whole { end, key, coding }) => Some((at, end, key, coding)),
            _ => None,
        }
    }

    #[test]
    fn placeholders_are_found_however_they_are_spelled() {
        let cases = [
            ("openshell:resolve:env:KEY", Coding::Plain),
            ("openshell%3Aresolve%3aenv:KEY", Coding::Percent),
            ("%6f%70%65%6E%73hell:resolve:env:K%45Y", Coding::Percent),
            (r"\u006fpenshell:resolve\u003Aenv:KE\u0059", Coding::Json),
            ("openshell%253Aresolve%3Aenv:KEY", Coding::Mixed),
            (r"openshell\\u003aresolve:env:KEY", Coding::Mixed),
            (r"openshell%3Aresolve\u003Aenv:KEY", Coding::Mixed),
        ];
        for (text, coding) in cases {
            for (before, after) in [("", ""), ("x%o\\ ", "/rest"), ("ooo", "-")] {
                let (at, end, key, found) = whole(&format!("{before}{text}{after}")).unwrap();
                assert_eq!((at, end), (before.len(), before.len() + text.len()), "{text}");
                assert_eq!((key.as_str(), found), ("KEY", coding), "{text}");
            }
        }
    }

    #[test]
    fn what_only_begins_like_one_is_malformed_or_nothing() {
        let malformed =
            ["openshell:resolve:", "openshell:resolve:vault:x", "openshell:resolve:env:1"];
        for text in malformed.map(str::to_owned).into_iter().chain([
            format!("{MARKER}{}", "K".repeat(KEY_BYTES_MAX + 1)),
            format!("{MARKER}-"),
            MARKER.to_owned(),
        ]) {
            assert_eq!(find(text.as_bytes(), 0, true), Some((0, Found::Malformed)), "{text}");
        }
        for text in ["openshell", "openshell:resolv", "OPENSHELL:RESOLVE:ENV:K", "%", "%2", "\\u0"]
        {
            assert_eq!(find(text.as_bytes(), 0, true), None, "{text}");
        }
    }

    #[test]
    fn every_cut_within_a_placeholder_waits_for_the_rest() {
        let spellings = [
            "openshell:resolve:env:KEY",
            "openshell%253Aresolve%3aenv:KEY",
            r"open\\u0073hell:resolve:env:KEY",
        ];
        for text in spellings {
            for cut in 1..=text.len() {
                let found = find(&text.as_bytes()[..cut], 0, false);
                assert_eq!(found, Some((0, Found::Short)), "{text} {cut}");
            }
        }
    }
}
