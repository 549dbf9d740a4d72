//! A decoded text that remembers where each byte came from.

use std::ops::Range;

/// A decoded window.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    text: String,
    /// Start and end in the source of what each byte stands for, counted from `base`.
    origin: Vec<(u32, u32)>,
    base: usize,
}

impl View {
    /// An empty view of a window that begins at `base`.
    pub(super) fn at(base: usize) -> Self {
        Self { text: String::new(), origin: Vec::new(), base }
    }

    /// What was decoded.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Adds a character that the source bytes `from` stand for.
    pub(super) fn push(&mut self, c: char, from: Range<usize>) {
        let near = |at: usize| u32::try_from(at.saturating_sub(self.base)).unwrap_or(u32::MAX);
        let place = (near(from.start), near(from.end));
        self.text.push(c);
        for _ in 0..c.len_utf8() {
            self.origin.push(place);
        }
    }

    /// Adds `piece`, which stands unchanged in the source at `from`.
    pub(super) fn copy(&mut self, piece: &str, from: usize) {
        if piece.is_ascii() {
            self.text.push_str(piece);
            let near = |at: usize| u32::try_from(at.saturating_sub(self.base)).unwrap_or(u32::MAX);
            self.origin.extend((from..from + piece.len()).map(|at| (near(at), near(at + 1))));
            return;
        }
        for (at, c) in piece.char_indices() {
            self.push(c, from + at..from + at + c.len_utf8());
        }
    }

    /// Where `span` of the view is in the source.
    pub(super) fn source(&self, span: &Range<usize>) -> Option<Range<usize>> {
        let (start, _) = self.origin.get(span.start)?;
        let (_, end) = self.origin.get(span.end.checked_sub(1)?)?;
        Some(self.base + *start as usize..self.base + *end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    #[test]
    fn a_copied_byte_comes_from_its_place() {
        for piece in ["plain", "ü and é"] {
            let mut view = View::at(7);
            view.copy(piece, 9);
            assert_eq!(view.text(), piece);
            for (at, c) in piece.char_indices() {
                let here = 9 + at..9 + at + c.len_utf8();
                assert_eq!(view.source(&(at..at + c.len_utf8())), Some(here), "{piece}");
            }
        }
    }
}
