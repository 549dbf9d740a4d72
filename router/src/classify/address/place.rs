//! Towns, states and countries in prose, when a word before ties somebody or something to them: `from Norway`, `in Seattle`.

use std::ops::Range;

use domain::Label;

use crate::classify::{
    Finding,
    candidates::slice,
    names::lists::{COMMON, Folded, GIVEN, Words},
    pii::{group::byte_before, lex::Lexed},
};

/// Countries, states and large towns of one word, folded.
static PLACES: Words = Words::new(include_str!("places.txt"));

/// Places of two words or more.
const COMPOUND: &[&str] = &[
    "United States",
    "United Kingdom",
    "United Arab Emirates",
    "New Zealand",
    "South Africa",
    "South Korea",
    "North Korea",
    "Saudi Arabia",
    "Costa Rica",
    "Sri Lanka",
    "Czech Republic",
    "El Salvador",
    "Puerto Rico",
    "Sierra Leone",
    "Ivory Coast",
    "Papua New Guinea",
    "Dominican Republic",
    "Hong Kong",
    "New York",
    "New Jersey",
    "New Mexico",
    "New Hampshire",
    "North Carolina",
    "South Carolina",
    "North Dakota",
    "South Dakota",
    "West Virginia",
    "Rhode Island",
    "Los Angeles",
    "San Francisco",
    "San Diego",
    "San Jose",
    "San Antonio",
    "Santa Fe",
    "Santa Barbara",
    "Santa Monica",
    "St. Louis",
    "St. Petersburg",
    "New Orleans",
    "Las Vegas",
    "Salt Lake City",
    "Kansas City",
    "Fort Worth",
    "El Paso",
    "Long Beach",
    "Colorado Springs",
    "Baton Rouge",
    "Des Moines",
    "Buenos Aires",
    "Rio de Janeiro",
    "São Paulo",
    "Mexico City",
    "Cape Town",
    "Port Elizabeth",
    "Tel Aviv",
    "Kuala Lumpur",
    "Abu Dhabi",
    "Ho Chi Minh City",
    "New Delhi",
    "Addis Ababa",
    "Dar es Salaam",
    "Den Haag",
    "The Hague",
    "Nova Scotia",
    "British Columbia",
    "New South Wales",
    "Northern Ireland",
    "Middle East",
    "West Bank",
    "Hong Kong",
    "Cyprus (Greek)",
    "Tel-Aviv",
    "Washington D.C.",
    "Washington DC",
    "Prince Edward Island",
    "New Brunswick",
    "Burkina Faso",
    "Cape Verde",
    "Equatorial Guinea",
    "Trinidad and Tobago",
];

/// The first words of [`COMPOUND`], folded, sorted.
static FIRSTS: Words = Words::new(
    "abu addis baton british buenos burkina cape colorado costa cyprus czech dar den des dominican el equatorial fort ho hong ivory kansas kuala las long los mexico \
     middle new north northern nova papua port prince puerto rhode rio salt san santa sao saudi sierra south sri st tel the trinidad united washington west ",
);

/// Words before a place that tie to it, lower case.
const TIES: [&str; 18] = [
    "in", "from", "to", "at", "near", "around", "outside", "leaving", "visiting", "visit", "via",
    "through", "toward", "towards", "aus", "nach", "depuis", "desde",
];

/// Adds places; those inside `covered` spans are part of an address already.
pub(super) fn scan(text: &str, lexed: &Lexed, covered: &[Range<usize>], out: &mut Vec<Finding>) {
    let mut done = 0;
    for cap in &lexed.caps {
        if cap.start < done || cap.end - cap.start < 2 || !may_be(text.as_bytes(), cap.start) {
            continue;
        }
        let Some((end, confidence)) = place(text, cap.start, cap.end) else { continue };
        done = end;
        if touching(covered, cap.start, end) {
            continue;
        }
        let label = Label::fixed("pii/location");
        out.push(Finding {
            label,
            span: cap.start..end,
            confidence,
            evidence: "names",
            example: false,
        });
    }
}

/// Whether what stands before a word leaves it open that it is a place: a blank as behind a word that ties to it, or a line end.
#[inline]
fn may_be(bytes: &[u8], start: usize) -> bool {
    start > 0 && matches!(byte_before(bytes, start), b' ' | b'\n')
}

/// The end of a place that begins at `start`, and how sure it is.
fn place(text: &str, start: usize, end: usize) -> Option<(usize, u8)> {
    if let Some(end) = place_end(text, start, end) {
        return (is_tied(text, start, end) || is_line(text, start, end)).then_some((end, 55));
    }
    if !is_home(text, start) {
        return None;
    }
    // Any capitalised words are a place where somebody lives.
    let line = slice(text, start..start.saturating_add(40));
    let mut size = 0;
    for word in line.split(' ').take(4) {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        if !bare.starts_with(char::is_uppercase) {
            break;
        }
        size = bare.as_ptr().addr() - line.as_ptr().addr() + bare.len();
        if bare.len() < word.len() {
            break;
        }
    }
    let first = Folded::of(line.get(..size)?.split(' ').next()?).unwrap_or_default();
    let known = COMMON.has(first.as_bytes()) || GIVEN.has(first.as_bytes());
    (size > 2 && !known).then_some((start + size, 65))
}

/// Whether the words before say that somebody lives, was born or went there.
fn is_home(text: &str, start: usize) -> bool {
    const TIES: [&str; 20] = [
        "originally from",
        "comes from",
        "come from",
        "i'm from",
        "i am from",
        "lives in",
        "live in",
        "living in",
        "lived in",
        "born in",
        "grew up in",
        "moved to",
        "relocated to",
        "resides in",
        "residing in",
        "resident of",
        "flew to",
        "hometown is",
        "wohnt in",
        "habite à",
    ];
    let before = text.as_bytes().get(start.saturating_sub(6)..start).unwrap_or_default();
    // The last word decides for almost all.
    let may = matches!(
        before,
        [.., b' ', b'i', b'n' | b's', b' ']
            | [.., b' ', b't' | b'o' | b'e', b'o' | b'f' | b'n', b' ']
            | [.., b'f', b'r', b'o', b'm', b' ']
            | [.., 0xC3, 0xA0, b' ']
    );
    if !may {
        return false;
    }
    let head = slice(text, start.saturating_sub(20)..start).to_lowercase();
    TIES.iter().any(|tie| {
        let before = head.trim_end().strip_suffix(tie);
        before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '-'))
    })
}

/// Whether the place is a line of its own, as at the end of an address.
fn is_line(text: &str, start: usize, end: usize) -> bool {
    let head = slice(text, start.saturating_sub(2)..start);
    let tail = slice(text, end..end.saturating_add(1));
    start > 0 && (head.ends_with('\n') || head == "\n ") && (tail.is_empty() || tail == "\n")
}

/// Whether one of the sorted spans touches the place.
fn touching(covered: &[Range<usize>], start: usize, end: usize) -> bool {
    let next = covered.partition_point(|span| span.start < end);
    covered.get(..next).unwrap_or_default().iter().rev().take(4).any(|span| start < span.end)
}

/// Where the place that begins at `start` ends.
fn place_end(text: &str, start: usize, end: usize) -> Option<usize> {
    let word = text.get(start..end)?;
    if let ([first @ 0..0x80, second @ 0..0x80, ..], Some([third @ 0..0x80, last @ 0..0x80])) =
        (word.as_bytes(), word.as_bytes().last_chunk::<2>())
        && !(FIRSTS.may_begin(*first, *second) && FIRSTS.may_end(*third, *last))
        && !(PLACES.may_begin(*first, *second) && PLACES.may_end(*third, *last))
    {
        return None;
    }
    let folded = Folded::of(word)?;
    let compound = if FIRSTS.has(folded.as_bytes()) {
        let rest = slice(text, start..start.saturating_add(24));
        COMPOUND.iter().find(|name| {
            name.as_bytes().get(..2) == rest.as_bytes().get(..2)
                && rest
                    .strip_prefix(**name)
                    .is_some_and(|tail| !tail.starts_with(char::is_alphanumeric))
        })
    } else {
        None
    };
    if let Some(name) = compound {
        return Some(start + name.len());
    }
    let upper = word.bytes().all(|byte| byte.is_ascii_uppercase());
    (PLACES.has(folded.as_bytes()) && (word.len() != 2 || upper)).then_some(end)
}

/// Whether a word before, or a place behind a comma, shows that a place is meant in prose.
fn is_tied(text: &str, start: usize, end: usize) -> bool {
    let tail = slice(text, end..end.saturating_add(2));
    let code = tail.starts_with(['(', '_', '=', '/', ':', '-', '[', '{', '<', '@'])
        || tail.starts_with('.') && tail.len() > 1 && !tail.ends_with([' ', '\n', '"']);
    // `Dallas Cowboys`, `Paris Hilton`: a capital right behind is another name.
    let more = slice(text, end..end.saturating_add(3))
        .strip_prefix(' ')
        .and_then(|next| next.chars().next())
        .is_some_and(char::is_uppercase);
    let head = slice(text, start.saturating_sub(14)..start);
    let Some(before) = head.strip_suffix(' ') else { return false };
    let word = before.rsplit([' ', '\n', '(']).next().unwrap_or_default().to_ascii_lowercase();
    let comma = before.ends_with(',') && before.len() > 1;
    !code && !more && (TIES.contains(&word.as_str()) || comma)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_each_place_is_in_its_list() {
        assert!(FIRSTS.is_sound() && PLACES.is_sound());
        for place in COMPOUND {
            let word = place.split([' ', '-', '.']).next().unwrap();
            assert!(FIRSTS.has(Folded::of(word).unwrap().as_bytes()), "{place:?}");
        }
    }
}
