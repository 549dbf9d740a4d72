//! The first stage: one pass over the bytes that marks the places worth a second look.
//!
//! Here: runs of token characters, assignments whose left word is a cue, `@`, `://`, the beginnings of armoured blocks, single
//! characters with spaces between them, stretches that are not ASCII, what may hide a value, what may tell a phrase before a password
//! or a segment with names, and lines that may hold a marking. A mark is cheap and says nothing but "look here". Not here: what any of
//! them means; each family decides that for itself.
//!
//! Invariant: work and memory are linear in the text, whatever it holds. Every mark lies in the text and on
//! character boundaries, marks of a kind are sorted, and marks that are ranges do not overlap within their kind
//! (values of assignments may nest in the line of an earlier assignment).

mod assign;
mod blocks;
pub(super) mod cues;
mod hidden;
mod telling;

use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch};

use super::masks::{self, BLOCK, Bits, Masks, from_bit};

pub use assign::Assign;

/// Shortest run of token characters that is marked.
pub const TOKEN_MIN: usize = 16;

/// Most values that lie in one another and end at the same place.
const NESTED_MAX: usize = 8;

/// The places of a text that are worth a second look. All offsets are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Maximal runs of at least [`TOKEN_MIN`] token characters: letters, digits and `_ - + / = . ~` (ASCII).
    pub tokens: Vec<Range<usize>>,
    /// Every `@` with a character on both sides that may belong to an address.
    pub ats: Vec<usize>,
    /// Assignments whose left word holds a cue: `key = value`, `"key": "value"`, `key => value`, `<key>value<`…
    pub assigns: Vec<Assign>,
    /// Every `-----BEGIN`.
    pub begins: Vec<usize>,
    /// Every `://`: the offset of the colon.
    pub schemes: Vec<usize>,
    /// Stretches of non-ASCII characters; gaps of up to 16 ASCII bytes are bridged.
    pub foreign: Vec<Range<usize>>,
    /// Single characters with one space between each: `g h p _ 1 2`, at least eight of them.
    pub spaced: Vec<Range<usize>>,
    /// What begins an escape of an ASCII character: `\u00`, `\x`, `%41`, `&#65;`, `&amp;`, `=3D`, a soft line break.
    pub escapes: Vec<usize>,
    /// Where two pieces of a value may meet: a quote before an operator, a line continuation, ` dot `.
    pub joints: Vec<usize>,
    /// Operators behind the announcement of a second half: `second half:`, `part 2 =`.
    pub halves: Vec<usize>,
    /// Where a phrase that introduces a password may be told: a byte inside of it.
    pub(super) phrases: Vec<usize>,
    /// Every beginning of a `PuTTY` key file.
    pub(super) putty: Vec<usize>,
    /// Every `NM1*` and `PID|`: segments of claims and of messages between hospitals.
    pub(super) segments: Vec<usize>,
    /// Lines that may hold a marking, without their ends.
    pub(super) lines: Vec<Range<usize>>,
    /// One bit per byte: whether it is a digit.
    digits: Vec<u64>,
    /// One bit per byte: whether no letter or digit stands before it, so that a word may begin there.
    begins_word: Vec<u64>,
}

impl Candidates {
    /// Marks `text`. Linear in its length.
    pub fn of(text: &str) -> Self {
        let mut marks = Self::default();
        dispatch!(Level::new(), simd => marks.read(simd, text, #[inline(always)] |_, _| {}));
        marks
    }

    /// Marks `text` in place of what was marked before, and hands the masks of each of its blocks to `also`.
    #[expect(
        clippy::inline_always,
        reason = "the vectors of the machine are known where it is called"
    )]
    #[inline(always)]
    pub(super) fn read<S: Simd>(
        &mut self,
        simd: S,
        text: &str,
        mut also: impl FnMut(usize, &Masks),
    ) {
        self.clear();
        let mut carry = blocks::Carry::default();
        let bytes = text.as_bytes();
        masks::each(
            simd,
            bytes,
            #[inline(always)]
            |base, masks| {
                blocks::step(bytes, base, masks, &mut carry, self);
                also(base, masks);
            },
        );
        blocks::end(bytes, &carry, self);
    }

    /// Forgets all marks and keeps their room.
    fn clear(&mut self) {
        let Self {
            tokens,
            ats,
            assigns,
            begins,
            schemes,
            foreign,
            spaced,
            escapes,
            joints,
            halves,
            phrases,
            putty,
            segments,
            lines,
            digits,
            begins_word,
        } = self;
        tokens.clear();
        ats.clear();
        assigns.clear();
        begins.clear();
        schemes.clear();
        foreign.clear();
        spaced.clear();
        escapes.clear();
        joints.clear();
        halves.clear();
        phrases.clear();
        putty.clear();
        segments.clear();
        lines.clear();
        digits.clear();
        begins_word.clear();
    }

    /// How many marks there is room for.
    pub(super) fn room(&self) -> usize {
        self.tokens.capacity()
            + self.ats.capacity()
            + self.assigns.capacity()
            + self.begins.capacity()
            + self.schemes.capacity()
            + self.foreign.capacity()
            + self.spaced.capacity()
            + self.escapes.capacity()
            + self.joints.capacity()
            + self.halves.capacity()
            + self.phrases.capacity()
            + self.putty.capacity()
            + self.segments.capacity()
            + self.lines.capacity()
            + self.digits.capacity()
            + self.begins_word.capacity()
    }

    /// Whether anything may hide a value.
    pub(super) fn may_hide(&self) -> bool {
        !(self.tokens.is_empty()
            && self.foreign.is_empty()
            && self.spaced.is_empty()
            && self.halves.is_empty()
            && self.escapes.is_empty()
            && self.joints.is_empty())
    }

    /// The assignments but those whose value holds [`NESTED_MAX`] others and ends with them: a row of operators would be read again
    /// from each of them, and the value is behind the last.
    pub(super) fn inner_assigns(&self) -> impl Iterator<Item = &Assign> {
        let holds = |(at, one): &(usize, &Assign)| {
            let inner = self.assigns.get(at + NESTED_MAX);
            inner.is_some_and(|inner| inner.value.end == one.value.end)
        };
        self.assigns.iter().enumerate().filter(move |one| !holds(one)).map(|(_, one)| one)
    }

    /// Calls `read` with the places in `span` that follow no letter and no digit, in order.
    #[inline]
    pub(super) fn each_word_start(&self, span: Range<usize>, mut read: impl FnMut(usize)) {
        let first = span.start / BLOCK;
        let words = self.begins_word.get(first..span.end.div_ceil(BLOCK)).unwrap_or_default();
        for (word, number) in words.iter().zip(first..) {
            let base = number * BLOCK;
            let inside = from_bit(span.start.saturating_sub(base))
                & !from_bit(span.end.saturating_sub(base));
            for at in Bits(word & inside) {
                read(base + at);
            }
        }
    }

    /// Whether at least two digits stand in `span`.
    #[inline]
    pub(super) fn has_two_digits(&self, span: &Range<usize>) -> bool {
        let first = span.start / BLOCK;
        let words = self.digits.get(first..span.end.div_ceil(BLOCK)).unwrap_or_default();
        let mut seen = false;
        words.iter().zip(first..).any(|(word, number)| {
            let base = number * BLOCK;
            let inside = word
                & from_bit(span.start.saturating_sub(base))
                & !from_bit(span.end.saturating_sub(base));
            let two = inside & inside.wrapping_sub(1) != 0 || seen && inside != 0;
            seen = seen || inside != 0;
            two
        })
    }

    /// How many marks there are: the measure of the work that the next stage has.
    pub fn count(&self) -> usize {
        self.tokens.len()
            + self.ats.len()
            + self.assigns.len()
            + self.begins.len()
            + self.schemes.len()
            + self.foreign.len()
            + self.spaced.len()
            + self.escapes.len()
            + self.joints.len()
    }
}

/// Those of the sorted, non-overlapping `ranges` that touch `span`.
pub fn touching<'a>(ranges: &'a [Range<usize>], span: &Range<usize>) -> &'a [Range<usize>] {
    let from = ranges.partition_point(|range| range.end <= span.start);
    let rest = ranges.get(from..).unwrap_or_default();
    let to = rest.partition_point(|range| range.start < span.end);
    rest.get(..to).unwrap_or_default()
}

/// Those of the sorted `offsets` that lie in `span`.
pub fn within<'a>(offsets: &'a [usize], span: &Range<usize>) -> &'a [usize] {
    let from = offsets.partition_point(|at| *at < span.start);
    let rest = offsets.get(from..).unwrap_or_default();
    let to = rest.partition_point(|at| *at < span.end);
    rest.get(..to).unwrap_or_default()
}

/// A piece of `text` cut back to character boundaries; empty when the range is upside down.
#[inline]
pub fn slice(text: &str, span: Range<usize>) -> &str {
    match text.get(span.start..span.end.min(text.len())) {
        Some(piece) => piece,
        None => cut_back(text, &span),
    }
}

#[cold]
fn cut_back<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.floor_char_boundary(span.end.min(text.len()));
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
