//! Credentials that are cut in two: the first half ends one text, the second half begins another.
//!
//! Only ends that look cut are joined, with the text that follows and with the next one of the same speaker, and
//! only a token that says by its shape whose it is counts: two words that meet by chance make no finding.
//! Not here: halves in the middle of two texts, a value in three pieces, and an end in which something was found.

use std::{collections::HashMap, ops::Range};

use crate::{
    classify::{Classifier, Finding},
    wire::{Part, Role, Segment},
};

/// Bytes of either half that are looked at: the longest tokens of providers fit.
const HALF_BYTES_MAX: usize = 256;
/// A shorter end says nothing about its owner.
const TAIL_BYTES_MIN: usize = 6;
/// A shorter beginning completes no token.
const HEAD_BYTES_MIN: usize = 4;
/// Bytes that both halves have at least.
const WHOLE_BYTES_MIN: usize = 20;
/// Joins tried per request: hostile requests have a million short texts.
const JOINS_MAX: usize = 64;
/// Labels that a key word gives, not the shape of the value: next to a chance join they prove nothing.
const BY_CONTEXT: [&str; 4] = [
    "credential/generic-secret",
    "credential/password",
    "credential/authorization",
    "credential/session-cookie",
];

/// One half of a credential, as a finding in the text that holds it.
pub(super) struct Half {
    /// Index into the view's segments.
    pub(super) segment: usize,
    /// The label of the whole, and the place of this half.
    pub(super) finding: Finding,
}

/// Joins the ends of texts, which are given in the order of the document.
pub(super) struct Joiner<'a> {
    classifier: &'a Classifier,
    segments: &'a [Segment<'a>],
    /// The cut end of the text just before.
    last: Option<Tail>,
    /// The last cut end per speaker.
    spoken: HashMap<Role, Tail>,
    left: usize,
    whole: String,
}

/// The end of a text that may be the first half of a token.
#[derive(Clone)]
struct Tail {
    segment: usize,
    span: Range<usize>,
}

impl<'a> Joiner<'a> {
    pub(super) fn new(classifier: &'a Classifier, segments: &'a [Segment<'a>]) -> Self {
        Self {
            classifier,
            segments,
            last: None,
            spoken: HashMap::new(),
            left: JOINS_MAX,
            whole: String::new(),
        }
    }

    /// Takes the next text with what was found in it, and adds the halves that it completes.
    pub(super) fn add(&mut self, index: usize, findings: &[Finding], out: &mut Vec<Half>) {
        let Some(segment) = self.segments.get(index) else { return };
        if segment.role == Role::Other || segment.part == Part::Field || segment.key {
            return; // identifiers look like tokens and stand next to each other
        }
        let free = |span: &Range<usize>| {
            findings.iter().all(|one| one.span.end <= span.start || span.end <= one.span.start)
        };
        let last = self.last.take();
        if (last.is_some() || !self.spoken.is_empty())
            && let Some(head) = head(&segment.text).filter(free)
        {
            let spoken = self.spoken.get(&segment.role).cloned();
            let apart =
                spoken.filter(|tail| last.as_ref().is_none_or(|l| l.segment != tail.segment));
            for tail in last.into_iter().chain(apart) {
                self.join(&tail, (index, head.clone()), out);
            }
        }
        match tail(&segment.text).filter(free) {
            Some(span) => {
                let tail = Tail { segment: index, span };
                self.last = Some(tail.clone());
                self.spoken.insert(segment.role, tail);
            }
            None => {
                self.spoken.remove(&segment.role);
            }
        }
    }

    fn join(&mut self, tail: &Tail, (index, head): (usize, Range<usize>), out: &mut Vec<Half>) {
        let text = |index: usize, span: &Range<usize>| {
            self.segments.get(index).and_then(|segment| segment.text.get(span.clone()))
        };
        let (Some(first), Some(second)) = (text(tail.segment, &tail.span), text(index, &head))
        else {
            return;
        };
        let cut = first.len();
        if self.left == 0 || cut + second.len() < WHOLE_BYTES_MIN {
            return;
        }
        self.left -= 1;
        self.whole.clear();
        self.whole.push_str(first);
        self.whole.push_str(second);
        for whole in self.classifier.scan(&self.whole, Part::Prose) {
            let crosses = whole.span.start < cut && cut < whole.span.end;
            if !crosses || whole.example || !tells_its_owner(&whole) {
                continue;
            }
            let start = tail.span.start + whole.span.start;
            let end = head.start + whole.span.end - cut;
            let first = Finding { span: start..tail.span.end, ..whole.clone() };
            out.push(Half { segment: tail.segment, finding: first });
            out.push(Half { segment: index, finding: Finding { span: head.start..end, ..whole } });
        }
    }
}

fn tells_its_owner(finding: &Finding) -> bool {
    let label = finding.label.as_str();
    finding.label.family() == "credential" && !BY_CONTEXT.contains(&label)
}

/// Whether tokens have this byte.
fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b':')
}

/// Whether a text may begin or end with this byte and still mean to go on.
fn is_fringe(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b',' | b';')
}

/// The run of token characters that ends `text`, if a word of a language would not look like it.
fn tail(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(|byte| !is_fringe(*byte))? + 1;
    let window = bytes.get(end.saturating_sub(HALF_BYTES_MAX)..end)?;
    let length = window.iter().rev().take_while(|byte| in_token(**byte)).count();
    let span = end - length..end;
    let run = bytes.get(span.clone())?;
    (length >= TAIL_BYTES_MIN && is_no_word(run)).then_some(span)
}

/// The run of token characters that begins `text`.
fn head(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = bytes.iter().take(HALF_BYTES_MAX).position(|byte| !is_fringe(*byte))?;
    let rest = bytes.get(start..)?;
    let length = rest.iter().take(HALF_BYTES_MAX).take_while(|byte| in_token(**byte)).count();
    let run = rest.get(..length)?;
    (length >= HEAD_BYTES_MIN && is_no_word(run)).then_some(start..start + length)
}

/// A digit or a capital after the first letter: the mark of a token rather than of a word.
fn is_no_word(run: &[u8]) -> bool {
    run.iter().any(u8::is_ascii_digit) || run.iter().skip(1).any(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_are_words_are_not_cut() {
        assert_eq!(tail("that is all we know."), None);
        assert_eq!(head("Then we go on"), None);
        assert_eq!(tail("the first half is ghp_a8Kq \n"), Some(18..26));
        assert_eq!(head("\"Zx81kLm2\" and so on"), Some(1..9));
    }

    #[test]
    fn ends_are_read_within_bounds() {
        let long = "A1".repeat(HALF_BYTES_MAX);
        assert_eq!(tail(&long), Some(long.len() - HALF_BYTES_MAX..long.len()));
        assert_eq!(head(&long), Some(0..HALF_BYTES_MAX));
        assert_eq!(tail(""), None);
        assert_eq!(head("   "), None);
        assert_eq!(tail("é"), None);
    }
}
