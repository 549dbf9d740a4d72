//! The pass itself: 64 bytes become one bit mask per class of byte, and only set bits are looked at.
//!
//! The masks are computed without branches, in loops that the compiler turns into vector code.

#![expect(
    clippy::indexing_slicing,
    reason = "offsets come from bit positions within blocks that lie in the text; walks check their bounds"
)]

use std::ops::Range;

use super::{Candidates, TOKEN_MIN, assign};

/// Bytes per block: one bit of a `u64` each.
const BLOCK: usize = 64;
/// ASCII bytes between two non-ASCII characters that still count as one stretch.
const FOREIGN_GAP: usize = 16;

/// Bits of a byte's class.
const TOKEN: u8 = 1;
const EVENT: u8 = 2;
const SPACE: u8 = 4;
const FOREIGN: u8 = 128;

/// What the pass carries from one block to the next.
#[derive(Default)]
struct Carry {
    /// The token mask of the block before.
    token: u64,
    /// Whether the byte before ended a run of at least `TOKEN_MIN` token characters.
    long: bool,
    /// Start of the token run that is open, if it is long already.
    token_start: usize,
}

/// The masks of one block.
struct Masks {
    token: u64,
    event: u64,
    foreign: u64,
    space: u64,
}

/// Marks everything in `text`.
pub(super) fn mark(text: &[u8], out: &mut Candidates) {
    let mut carry = Carry::default();
    let mut base = 0;
    let mut blocks = text.chunks_exact(BLOCK);
    for block in &mut blocks {
        if let Ok(block) = block.try_into() {
            step(text, base, &masks(block), &mut carry, out);
        }
        base += BLOCK;
    }
    let mut last = [b' '; BLOCK];
    for (to, from) in last.iter_mut().zip(blocks.remainder()) {
        *to = *from;
    }
    let mut end = masks(&last);
    end.space &= low_bits(text.len() - base);
    step(text, base, &end, &mut carry, out);
    if carry.long {
        out.tokens.push(carry.token_start..text.len());
    }
}

/// The lowest `count` bits.
fn low_bits(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Classifies 64 bytes. Branch-free, so that it becomes vector code.
#[inline]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let mut class = [0_u8; BLOCK];
    for (to, &byte) in class.iter_mut().zip(block) {
        let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
        let digit = u8::from(byte.wrapping_sub(b'0') < 10);
        // '-' '.' '/' and '+' '=' '_' '~'
        let joint = u8::from(byte.wrapping_sub(b'-') < 3)
            | u8::from(byte == b'+')
            | u8::from(byte == b'=')
            | u8::from(byte == b'_')
            | u8::from(byte == b'~');
        // ':' and '=' '>' and ',' '@'
        let event = u8::from(byte == b':')
            | u8::from(byte.wrapping_sub(b'=') < 2)
            | u8::from(byte == b',')
            | u8::from(byte == b'@');
        let space = u8::from(byte == b' ');
        *to = (letter | digit | joint) | (event << 1) | (space << 2) | (byte & FOREIGN);
    }
    let mut lanes = [0_u64; 8];
    for (lane, bytes) in lanes.iter_mut().zip(class.chunks_exact(8)) {
        *lane = bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    }
    Masks {
        token: gather(&lanes, TOKEN),
        event: gather(&lanes, EVENT),
        foreign: gather(&lanes, FOREIGN),
        space: gather(&lanes, SPACE),
    }
}

/// One bit per byte: whether the class has `bit`. The multiplication moves eight spread bits next to each other.
#[inline]
fn gather(lanes: &[u64; 8], bit: u8) -> u64 {
    let mut mask = 0;
    let shift = bit.trailing_zeros();
    for (index, lane) in lanes.iter().enumerate() {
        let ones = (lane >> shift) & 0x0101_0101_0101_0101;
        mask |= (ones.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (index * 8);
    }
    mask
}

/// Looks at the set bits of one block.
#[inline]
fn step(text: &[u8], base: usize, masks: &Masks, carry: &mut Carry, out: &mut Candidates) {
    token_runs(base, masks, carry, out);
    foreign_runs(base, masks, out);
    spaced_runs(text, base, masks, out);
    for at in Bits(masks.event) {
        event(text, base + at, out);
    }
    carry.token = masks.token;
}

/// The positions of the set bits, from the lowest.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;
    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(at)
    }
}

/// Opens and closes runs of at least `TOKEN_MIN` token characters.
#[inline]
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
#[inline]
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
#[inline]
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

/// Looks at one of `: = > , @`.
#[inline]
fn event(text: &[u8], at: usize, out: &mut Candidates) {
    let before = at.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(b' ');
    match text[at] {
        b'@' => {
            let after = text.get(at + 1).copied().unwrap_or(b' ');
            if in_address(before) && in_address(after) {
                out.ats.push(at);
            }
        }
        b',' if !matches!(before, b'"' | b'\'' | b'`') => {}
        b':' if text[at..].starts_with(b"://") => out.schemes.push(at),
        _ => {
            if let Some(found) = assign::at(text, at) {
                out.assigns.push(found);
            }
        }
    }
}

/// Whether an address may hold the byte next to its `@`.
fn in_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%' | b'"' | b'\'' | b'[' | b']')
}
