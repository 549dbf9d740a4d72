//! One pass over a text that finds the words which give personal data away, words with a capital, and numbers.
//!
//! A cue word (`passport`, `geboren`, `acct`) says what the value behind it is; the families ask for the cues near a value
//! instead of searching the text again. `camelCase` and `snake_case` names are taken apart: `birthDate` holds `birth`.
//! Invariant: linear time, and the marks of each kind are in ascending order.

use super::cue::{self, Cue};

/// A cue word and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Offset behind its last byte.
    pub(crate) end: usize,
    /// What it hints at.
    pub(crate) cue: Cue,
}

/// A word that begins with a capital letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    /// Offset of the capital.
    pub(crate) start: usize,
    /// Offset behind the last letter.
    pub(crate) end: usize,
}

/// What one pass over a text found.
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    /// Cue words, in order.
    pub(crate) hits: Vec<Hit>,
    /// Offsets of the first digit of each run of digits that follows no digit.
    pub(crate) numbers: Vec<usize>,
    /// Capitalised words that could be a name's part, in order.
    pub(crate) caps: Vec<Cap>,
}

/// Longest word that can be part of a name.
const CAP_BYTES_MAX: usize = 40;

const OTHER: u8 = 0;
const LOWER: u8 = 1;
const UPPER: u8 = 2;
const FOREIGN: u8 = 4;
const DIGIT: u8 = 8;

/// The class of each byte.
static CLASS: [u8; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler over all 256 byte values"
)]
const fn classes() -> [u8; 256] {
    let mut table = [OTHER; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            0x80.. => FOREIGN,
            _ => OTHER,
        };
        at += 1;
    }
    table
}

/// The class of a byte.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the table has an entry for each value of a byte")]
fn class_of(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// The class of the byte at `at`; the end of the text is like a sign.
#[inline]
fn class(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).map_or(OTHER, |byte| class_of(*byte))
}

/// Reads `text` once.
pub(crate) fn lex(text: &str) -> Lexed {
    let bytes = text.as_bytes();
    let mut found = Lexed::default();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(next) = rest.iter().position(|byte| class_of(*byte) != OTHER) else { break };
        at += next;
        match class(bytes, at) {
            DIGIT => {
                found.numbers.push(at);
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|byte| class_of(*byte) != DIGIT).unwrap_or(rest.len());
            }
            FOREIGN => match letter(text, at) {
                Some(size) => at = word(text, at, at + size, &mut found),
                None => at += char_size(text, at),
            },
            _ => at = word(text, at, at + 1, &mut found),
        }
    }
    found
}

/// How many bytes the character at `at` has; 1 when none begins there.
fn char_size(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}

/// The size of the foreign letter at `at`; `None` for dashes, quotes and other signs.
fn letter(text: &str, at: usize) -> Option<usize> {
    let c = text.get(at..)?.chars().next()?;
    c.is_alphabetic().then(|| c.len_utf8())
}

/// The size of the letter at `at` when it is a foreign one.
#[inline]
fn letter_if_foreign(text: &str, at: usize) -> Option<usize> {
    if class(text.as_bytes(), at) == FOREIGN { letter(text, at) } else { None }
}

/// Reads the run of letters at `start`, of which those before `end` are known, and returns where it ends.
#[inline]
fn word(text: &str, start: usize, mut end: usize, found: &mut Lexed) -> usize {
    let bytes = text.as_bytes();
    let first = class(bytes, start);
    let mut seen = first;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        let run = rest.iter().position(|byte| {
            let class = class_of(*byte);
            seen |= class;
            class & (LOWER | UPPER) == 0
        });
        end += run.unwrap_or(rest.len());
        match letter_if_foreign(text, end) {
            Some(size) => end += size,
            None => break,
        }
    }
    let mixed = seen & LOWER != 0 && seen & UPPER != 0;
    let humps =
        if mixed { parts(bytes, start, end, found) } else { hint(bytes, start, end, found) };
    if first != LOWER
        && humps <= 1
        && end - start <= CAP_BYTES_MAX
        && is_loose(bytes, start, end)
        && is_capital(text, start, first)
    {
        found.caps.push(Cap { start, end });
    }
    end
}

/// Marks the cues among the parts of a name such as `birthDate` and counts the places where it is cut.
fn parts(bytes: &[u8], start: usize, end: usize, found: &mut Lexed) -> usize {
    let (mut part, mut humps) = (start, 0);
    for at in start + 1..end {
        if class(bytes, at) == UPPER && class(bytes, at - 1) == LOWER {
            hint(bytes, part, at, found);
            (part, humps) = (at, humps + 1);
        }
    }
    hint(bytes, part, end, found);
    humps
}

/// Marks the word when it is a cue; it has no humps.
#[inline]
fn hint(bytes: &[u8], start: usize, end: usize, found: &mut Lexed) -> usize {
    if cue::may_be(bytes.get(start..end).unwrap_or_default()) {
        confirm(bytes, start, end, found);
    }
    0
}

#[inline(never)]
fn confirm(bytes: &[u8], start: usize, end: usize, found: &mut Lexed) {
    // A word of a domain or a path (`NicTax.com`) says nothing about the next value.
    let dotted =
        bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_lowercase);
    if !dotted && let Some(cue) = cue::find(bytes.get(start..end).unwrap_or_default()) {
        found.hits.push(Hit { start, end, cue });
    }
}

/// Whether the neighbours leave open that this is a word of prose or a quoted value, not a part of code.
fn is_loose(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    let after = bytes.get(end).copied().unwrap_or(b' ');
    let joins =
        |byte: u8| matches!(byte, b'_' | b'$' | b'@' | b'#' | b'\\' | b'0'..=b'9' | b'+' | b'%');
    let beyond = bytes.get(end + 1).copied().unwrap_or(b' ');
    let behind = start.checked_sub(2).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    // `<Name>Anna</Name>` is data; `Vec<u8>`, `Foo::new`, `Foo.bar` and `foo.Bar` are code.
    let code = match after {
        b'(' | b'[' | b'{' | b'=' | b'/' | b'&' => true,
        b'<' => beyond != b'/',
        b'.' => beyond.is_ascii_lowercase() || beyond == b'_',
        b':' => beyond == b':',
        _ => false,
    };
    let member =
        matches!(before, b'.' | b':') && (behind.is_ascii_alphanumeric() || behind == b':');
    !joins(before) && !joins(after) && !code && !member && before != b'/' && before != b'&'
}

/// Whether the word begins with an upper-case letter; foreign letters are looked up.
fn is_capital(text: &str, start: usize, first: u8) -> bool {
    first == UPPER
        || text.get(start..).and_then(|rest| rest.chars().next()).is_some_and(char::is_uppercase)
}

impl Lexed {
    /// The cues that end at or before `at` and not more than `reach` bytes before it, nearest first.
    pub(crate) fn before(&self, at: usize, reach: usize) -> impl Iterator<Item = &Hit> {
        let to = self.hits.partition_point(|hit| hit.end <= at);
        let floor = at.saturating_sub(reach);
        self.hits.get(..to).unwrap_or_default().iter().rev().take_while(move |hit| hit.end >= floor)
    }

    /// The cues that begin at or behind `at` and not more than `reach` bytes behind it, nearest first.
    pub(crate) fn after(&self, at: usize, reach: usize) -> impl Iterator<Item = &Hit> {
        let from = self.hits.partition_point(|hit| hit.start < at);
        let limit = at.saturating_add(reach);
        self.hits.get(from..).unwrap_or_default().iter().take_while(move |hit| hit.start <= limit)
    }
}
