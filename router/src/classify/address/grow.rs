//! How an address goes on behind its street line: units, towns, states, countries, postal codes.

use super::street::{UNITS, is_state};
use crate::classify::{
    candidates::slice,
    names::lists::{COMMON, Folded, GIVEN},
};

/// Most parts behind the street line.
const PARTS_MAX: usize = 6;
/// Longest part.
const PART_BYTES_MAX: usize = 48;

/// Where the address that was read up to `end` really ends.
pub(super) fn forward(text: &str, end: usize) -> usize {
    let mut end = end;
    let mut coded = false;
    for _ in 0..PARTS_MAX {
        let Some((next, code)) = part(text, end, coded) else { break };
        (end, coded) = (next, code);
    }
    end
}

/// The end of the next part and whether it is a postal code, if one follows. `coded` says that the last one was.
fn part(text: &str, end: usize, coded: bool) -> Option<(usize, bool)> {
    let rest = slice(text, end..end.saturating_add(PART_BYTES_MAX + 8));
    let body = rest.trim_start_matches([',', ' ', '.', '\n', '\r', '\\']);
    let gap = rest.len() - body.len();
    let separator = rest.get(..gap)?;
    let lines = separator.matches('\n').count();
    let dots = separator.matches('.').count();
    let dotted = dots == 1
        && (separator.contains(['\n', ',']) || body.starts_with("in ") || unit(body).is_some());
    if gap == 0 || gap > 6 || lines > 1 || dots > 0 && !dotted {
        return None;
    }
    let (inner, skipped) = match body
        .strip_prefix("in ")
        .or_else(|| body.strip_prefix("n ").filter(|_| separator.ends_with('\\')))
    {
        Some(inner) => (inner, gap + body.len() - inner.len()),
        None => (body, gap),
    };
    let fresh = lines > 0 || separator.contains(',') || coded || skipped > gap;
    if let Some(length) = code(inner) {
        return Some((end + skipped + length, true));
    }
    let length = unit(inner).or_else(|| town(inner, fresh))?;
    Some((end + skipped + length, false))
}

/// `Apt. 297`, `Suite 620`, `#5`.
fn unit(body: &str) -> Option<usize> {
    let word = body.split([' ', '\n']).next()?;
    let lower = word.to_ascii_lowercase();
    if !UNITS.contains(&lower.as_str()) || !body.get(word.len()..)?.starts_with(' ') {
        return None;
    }
    let value = body.get(word.len() + 1..)?;
    let size = value.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(value.len());
    (size > 0
        && value.bytes().next().is_some_and(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && size <= 6)
        .then_some(word.len() + 1 + size)
}

/// The length of a postal code: three to six digits, with a dash or letters as some countries write it.
pub(super) fn code(body: &str) -> Option<usize> {
    let size = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(body.len());
    let first = body.get(..size)?;
    let digits = first.bytes().filter(u8::is_ascii_digit).count();
    if !(3..=10).contains(&size)
        || !(2..=9).contains(&digits)
        || first.bytes().any(|b| b.is_ascii_lowercase())
    {
        return None;
    }
    // `9203 AP`, `NN14 0WT`, `752 26`.
    let second = body.get(size..)?.strip_prefix(' ').map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    let paired = second.is_some_and(|second| {
        let upper = second.len() == 2
            && second.bytes().all(|b| b.is_ascii_uppercase())
            && size == 4
            && digits == 4;
        let inward = second.len() == 3
            && second.bytes().next().is_some_and(|b| b.is_ascii_digit())
            && second.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            && digits < size;
        let swedish = second.len() == 2
            && size == 3
            && digits == 3
            && second.bytes().all(|b| b.is_ascii_digit());
        upper || inward || swedish
    });
    let more = second.map_or(0, |second| second.len() + 1);
    if paired { Some(size + more) } else { (digits >= 3).then_some(size) }
}

/// A town, state or country: one to four capitalised words that end at a comma, a line or a postal code. Behind a mere blank only
/// a state or words in capitals count.
fn town(body: &str, fresh: bool) -> Option<usize> {
    let line = body.split(['\n', ',', '"', ';', '|', ':', '\\', '<']).next()?;
    let mut size = 0;
    let mut words = 0;
    for word in line.split(' ').take(5) {
        let bare = word.trim_end_matches(['.', '!', '?', ')', '\'']);
        let letters = bare.trim_start_matches('(');
        let capital = letters.chars().next().is_some_and(char::is_uppercase);
        let small = words > 0
            && matches!(
                letters,
                "de" | "la"
                    | "del"
                    | "of"
                    | "am"
                    | "an"
                    | "der"
                    | "van"
                    | "den"
                    | "le"
                    | "les"
                    | "sur"
                    | "on"
                    | "upon"
                    | "do"
                    | "da"
                    | "i"
            );
        if !(capital || small) || letters.bytes().any(|b| b.is_ascii_digit()) {
            break;
        }
        let upper = !letters.chars().any(char::is_lowercase);
        if !fresh && words == 0 && !(is_state(letters) || upper && letters.chars().count() > 2) {
            return None;
        }
        size = (bare.as_ptr().addr() - body.as_ptr().addr()) + bare.len();
        words += 1;
        if bare.len() < word.len() {
            break;
        }
    }
    let town = body.get(..size).filter(|town| !town.is_empty())?;
    let after = body.get(size..).unwrap_or_default();
    let next = after.trim_start_matches([' ', ')']).chars().next();
    let closes = after.is_empty()
        || after.starts_with([',', '\n', '.', '"', ';', ')', '\\', '<', '|', '\'', '!', '?'])
        || next.is_some_and(|c| c.is_ascii_digit() || c == '(');
    let first = town.split(' ').next().and_then(Folded::of).unwrap_or_default();
    let common = COMMON.has(first.as_bytes()) && words < 2;
    let given = GIVEN.has(first.as_bytes()) && words == 1 && !closes_code(after);
    let taken = !is_state(town) && (common || given);
    (closes && words <= 4 && !taken && town.len() >= 2 && !is_greeting(town)).then_some(size)
}

/// Whether a postal code follows, which makes a town of any name.
fn closes_code(after: &str) -> bool {
    after.trim_start_matches([' ', ',']).bytes().take(3).filter(u8::is_ascii_digit).count() == 3
}

/// Lines behind an address that begin a new thought.
fn is_greeting(town: &str) -> bool {
    let first = town.split(' ').next().unwrap_or_default();
    matches!(
        first,
        "Thanks"
            | "Regards"
            | "Best"
            | "Please"
            | "Tel"
            | "Phone"
            | "Fax"
            | "Mobile"
            | "Email"
            | "Attn"
            | "Kind"
            | "Sincerely"
            | "The"
            | "This"
            | "We"
            | "I"
            | "Mobil"
            | "Desk"
            | "Office"
            | "Home"
            | "Position"
            | "DOB"
            | "SSN"
            | "MRN"
            | "IBAN"
            | "BIC"
    )
}
