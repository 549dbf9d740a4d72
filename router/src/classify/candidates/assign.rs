//! Reads one assignment around its operator: the key to the left, the value to the right.

use std::ops::Range;

use super::cues;
use crate::classify::byte_table::{ByteTable, byte_table};

/// Longest key that is read.
const KEY_MAX: usize = 64;
/// Longest value that is read; private keys are found by their armour instead.
const VALUE_MAX: usize = 1024;
/// Spaces that may stand between key, operator and value.
const GAP_MAX: usize = 24;

/// An assignment whose left word holds a cue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    /// The left word, without quotes.
    pub key: Range<usize>,
    /// The first byte of the operator.
    pub op: usize,
    /// The value: inside its quotes, or up to the next blank, comma, semicolon, bracket, quote or `&`. Never empty.
    pub value: Range<usize>,
    /// The quote around the value.
    pub quote: Option<u8>,
}

/// Bits of a byte's class: it may stand in a key, between a key and its operator, or it ends a value without quotes.
const KEY: u8 = 1;
const BETWEEN: u8 = 2;
const END: u8 = 4;

/// The class of each byte.
static CLASS: ByteTable = byte_table! {
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'$' => KEY,
    b' ' | b'\t' | b'"' | b'\'' | b'`' | b']' | b')' => BETWEEN | END,
    b'\\' | b'[' | b'*' | b'?' => BETWEEN,
    0..b' ' | b',' | b';' | b'}' | b'<' | b'>' | b'&' => END,
    _ => 0,
};

/// Whether a byte has a class.
#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS.of(byte) & class != 0
}

/// A stretch without a byte that ends a value: values without quotes that begin in it are not read twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Solid {
    start: usize,
    end: usize,
}

impl Solid {
    /// Where the value without quotes that begins at `start` ends, at most at `limit`.
    fn end_of(&mut self, text: &[u8], start: usize, limit: usize) -> usize {
        if start < self.start || start > self.end {
            *self = Self { start, end: start };
        }
        if self.end < limit {
            let rest = text.get(self.end..limit).unwrap_or_default();
            self.end += rest.iter().take_while(|byte| !is(**byte, END)).count();
        }
        self.end.min(limit)
    }
}

/// Reads the assignment whose operator begins at `op`: `:`, `=`, `,` after a quote, or `>` of a tag.
#[inline]
pub(super) fn at(text: &[u8], op: usize, solid: &mut Solid) -> Option<Assign> {
    let before = *text.get(op.checked_sub(1)?)?;
    if !is(before, KEY | BETWEEN) || matches!(text.get(op..), Some([b':', b':', ..])) {
        return None;
    }
    let key = key_before(text, op)?;
    let (value, quote) = value_after(text, op, solid)?;
    Some(Assign { key, op, value, quote })
}

/// The word that ends before `op`, when it holds a cue.
fn key_before(text: &[u8], op: usize) -> Option<Range<usize>> {
    let tag = text.get(op) == Some(&b'>');
    let from = op.saturating_sub(GAP_MAX);
    let gap = text.get(from..op)?.iter().rev().take_while(|byte| is(**byte, BETWEEN)).count();
    if tag && gap > 0 {
        return None;
    }
    let end = op - gap;
    let from = end.saturating_sub(KEY_MAX);
    let head = text.get(from..end)?;
    let length = head.iter().rev().take_while(|byte| is(**byte, KEY)).count();
    if length < 3 {
        return None;
    }
    let start = end - length;
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    if tag && before != Some(&b'<') {
        return None;
    }
    cues::any(text.get(start..end)?).then_some(start..end)
}

/// The value after the operator at `op`, and the quote around it.
fn value_after(text: &[u8], op: usize, solid: &mut Solid) -> Option<(Range<usize>, Option<u8>)> {
    let rest = text.get(op..)?;
    let operator =
        rest.iter().take(4).take_while(|b| matches!(b, b':' | b'=' | b'>' | b',')).count();
    let from = skip_gap(text, op + operator);
    let (value, quote) = value_at(text, from, solid)?;
    // `name: Type = value`: what follows the type is meant.
    if quote.is_none() && text.get(op) == Some(&b':') {
        let next = skip_gap(text, value.end);
        if text.get(next) == Some(&b'=') && text.get(next + 1) != Some(&b'=') {
            return value_at(text, skip_gap(text, next + 1), solid);
        }
    }
    Some((value, quote))
}

/// Skips blanks, and what may stand before a value that is a word: brackets, Markdown emphasis, string prefixes.
fn skip_gap(text: &[u8], from: usize) -> usize {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'(' | b'[' | b'{' | b'*' | b'\\');
    let mut at = from + text.iter().skip(from).take(GAP_MAX).take_while(blank).count();
    if let (Some(b'b' | b'r' | b'u' | b'f' | b'@' | b'L'), Some(b'"' | b'\'')) =
        (text.get(at), text.get(at + 1))
    {
        at += 1;
    }
    at
}

/// The value that begins at `from`.
fn value_at(text: &[u8], from: usize, solid: &mut Solid) -> Option<(Range<usize>, Option<u8>)> {
    let first = *text.get(from)?;
    let quote = matches!(first, b'"' | b'\'' | b'`').then_some(first);
    let start = from + usize::from(quote.is_some());
    let rest = text.get(start..)?;
    let rest = rest.get(..VALUE_MAX).unwrap_or(rest);
    let length = match quote {
        Some(quote) => quoted_length(rest, quote)?,
        None => solid.end_of(text, start, start + rest.len()) - start,
    };
    let length = boundary(rest, length);
    (length > 0).then_some((start..start + length, quote))
}

/// Bytes before the closing quote on the same line; an escaped quote closes, too.
fn quoted_length(rest: &[u8], quote: u8) -> Option<usize> {
    let end = rest.iter().position(|byte| *byte == quote || *byte == b'\n')?;
    let slashes = rest.get(..end)?.iter().rev().take_while(|byte| **byte == b'\\').count();
    (rest.get(end) == Some(&quote)).then_some(end - slashes)
}

/// Cuts `length` back to a character boundary.
fn boundary(rest: &[u8], length: usize) -> usize {
    let mut length = length;
    while length > 0 && rest.get(length).is_some_and(|byte| byte & 0xC0 == 0x80) {
        length -= 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_end_where_reading_each_of_them_says(
            text in "[a-c=,; ]{0,200}",
            starts in prop::collection::vec(0_usize..200, 1..20),
            most in 1_usize..60,
        ) {
            let bytes = text.as_bytes();
            let mut solid = Solid::default();
            for start in starts.into_iter().filter(|start| *start <= bytes.len()) {
                let limit = bytes.len().min(start + most);
                let length = bytes[start..limit].iter().take_while(|b| !is(**b, END)).count();
                prop_assert_eq!(solid.end_of(bytes, start, limit), start + length);
            }
        }
    }

    #[test]
    fn a_row_of_operators_is_read_once() {
        let text = b"key:".repeat(1000);
        let mut solid = Solid::default();
        let mut read = 0;
        for start in (4..text.len()).step_by(4) {
            let before = solid.end.max(start);
            solid.end_of(&text, start, text.len().min(start + VALUE_MAX));
            read += solid.end - before;
        }
        assert!(read <= text.len(), "{read}");
    }
}
