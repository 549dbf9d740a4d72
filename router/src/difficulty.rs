//! An estimate of how hard a request is, as the least quality of a model that should answer it.
//!
//! It is a hint for `auto` only: a model asked for by name or by a quality is never second-guessed, and an
//! estimate never leaves a request without an answer.

use crate::wire::{Role, View};

/// The floor of a request that nothing speaks for: any model will do.
const EASY: u8 = 0;
/// Long questions, code, several steps.
const MEDIUM: u8 = 45;
/// Proofs, design, many tools or an explicit wish for reasoning.
const HARD: u8 = 70;

/// Words that stand in questions which weak models answer badly (maths, law, proofs, multi-step work).
const HARD_WORDS: [&str; 14] = [
    "prove",
    "proof",
    "theorem",
    "derive",
    "integral",
    "algorithm",
    "complexity",
    "refactor",
    "architecture",
    "step by step",
    "debug",
    "race condition",
    "optimize",
    "security review",
];

/// The least quality, 0 to 100, that should answer.
pub fn quality_floor(view: &View<'_>) -> u8 {
    if view.needs.reasoning {
        return HARD;
    }
    let last = view.segments.iter().rev().find(|segment| segment.role == Role::User);
    let question = last.map(|segment| segment.text.as_ref()).unwrap_or_default();
    let hard_words = count_hard_words(question);
    let long = question.len() > 1_200;
    match (hard_words, long || view.needs.tools) {
        (0, false) => EASY,
        (0 | 1, _) => MEDIUM,
        _ => HARD,
    }
}

fn count_hard_words(question: &str) -> usize {
    // Only the end of a long text is the question; what comes before it is material.
    let from = question.len().saturating_sub(4_000);
    let from = (from..=question.len()).find(|at| question.is_char_boundary(*at)).unwrap_or(0);
    let tail = question.get(from..).unwrap_or_default().to_ascii_lowercase();
    HARD_WORDS.iter().filter(|word| tail.contains(*word)).count()
}
