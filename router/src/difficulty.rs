//! An estimate of how hard a request is, as the least quality of a model that should answer it.
//!
//! It is a hint for `auto` only: a model asked for by name or by a quality is never second-guessed, and an
//! estimate never leaves a request without an answer.
//!
//! The measure is the length of the question in words, and whether it has to be read the other way round ("which is
//! not"). On 11,299 questions with the answers of a strong and a weak model (`RouteLLM`'s tables of MMLU and GSM8K)
//! this recovers .587 and .619 of the gap between both when averaged over all shares of the strong one (APGR; chance
//! is .5). Words of a subject and regressions over words did no better on subjects that they had not seen.

use crate::wire::{Role, View};

/// What a wish for reasoning asks for, and the most that a long question does.
const HARD: u8 = 70;
/// What tools ask for: their calls must be well formed.
const WITH_TOOLS: u8 = 45;
/// A question of this many words asks for nothing; each doubling, and a negation, asks for `STEP` more.
const WORDS_EASY: f64 = 12.0;
const STEP: f64 = 15.0;
/// Only the end of a long text is the question, bytes; what comes before it is material.
const QUESTION_BYTES_MAX: usize = 4_000;
/// Words that turn a question round.
const NEGATIONS: [&str; 11] = [
    "not",
    "never",
    "except",
    "without",
    "incorrect",
    "false",
    "least",
    "unless",
    "neither",
    "nor",
    "cannot",
];

/// The least quality, 0 to 100, that should answer.
pub fn quality_floor(view: &View<'_>) -> u8 {
    if view.needs.reasoning {
        return HARD;
    }
    let last = view.segments.iter().rev().find(|segment| segment.role == Role::User);
    let asked = floor_of(last.map(|segment| segment.text.as_ref()).unwrap_or_default());
    if view.needs.tools { asked.max(WITH_TOOLS) } else { asked }
}

/// What a question asks for by itself.
fn floor_of(text: &str) -> u8 {
    let from = text.ceil_char_boundary(text.len().saturating_sub(QUESTION_BYTES_MAX));
    let question = text.get(from..).unwrap_or_default();
    let (mut words, mut turned) = (0_u32, false);
    for word in question.split_ascii_whitespace() {
        words += 1;
        let word = word.trim_matches(|letter: char| letter.is_ascii_punctuation());
        turned = turned || NEGATIONS.iter().any(|negation| negation.eq_ignore_ascii_case(word));
    }
    let doublings = (f64::from(words.max(1)) / WORDS_EASY).log2() + f64::from(u8::from(turned));
    let floor = (STEP * doublings).round().clamp(0.0, f64::from(HARD));
    // The steps are few: compare rather than convert.
    (0..=HARD).rev().find(|step| f64::from(*step) <= floor).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_and_turned_questions_ask_for_more() {
        let long = "word ".repeat(100);
        let cases = [
            ("", 0),
            ("What is the capital of France?", 0),
            ("Which of these rivers does not end in the sea that lies north of the city?", 21),
            (long.as_str(), 46),
        ];
        for (question, floor) in cases {
            assert_eq!(floor_of(question), floor, "{question}");
        }
        assert_eq!(floor_of(&"word ".repeat(100_000)), HARD);
    }
}
