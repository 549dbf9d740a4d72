//! The family `credential/*`: keys, tokens, private keys, passwords and addresses that hold one.
//!
//! Here: the dispatch of token runs to the provider table, and the order of the other detectors of this family.
//! Not here: values whose only sign is the word before them (`generic`).

use std::ops::Range;

use domain::Label;

use super::{Finding, candidates::Candidates, examples, generic};

mod armour;
mod check;
mod context;
mod jwt;
mod named;
mod shape;
mod table;
mod url;

pub(super) use check::{distinct, is_dummy, looks_random};

use shape::Shape;
use table::{Proof, TABLE};

/// A shape of the table, with what it stands for.
#[derive(Clone, Debug)]
struct Rule {
    label: &'static str,
    shape: Shape,
    proof: Proof,
}

/// The provider table, compiled: rules sorted by their first three bytes, and a filter over those.
#[derive(Debug)]
pub(super) struct Secrets {
    rules: Vec<([u8; 3], Rule)>,
    filter: Box<[u64]>,
    /// A filter over the first four bytes; rules with a literal of three take any fourth.
    four: Box<[u64]>,
}

/// Bits of the filter over three bytes.
const FILTER_BITS: usize = 1 << 15;

impl Secrets {
    /// Compiles the table.
    pub(super) fn new() -> Self {
        let mut rules = Vec::new();
        let mut filter = vec![0_u64; FILTER_BITS / 64].into_boxed_slice();
        let mut four = filter.clone();
        for (label, shapes, proof) in TABLE {
            for source in *shapes {
                let Some(shape) = Shape::read(source) else { continue };
                let Some(head) = shape.head() else { continue };
                if let Some(word) = filter.get_mut(spot(head) / 64) {
                    *word |= 1 << (spot(head) % 64);
                }
                let fourth = shape.fourth().map_or(0..=u8::MAX, |byte| byte..=byte);
                for spot in fourth.map(|byte| spot_of_four(head, byte)) {
                    if let Some(word) = four.get_mut(spot / 64) {
                        *word |= 1 << (spot % 64);
                    }
                }
                rules.push((head, Rule { label, shape, proof: *proof }));
            }
        }
        rules.sort_by_key(|(head, _)| *head);
        Self { rules, filter, four }
    }

    /// Adds every credential that can be told by its shape or its surroundings.
    pub(super) fn scan(&self, text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
        for run in &candidates.tokens {
            self.scan_run(text, candidates, run, out);
            if candidates.has_two_digits(run) {
                named::scan_run(text, run, out);
            }
        }
        armour::scan(text, candidates, out);
        url::scan(text, candidates, out);
        context::scan(text, candidates, out);
        named::scan(text, candidates, out);
    }

    /// Tries the table at every place of a token run where a token may begin.
    fn scan_run(
        &self,
        text: &str,
        candidates: &Candidates,
        run: &Range<usize>,
        out: &mut Vec<Finding>,
    ) {
        let bytes = text.as_bytes();
        // `\nghp_…` and `%3Dghp_…`: the letters of an escape are no part of the token.
        let escape = match run.start.checked_sub(1).and_then(|at| bytes.get(at)) {
            Some(b'\\') => run.start + 1,
            Some(b'%') => run.start + 2,
            _ => run.start,
        };
        let mut tokens_from = run.start;
        let mut at = |place: usize| {
            let Some(three) = bytes.get(place..run.end).and_then(|rest| rest.first_chunk::<3>())
            else {
                return;
            };
            if self.may_begin(*three) {
                if three == b"eyJ" && place >= tokens_from {
                    tokens_from = jwt::at(text, place, run.end, out);
                }
                if self.may_go_on(*three, bytes.get(place + 3).copied().unwrap_or_default()) {
                    self.scan_at(text, place, out);
                }
            }
        };
        at(run.start);
        let mut escaped = escape > run.start;
        candidates.each_word_start(run.start + 1..run.end, |place| {
            if escaped && place >= escape {
                escaped = false;
                if place > escape {
                    at(escape);
                }
            }
            at(place);
        });
        if escaped {
            at(escape);
        }
    }

    /// Whether some rule begins with these bytes.
    #[inline]
    fn may_begin(&self, head: [u8; 3]) -> bool {
        self.filter.get(spot(head) / 64).is_some_and(|word| word >> (spot(head) % 64) & 1 == 1)
    }

    /// Whether some rule begins with these four bytes.
    #[inline]
    fn may_go_on(&self, head: [u8; 3], fourth: u8) -> bool {
        let spot = spot_of_four(head, fourth);
        self.four.get(spot / 64).is_some_and(|word| word >> (spot % 64) & 1 == 1)
    }

    /// Tries every rule that begins with the bytes at `at`.
    fn scan_at(&self, text: &str, at: usize, out: &mut Vec<Finding>) {
        let Some(rest) = text.as_bytes().get(at..) else { return };
        let Some(head) = rest.first_chunk::<3>() else { return };
        let from = self.rules.partition_point(|(other, _)| other < head);
        let rules = self.rules.get(from..).unwrap_or_default();
        for (_, rule) in rules.iter().take_while(|(other, _)| other == head) {
            let Some(length) = rule.shape.matches(rest) else { continue };
            let Some(value) = text.get(at..at + length) else { continue };
            if let Some((confidence, evidence)) = prove(rule, value) {
                let example = examples::is_documented(value);
                let (label, span) = (Label::fixed(rule.label), at..at + length);
                out.push(Finding { label, span, confidence, evidence, example });
                return;
            }
        }
    }
}

/// The place of three bytes in the filter.
#[inline]
fn spot(head: [u8; 3]) -> usize {
    let [first, second, third] = head;
    let mixed = u32::from_le_bytes([first, second, third, 0]).wrapping_mul(0x9E37_79B1);
    usize::try_from(mixed >> 17).unwrap_or_default()
}

/// The place of four bytes in their filter.
#[inline]
fn spot_of_four(head: [u8; 3], fourth: u8) -> usize {
    (spot(head) ^ usize::from(fourth) << 7) % FILTER_BITS
}

/// How sure a match makes us, or `None` when it is filler.
fn prove(rule: &Rule, value: &str) -> Option<(u8, &'static str)> {
    if examples::is_documented(value) {
        return Some((90, "prefix"));
    }
    let body = value.as_bytes().get(rule.shape.prefix()..).unwrap_or_default();
    let longest = body.split(|byte| !byte.is_ascii_alphanumeric()).max_by_key(|word| word.len());
    if is_dummy(body) || longest.is_some_and(is_dummy) {
        return None;
    }
    match rule.proof {
        Proof::Prefix => Some((95, "prefix")),
        Proof::Crc if check::crc_holds(value) => Some((99, "checksum")),
        Proof::Crc => looks_random(body).then_some((90, "prefix")),
        Proof::Random => is_drawn(body).then_some((80, "prefix")),
        Proof::Public => Some((60, "prefix")),
    }
}

/// Whether a body looks drawn: random by its digits, or letters that are no words.
fn is_drawn(body: &[u8]) -> bool {
    let letters = distinct(body) >= 10 && generic::word_share(body) < 60;
    looks_random(body) || letters
}

/// A finding of this family.
fn finding(
    label: &'static str,
    span: Range<usize>,
    confidence: u8,
    evidence: &'static str,
) -> Finding {
    Finding { label: Label::fixed(label), span, confidence, evidence, example: false }
}

#[cfg(test)]
mod tests;
