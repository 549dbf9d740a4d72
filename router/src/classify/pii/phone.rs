//! Telephone numbers: with a country code, in the North American form, with a leading zero, or behind a cue.

use std::ops::Range;

use super::{
    cue::Cue,
    government::Verdict,
    group::{Token, byte, byte_before},
    near::Near,
};

/// A telephone number found in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phone {
    /// From the `+`, the parenthesis or the first digit to behind the last.
    pub(crate) span: Range<usize>,
    /// How many of the group's tokens it takes.
    pub(crate) tokens: usize,
    /// Whether it is reserved for examples.
    pub(crate) example: bool,
    /// How sure.
    pub(crate) verdict: Verdict,
}

/// The longest telephone number that begins at the first of `tokens`.
pub(crate) fn find(bytes: &[u8], tokens: &[Token], near: &Near) -> Option<Phone> {
    let first = tokens.first()?;
    let signed = matches!(byte_before(bytes, first.start), b'+' | b'(');
    // Without a sign and a word that announces it, only blocks as in North America (`415`, `1 415`), pairs and a leading zero
    // begin a number, and never a single block.
    let announced = signed || near.cues().any(|(cue, _)| cue == Cue::Phone);
    let size = |at: usize| tokens.get(at).map_or(0, |token| token.len());
    let opens = || match (byte(bytes, first.start), first.len()) {
        (b'0', _) => true,
        (_, 3) => size(1) == 3 && size(2) >= 4,
        (b'1', 1) => size(1) == 3 && size(2) == 3,
        _ => false,
    };
    if !announced && (tokens.len() == 1 || !opens()) || !is_part(bytes, *first) {
        return None;
    }
    if !announced && !is_formed(bytes, tokens) {
        return None;
    }
    let most = tokens.iter().take_while(|token| is_part(bytes, **token)).count().min(7);
    (1..=most).rev().find_map(|count| {
        let part = tokens.get(..count)?;
        try_window(bytes, part, near)
    })
}

/// Whether numbers that nothing announces and that begin with a zero may have one of the forms that [`judge`] knows.
pub(super) fn is_formed(bytes: &[u8], tokens: &[Token]) -> bool {
    let sizes = |least: usize, most: usize, count: usize| {
        let part = tokens.get(..count);
        part.is_some_and(|part| part.iter().all(|token| (least..=most).contains(&token.len())))
    };
    let zero = tokens.first().is_some_and(|first| byte(bytes, first.start) == b'0');
    let numbers = tokens.iter().take(5).all(|token| token.is_number());
    let two =
        || sizes(2, 5, 1) && tokens.get(1).is_some_and(|token| (5..=8).contains(&token.len()));
    !zero || !numbers || two() || sizes(2, 4, 3) || sizes(2, 2, 5)
}

/// Digits only, or digits with an extension (`3560x4587`).
fn is_part(bytes: &[u8], token: Token) -> bool {
    token.is_number() || extension(bytes, token).is_some()
}

/// The digits before an `x` and an extension.
fn extension(bytes: &[u8], token: Token) -> Option<usize> {
    let text = bytes.get(token.start..token.end)?;
    let at = text.iter().position(|byte| *byte == b'x')?;
    (token.digits + 1 == token.len() && (3..=7).contains(&at) && token.len() - at <= 7)
        .then_some(at)
}

fn try_window(bytes: &[u8], part: &[Token], near: &Near) -> Option<Phone> {
    let (first, last) = (part.first()?, part.last()?);
    if part.iter().rev().skip(1).any(|token| !token.is_number()) {
        return None;
    }
    let mut lengths = [0_usize; 7];
    let mut total = 0;
    for (slot, token) in lengths.iter_mut().zip(part) {
        *slot = extension(bytes, *token).unwrap_or(token.len());
        total += *slot;
    }
    let zeros = part.iter().all(|token| {
        bytes
            .get(token.start..token.end)
            .is_some_and(|digits| digits.iter().all(|digit| *digit == b'0'))
    });
    if !(7..=15).contains(&total) || zeros || !ends_well(bytes, last.end) {
        return None;
    }
    let lead = lead(bytes, first.start)?;
    let verdict = judge(bytes, part, &lengths, (lead, total), near)?;
    let start = match lead {
        Lead::Plus => first.start - 1,
        Lead::Parenthesis => first.start - 1,
        Lead::PlusParenthesis => first.start - 2,
        Lead::None => first.start,
    };
    Some(Phone {
        span: start..last.end,
        tokens: part.len(),
        example: is_example(bytes, part),
        verdict,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Plus,
    Parenthesis,
    PlusParenthesis,
    None,
}

/// What stands before the number, or `None` when it goes on to the left.
fn lead(bytes: &[u8], start: usize) -> Option<Lead> {
    let one = byte_before(bytes, start);
    let two = byte_before(bytes, start.saturating_sub(1));
    match (two, one) {
        (b'+', b'(') => Some(Lead::PlusParenthesis),
        (_, b'(') => Some(Lead::Parenthesis),
        (before, b'+') if !before.is_ascii_alphanumeric() && before != b'+' => Some(Lead::Plus),
        (_, b'.' | b'-' | b'_' | b'/' | b'#' | b'$' | b'%' | b'+' | b'@' | b'&' | b'\\') => None,
        (before, b':') if before.is_ascii_digit() => None,
        _ => Some(Lead::None),
    }
}

/// Whether the number ends where the group says: no decimals, no unit, no further dash.
fn ends_well(bytes: &[u8], end: usize) -> bool {
    let (next, after) = (byte(bytes, end), byte(bytes, end + 1));
    match next {
        b'-' if after.is_ascii_alphabetic() => {
            // `-Office`, `-Fax` name the line; `-A` goes on with a part number.
            (1..4).all(|more| byte(bytes, end + more).is_ascii_alphabetic())
        }
        b'-' | b'.' | b'/' | b':' => !after.is_ascii_alphanumeric(),
        b'%' | b'_' | b'@' | b'=' | b'*' => false,
        _ => true,
    }
}

fn judge(
    bytes: &[u8],
    part: &[Token],
    lengths: &[usize; 7],
    (lead, total): (Lead, usize),
    near: &Near,
) -> Option<Verdict> {
    let first = part.first()?;
    let digit = byte(bytes, first.start);
    let cued = is_cued(bytes, first.start, near);
    let joint = joint(bytes, part);
    let found = |confidence| {
        Some(Verdict::new("pii/phone", confidence, if cued { "context" } else { "shape" }))
    };
    let refused = near.has(Cue::Order, 20) || near.has(Cue::Build, 20);
    match (lead, lengths) {
        (Lead::Plus | Lead::PlusParenthesis, _) if digit != b'0' && total >= 8 => {
            let line_start = matches!(byte_before(bytes, first.start.saturating_sub(1)), b'\n');
            (cued || !(line_start && part.len() == 1))
                .then(|| found(if cued { 97 } else { 88 }))
                .flatten()
        }
        (Lead::Parenthesis, [3, 3, 4, 0, ..]) if closes(bytes, first.end) && digit >= b'2' => {
            found(95)
        }
        (Lead::Parenthesis, _) if closes(bytes, first.end) && cued => found(90),
        (Lead::Parenthesis, _) if closes(bytes, first.end) && digit == b'0' && total >= 9 => {
            found(75)
        }
        (Lead::None | Lead::Parenthesis, [3, 3, 4, 0, ..])
            if digit >= b'2' && joint != b' ' && joint != b'/' && !refused =>
        {
            found(if cued { 97 } else { 85 })
        }
        (Lead::None | Lead::Parenthesis, [1, 3, 3, 4, 0, ..])
            if digit == b'1' && matches!(joint, b'-' | b'.') && !refused =>
        {
            found(85)
        }
        _ if cued && plausible(lengths, total) => found(85),
        (Lead::None, _) if refused => None,
        (Lead::None, [2, 2, 2, 2, 2, 0, ..]) if is_french(bytes, part) => found(65),
        (Lead::None, _) if digit == b'0' && is_trunk(bytes, part, lengths, total) => found(60),
        _ => None,
    }
}

/// A national number with its leading zero, in two to four blocks, with no further number beside it as in a table.
fn is_trunk(bytes: &[u8], part: &[Token], lengths: &[usize; 7], total: usize) -> bool {
    let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
    let blocks = match part.len() {
        2 => matches!(lengths, [2..=5, 5..=8, ..]),
        3 | 4 => lengths.iter().take(part.len()).all(|length| (2..=4).contains(length)),
        _ => false,
    };
    let beside = |at: usize| byte(bytes, at) == b' ' && byte(bytes, at + 1).is_ascii_digit();
    let beside_before = byte_before(bytes, first.start) == b' '
        && byte_before(bytes, first.start.saturating_sub(1)).is_ascii_digit();
    blocks
        && (9..=11).contains(&total)
        && matches!(joint(bytes, part), b' ' | b'-')
        && matches!(byte(bytes, first.start + 1), b'1'..=b'9')
        && !beside_before
        && !beside(last.end)
}

fn closes(bytes: &[u8], end: usize) -> bool {
    byte(bytes, end) == b')'
}

/// The one separator between the tokens, 0 for none, 1 for a mixture.
fn joint(bytes: &[u8], part: &[Token]) -> u8 {
    let mut joints = part.iter().rev().skip(1).map(|token| byte(bytes, token.end));
    let Some(first) = joints.next() else { return 0 };
    if joints.all(|joint| joint == first) { first } else { 1 }
}

/// Whether a word for telephones announces the number: the nearest cue, on the same line or as the key of a quoted value.
fn is_cued(bytes: &[u8], start: usize, near: &Near) -> bool {
    near.cues().enumerate().any(|(rank, (cue, distance))| {
        let gap = bytes.get(start.saturating_sub(distance)..start).unwrap_or_default();
        let lines = gap.contains(&b'\n') && distance > 6 && byte_before(bytes, start) != b'"';
        // `input.phone || 1234567` is code.
        let code = gap.windows(2).any(|pair| pair == b"||" || pair == b"&&");
        cue == Cue::Phone && !lines && !code && (rank == 0 && distance <= 32 || distance <= 14)
    })
}

/// Behind a cue: local numbers too, but no date, year span or amount.
fn plausible(lengths: &[usize; 7], total: usize) -> bool {
    let count = lengths.iter().take_while(|length| **length > 0).count();
    let date = total == 8 && matches!(lengths, [4, 2, 2, 0, ..] | [1 | 2, 2, 4, 0, ..]);
    match count {
        1 => (7..=12).contains(&total),
        _ => !date && lengths.iter().all(|length| *length <= 8),
    }
}

/// Five pairs that begin with a zero, and no sixth pair beside them as in a dump of bytes.
fn is_french(bytes: &[u8], part: &[Token]) -> bool {
    let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
    let pair = |at: usize| {
        byte(bytes, at) == b' '
            && byte(bytes, at + 1).is_ascii_hexdigit()
            && byte(bytes, at + 2).is_ascii_hexdigit()
            && !byte(bytes, at + 3).is_ascii_alphanumeric()
    };
    let before = first.start.checked_sub(4).is_some_and(pair)
        || byte_before(bytes, first.start) == b' '
            && byte_before(bytes, first.start.saturating_sub(1)) == b' ';
    byte(bytes, first.start) == b'0'
        && matches!(byte(bytes, first.start + 1), b'1'..=b'9')
        && !before
        && !pair(last.end)
        && matches!(joint(bytes, part), b' ' | b'.')
}

/// Numbers kept free for fiction: 555-0100 to 555-0199 in North America.
fn is_example(bytes: &[u8], part: &[Token]) -> bool {
    let digits = || {
        part.iter().flat_map(|token| bytes.get(token.start..token.end).unwrap_or_default()).copied()
    };
    let count = digits().count();
    (count == 10 || count == 11 || count == 7) && digits().skip(count - 7).take(5).eq(*b"55501")
}
