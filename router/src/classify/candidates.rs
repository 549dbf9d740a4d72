//! The first stage: one pass over the bytes that marks the places worth a second look.
//!
//! Here: runs of token characters, assignments whose left word is a cue, `@`, `://`, the beginnings of armoured blocks, single
//! characters with spaces between them and stretches that are not ASCII. A mark is cheap and says nothing but "look here". Not here: what any of them means; each family decides that for itself.
//!
//! Invariant: work and memory are linear in the text, whatever it holds. Every mark lies in the text and on
//! character boundaries, marks of a kind are sorted, and marks that are ranges do not overlap within their kind
//! (values of assignments may nest in the line of an earlier assignment).

mod assign;
mod blocks;
mod cues;

use std::ops::Range;

use memchr::memmem;

pub use assign::Assign;

/// Shortest run of token characters that is marked.
pub const TOKEN_MIN: usize = 16;

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
}

impl Candidates {
    /// Marks `text`. Linear in its length.
    pub fn of(text: &str) -> Self {
        let mut marks = Self::default();
        blocks::mark(text.as_bytes(), &mut marks);
        marks.begins = memmem::find_iter(text.as_bytes(), "-----BEGIN").collect();
        marks
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
pub fn slice(text: &str, span: Range<usize>) -> &str {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.floor_char_boundary(span.end.min(text.len()));
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
