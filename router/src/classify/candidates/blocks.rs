//! What the masks of a block mark.

#![expect(
    clippy::inline_always,
    reason = "what is compiled for the vectors of each machine must stand in one function"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "offsets come from bit positions within blocks that lie in the text; walks check their bounds"
)]

use std::ops::Range;

use super::{Candidates, TOKEN_MIN, assign, cues, hidden, telling};
use crate::classify::{
    marking,
    masks::{Bits, Masks, from_bit},
};

/// ASCII bytes between two non-ASCII characters that still count as one stretch.
const FOREIGN_GAP: usize = 16;

/// What the pass carries from one block to the next.
#[derive(Default)]
pub(super) struct Carry {
    /// The token mask of the block before.
    token: u64,
    /// Whether the byte before ended a run of at least `TOKEN_MIN` token characters.
    long: bool,
    /// Start of the token run that is open, if it is long already.
    token_start: usize,
    /// Whether the byte before is a letter or a digit, in the lowest bit.
    word: u64,
    /// The last value without quotes that was read.
    solid: assign::Solid,
    /// Whether a cue may stand in the key that is open.
    cue: cues::Last,
    line: Line,
}

/// The line that is open.
#[derive(Default)]
struct Line {
    start: usize,
    /// The first and the last byte that do not decorate it, if there is one.
    body: Option<(usize, usize)>,
}

/// Looks at the set bits of one block.
#[inline(always)]
pub(super) fn step(
    text: &[u8],
    base: usize,
    masks: &Masks,
    carry: &mut Carry,
    out: &mut Candidates,
) {
    token_runs(base, masks, carry, out);
    foreign_runs(base, masks, out);
    spaced_runs(text, base, masks, out);
    hidden::step(text, base, masks, out);
    let word = masks.letter | masks.digit;
    out.digits.push(masks.digit);
    out.begins_word.push(!(word << 1 | carry.word));
    carry.word = word >> 63;
    for at in Bits(masks.event) {
        let operator = event(text, base + at, out);
        if operator
            && carry.cue.may_be_before(at, masks)
            && let Some(found) = assign::at(text, base + at, &mut carry.solid)
        {
            out.assigns.push(found);
        }
    }
    carry.cue.step(masks);
    if masks.phrase | masks.title | masks.field != 0 {
        telling::step(text, base, masks, out);
    }
    lines(text, base, masks, &mut carry.line, out);
    carry.token = masks.token;
}

/// Closes the lines that end in the block.
#[inline(always)]
fn lines(text: &[u8], base: usize, masks: &Masks, line: &mut Line, out: &mut Candidates) {
    let mut body = !(masks.frame | masks.newline);
    for end in Bits(masks.newline) {
        let inside = body & !from_bit(end);
        body ^= inside;
        line.grow(base, inside);
        line.close(text, base + end, out);
        *line = Line { start: base + end + 1, body: None };
    }
    line.grow(base, body);
}

impl Line {
    /// Adds the bytes of a block that do not decorate the line.
    #[inline(always)]
    fn grow(&mut self, base: usize, inside: u64) {
        if inside != 0 {
            let last = base + inside.ilog2() as usize;
            let first =
                self.body.map_or(base + inside.trailing_zeros() as usize, |(first, _)| first);
            self.body = Some((first, last));
        }
    }

    /// Marks the line, which ends at `end`, when it may hold a marking.
    #[inline(always)]
    fn close(&self, text: &[u8], end: usize, out: &mut Candidates) {
        if let Some((first, last)) = self.body
            && last - first + 1 >= marking::BYTES_MIN
            && text.get(first..=last).is_some_and(marking::may_mark)
        {
            out.lines.push(self.start..end);
        }
    }
}

/// Closes what is open at the end of the text.
pub(super) fn end(text: &[u8], carry: &Carry, out: &mut Candidates) {
    if carry.long {
        out.tokens.push(carry.token_start..text.len());
    }
    carry.line.close(text, text.len(), out);
}

/// Opens and closes runs of at least `TOKEN_MIN` token characters.
#[inline(always)]
fn token_runs(base: usize, masks: &Masks, carry: &mut Carry, out: &mut Candidates) {
    // A bit of `full` says: this and the 15 bits before are all set.
    let wide = (u128::from(masks.token) << 64) | u128::from(carry.token);
    let pairs = wide & (wide << 1);
    let fours = pairs & (pairs << 2);
    let eights = fours & (fours << 4);
    let full = upper_half(eights & (eights << 8));
    let before = (full << 1) | u64::from(carry.long);
    let (rises, falls) = (full & !before, !full & before);
    if rises | falls == 0 {
        return;
    }
    for at in Bits(rises | falls) {
        if rises >> at & 1 == 1 {
            carry.token_start = base + at + 1 - TOKEN_MIN;
        } else {
            out.tokens.push(carry.token_start..base + at);
        }
    }
    carry.long = full >> 63 == 1;
}

/// The upper 64 bits.
fn upper_half(wide: u128) -> u64 {
    let bytes = wide.to_le_bytes();
    bytes.last_chunk().copied().map(u64::from_le_bytes).unwrap_or_default()
}

/// Stretches that are not ASCII.
#[inline(always)]
fn foreign_runs(base: usize, masks: &Masks, out: &mut Candidates) {
    if masks.foreign == 0 {
        return;
    }
    let mut rest = masks.foreign;
    while rest != 0 {
        let start = rest.trailing_zeros();
        let length = (rest >> start).trailing_ones();
        let span: Range<usize> = base + start as usize..base + (start + length) as usize;
        match out.foreign.last_mut() {
            Some(last) if span.start - last.end <= FOREIGN_GAP => last.end = span.end,
            _ => out.foreign.push(span),
        }
        if start + length == 64 {
            break;
        }
        rest &= u64::MAX << (start + length);
    }
}

/// Single characters between single spaces: six spaces, each two bytes after the one before, start the look.
#[inline(always)]
fn spaced_runs(text: &[u8], base: usize, masks: &Masks, out: &mut Candidates) {
    let lone = masks.space & (masks.space >> 2) & !(masks.space >> 1) & !(masks.space << 1);
    let six = lone & (lone >> 2) & (lone >> 4) & (lone >> 8);
    if six == 0 {
        return;
    }
    let at = base + six.trailing_zeros() as usize;
    if out.spaced.last().is_some_and(|last| last.end > at) {
        return;
    }
    let single = |at: usize| {
        let here = text.get(at).is_some_and(u8::is_ascii_graphic);
        here && text.get(at + 1).is_none_or(|byte| !byte.is_ascii_graphic())
    };
    let (mut start, mut end) = (at + 1, at + 1);
    while start >= 2
        && text[start - 1] == b' '
        && single(start - 2)
        && (start < 3 || !text[start - 3].is_ascii_graphic())
    {
        start -= 2;
    }
    while single(end) && text.get(end + 1) == Some(&b' ') {
        end += 2;
    }
    let end = if single(end) { end + 1 } else { end - 1 };
    if end.saturating_sub(start) >= 15 {
        out.spaced.push(start..end);
    }
}

/// Looks at one of `: = > , @`, and says whether it may be the operator of an assignment.
#[inline(always)]
fn event(text: &[u8], at: usize, out: &mut Candidates) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(b' ');
    match text[at] {
        b'@' => {
            let after = text.get(at + 1).copied().unwrap_or(b' ');
            if in_address(before) && in_address(after) {
                out.ats.push(at);
            }
            false
        }
        b',' if !matches!(before, b'"' | b'\'' | b'`') => false,
        b':' if matches!(text[at..], [_, b'/', b'/', ..]) => {
            out.schemes.push(at);
            false
        }
        _ => {
            if matches!(before, b'f' | b't' | b'2' | b'o') && announces_half(&text[..at]) {
                out.halves.push(at);
            }
            true
        }
    }
}

/// Whether a text ends in the announcement of a second half.
fn announces_half(text: &[u8]) -> bool {
    const HALVES: [&[u8]; 6] =
        [b"econd half", b"econd part", b"2nd half", b"2nd part", b"art 2", b"art two"];
    HALVES.iter().any(|half| text.ends_with(half))
}

/// Whether an address may hold the byte next to its `@`.
fn in_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%' | b'"' | b'\'' | b'[' | b']')
}
