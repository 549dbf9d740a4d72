//! Where people live: street lines with a number, postal codes with a town, keyed parts of an address, places with a
//! word that ties a person to them.
//!
//! A street line is recognised by a word for streets beside a number, in some twenty languages, by a unit (`Apt. 297`), or
//! because a key says so; then the span grows over the units, towns, states, countries and postal codes that follow.
//! Invariant: linear time; a line is read [`REACH`] bytes to each side of a number at most.

mod grow;
mod keyed;
mod line;
mod place;
mod street;

use domain::Label;

use super::{
    Finding,
    pii::{
        group::{byte, byte_before},
        lex::Lexed,
    },
};

/// How far a street line is read from its number.
pub(crate) const REACH: usize = 64;

/// Adds the addresses and places of `text`. What was found from number `known` on is no number of a house.
pub(crate) fn scan(text: &str, lexed: &Lexed, known: usize, out: &mut Vec<Finding>) {
    let first = out.len();
    let known = out.get(known..).unwrap_or_default();
    let mut taken: Vec<_> = known.iter().map(|one| (one.span.start, one.span.end)).collect();
    taken.sort_unstable();
    let free = |at: usize| {
        let next = taken.partition_point(|(start, _)| *start <= at);
        next.checked_sub(1).and_then(|at| taken.get(at)).is_none_or(|(_, end)| *end <= at)
    };
    keyed::scan(text, lexed, out);
    let (mut done, mut ahead) = (0, street::Letters::default());
    for &at in &lexed.houses {
        if at < done || !free(at) {
            continue;
        }
        if let Some((span, confidence)) = street::at(text, at, &mut ahead) {
            let end = grow::forward(text, span.end);
            done = end;
            out.push(address(span.start..end, confidence));
        }
    }
    let mut covered: Vec<_> =
        out.get(first..).unwrap_or_default().iter().map(|one| one.span.clone()).collect();
    covered.sort_by_key(|span| span.start);
    place::scan(text, lexed, &covered, out);
}

/// Whether the number can belong to an address: short, and words stand beside it. Decides for almost all numbers of code.
/// The digits end at `end`.
#[inline]
pub(crate) fn is_candidate(bytes: &[u8], at: usize, end: usize) -> bool {
    let before = byte_before(bytes, at);
    let upper = before.is_ascii_uppercase();
    let open = at == 0
        || matches!(before, b' ' | b'\n' | b'"' | b'\'' | b',' | b'\t' | b'#' | b'(' | b'>');
    if !(upper || open) || end - at > 6 || matches!(byte(bytes, end), b'%' | b':' | b'_' | b'=') {
        return false;
    }
    if upper {
        return byte(bytes, end + 1).is_ascii_digit() || byte(bytes, end + 2).is_ascii_digit();
    }
    let word = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0x80;
    let next = if byte(bytes, end).is_ascii_alphabetic() || byte(bytes, end) == b',' {
        end + 1
    } else {
        end
    };
    let ahead = byte(bytes, next) == b' '
        && (word(byte(bytes, next + 1)) || byte(bytes, next + 1).is_ascii_digit());
    ahead
        || before == b' ' && {
            let last = byte_before(bytes, at.saturating_sub(1));
            word(last) || matches!(last, b'.' | b',')
        }
}

fn address(span: std::ops::Range<usize>, confidence: u8) -> Finding {
    Finding {
        label: Label::fixed("pii/address"),
        span,
        confidence,
        evidence: "shape",
        example: false,
    }
}

#[cfg(test)]
mod tests;
