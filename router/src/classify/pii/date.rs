//! Dates of birth: a date behind a word that speaks of birth.

use domain::Label;

use super::{
    cue::Cue,
    group::{byte, byte_before},
    lex::Lexed,
};
use crate::classify::{Finding, candidates::slice};

/// How far behind the cue the date may begin.
const REACH: usize = 24;

/// Months as people write them, at least three letters; a name longer than its entry still begins with it.
const MONTHS: [&str; 27] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mär",
    "mai", "okt", "dez", "ene", "abr", "ago", "dic", "fév", "avr", "jui", "aoû", "déc", "gen",
    "mag",
];

/// Adds the dates of birth in `text`.
pub(crate) fn scan(text: &str, lexed: &Lexed, out: &mut Vec<Finding>) {
    for hit in lexed.hits.iter().filter(|hit| hit.cue == Cue::Birth) {
        if let Some(span) = behind(text, hit.end) {
            out.push(Finding {
                label: Label::fixed("pii/birth-date"),
                span,
                confidence: 90,
                evidence: "context",
                example: false,
            });
        }
    }
}

/// The first date that begins not more than [`REACH`] bytes behind `from`.
fn behind(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    (from..from.saturating_add(REACH).min(bytes.len()))
        .filter(|at| {
            !byte_before(bytes, *at).is_ascii_alphanumeric()
                && (byte(bytes, *at).is_ascii_alphanumeric() || byte(bytes, *at) >= 0x80)
        })
        .find_map(|at| numeric(bytes, at).or_else(|| written(text, at)).map(|end| at..end))
}

/// A number of one to `most` digits at `at`: its value and where it ends.
fn number(bytes: &[u8], at: usize, most: usize) -> Option<(u32, usize)> {
    let mut end = at;
    let mut value = 0_u32;
    while end - at < most && byte(bytes, end).is_ascii_digit() {
        value = value * 10 + u32::from(byte(bytes, end) - b'0');
        end += 1;
    }
    (end > at && !byte(bytes, end).is_ascii_digit()).then_some((value, end))
}

/// `1965-07-04`, `04/07/1965`, `4.7.65`, `19650704`.
fn numeric(bytes: &[u8], at: usize) -> Option<usize> {
    let (first, end) = number(bytes, at, 8)?;
    if end - at == 8 {
        return ((1_880..2_100).contains(&(first / 10_000))
            && (1..=12).contains(&(first / 100 % 100)))
        .then_some(end);
    }
    let joint = byte(bytes, end);
    if !matches!(joint, b'-' | b'/' | b'.' | b' ') {
        return None;
    }
    let skip =
        |end: usize| if byte(bytes, end + 1) == b' ' && joint == b'.' { end + 2 } else { end + 1 };
    let (second, end) = number(bytes, skip(end), 2)?;
    if byte(bytes, end) != joint {
        return None;
    }
    let (third, end) = number(bytes, skip(end), 4)?;
    let day = |value: u32| (1..=31).contains(&value);
    let year = |value: u32| (1_880..2_100).contains(&value);
    let fits = year(first) && day(second) && day(third)
        || day(first) && day(second) && (third < 100 || year(third));
    (fits && (first <= 12 || second <= 12 || year(first))).then_some(end)
}

/// `January 5, 1980`, `5 January 1980`, `5. März 1980`, `5th of May 1980`.
fn written(text: &str, at: usize) -> Option<usize> {
    let rest = slice(text, at..at.saturating_add(32));
    let mut words = rest
        .split([' ', ',', '-', '.', '/', '\u{a0}'])
        .filter(|word| !word.is_empty() && !matches!(*word, "of" | "de"));
    let (first, second, third) = (words.next()?, words.next()?, words.next()?);
    let day = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        digits.parse::<u32>().is_ok_and(|day| (1..=31).contains(&day)) && word.len() <= 4
    };
    let year = third
        .get(..4)
        .filter(|_| !third.as_bytes().get(4).copied().is_some_and(|b| b.is_ascii_digit()))?;
    let fits = day(first) && is_month(second) || is_month(first) && day(second);
    let known = year.parse::<u32>().is_ok_and(|year| (1_880..2_100).contains(&year));
    (fits && known).then(|| third.as_ptr().addr() - rest.as_ptr().addr() + at + 4)
}

fn is_month(word: &str) -> bool {
    let lower = word.to_lowercase();
    word.len() >= 3 && MONTHS.iter().any(|month| lower.starts_with(month))
}
