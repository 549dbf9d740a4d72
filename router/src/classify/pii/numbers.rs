//! The walk over numbers and over cue words that announce a value without digits.

use super::{
    cue::Cue,
    government::{self, Verdict},
    group::{self, Group, Token, byte, byte_before},
    lex::Lexed,
    near::{Columns, Near},
    net,
};
use crate::classify::{Finding, payment};

mod form;
mod walk;

use walk::Walk;

/// Adds what numbers in `text` are.
pub(crate) fn scan(text: &str, lexed: &Lexed, out: &mut Vec<Finding>) {
    if lexed.numbers.is_empty() {
        return;
    }
    let (mut columns, mut group) = (Columns::default(), Group::default());
    let mut done = 0;
    let bytes = text.as_bytes();
    for &(at, token) in &lexed.numbers {
        if at < done {
            continue;
        }
        done = number((text, lexed), token, done, (&mut columns, &mut group), out);
        // What was taken may end inside a token: its rest is read on its own.
        while let Some(at) = group::rest_of_token(bytes, done) {
            let token = group::token(bytes, at, done);
            let dull = token.len() <= group::TOKEN_BYTES_MAX && is_dull(bytes, token);
            done = if dull {
                token.end
            } else {
                number((text, lexed), token, done, (&mut columns, &mut group), out)
            };
        }
    }
}

/// Adds what the number is that begins with the token `first`, nothing of which stands before `floor`, and returns where the walk
/// goes on.
fn number(
    (text, lexed): (&str, &Lexed),
    first: Token,
    floor: usize,
    (columns, group): (&mut Columns, &mut Group),
    out: &mut Vec<Finding>,
) -> usize {
    let bytes = text.as_bytes();
    if first.len() > group::TOKEN_BYTES_MAX {
        coin(text, lexed, first, out);
        return first.end;
    }
    if let Some(end) = net::scan(text, first, out).or_else(|| uuid(text, lexed, first, out)) {
        return end;
    }
    if first.len() >= 26 {
        coin(text, lexed, first, out);
    }
    let walk = Walk::new((text, lexed), columns);
    if group::is_alone(bytes, first, floor) && walk.is_nothing(first) {
        return first.end;
    }
    group.read(bytes, first, floor);
    if group.digits() >= 4 && !group.is_dotted(bytes) {
        walk.group(group, out);
    }
    group.span().end.max(first.end)
}

/// Whether a token stands alone and is too short or too much like a name of code to be an identifier. Decides for almost all
/// numbers of code without looking around.
#[inline]
pub(crate) fn is_dull(bytes: &[u8], token: Token) -> bool {
    let letters = token.len() - token.digits;
    let short = token.digits < 4 || token.len() < 6;
    if !(short
        || byte(bytes, token.end) == b'_'
        || token.len() < 26 && letters > 12 && token.digits < 8)
    {
        return false;
    }
    let next = byte(bytes, token.end);
    let joined = matches!(next, b' ' | b'-' | b'.' | b'/' | b':' | b')' | 0xC2) && {
        let behind = byte(bytes, token.end + 1);
        behind.is_ascii_alphanumeric() || matches!(behind, b'(' | b' ' | b'-' | b'.' | 0xA0)
    };
    let lead = byte_before(bytes, token.start) == b' '
        && byte(bytes, token.start.saturating_sub(2)).is_ascii_uppercase();
    if !(joined || lead) {
        return true;
    }
    // Few digits with a word behind them, as in `5 apples`: no group holds enough digits. With `:`, and with `-` behind two, it may
    // be an address of a machine.
    token.digits < 4
        && token.len() < 6
        && (matches!(next, b' ' | b'.' | b'/') || next == b'-' && token.len() != 2)
        && group::is_before_word(bytes, token.end)
}

/// What was found at `span`.
pub(super) fn finding(verdict: Verdict, span: std::ops::Range<usize>, example: bool) -> Finding {
    Finding {
        label: verdict.label,
        span,
        confidence: verdict.confidence,
        evidence: verdict.evidence,
        example,
    }
}

/// Whether a token begins and is as long as an address of a coin.
#[inline]
pub(crate) fn may_be_coin(bytes: &[u8], token: Token) -> bool {
    let first = byte(bytes, token.start);
    match first {
        b'1' | b'3' | b'L' | b'M' | b'D' | b'T' => token.len() <= 35,
        b'b' | b'l' | b'a' => token.len() <= 90,
        b'0' => token.len() == 42,
        _ => false,
    }
}

/// A long token may be the address of a coin; nothing else here is so long.
fn coin(text: &str, lexed: &Lexed, token: Token, out: &mut Vec<Finding>) {
    if !may_be_coin(text.as_bytes(), token) {
        return;
    }
    let Some(value) = text.get(token.start..token.end) else { return };
    let near = Near::before(lexed, token.start, false);
    if let Some(verdict) = payment::wallet(value, &near) {
        out.push(finding(verdict, token.start..token.end, false));
    }
}

/// Steps over a UUID; behind the cue of a medical record it is one.
fn uuid(text: &str, lexed: &Lexed, first: Token, out: &mut Vec<Finding>) -> Option<usize> {
    if first.len() != 8 {
        return None;
    }
    let end = first.start + 36;
    let value = text.as_bytes().get(first.start..end)?;
    let right = value.iter().enumerate().all(|(place, byte)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    if !right {
        return None;
    }
    let near = Near::before(lexed, first.start, byte_before(text.as_bytes(), first.start) == b'"');
    let telling = near.cues().find(|(cue, _)| *cue == Cue::Mrn || government::announces(*cue));
    if telling.is_some_and(|(cue, _)| cue == Cue::Mrn) {
        out.push(finding(Verdict::new("health/mrn", 90, "context"), first.start..end, false));
    }
    Some(end)
}
