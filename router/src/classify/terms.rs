//! The operator's own words: project names, customer names, part numbers, written as words or as regular expressions.
//!
//! Words are compared folded: case, spaces, dashes, underscores and invisible characters do not count, so
//! `Project Falcon` also finds `project-falcon`, `PROJECT_FALCON` and `projectFalcon`. One automaton holds all words and reads the
//! text once, without a copy. A pattern with one of the characters `\ [ ] ( ) { } ^ $ * + ? |` is a regular expression as written.
//! Not here: reading the router file. Invariant: the time of a scan is linear in the text for words; for expressions it is
//! linear per match, and the number of matches is bounded.

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    dfa::DFA,
    nfa::contiguous::NFA,
};
use domain::Label;
use regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::Finding;

/// Most patterns over all terms.
pub const PATTERNS_MAX: usize = 1_000_000;
/// Most patterns that are regular expressions: each reads the text once more.
pub const EXPRESSIONS_MAX: usize = 256;
/// Longest pattern in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// Fewest letters and digits in a word: shorter ones would be everywhere.
pub const WORD_CHARS_MIN: usize = 2;
/// Memory of one compiled expression in bytes.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;
/// Matches of one expression in one text; behind the last the rest of the text counts as found.
const MATCHES_MAX: usize = 4_096;
/// Folded bytes of all words up to which the fast, large automaton is built.
const DFA_BYTES_MAX: usize = 64 * 1_024;
/// Words of at least so many folded bytes are found even when separators stand where the word has none.
const SPACED_BYTES_MIN: usize = 8;
/// Longest run of separators inside a match, in bytes.
const SEPARATOR_BYTES_MAX: usize = 8;

/// A name and what stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The name: findings are labelled `term/<name>`.
    pub name: String,
    /// Words or regular expressions, any of which is a finding.
    pub patterns: Vec<String>,
}

/// Why a list of terms cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TermError {
    /// A name is empty or holds what a label cannot.
    #[error("term name {0:?} must be lower-case letters, digits, '-', '_' or '.'")]
    Name(String),
    /// A word has too few letters and digits.
    #[error(
        "pattern {pattern:?} of term {term:?} has fewer than {WORD_CHARS_MIN} letters or digits"
    )]
    Short {
        /// The term's name.
        term: String,
        /// The pattern as written.
        pattern: String,
    },
    /// A pattern is longer than [`PATTERN_BYTES_MAX`].
    #[error("a pattern of term {term:?} is longer than {PATTERN_BYTES_MAX} bytes")]
    Long {
        /// The term's name.
        term: String,
    },
    /// The expression does not parse or compiles too large.
    #[error("pattern {pattern:?} of term {term:?} is no usable regular expression: {reason}")]
    Expression {
        /// The term's name.
        term: String,
        /// The pattern as written.
        pattern: String,
        /// What the expression compiler said, on one line.
        reason: String,
    },
    /// The expression matches the empty text and so everything.
    #[error("pattern {pattern:?} of term {term:?} matches the empty text")]
    Empty {
        /// The term's name.
        term: String,
        /// The pattern as written.
        pattern: String,
    },
    /// More than [`PATTERNS_MAX`] patterns or more than [`EXPRESSIONS_MAX`] expressions.
    #[error(
        "too many patterns: at most {PATTERNS_MAX} in all and {EXPRESSIONS_MAX} regular expressions"
    )]
    Many,
    /// The words together are too large for one automaton.
    #[error("the words of all terms are too large together: {0}")]
    Large(String),
}

/// The operator's terms, compiled once and then only read.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    words: Vec<Word>,
    automaton: Option<Machine>,
    /// Bytes with which a word may begin; all others leave the automaton where it starts.
    firsts: Firsts,
    expressions: Vec<Expression>,
}

#[derive(Clone, Debug)]
enum Machine {
    Fast(DFA),
    Small(NFA),
}

/// Whether something can begin with a byte, one entry for each.
#[derive(Clone, Debug)]
struct Firsts(Box<[bool; 256]>);

impl Default for Firsts {
    fn default() -> Self {
        Self(Box::new([true; 256]))
    }
}

impl Firsts {
    /// What leaves the start of this automaton. What a character beyond ASCII folds to is not looked at here.
    fn of<A: Automaton>(machine: &A) -> Self {
        let mut firsts = Self::default();
        let Ok(start) = machine.start_state(Anchored::No) else { return firsts };
        for (byte, first) in (0..=u8::MAX).zip(firsts.0.iter_mut()) {
            let next = machine.next_state(Anchored::No, start, byte.to_ascii_lowercase());
            *first = !byte.is_ascii() || !is_separator_byte(byte) && next != start;
        }
        firsts
    }

    /// The first place from `at` on where something may begin.
    fn find(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let first = |byte: &u8| self.0.get(usize::from(*byte)).is_none_or(|first| *first);
        Some(at + bytes.get(at..)?.iter().position(first)?)
    }
}

#[derive(Clone, Debug)]
struct Word {
    label: Label,
    folded: usize,
    /// Folded offsets before which a separator may stand, ascending.
    breaks: Box<[usize]>,
}

#[derive(Clone, Debug)]
struct Expression {
    label: Label,
    regex: Regex,
}

impl Terms {
    /// Compiles the terms.
    ///
    /// # Errors
    /// [`TermError`] for the first pattern that cannot be used, with the name of its term.
    pub fn new(terms: Vec<Term>) -> Result<Self, TermError> {
        if terms.iter().map(|term| term.patterns.len()).sum::<usize>() > PATTERNS_MAX {
            return Err(TermError::Many);
        }
        let mut made = Self::default();
        let mut folded: Vec<Vec<u8>> = Vec::new();
        for term in terms {
            check_name(&term.name)?;
            let label = Label::term(&term.name);
            for pattern in term.patterns {
                if pattern.len() > PATTERN_BYTES_MAX {
                    return Err(TermError::Long { term: term.name });
                }
                if is_expression(&pattern) {
                    made.expressions.push(compile(&term.name, label.clone(), pattern)?);
                } else {
                    let (bytes, breaks) = fold(&pattern);
                    if bytes.len() < WORD_CHARS_MIN {
                        return Err(TermError::Short { term: term.name, pattern });
                    }
                    made.words.push(Word { label: label.clone(), folded: bytes.len(), breaks });
                    folded.push(bytes);
                }
            }
        }
        if made.expressions.len() > EXPRESSIONS_MAX {
            return Err(TermError::Many);
        }
        made.automaton = build(&folded)?;
        made.firsts = match &made.automaton {
            Some(Machine::Fast(machine)) => Firsts::of(machine),
            Some(Machine::Small(machine)) => Firsts::of(machine),
            None => Firsts::default(),
        };
        Ok(made)
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.expressions.is_empty()
    }

    /// Adds a finding for each place where a term stands; of overlapping places of one term the longest.
    pub fn scan(&self, text: &str, out: &mut Vec<Finding>) {
        if self.automaton.is_none() && self.expressions.is_empty() {
            return;
        }
        let first = out.len();
        match &self.automaton {
            Some(Machine::Fast(machine)) => self.scan_words(machine, text, out),
            Some(Machine::Small(machine)) => self.scan_words(machine, text, out),
            None => {}
        }
        for expression in &self.expressions {
            scan_expression(expression, text, out);
        }
        let mut found = out.split_off(first);
        found.sort_by(|a, b| {
            (&a.label, a.span.start, usize::MAX - a.span.end).cmp(&(
                &b.label,
                b.span.start,
                usize::MAX - b.span.end,
            ))
        });
        for finding in found {
            let inside = out.get(first..).unwrap_or_default().last().is_some_and(|last| {
                last.label == finding.label && finding.span.start < last.span.end
            });
            if !inside {
                out.push(finding);
            }
        }
    }

    fn scan_words<A: Automaton>(&self, machine: &A, text: &str, out: &mut Vec<Finding>) {
        let Ok(start) = machine.start_state(Anchored::No) else { return };
        let bytes = text.as_bytes();
        let (mut at, mut state) = (0, start);
        loop {
            if state == start {
                // Most of a text begins no word.
                let Some(next) = self.firsts.find(bytes, at) else { return };
                at = next;
            }
            let Some(&byte) = bytes.get(at) else { return };
            if byte.is_ascii() {
                at += 1;
                if is_separator_byte(byte) {
                    continue;
                }
                state = machine.next_state(Anchored::No, state, byte.to_ascii_lowercase());
                if machine.is_special(state) {
                    self.accept(machine, state, (text, at), out);
                }
                continue;
            }
            let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else { return };
            at += c.len_utf8();
            if is_separator(c) {
                continue;
            }
            for folded in fold_char(c) {
                let mut buffer = [0; 4];
                for byte in folded.encode_utf8(&mut buffer).bytes() {
                    state = machine.next_state(Anchored::No, state, byte);
                }
            }
            if machine.is_special(state) {
                self.accept(machine, state, (text, at), out);
            }
        }
    }

    /// Reports the words that end at `end` and stand alone there.
    fn accept<A: Automaton>(
        &self,
        machine: &A,
        state: StateID,
        (text, end): (&str, usize),
        out: &mut Vec<Finding>,
    ) {
        if !machine.is_match(state) {
            return;
        }
        for index in 0..machine.match_len(state) {
            let Some(word) = self.words.get(machine.match_pattern(state, index).as_usize()) else {
                continue;
            };
            let Some(start) = walk_back(text, end, word) else { continue };
            if stands_alone(text, start, end) {
                out.push(Finding {
                    label: word.label.clone(),
                    span: start..end,
                    confidence: 95,
                    evidence: "term",
                    example: false,
                });
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), TermError> {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
    let fine = !name.is_empty() && name.chars().all(allowed);
    if fine { Ok(()) } else { Err(TermError::Name(name.to_owned())) }
}

/// Whether a pattern is meant as a regular expression. A dot alone does not make one: `acme.com` is a word.
fn is_expression(pattern: &str) -> bool {
    pattern.contains(['\\', '[', ']', '(', ')', '{', '}', '^', '$', '*', '+', '?', '|'])
}

fn compile(term: &str, label: Label, pattern: String) -> Result<Expression, TermError> {
    let built = RegexBuilder::new(&pattern)
        .size_limit(EXPRESSION_BYTES_MAX)
        .dfa_size_limit(EXPRESSION_BYTES_MAX)
        .nest_limit(64)
        .build();
    let term = || term.to_owned();
    match built {
        Ok(regex) if regex.is_match("") => Err(TermError::Empty { term: term(), pattern }),
        Ok(regex) => Ok(Expression { label, regex }),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
            Err(TermError::Expression { term: term(), pattern, reason })
        }
    }
}

fn build(folded: &[Vec<u8>]) -> Result<Option<Machine>, TermError> {
    let large = |error: aho_corasick::BuildError| TermError::Large(error.to_string());
    if folded.is_empty() {
        return Ok(None);
    }
    let total: usize = folded.iter().map(Vec::len).sum();
    let machine = if total <= DFA_BYTES_MAX {
        Machine::Fast(
            DFA::builder()
                .match_kind(MatchKind::Standard)
                .prefilter(false)
                .build(folded)
                .map_err(large)?,
        )
    } else {
        Machine::Small(
            NFA::builder()
                .match_kind(MatchKind::Standard)
                .prefilter(false)
                .build(folded)
                .map_err(large)?,
        )
    };
    Ok(Some(machine))
}

fn scan_expression(expression: &Expression, text: &str, out: &mut Vec<Finding>) {
    let mut push = |span| {
        out.push(Finding {
            label: expression.label.clone(),
            span,
            confidence: 95,
            evidence: "pattern",
            example: false,
        });
    };
    for (count, found) in
        expression.regex.find_iter(text).filter(|found| !found.is_empty()).enumerate()
    {
        if count == MATCHES_MAX {
            push(found.start()..text.len());
            return;
        }
        push(found.range());
    }
}

/// The folded form of a word, and the folded offsets before which the word itself has a separator or a hump.
fn fold(word: &str) -> (Vec<u8>, Box<[usize]>) {
    let (mut bytes, mut breaks) = (Vec::with_capacity(word.len()), Vec::new());
    let mut gap = false;
    let mut last = ' ';
    for c in word.trim().chars() {
        if is_separator(c) {
            gap = true;
            continue;
        }
        if !bytes.is_empty() && (gap || is_hump(last, c)) {
            breaks.push(bytes.len());
        }
        gap = false;
        last = c;
        for folded in fold_char(c) {
            let mut buffer = [0; 4];
            bytes.extend_from_slice(folded.encode_utf8(&mut buffer).as_bytes());
        }
    }
    (bytes, breaks.into_boxed_slice())
}

/// Lower case; full-width forms become ASCII.
fn fold_char(c: char) -> impl Iterator<Item = char> {
    let narrow = match u32::from(c) {
        code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    narrow.to_lowercase()
}

fn is_separator_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'_' | b'\t' | b'\n' | b'\r')
}

/// Characters that do not count in a comparison: blanks, dashes, underscores, invisible ones.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '_' | '\t' | '\n' | '\r' | '\u{a0}' | '\u{ad}' | '\u{2000}'
            ..='\u{2015}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202f}'
                | '\u{2060}'
                | '\u{2212}'
                | '\u{3000}'
                | '\u{feff}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
    )
}

fn is_hump(before: char, after: char) -> bool {
    before.is_lowercase() && after.is_uppercase()
}

/// Where the match of `word` that ends at `end` begins, if separators stand only where they may.
fn walk_back(text: &str, end: usize, word: &Word) -> Option<usize> {
    let mut left = word.folded;
    let mut start = end;
    let mut gap = 0;
    for c in text.get(..end)?.chars().rev() {
        start -= c.len_utf8();
        if is_separator(c) {
            gap += c.len_utf8();
            if gap > SEPARATOR_BYTES_MAX {
                return None;
            }
            continue;
        }
        let free =
            gap == 0 || word.folded >= SPACED_BYTES_MIN || word.breaks.binary_search(&left).is_ok();
        if !free {
            return None;
        }
        gap = 0;
        left = left.checked_sub(fold_char(c).map(char::len_utf8).sum())?;
        if left == 0 {
            return Some(start);
        }
    }
    None
}

/// Whether the match is no part of a longer word: its neighbours are no letters or digits, or a hump or a change between
/// letters and digits separates them.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let inner = text.get(start..end).unwrap_or_default();
    let (first, last) = (inner.chars().next(), inner.chars().next_back());
    let before = text.get(..start).and_then(|head| head.chars().next_back());
    let after = text.get(end..).and_then(|tail| tail.chars().next());
    parted(before, first) && parted(last, after)
}

fn parted(left: Option<char>, right: Option<char>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return true };
    !left.is_alphanumeric()
        || !right.is_alphanumeric()
        || is_hump(left, right)
        || left.is_ascii_digit() != right.is_ascii_digit()
}

#[cfg(test)]
mod tests;
