//! Street lines: a number, a name, and a word that makes it a street.

use std::ops::Range;

use super::{
    REACH,
    line::{AHEAD, BACK, SHORT, is_stop, lower},
};
use crate::classify::{
    candidates::slice,
    names::lists::{COMMON, Folded, THINGS, Words},
    pii::group::{byte, byte_before},
};

/// Words for streets behind the name, lower case: `12 Elm Street`, `Dózsa György utca 7`.
static BEHIND: Words = Words::new(include_str!("behind.txt"));
/// Words for streets before the name: `26 rue Ernest Renan`, `Via Roma 7`, `ul. Miła 53`.
static BEFORE: Words = Words::new(include_str!("before.txt"));
/// Endings of street names in one word: `Motzstr. 49`, `Koskikatu 83`.
static ENDINGS: Words = Words::new(include_str!("endings.txt"));

/// Units inside a house, lower case, before a number.
pub(super) const UNITS: [&str; 28] = [
    "apt",
    "apt.",
    "apartment",
    "suite",
    "ste",
    "ste.",
    "unit",
    "flat",
    "floor",
    "fl.",
    "room",
    "rm",
    "building",
    "bldg",
    "bldg.",
    "top",
    "stiege",
    "appt",
    "piso",
    "interno",
    "lok.",
    "m.",
    "box",
    "#",
    "lot",
    "dept",
    "house",
    "block",
];
/// Openings of a box at a post office, lower case.
const BOXES: [&str; 15] = [
    "p.o. box ",
    "po box ",
    "p. o. box ",
    "p.o.box ",
    "postfach ",
    "apartado ",
    "apdo. ",
    "bp ",
    "caixa postal ",
    "boîte postale ",
    "psc ",
    "cmr ",
    "postboks ",
    "postbus ",
    "casella postale ",
];
/// The last letters of [`BOXES`], and of the units that are looked for before a number.
const OPENING_ENDS: [[u8; 2]; 16] = [
    *b"ox", *b"ch", *b"do", *b"o.", *b"bp", *b"al", *b"le", *b"sc", *b"mr", *b"ks", *b"us", *b"t.",
    *b"pt", *b"te", *b"it", *b"e.",
];
/// The units that are looked for before a number.
const UNIT_OPENINGS: [&str; 6] = ["Apt. ", "Apt ", "Suite ", "Unit ", "Ste. ", "Ste "];
/// Small words inside the names of streets.
const SMALL: [&str; 26] = [
    "das", "dal", "dello", "degli", "dei", "nad", "de", "del", "della", "la", "le", "les", "van",
    "der", "den", "von", "di", "da", "do", "dos", "du", "des", "y", "e", "of", "the",
];
/// Words of [`BEFORE`] that are common elsewhere: they count in capitals only.
const WEAK: [&str; 15] = [
    "am", "an", "auf", "im", "zum", "zur", "unter", "place", "passage", "square", "str", "avenue",
    "route", "plaza", "camino",
];

/// The street line around the number at `at`, and how sure it is.
pub(super) fn at(text: &str, at: usize, ahead: &mut Letters) -> Option<(Range<usize>, u8)> {
    let bytes = text.as_bytes();
    let mut end = at;
    while byte(bytes, end).is_ascii_digit() {
        end += 1;
    }
    // `12a`, `12 B`, `12-14`, `12/3` are numbers of houses.
    let mut tail = end;
    if byte(bytes, tail).is_ascii_alphabetic() && !byte(bytes, tail + 1).is_ascii_alphanumeric() {
        tail += 1;
    } else if matches!(byte(bytes, tail), b'-' | b'/') && byte(bytes, tail + 1).is_ascii_digit() {
        tail += 1;
        while byte(bytes, tail).is_ascii_digit() {
            tail += 1;
        }
    }
    if byte(bytes, tail).is_ascii_alphanumeric() {
        return None;
    }
    box_or_unit(text, at, end)
        .or_else(|| if ahead.follow(bytes, tail) { forward(text, at, tail) } else { None })
        .or_else(|| backward(text, at, tail))
        .or_else(|| coded(text, at, end))
}

/// Where letters stand ahead of the numbers of a text, which are asked for in order.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// No letter stands between the last number that was asked for and this offset.
    none_to: usize,
}

impl Letters {
    /// Whether a letter may stand within [`REACH`] behind `tail`. Reads each byte once.
    fn follow(&mut self, bytes: &[u8], tail: usize) -> bool {
        let limit = bytes.len().min(tail.saturating_add(REACH + 2));
        let from = self.none_to.max(tail);
        let rest = bytes.get(from..limit).unwrap_or_default();
        let letter = rest.iter().position(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        self.none_to = from + letter.unwrap_or(rest.len());
        letter.is_some()
    }
}

/// `P.O. Box 286`, `PSC 0725, Box 6031`, `Apt. 297`, `Suite 620`.
fn box_or_unit(text: &str, at: usize, end: usize) -> Option<(Range<usize>, u8)> {
    // The last two letters of the word before, and its blank, decide for almost all.
    let before = text.as_bytes().get(at.checked_sub(3)?..at)?;
    let [first, last, b' '] = before else { return None };
    if !OPENING_ENDS.contains(&[first.to_ascii_lowercase(), last.to_ascii_lowercase()]) {
        return None;
    }
    let head = slice(text, at.saturating_sub(20)..at);
    let lower = head.to_ascii_lowercase();
    for opening in BOXES {
        if lower.ends_with(opening) {
            let start = at - opening.len();
            let whole = !byte_before(text.as_bytes(), start).is_ascii_alphanumeric();
            let short = opening.len() < 5 && end - at < 3;
            return (whole && !short).then_some((start..end, 85));
        }
    }
    let unit = UNIT_OPENINGS.iter().find(|unit| head.ends_with(**unit))?;
    let from = at - unit.len();
    let start = line_start(text, from);
    // A unit alone is a word of many texts; in an address a number stands before it, on its line or on the line above.
    let line = text.get(start..from)?;
    if line.bytes().any(|byte| byte.is_ascii_digit()) {
        return Some((first_number(text, start, from)..end, 80));
    }
    let above = line.trim().is_empty().then(|| line_above(text, start)).flatten();
    above.or(unit.starts_with("Apt").then_some(from)).map(|start| (start..end, 80))
}

/// Where the line above `start` begins, when it is the street line of an address: a capital and a number.
fn line_above(text: &str, start: usize) -> Option<usize> {
    let end = start.checked_sub(1)?;
    let begin = line_start(text, end);
    let line = text.get(begin..end)?;
    let capital = line.split(' ').any(is_capital);
    (capital && line.trim_end().ends_with(|c: char| c.is_ascii_digit()) && line.len() <= 48)
        .then_some(begin)
}

/// The first number of the line that begins at `start`, where the address begins.
fn first_number(text: &str, start: usize, from: usize) -> usize {
    let line = text.get(start..from).unwrap_or_default();
    start + line.find(|c: char| c.is_ascii_digit()).unwrap_or(0)
}

/// Where the line begins, at most [`REACH`] bytes back.
fn line_start(text: &str, at: usize) -> usize {
    let head = slice(text, at.saturating_sub(REACH)..at);
    let from = at - head.len();
    head.rfind(['\n', '"', '\'', ':', ';', '|', '\t']).map_or(from, |found| from + found + 1)
}

/// A capital, or a foreign letter that is one.
fn is_capital(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase)
}

/// `12 Elm Street`, `26 rue Ernest Renan`, `6556 106 Rue Ettatawer`.
fn forward(text: &str, at: usize, tail: usize) -> Option<(Range<usize>, u8)> {
    let rest = slice(text, tail..tail.saturating_add(REACH));
    let rest = rest.strip_prefix(',').unwrap_or(rest).strip_prefix(' ')?;
    // Behind the number stands a name or one of the small words that open a street.
    let initial = rest.chars().next()?;
    if !(initial.is_uppercase()
        || initial.is_ascii_digit()
        || matches!(
            initial,
            'r' | 'a'
                | 'b'
                | 'c'
                | 'p'
                | 'v'
                | 'i'
                | 'q'
                | 's'
                | 't'
                | 'l'
                | 'u'
                | 'f'
                | 'j'
                | 'o'
                | 'k'
        ))
    {
        return None;
    }
    // A word in lower case behind a number hardly ever opens the name of a street.
    if let [first @ b'a'..=b'z', second @ 0..0x80, ..] = rest.as_bytes()
        && !BEFORE.may_begin(*first, *second)
        && !matches!((first, second), (b'b', b'i') | (b't', b'e'))
    {
        return None;
    }
    if initial.is_ascii_lowercase() && !opens_street(rest) {
        return None;
    }
    let stops = |byte| is_stop(byte, AHEAD);
    let line = rest.get(..rest.bytes().position(stops).unwrap_or(rest.len()))?;
    let place = |word: &str| word.as_ptr().addr() - text.as_ptr().addr() + word.len();
    let (mut names, mut prefix, mut last) = (0, false, None);
    for word in line.split(' ').take(6) {
        let bare = word.trim_end_matches(['.', '!', '?']);
        let mut short = [0; SHORT];
        let lower = lower(word, &mut short);
        if names == 0 && !prefix && (opens(&lower) || matches!(&*lower, "bis" | "ter")) {
            (prefix, last) = (true, Some(place(word)));
            continue;
        }
        let spelled = BEHIND.has(lower.as_bytes());
        if names > 0 && is_capital(word) && (spelled || BEHIND.has(bare.to_lowercase().as_bytes()))
        {
            return Some((at..if spelled { place(word) } else { place(bare) }, 85));
        }
        let small = prefix && SMALL.contains(&&*lower);
        let number = word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
        if !(is_capital(word) || small || number) {
            break;
        }
        names += usize::from(is_capital(word));
        if prefix && is_capital(word) {
            last = Some(place(bare));
        }
        if bare.len() < word.len() && word.len() > 4 {
            break;
        }
    }
    (prefix && names > 0).then_some((at..last?, 85))
}

/// Whether the first word of a text, which has no capital, opens the name of a street behind its number.
fn opens_street(rest: &str) -> bool {
    let ends = |byte: u8| byte == b' ' || is_stop(byte, AHEAD);
    let size = rest.bytes().position(ends).unwrap_or(rest.len());
    let mut short = [0; SHORT];
    let lower = lower(rest.get(..size).unwrap_or_default(), &mut short);
    opens(&lower) || matches!(&*lower, "bis" | "ter")
}

/// Whether a word opens the name of a street behind its number.
fn opens(lower: &str) -> bool {
    lower.len() > 1
        && BEFORE.has(lower.as_bytes())
        && !matches!(lower, "am" | "an" | "auf" | "im" | "zur" | "zum" | "al." | "unter")
}

/// The words before the number at `at`, last first, each with where it begins.
fn words_before(text: &str, at: usize) -> impl Iterator<Item = (usize, &str)> {
    let head = slice(text, at.saturating_sub(REACH)..at.saturating_sub(1));
    let stops = |byte| is_stop(byte, BACK);
    // `Calle Mayor, 15`: the comma before the number belongs to the line.
    let line = head.strip_suffix(',').unwrap_or(head);
    let from = line.bytes().rposition(stops).map_or(0, |stop| stop + 1);
    let line = line.get(from..).unwrap_or_default();
    line.rsplit(' ').take(6).map(move |word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// `Motzstr. 49`, `Via Roma 7`, `ul. Miła 53`, `Dózsa György utca 7`.
fn backward(text: &str, at: usize, tail: usize) -> Option<(Range<usize>, u8)> {
    if byte_before(text.as_bytes(), at) != b' ' || at < 4 {
        return None;
    }
    let comma = byte_before(text.as_bytes(), at - 1) == b',';
    if !may_name(text.as_bytes(), at - 1 - usize::from(comma)) {
        return None;
    }
    let (mut start, mut typed) = (None, false);
    for (count, (begin, word)) in words_before(text, at).enumerate() {
        let capital = is_capital(word);
        // A word in lower case, as before most numbers, is copied only when it may be one of streets.
        if !capital && word.is_ascii() && !may_be_small(word.as_bytes(), count == 0, typed, start) {
            break;
        }
        let mut short = [0; SHORT];
        let lower = lower(word, &mut short);
        if count == 0 && capital && !comma && has_ending(&lower) {
            return Some((begin..tail, 80));
        }
        if count == 0
            && !comma
            && BEHIND.has(lower.as_bytes())
            && (!capital && lower.chars().count() >= 2 || capital && !is_plain(&lower))
        {
            (typed, start) = (true, Some(begin));
            continue;
        }
        let prefix =
            start.is_some() && (lower.len() > 1 || word == "R") && BEFORE.has(lower.as_bytes());
        if prefix && (capital || !WEAK.contains(&&*lower)) {
            return Some((begin..tail, 85));
        }
        if typed && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            return Some((begin..tail, 80));
        }
        if word.is_empty() || !(capital || SMALL.contains(&&*lower)) {
            break;
        }
        if capital {
            start = Some(begin);
        }
    }
    let start =
        start.filter(|start| typed && is_capital(text.get(*start..).unwrap_or_default()))?;
    Some((start..tail, 75))
}

/// Whether the word that ends at `end`, the last before a number, leaves it open that a street is named. Decides for almost all.
fn may_name(bytes: &[u8], end: usize) -> bool {
    let head = bytes.get(end.saturating_sub(REACH / 2)..end).unwrap_or_default();
    let gap = |byte: &u8| *byte == b' ' || is_stop(*byte, BACK);
    let Some(from) = head.iter().rposition(gap) else { return true };
    let word = head.get(from + 1..).unwrap_or_default();
    match word.first() {
        // Numbers in a row.
        Some(b'0'..=b'9') => BEHIND.has(word),
        Some(b'A'..=b'Z') => true,
        _ => !word.is_ascii() || may_be_small(word, true, false, None),
    }
}

/// Whether a word without a capital, somewhere before a number, may be read further by [`backward`].
fn may_be_small(word: &[u8], last: bool, typed: bool, start: Option<usize>) -> bool {
    let ([first, second, ..], Some([third, end])) = (word, word.last_chunk::<2>()) else {
        return word
            .first()
            .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'y' | b'e'));
    };
    last && BEHIND.may_begin(*first, *second) && BEHIND.may_end(*third, *end)
        || start.is_some() && BEFORE.may_begin(*first, *second)
        || typed && first.is_ascii_digit()
        || word.len() <= 5
}

/// Whether a word ends as the names of streets do.
fn has_ending(lower: &str) -> bool {
    let may = lower.as_bytes().last_chunk::<2>();
    if !may.is_some_and(|[first, last]| ENDINGS.may_end(*first, *last)) {
        return false;
    }
    let letters = lower.chars().count();
    letters >= 6
        && !is_ordinary(lower)
        && (3..=9.min(letters - 2)).any(|size| {
            let cut = lower.char_indices().rev().nth(size - 1).map_or(0, |(at, _)| at);
            lower.get(cut..).is_some_and(|ending| ENDINGS.has(ending.as_bytes()))
        })
}

/// English words with a number behind them that are no street: `Page 3`, `Station 7`, `Way 2`.
fn is_plain(lower: &str) -> bool {
    lower.is_ascii()
        && !matches!(
            lower,
            "street" | "road" | "avenue" | "utca" | "katu" | "sokak" | "ulica" | "cesta"
        )
}

/// Words with the ending of a street that mean something else.
fn is_ordinary(lower: &str) -> bool {
    matches!(
        lower,
        "string"
            | "during"
            | "spring"
            | "monitoring"
            | "bring"
            | "ordering"
            | "rendering"
            | "engineering"
            | "committee"
            | "employee"
            | "guarantee"
            | "payment"
            | "register"
            | "substr"
            | "postgres"
            | "upgrade"
            | "downgrade"
            | "facade"
            | "grade"
            | "trade"
            | "decade"
            | "blockade"
            | "brigade"
            | "navigate"
            | "delegate"
            | "aggregate"
            | "investigate"
            | "propagate"
            | "gateway"
            | "norway"
            | "movie"
            | "cookie"
            | "zombie"
            | "hoodie"
            | "selfie"
            | "offspring"
            | "manufacturing"
            | "restructuring"
            | "steering"
            | "referee"
            | "trainee"
            | "absentee"
            | "nominee"
            | "settee"
            | "frankenstein"
            | "einstein"
            | "holstein"
    )
}

/// `WA 16469`, `SAN DIEGO CA 03245`, `NN14 0WT`, `9203 AP`.
fn coded(text: &str, at: usize, end: usize) -> Option<(Range<usize>, u8)> {
    let bytes = text.as_bytes();
    let state = at.checked_sub(3).and_then(|from| text.get(from..at))?;
    if end - at == 5
        && state.ends_with(' ')
        && is_state(state.get(..2)?)
        && !byte_before(bytes, at - 3).is_ascii_alphanumeric()
    {
        let start = town_before(text, at - 3)?;
        return Some((start..zip_end(bytes, end), 88));
    }
    british(bytes, at, end).map(|span| (span, 80)).or_else(|| town_and_code(text, at, end))
}

/// `in Costamezzana 43015`: a town behind a preposition with its postal code; four digits must be no year.
fn town_and_code(text: &str, at: usize, end: usize) -> Option<(Range<usize>, u8)> {
    let digits = text.get(at..end)?;
    let year = digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"));
    if !(4..=6).contains(&digits.len()) || year || byte_before(text.as_bytes(), at) != b' ' {
        return None;
    }
    let start = town_before(text, at)?;
    let head = slice(text, start.saturating_sub(6)..start);
    let tied = [" in ", " from ", " near ", " at "].iter().any(|tie| head.ends_with(tie));
    let first = text.get(start..at)?.split(' ').next()?;
    let common = Folded::of(first)
        .is_some_and(|folded| COMMON.has(folded.as_bytes()) || THINGS.has(folded.as_bytes()));
    // `RFC 4122`, `ISO 27001` are documents.
    let short = first.chars().count() < 5 && !first.chars().any(char::is_lowercase);
    (tied && !common && !short && first.chars().count() >= 3).then_some((start..end, 62))
}

/// Four more digits behind a US postal code.
fn zip_end(bytes: &[u8], end: usize) -> usize {
    let more = byte(bytes, end) == b'-'
        && (1..5).all(|step| byte(bytes, end + step).is_ascii_digit())
        && !byte(bytes, end + 5).is_ascii_digit();
    if more { end + 5 } else { end }
}

/// The capitalised words of a town that end at `end` with a blank or a comma behind them.
fn town_before(text: &str, end: usize) -> Option<usize> {
    let head = slice(text, end.saturating_sub(40)..end);
    let line = head.rsplit('\n').next()?.trim_end_matches([' ', ',']);
    let base = line.as_ptr().addr() - text.as_ptr().addr();
    let mut start = None;
    let mut cursor = base + line.len();
    for word in line.rsplit(' ').take(4) {
        let begin = cursor - word.len();
        cursor = begin.saturating_sub(1);
        if !is_capital(word) || word.contains([',', ':', '.', '"']) {
            break;
        }
        start = Some(begin);
    }
    start
}

/// Whether `code` is a state of the USA or a military region of its post.
pub(super) fn is_state(code: &str) -> bool {
    const STATES: &str = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI \
        SC SD TN TX UT VT VA WA WV WI WY DC PR GU VI AA AE AP";
    code.len() == 2 && STATES.split_ascii_whitespace().any(|state| state == code)
}

/// A British postal code such as `NN14 0WT`, of which the number at `at` is the first; or a Canadian one, `T2P 0H3`.
fn british(bytes: &[u8], at: usize, end: usize) -> Option<Range<usize>> {
    let mut start = at;
    while start > 0 && at - start < 3 && byte_before(bytes, start).is_ascii_uppercase() {
        start -= 1;
    }
    let area = at - start;
    let mut cursor = end;
    if byte(bytes, cursor).is_ascii_uppercase() {
        cursor += 1;
    }
    let inward = byte(bytes, cursor) == b' ' && byte(bytes, cursor + 1).is_ascii_digit();
    let (c2, c3, c4) = (byte(bytes, cursor + 2), byte(bytes, cursor + 3), byte(bytes, cursor + 4));
    let whole = !byte_before(bytes, start).is_ascii_alphanumeric()
        && !matches!(byte_before(bytes, start), b'_' | b'-' | b'.' | b'/');
    let british = c2.is_ascii_uppercase()
        && c3.is_ascii_uppercase()
        && !b"CIKMOV".contains(&c2)
        && !b"CIKMOV".contains(&c3);
    let canadian = area == 1
        && end - at == 1
        && cursor == end + 1
        && c2.is_ascii_uppercase()
        && c3.is_ascii_digit();
    let fits = (1..=2).contains(&area)
        && end - at <= 2
        && inward
        && whole
        && !c4.is_ascii_alphanumeric()
        && (british || canadian);
    fits.then_some(start..cursor + 4)
}
