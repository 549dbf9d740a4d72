//! Secrets whose only sign is the word before them, or that they look drawn rather than written.
//!
//! A small linear model weighs what a reader would: does the key ask for a secret, does the value look like one, is it
//! code instead of a value? Here: which values are weighed, and what the score means. The features are in
//! `features`, the weights (made offline) in `weights`. Not here: anything with a shape of its own (`secrets`).

use std::ops::Range;

use domain::Label;

use super::{
    Finding,
    candidates::{Assign, Candidates, touching},
    examples,
    scan_words::Words,
    secrets::is_dummy,
};

mod features;
mod weights;
mod words;

pub use features::FEATURES;
use features::Filling;
pub(super) use words::{is_wordy, placeholder, word_share};

/// Longest value that is weighed.
const VALUE_MAX: usize = 512;
/// Lengths of a value that no assignment introduces.
const BARE: Range<usize> = 20..160;

/// A value that may be a secret, with what the model sees of it.
#[derive(Clone, Debug)]
pub struct Guess {
    /// Where the value is.
    pub span: Range<usize>,
    /// What the model weighs; see [`FEATURES`].
    pub features: [f32; FEATURES],
    /// The log-odds that it is one.
    score: f32,
    /// What it would be called.
    label: &'static str,
}

impl Guess {
    /// The model's belief that this is a secret, 0 to 100.
    pub fn confidence(&self) -> u8 {
        let belief = 100.0 / (1.0 + (-self.score).exp());
        (0..=100).rev().find(|step: &u8| f32::from(*step) <= belief).unwrap_or_default()
    }
}

/// The log-odds of features; above zero the model believes.
fn score(filling: &Filling) -> f32 {
    let mut sum = 0.0;
    let mut rest = filling.filled;
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let (value, weight) = (filling.features.get(at), weights::WEIGHTS.get(at));
        sum += value.zip(weight).map_or(0.0, |(value, weight)| value * weight);
    }
    weights::BIAS + sum
}

/// The most that looking around can add to a score.
const SLACK: f32 = slack();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn slack() -> f32 {
    let (mut sum, mut at) = (0.0, 0);
    while at < FEATURES {
        if (at == features::REPEATS || at >= features::AROUND) && weights::WEIGHTS[at] > 0.0 {
            sum += weights::WEIGHTS[at];
        }
        at += 1;
    }
    sum
}

/// Adds every value that the model believes to be a secret.
pub(super) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for guess in weigh(text, candidates, -SLACK) {
        let confidence = guess.confidence();
        if confidence < super::CONFIDENCE_MIN {
            continue;
        }
        let example = text.get(guess.span.clone()).is_some_and(examples::is_documented);
        let evidence = if guess.label == GENERIC { "entropy" } else { "context" };
        let confidence = confidence.min(79);
        let label = Label::fixed(guess.label);
        out.push(Finding { label, span: guess.span, confidence, evidence, example });
    }
}

/// Every value that is worth weighing, sorted by kind, then by place: what the weights are made from.
pub fn guesses(text: &str, candidates: &Candidates) -> Vec<Guess> {
    weigh(text, candidates, f32::NEG_INFINITY)
}

/// The guesses whose score is at least `floor` before anything around them is looked at.
fn weigh(text: &str, candidates: &Candidates, floor: f32) -> Vec<Guess> {
    let mut out = Vec::new();
    let mut values: Vec<Range<usize>> = Vec::with_capacity(candidates.assigns.len());
    for assign in candidates.inner_assigns() {
        if let Some(span) = value_span(text, assign) {
            values.push(span.0.clone());
            out.extend(assigned(text, assign, span, floor));
        }
    }
    let mut at = 0;
    for (number, run) in candidates.tokens.iter().enumerate() {
        if !BARE.contains(&run.len()) || !candidates.has_two_digits(run) {
            continue;
        }
        while values.get(at).is_some_and(|value| value.end <= run.start) {
            at += 1;
        }
        if values.get(at).is_some_and(|value| value.start < run.end) {
            continue;
        }
        if touching(&candidates.foreign, run).is_empty() && !in_block(&candidates.tokens, number) {
            out.extend(bare(text, run, floor));
        }
    }
    out
}

/// Whether a run is a line of a block of encoded bytes: another run stands within a few bytes before or after it.
fn in_block(tokens: &[Range<usize>], number: usize) -> bool {
    let Some(run) = tokens.get(number) else { return false };
    let like = |other: &Range<usize>| other.len() >= run.len().min(40);
    let before = number.checked_sub(1).and_then(|at| tokens.get(at));
    before.is_some_and(|other| other.end + 6 > run.start && like(other))
        || tokens
            .get(number + 1)
            .is_some_and(|other| other.start < run.end.saturating_add(6) && like(other))
}

/// The label of values whose key does not say what they are.
const GENERIC: &str = "credential/generic-secret";

/// Words that stand between an operator and its value.
const SCHEMES: [&str; 8] =
    ["Bearer", "Basic", "Token", "token", "bearer", "basic", "SSWS", "ApiKey"];

/// The value of an assignment without its scheme (`Bearer`), and whether it had one.
fn value_span(text: &str, assign: &Assign) -> Option<(Range<usize>, bool)> {
    let span = assign.value.clone();
    let value = text.get(span.clone())?;
    if assign.quote.is_none() && value.len() > VALUE_MAX {
        return None;
    }
    if assign.quote.is_none() && is_code(text.as_bytes(), value.as_bytes(), span.end) {
        return None;
    }
    let (length, scheme) = match value.split_once(' ') {
        Some((scheme, _)) if SCHEMES.contains(&scheme) => {
            return Some((span.start + scheme.len() + 1..span.end, true));
        }
        Some(_) => (value.len(), false),
        None => (value.len(), assign.quote.is_none() && SCHEMES.contains(&value)),
    };
    if !scheme {
        return (3..=VALUE_MAX).contains(&length).then_some((span, false));
    }
    let rest = text.get(span.end..)?.strip_prefix(' ')?;
    let ends = |b: &u8| {
        !b.is_ascii_graphic() || matches!(b, b'"' | b'\'' | b'`' | b',' | b';' | b'<' | b'\\')
    };
    let length = rest.bytes().take(VALUE_MAX).take_while(|b| !ends(b)).count();
    (length >= 3).then_some((span.end + 1..span.end + 1 + length, true))
}

/// Keys that hold a cue and ask for something else: other families read them.
static NOT_SECRET: Words = Words::new(&[
    "passport",
    "passenger",
    "keyboard",
    "keyword",
    "monkey",
    "pubkey",
    "commit",
    "revision",
    "checksum",
    "fingerprint",
    "thumbprint",
]);

/// Whether a value without quotes is a call, an index or a field of something instead of a value.
fn is_code(text: &[u8], value: &[u8], end: usize) -> bool {
    let after = text.get(end).copied().unwrap_or(b' ');
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    value.iter().any(|byte| matches!(byte, b'(' | b'[' | b'{'))
        || is_number(value)
        || (matches!(after, b')' | b';' | b',' | b'}')
            && value.iter().all(word)
            && !value.iter().any(u8::is_ascii_digit))
}

/// Whether a value is a number as programs write them: digits and a type (`16u64`), short hexadecimal (`0x6001_u32`), or
/// long with separators (`0xc50a3f10_aa5c_4247`).
fn is_number(value: &[u8]) -> bool {
    let hex = value.strip_prefix(b"0x");
    let number = hex.unwrap_or(value);
    let in_number = |b: &&u8| {
        **b == b'_' || if hex.is_some() { b.is_ascii_hexdigit() } else { b.is_ascii_digit() }
    };
    let digits = number.iter().take_while(in_number).count();
    let types: [&[u8]; 14] = [
        b"u8", b"u16", b"u32", b"u64", b"u128", b"usize", b"i8", b"i16", b"i32", b"i64", b"i128",
        b"isize", b"f32", b"f64",
    ];
    let rest = number.get(digits..).unwrap_or_default();
    let alone = hex.is_some() && rest.is_empty() && (digits <= 16 || number.contains(&b'_'));
    digits > 0 && (alone || types.contains(&rest))
}

/// The guess for the value of an assignment.
fn assigned(
    text: &str,
    assign: &Assign,
    (span, scheme): (Range<usize>, bool),
    floor: f32,
) -> Option<Guess> {
    let key = text.get(assign.key.clone())?;
    if NOT_SECRET.in_text(key.as_bytes()) {
        return None;
    }
    let mut filling = features::assigned(text, assign, key.as_bytes(), &span, scheme);
    if score(&filling) < floor {
        return None;
    }
    let value = text.get(span.clone())?;
    if value.len() < 3 || placeholder(value) || is_dummy(value.as_bytes()) {
        return None;
    }
    features::look_around(text, key.as_bytes(), &span, assign.key.start, &mut filling);
    let score = score(&filling);
    Some(Guess { label: label(key), span, features: filling.features, score })
}

/// Names of check sums before a value.
const SUMS: [&[u8]; 4] = [b"sha1-", b"sha256-", b"sha384-", b"sha512-"];

/// The guess for a token run that stands alone.
fn bare(text: &str, run: &Range<usize>, floor: f32) -> Option<Guess> {
    let token = text.as_bytes().get(run.clone())?;
    let ends = token.iter().rev().take_while(|b| matches!(b, b'=' | b'.' | b'-')).count();
    let cut = memchr::memrchr(b'=', token.get(..token.len() - ends)?).map_or(0, |at| at + 1);
    let dots = token.iter().rev().take_while(|byte| **byte == b'.').count();
    let value = token.get(cut..token.len() - dots)?;
    if !BARE.contains(&value.len())
        || value.starts_with(b"sha") && SUMS.iter().any(|name| value.starts_with(name))
    {
        return None;
    }
    if value.iter().filter(|byte| byte.is_ascii_digit()).take(2).count() < 2 {
        return None;
    }
    let span = run.start + cut..run.start + cut + value.len();
    let mut filling = features::bare(text, &span)?;
    if score(&filling) < floor || is_dummy(value) || is_path(text.get(span.clone())?) {
        return None;
    }
    features::look_around(text, &[], &span, span.start, &mut filling);
    let score = score(&filling);
    Some(Guess { label: GENERIC, span, features: filling.features, score })
}

/// Whether a run is the path of a file or the name of a type, with digits in it: `/path/to/SHASUMS256.txt`.
fn is_path(run: &str) -> bool {
    run.contains(['.', '/']) && is_wordy(&run.replace(|c: char| c.is_ascii_digit(), ""))
}

/// What a value is called, by its key.
fn label(key: &str) -> &'static str {
    let lower = key.to_ascii_lowercase();
    let named = [
        ("pass", "credential/password"),
        ("pwd", "credential/password"),
        ("psw", "credential/password"),
        ("authorization", "credential/authorization"),
        ("cookie", "credential/session-cookie"),
        ("accountkey", "credential/connection-string"),
        ("sharedaccesskey", "credential/connection-string"),
    ];
    named.iter().find(|(word, _)| lower.contains(word)).map_or(GENERIC, |(_, label)| label)
}

#[cfg(test)]
mod tests;
