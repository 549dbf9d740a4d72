//! Secrets whose only sign is the word before them, or that they look drawn rather than written.
//!
//! A small linear model weighs what a reader would: does the key ask for a secret, does the value look like one, is it
//! code instead of a value? Here: which values are weighed, and what the score means. The features are in
//! `features`, the weights (made offline) in `weights`. Not here: anything with a shape of its own (`secrets`).

use std::ops::Range;

use domain::Label;

use super::{
    Finding,
    candidates::{Assign, Candidates, Cue, touching},
    examples,
    secrets::{distinct, is_dummy},
};

mod features;
mod weights;
mod words;

pub use features::FEATURES;
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
    /// What it would be called.
    label: &'static str,
}

impl Guess {
    /// The model's belief that this is a secret, 0 to 100.
    pub fn confidence(&self) -> u8 {
        let score: f32 =
            self.features.iter().zip(weights::WEIGHTS).map(|(value, weight)| value * weight).sum();
        let belief = 100.0 / (1.0 + (-(score + weights::BIAS)).exp());
        (0..=100).rev().find(|step: &u8| f32::from(*step) <= belief).unwrap_or_default()
    }
}

/// Adds every value that the model believes to be a secret.
pub(super) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for guess in guesses(text, candidates) {
        let confidence = guess.confidence();
        if confidence < super::CONFIDENCE_MIN {
            continue;
        }
        let example = text.get(guess.span.clone()).is_some_and(examples::is_documented);
        let evidence = if guess.label == GENERIC { "entropy" } else { "context" };
        let confidence = confidence.min(79);
        out.push(Finding {
            label: Label::fixed(guess.label),
            span: guess.span,
            confidence,
            evidence,
            example,
        });
    }
}

/// Every value that is worth weighing, sorted by kind, then by place.
pub fn guesses(text: &str, candidates: &Candidates) -> Vec<Guess> {
    let mut out = Vec::new();
    let mut done = 0;
    for assign in candidates.assigns.iter().filter(|assign| assign.cue == Cue::Secret) {
        if let Some(guess) = assigned(text, assign) {
            done = done.max(guess.span.end);
            out.push(guess);
        }
    }
    let values: Vec<Range<usize>> = out.iter().map(|guess| guess.span.clone()).collect();
    let mut at = 0;
    for run in candidates.tokens.iter().filter(|run| BARE.contains(&run.len())) {
        while values.get(at).is_some_and(|value| value.end <= run.start) {
            at += 1;
        }
        if values.get(at).is_some_and(|value| value.start < run.end) {
            continue;
        }
        if touching(&candidates.foreign, run).is_empty() && !in_block(candidates, run) {
            out.extend(bare(text, run));
        }
    }
    out
}

/// Whether a run is a line of a block of encoded bytes: another run stands within a few bytes before or after it.
fn in_block(candidates: &Candidates, run: &Range<usize>) -> bool {
    let near = run.start.saturating_sub(6)..run.end.saturating_add(6);
    touching(&candidates.tokens, &near)
        .iter()
        .any(|other| other != run && other.len() >= run.len().min(40))
}

/// The label of values whose key does not say what they are.
const GENERIC: &str = "credential/generic-secret";

/// The guess for the value of an assignment.
fn assigned(text: &str, assign: &Assign) -> Option<Guess> {
    let mut span = assign.value.clone();
    let mut value = text.get(span.clone())?;
    let mut scheme = false;
    for word in ["Bearer ", "Basic ", "Token ", "token ", "bearer ", "basic ", "SSWS ", "ApiKey "] {
        if let Some(rest) = value.strip_prefix(word) {
            span.start += word.len();
            value = rest;
            scheme = true;
        }
    }
    if !scheme
        && assign.quote.is_none()
        && ["Bearer", "Basic", "Token", "token", "bearer", "SSWS"].contains(&value)
    {
        let rest = text.get(span.end..)?;
        let value = rest.strip_prefix(' ')?;
        let length = value
            .bytes()
            .take(VALUE_MAX)
            .take_while(|b| {
                b.is_ascii_graphic()
                    && !matches!(b, b'"' | b'\'' | b'`' | b',' | b';' | b'<' | b'\\')
            })
            .count();
        span = span.end + 1..span.end + 1 + length;
        scheme = true;
    }
    let value = text.get(span.clone())?;
    if value.len() < 3
        || value.len() > VALUE_MAX
        || placeholder(value)
        || is_dummy(value.as_bytes())
    {
        return None;
    }
    let key = text.get(assign.key.clone())?;
    let features = features::assigned(text, assign, key, &span, scheme);
    Some(Guess { label: label(key), span, features })
}

/// The guess for a token run that stands alone.
fn bare(text: &str, run: &Range<usize>) -> Option<Guess> {
    let token = text.get(run.clone())?;
    let cut = token.trim_end_matches(['=', '.', '-']).rfind('=').map_or(0, |at| at + 1);
    let value = token.get(cut..)?.trim_end_matches('.');
    if ["sha1-", "sha256-", "sha384-", "sha512-"].iter().any(|name| value.starts_with(name)) {
        return None;
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    if !BARE.contains(&value.len())
        || digits < 2
        || distinct(value.as_bytes()) < 9
        || is_wordy(value)
        || is_dummy(value.as_bytes())
    {
        return None;
    }
    let span = run.start + cut..run.start + cut + value.len();
    let features = features::bare(text, &span)?;
    Some(Guess { label: GENERIC, span, features })
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
