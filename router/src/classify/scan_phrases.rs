//! Finds a few fixed phrases in a long text: with vector instructions where the machine has them, else with an automaton.

use std::ops::Range;

use aho_corasick::{AhoCorasick, packed};

/// A compiled list of phrases.
#[derive(Debug)]
pub(super) struct Phrases {
    fast: Option<packed::Searcher>,
    slow: Option<AhoCorasick>,
}

impl Phrases {
    /// Compiles `phrases`; of those that begin at the same place, the first in the list wins.
    pub(super) fn new(phrases: &[&str]) -> Self {
        let fast = packed::Config::new().builder().extend(phrases).build();
        let slow = if fast.is_some() { None } else { AhoCorasick::new(phrases).ok() };
        Self { fast, slow }
    }

    /// Calls `read` with the number and the place of every phrase, in the order of the text, without overlaps.
    pub(super) fn each(&self, text: &str, mut read: impl FnMut(usize, Range<usize>)) {
        if let Some(fast) = &self.fast {
            for hit in fast.find_iter(text) {
                read(hit.pattern().as_usize(), hit.range());
            }
        } else if let Some(slow) = &self.slow {
            for hit in slow.find_iter(text) {
                read(hit.pattern().as_usize(), hit.range());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phrases;

    #[test]
    fn phrases_are_found_in_order() {
        let mut found = Vec::new();
        let text = format!("{}ab cd{}ab", "x".repeat(70), "y".repeat(70));
        Phrases::new(&["ab", "cd"]).each(&text, |phrase, place| found.push((phrase, place)));
        assert_eq!(found, [(0, 70..72), (1, 73..75), (0, 145..147)]);
    }
}
