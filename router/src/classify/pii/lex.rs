//! Finds the words which give personal data away, words with a capital, and numbers, from the masks of each block.
//!
//! A cue word (`passport`, `geboren`, `acct`) says what the value behind it is; the families ask for the cues near a value
//! instead of searching the text again. `camelCase` and `snake_case` names are taken apart: `birthDate` holds `birth`.
//! Invariant: linear time, and the marks of each kind are in ascending order.

#![expect(
    clippy::inline_always,
    reason = "what is compiled for the vectors of each machine must stand in one function"
)]

use std::cell::Cell;

use super::{
    cue::{self, Cue},
    group::{self, Token, byte, byte_before},
    numbers,
};
use crate::classify::{
    address,
    byte_table::{ByteTable, byte_table},
    masks::{BLOCK, Bits, Masks, from_bit},
};

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
    /// The tokens of letters and digits that may be, or begin, an identifier, each with its first digit.
    pub(crate) numbers: Vec<(usize, Token)>,
    /// Runs of digits that may belong to an address.
    pub(crate) houses: Vec<usize>,
    /// Capitalised words that could be a name's part, in order.
    pub(crate) caps: Vec<Cap>,
    /// The last answer of [`Lexed::count_to`].
    last: Cell<usize>,
}

/// So many cues behind the last answer are looked at one by one.
const NEXT_MAX: usize = 4;

/// Longest word that can be part of a name.
const CAP_BYTES_MAX: usize = 40;

const OTHER: u8 = 0;
const LOWER: u8 = 1;
const UPPER: u8 = 2;
const FOREIGN: u8 = 4;
const DIGIT: u8 = 8;

/// The class of each byte.
static CLASS: ByteTable = byte_table! {
    b'a'..=b'z' => LOWER,
    b'A'..=b'Z' => UPPER,
    b'0'..=b'9' => DIGIT,
    0x80.. => FOREIGN,
    _ => OTHER,
};

/// The class of a byte.
#[inline]
fn class_of(byte: u8) -> u8 {
    CLASS.of(byte)
}

/// The class of the byte at `at`; the end of the text is like a sign.
#[inline]
fn class(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).map_or(OTHER, |byte| class_of(*byte))
}

/// Reads a text block by block.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    found: &'a mut Lexed,
    /// Everything before this offset belongs to words that were read already.
    read_to: usize,
    /// Everything before this offset belongs to tokens that were read already.
    tokens_to: usize,
    /// Whether the byte before the block is a digit, in the lowest bit.
    digit: u64,
    /// The word that goes on in this block, if there is one.
    open: Option<Open>,
}

/// A word of ASCII letters that goes on in the next block.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: usize,
    /// Whether its first letter is a capital.
    capital: bool,
    /// Whether its last letter is lower case.
    lower: bool,
    /// Whether a capital stands behind a letter in lower case.
    humped: bool,
}

impl<'a> Lexer<'a> {
    /// Begins to read `text`; what is found takes the place of what was found before.
    pub(crate) fn new(text: &'a str, found: &'a mut Lexed) -> Self {
        found.clear();
        Self { text, found, read_to: 0, tokens_to: 0, digit: 0, open: None }
    }

    /// Reads the block at `base`.
    #[inline(always)]
    pub(crate) fn block(&mut self, base: usize, masks: &Masks) {
        if masks.digit != 0 {
            self.numbers(base, masks);
        }
        self.digit = masks.digit >> 63;
        if let Some(open) = self.open {
            self.close(open, base, masks);
        }
        if masks.foreign == 0 {
            let letters = masks.letter & from_bit(self.read_to.saturating_sub(base));
            self.words(base, letters, masks.upper);
        } else {
            self.foreign_words(base, masks);
        }
    }

    /// Reads what is left at the end of the text.
    #[inline(always)]
    pub(crate) fn end(mut self) {
        if let Some(open) = self.open.take() {
            word(self.text, open.start, self.found);
        }
    }

    /// Reads the word that goes on in a block.
    #[inline(always)]
    fn close(&mut self, open: Open, base: usize, masks: &Masks) {
        let run = masks.letter.trailing_ones() as usize;
        let inside = masks.letter & !from_bit(run);
        let lower = inside & !masks.upper;
        let humps = masks.upper & inside & (lower << 1 | u64::from(open.lower));
        self.open = None;
        if masks.foreign != 0 || run >= BLOCK || open.humped || humps != 0 {
            self.read_to = word(self.text, open.start, self.found);
            return;
        }
        let (bytes, start, end) = (self.text.as_bytes(), open.start, base + run);
        self.read_to = end;
        hint(bytes, start, end, self.found);
        if open.capital && end - start <= CAP_BYTES_MAX && is_loose(bytes, start, end) {
            self.found.caps.push(Cap { start, end });
        }
    }

    /// Reads the words of a block of which only `letters` are given; none of them stands beside a byte that is not ASCII.
    #[inline(always)]
    fn words(&mut self, base: usize, letters: u64, upper: u64) {
        let bytes = self.text.as_bytes();
        let (mut starts, ends) = (letters & !(letters << 1), !letters & letters << 1);
        // The last word goes on in the next block.
        let open = if letters >> 63 == 1 { 1 << starts.ilog2() } else { 0 };
        starts ^= open;
        let humps = upper & (letters & !upper) << 1 & !open.wrapping_neg();
        let (mut heads, mut tails) = (starts | humps, ends | humps);
        let single = heads & tails >> 1;
        (heads, tails) = (heads ^ single, tails ^ single << 1);
        while heads != 0 {
            let start = base + heads.trailing_zeros() as usize;
            let end = base + tails.trailing_zeros() as usize;
            (heads, tails) = (heads & (heads - 1), tails & tails.wrapping_sub(1));
            hint(bytes, start, end, self.found);
        }
        for at in Bits(starts & upper) {
            let behind = lowest(ends & from_bit(at));
            let (start, end) = (base + at, base + behind.trailing_zeros() as usize);
            let inner = humps & behind.wrapping_sub(1 << at);
            if inner & inner.wrapping_sub(1) == 0
                && end - start <= CAP_BYTES_MAX
                && is_loose(bytes, start, end)
            {
                self.found.caps.push(Cap { start, end });
            }
        }
        if open != 0 {
            let tail = open.wrapping_neg();
            self.open = Some(Open {
                start: base + open.trailing_zeros() as usize,
                capital: upper & open != 0,
                lower: upper >> 63 == 0,
                humped: upper & tail & (letters & tail & !upper) << 1 != 0,
            });
        }
    }

    /// Reads the words of a block that is not all ASCII: those that touch no other byte at once, the others one by one.
    fn foreign_words(&mut self, base: usize, masks: &Masks) {
        let (hits, caps) = (self.found.hits.len(), self.found.caps.len());
        let rest = from_bit(self.read_to.saturating_sub(base));
        let mut apart = masks.letter & rest;
        let mut foreign = masks.foreign;
        while foreign != 0 {
            let from = foreign.trailing_zeros();
            let size = (foreign >> from).trailing_ones();
            let to = from + size;
            let before =
                (masks.letter.wrapping_shl(64 - from)).leading_ones() * u32::from(from > 0);
            apart &= !from_bit((from - before) as usize) | from_bit(to as usize);
            if to >= 64 {
                break;
            }
            apart &= !((from_bit(to as usize))
                & !from_bit((to + (masks.letter >> to).trailing_ones()) as usize));
            foreign &= from_bit(to as usize);
        }
        // A word that goes on in the next block is read in its place, behind the others.
        let open = if apart >> 63 == 1 { !(u64::MAX >> apart.leading_ones()) } else { 0 };
        self.words(base, apart & !open, masks.upper);
        let all = (masks.letter | masks.foreign) & !(apart & !open);
        loop {
            let rest = all & from_bit(self.read_to.saturating_sub(base));
            if rest == 0 {
                break;
            }
            let at = base + rest.trailing_zeros() as usize;
            self.read_to =
                if class(self.text.as_bytes(), at) == FOREIGN && letter(self.text, at).is_none() {
                    at + char_size(self.text, at)
                } else {
                    word(self.text, at, self.found)
                };
        }
        if let Some(new) = self.found.hits.get_mut(hits..) {
            new.sort_unstable_by_key(|hit| hit.start);
        }
        if let Some(new) = self.found.caps.get_mut(caps..) {
            new.sort_unstable_by_key(|cap| cap.start);
        }
    }

    /// Reads the numbers of a block.
    #[inline(always)]
    fn numbers(&mut self, base: usize, masks: &Masks) {
        let bytes = self.text.as_bytes();
        let solid = masks.letter | masks.digit;
        // Behind a letter in lower case stands no number of a house.
        let joined = (masks.letter & !masks.upper) << 1;
        let runs = masks.digit & !(masks.digit << 1 | self.digit);
        for at in Bits(runs & (masks.opener << 1 | 1) & !joined) {
            let digits = (masks.digit >> at).trailing_ones() as usize;
            let start = base + at;
            let end = if at + digits < BLOCK { start + digits } else { digits_end(bytes, start) };
            if address::is_candidate(bytes, start, end) {
                self.found.houses.push(start);
            }
        }
        let mut runs = runs & from_bit(self.tokens_to.saturating_sub(base));
        while runs != 0 {
            let at = runs.trailing_zeros() as usize;
            let start = base + at;
            let token = token_in(solid, masks.digit, at, base)
                .unwrap_or_else(|| group::token(bytes, start, 0));
            self.tokens_to = token.end;
            runs &= from_bit(token.end - base);
            if token.len() > group::TOKEN_BYTES_MAX && numbers::may_be_coin(bytes, token)
                || token.len() <= group::TOKEN_BYTES_MAX && !numbers::is_dull(bytes, token)
            {
                self.found.numbers.push((start, token));
            }
        }
    }
}

/// The lowest set bit alone.
#[inline]
fn lowest(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// Where the digits that begin at `at` end.
fn digits_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The token around bit `at` when it lies inside the block, with a byte of it on both sides.
#[inline]
fn token_in(solid: u64, digit: u64, at: usize, base: usize) -> Option<Token> {
    let before = (solid << (63 - at)).leading_ones() as usize;
    let after = (solid >> at).trailing_ones() as usize;
    let (start, end) = ((at + 1).checked_sub(before)?, at + after);
    if start == 0 || end >= BLOCK {
        return None;
    }
    let digits = (digit & from_bit(start) & !from_bit(end)).count_ones() as usize;
    Some(Token { start: base + start, end: base + end, digits })
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

/// Reads the run of letters at `start`, wherever it ends, and returns where that is.
fn word(text: &str, start: usize, found: &mut Lexed) -> usize {
    let bytes = text.as_bytes();
    let first = class(bytes, start);
    let mut end = start + letter_if_foreign(text, start).unwrap_or(1);
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
#[inline(always)]
fn hint(bytes: &[u8], start: usize, end: usize, found: &mut Lexed) -> usize {
    if end - start > 1 && cue::may_be(bytes, start, end) {
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

/// Bytes before or behind a word that make it a part of code.
const BEFORE: u8 = 1;
const BEHIND: u8 = 2;
/// Bytes before or behind a word that make it one together with the byte beyond.
const PERHAPS: u8 = 4;

/// What the bytes beside a word say.
static BESIDE: ByteTable = byte_table! {
    b'_' | b'$' | b'@' | b'#' | b'\\' | b'0'..=b'9' | b'+' | b'%' | b'/' | b'&' => BEFORE | BEHIND,
    b'(' | b'[' | b'{' | b'=' => BEHIND,
    b'<' | b'.' | b':' => PERHAPS,
    _ => 0,
};

/// Whether the neighbours leave open that this is a word of prose or a quoted value, not a part of code.
#[inline]
fn is_loose(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, after) = (byte_before(bytes, start), byte(bytes, end));
    let (left, right) = (BESIDE.of(before), BESIDE.of(after));
    if left & BEFORE != 0 || right & BEHIND != 0 {
        return false;
    }
    // `<Name>Anna</Name>` is data; `Vec<u8>`, `Foo::new`, `Foo.bar` and `foo.Bar` are code.
    let beyond = byte(bytes, end + 1);
    let code = right == PERHAPS
        && match after {
            b'<' => beyond != b'/',
            b'.' => beyond.is_ascii_lowercase() || beyond == b'_',
            _ => beyond == b':',
        };
    let member = left == PERHAPS && before != b'<' && {
        let behind = byte_before(bytes, start.saturating_sub(1));
        behind.is_ascii_alphanumeric() || behind == b':'
    };
    !code && !member
}

/// Whether the word begins with an upper-case letter; foreign letters are looked up.
fn is_capital(text: &str, start: usize, first: u8) -> bool {
    first == UPPER
        || text.get(start..).and_then(|rest| rest.chars().next()).is_some_and(char::is_uppercase)
}

impl Lexed {
    /// Forgets all and keeps the room.
    fn clear(&mut self) {
        let Self { hits, numbers, houses, caps, last } = self;
        hits.clear();
        numbers.clear();
        houses.clear();
        caps.clear();
        last.set(0);
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.hits.is_empty()
            && self.numbers.is_empty()
            && self.houses.is_empty()
            && self.caps.is_empty()
    }

    /// How many words and numbers there is room for.
    pub(crate) fn room(&self) -> usize {
        self.hits.capacity()
            + self.numbers.capacity()
            + self.houses.capacity()
            + self.caps.capacity()
    }

    /// The cues that end at or before `at` and not more than `reach` bytes before it, nearest first.
    #[inline]
    pub(crate) fn before(&self, at: usize, reach: usize) -> impl Iterator<Item = &Hit> {
        let to = self.count_to(at);
        let floor = at.saturating_sub(reach);
        self.hits.get(..to).unwrap_or_default().iter().rev().take_while(move |hit| hit.end >= floor)
    }

    /// How many cues end at or before `at`. Whoever reads a text asks for places in order, so the search begins at the last answer.
    #[inline]
    fn count_to(&self, at: usize) -> usize {
        let ends = |hit: &Hit| hit.end <= at;
        let last = self.last.get().min(self.hits.len());
        let (head, tail) = self.hits.split_at_checked(last).unwrap_or_default();
        let to = if head.last().is_none_or(ends) {
            match tail.iter().take(NEXT_MAX).position(|hit| !ends(hit)) {
                Some(more) => last + more,
                None => last + tail.partition_point(ends),
            }
        } else {
            head.partition_point(ends)
        };
        self.last.set(to);
        to
    }

    /// The cues that begin at or behind `at` and not more than `reach` bytes behind it, nearest first.
    pub(crate) fn after(&self, at: usize, reach: usize) -> impl Iterator<Item = &Hit> {
        let from = self.hits.partition_point(|hit| hit.start < at);
        let limit = at.saturating_add(reach);
        self.hits.get(from..).unwrap_or_default().iter().take_while(move |hit| hit.start <= limit)
    }
}

#[cfg(test)]
mod tests;
