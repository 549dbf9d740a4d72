//! Reads one assignment around its operator: the key to the left, the value to the right.

use std::ops::Range;

use super::cues;

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

/// Reads the assignment whose operator begins at `op`: `:`, `=`, `,` after a quote, or `>` of a tag.
#[inline]
pub(super) fn at(text: &[u8], op: usize) -> Option<Assign> {
    let key = key_before(text, op)?;
    if !cues::any(text.get(key.clone())?) {
        return None;
    }
    let (value, quote) = value_after(text, op)?;
    Some(Assign { key, op, value, quote })
}

/// Whether a byte may stand in a key.
#[inline]
fn in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$')
}

/// The word that ends before `op`.
#[inline]
fn key_before(text: &[u8], op: usize) -> Option<Range<usize>> {
    let tag = text.get(op) == Some(&b'>');
    let from = op.saturating_sub(GAP_MAX);
    let gap = text.get(from..op)?.iter().rev().take_while(|byte| between(**byte)).count();
    if tag && gap > 0 {
        return None;
    }
    let end = op - gap;
    let from = end.saturating_sub(KEY_MAX);
    let length = text.get(from..end)?.iter().rev().take_while(|byte| in_key(**byte)).count();
    if length < 3 {
        return None;
    }
    let start = end - length;
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    (!tag || before == Some(&b'<')).then_some(start..end)
}

/// Whether a byte may stand between a key and its operator.
#[inline]
fn between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\' | b']' | b'[' | b')' | b'*' | b'?')
}

/// The value after the operator at `op`, and the quote around it.
fn value_after(text: &[u8], op: usize) -> Option<(Range<usize>, Option<u8>)> {
    let rest = text.get(op..)?;
    let operator =
        rest.iter().take(4).take_while(|b| matches!(b, b':' | b'=' | b'>' | b',')).count();
    if rest.starts_with(b"::") {
        return None;
    }
    let from = skip_gap(text, op + operator);
    let (value, quote) = value_at(text, from)?;
    // `name: Type = value`: what follows the type is meant.
    if quote.is_none() && text.get(op) == Some(&b':') {
        let next = skip_gap(text, value.end);
        if text.get(next) == Some(&b'=') && text.get(next + 1) != Some(&b'=') {
            return value_at(text, skip_gap(text, next + 1));
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
fn value_at(text: &[u8], from: usize) -> Option<(Range<usize>, Option<u8>)> {
    let first = *text.get(from)?;
    let quote = matches!(first, b'"' | b'\'' | b'`').then_some(first);
    let start = from + usize::from(quote.is_some());
    let rest = text.get(start..)?;
    let rest = rest.get(..VALUE_MAX).unwrap_or(rest);
    let length = match quote {
        Some(quote) => quoted_length(rest, quote)?,
        None => rest.iter().take_while(|byte| !ends_bare(**byte)).count(),
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

/// Whether a byte ends a value without quotes.
fn ends_bare(byte: u8) -> bool {
    byte <= b' '
        || matches!(
            byte,
            b',' | b';' | b'"' | b'\'' | b'`' | b')' | b']' | b'}' | b'<' | b'>' | b'&'
        )
}

/// Cuts `length` back to a character boundary.
fn boundary(rest: &[u8], length: usize) -> usize {
    let mut length = length;
    while length > 0 && rest.get(length).is_some_and(|byte| byte & 0xC0 == 0x80) {
        length -= 1;
    }
    length
}
