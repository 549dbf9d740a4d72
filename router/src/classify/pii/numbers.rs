//! The walk over numbers and over cue words that announce a value without digits.

use super::{
    cue::Cue,
    government::{self, Verdict},
    group::{self, Compact, Group, Token, byte, byte_before},
    lex::Lexed,
    near::{self, Columns, NEAR, Near},
    net, phone,
};
use crate::classify::{Finding, candidates::slice, health, payment};

/// Shortest value that is known without a cue: a telephone number of seven digits.
const UNANNOUNCED_BYTES_MIN: usize = 7;
/// Letters and digits of a value that is known by its own form.
const VALUE_BYTES_MIN: usize = 8;
const VALUE_BYTES_MAX: usize = 34;
/// Most tokens of one identifier.
const WINDOW_MAX: usize = 8;

/// Adds what numbers in `text` are.
pub(crate) fn scan(text: &str, lexed: &Lexed, out: &mut Vec<Finding>) {
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
    let walk = Walk { text, bytes, lexed, columns, quiet: false, numbers: false };
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

/// What the lengths of the tokens must be for a number without a cue to be tried at all.
fn is_promising(mask: u64, digits: usize, length: usize, lower: bool) -> bool {
    if digits == length {
        let single = mask < 16 && (12..=19).contains(&length);
        return single
            || matches!(
                mask,
                0x4444
                    | 0x465
                    | 0x464
                    | 0x0004_4443
                    | 0x0004_4441
                    | 0x4333
                    | 0x324
                    | 0x67
                    | 0x3332
                    | 0x0002_3342
                    | 0x3442
                    | 0x64
                    | 0x0122_2332
            );
    }
    !lower && digits >= 4
}

/// Whether numbers whose lengths begin so may be one of the forms of [`is_promising`], or a telephone number in blocks as in North
/// America.
fn is_formed(sizes: [usize; 4]) -> bool {
    match sizes {
        [12..=19, ..] => true,
        [6, next, ..] => matches!(next, 4 | 7),
        [4, next, last, _] => matches!((next, last), (6, 4 | 5) | (4, 4) | (3, 3)),
        [3, 3, 3, last] => last == 2,
        [3, next, last, _] => next == 3 && last > 3 || matches!(next, 2 | 4) && last == 4,
        [2, next, last, _] => next == 3 && last == 3,
        [1, next, last, _] => matches!((next, last), (2, 2) | (3, 3)),
        _ => false,
    }
}

/// The four bits of a token in the mask of a value: its length, at most 15.
#[inline]
fn mask_of(token: Token) -> u64 {
    u64::from(u8::try_from(token.len().min(15)).unwrap_or(15))
}

struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    lexed: &'a Lexed,
    columns: &'a mut Columns,
    /// Whether no cue stands before the tokens and all are numbers, so that no cue stands before those behind them.
    quiet: bool,
    /// Whether all tokens of the group are numbers.
    numbers: bool,
}

impl Walk<'_> {
    /// Offers each window of the group, longest first, and goes on behind what was taken.
    fn group(mut self, group: &Group, out: &mut Vec<Finding>) {
        let tokens = group.tokens();
        self.numbers = tokens.iter().all(|token| token.is_number());
        let mut from = 0;
        while let Some(rest @ [first, ..]) = tokens.get(from..) {
            if !self.numbers && self.is_plain(*first) {
                from += 1;
                continue;
            }
            if self.quiet && group.span().end - first.start < UNANNOUNCED_BYTES_MIN {
                break;
            }
            // A date is three tokens that are nothing else; dates of birth are read from their cue.
            let date = rest.get(..3).is_some_and(|part| self.is_date(part) && !self.goes_on(part));
            from += if date { 3 } else { self.take(rest, out).max(1) };
        }
    }

    /// Whether no value begins with a token because a letter in lower case is in it, and nothing announces one.
    fn is_plain(&self, token: Token) -> bool {
        let before = byte_before(self.bytes, token.start);
        token.digits < token.len()
            && byte(self.bytes, token.start) != b'0'
            && !matches!(before, b'+' | b'(')
            && self.has_lower(token)
            && !self.is_cell(token.start)
            && !self.is_cued(token, matches!(before, b'"' | b'\''))
    }

    /// Whether a token that stands alone is nothing: no cue stands before it, and it has no form that is known without one.
    fn is_nothing(&self, token: Token) -> bool {
        if token.digits < 4 {
            return true;
        }
        let before = byte_before(self.bytes, token.start);
        if matches!(before, b'+' | b'(')
            || self.is_cell(token.start)
            || self.is_cued(token, matches!(before, b'"' | b'\''))
        {
            return false;
        }
        let (digits, length) = (token.digits, token.len());
        let lower = !token.is_number() && self.has_lower(token);
        !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&length)
            || !is_promising(mask_of(token), digits, length, lower)
            || digits != length && !self.may_be_known(&[token], (1, mask_of(token)), digits, length)
    }

    /// Whether a cue stands before a token.
    #[inline]
    fn is_cued(&self, token: Token, quoted: bool) -> bool {
        self.lexed.before(token.start, near::reach(quoted)).next().is_some()
    }

    /// Whether numbers without a sign and without a cue may begin a telephone number or one of the forms of [`is_promising`].
    fn may_open(&self, tokens: &[Token]) -> bool {
        let size = |at: usize| tokens.get(at).map_or(0, |token| token.len());
        let zero = tokens.first().is_some_and(|first| byte(self.bytes, first.start) == b'0');
        zero && phone::is_formed(self.bytes, tokens)
            || is_formed([size(0), size(1), size(2), size(3)])
    }

    /// Adds the finding that begins at the first token and says how many tokens it takes; 0 for none.
    fn take(&mut self, tokens: &[Token], out: &mut Vec<Finding>) -> usize {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return 0 };
        let before = byte_before(self.bytes, first.start);
        let quoted = matches!(before, b'"' | b'\'');
        if self.numbers {
            self.quiet = self.quiet || !self.is_cell(first.start) && !self.is_cued(*first, quoted);
            if self.quiet && !matches!(before, b'+' | b'(') && !self.may_open(tokens) {
                return 0;
            }
        }
        let mut near = if self.quiet {
            Near::default()
        } else {
            Near::before(self.lexed, first.start, quoted)
        };
        if !self.quiet
            && self.is_cell(first.start)
            && !near.cues().any(|(cue, distance)| distance <= 4 && government::announces(cue))
            && first.len() + tokens.get(1).map_or(0, |token| token.len()) >= 6
        {
            let column = self.columns.cues(self.lexed, self.bytes, first.start);
            if !column.is_empty() {
                near = column;
            }
        }
        self.quiet = self.numbers && near.is_empty();
        // Without a cue nothing is known that is so short.
        if near.is_empty() && last.end - first.start < UNANNOUNCED_BYTES_MIN {
            return 0;
        }
        let signed = matches!(before, b'+' | b'(');
        if signed && let Some(phone) = phone::find(self.bytes, tokens, &near) {
            out.push(finding(phone.verdict, phone.span, phone.example));
            return phone.tokens;
        }
        if let Some(count) = self.announced(tokens, &near, quoted, out) {
            return count;
        }
        if let Some(phone) = phone::find(self.bytes, tokens, &near) {
            let taken = self.unannounced(tokens, &near, out, phone.tokens);
            if taken > 0 {
                return taken;
            }
            out.push(finding(phone.verdict, phone.span, phone.example));
            return phone.tokens;
        }
        self.unannounced(tokens, &near, out, 0)
    }

    /// A value that a cue announces; the nearest cue is asked first.
    fn announced(
        &self,
        tokens: &[Token],
        near: &Near,
        quoted: bool,
        out: &mut Vec<Finding>,
    ) -> Option<usize> {
        for (cue, distance) in near.cues() {
            let telling = government::announces(cue)
                || matches!(
                    cue,
                    Cue::Mrn
                        | Cue::Npi
                        | Cue::Dea
                        | Cue::Nhs
                        | Cue::Mbi
                        | Cue::Plan
                        | Cue::Routing
                        | Cue::Account
                        | Cue::Iban
                );
            if matches!(cue, Cue::Phone | Cue::Birth | Cue::Order) && distance <= 16 {
                return None;
            }
            if !telling || (distance > NEAR && !quoted) {
                continue;
            }
            if !quoted && self.is_parted(tokens.first()?.start, distance) {
                continue;
            }
            for count in (1..=tokens.len().min(WINDOW_MAX)).rev() {
                let part = tokens.get(..count)?;
                if !self.is_whole(part) || self.is_date(part) {
                    continue;
                }
                let Some(value) = Compact::of(self.bytes, part) else { continue };
                let verdict = government::announced(cue, &value)
                    .or_else(|| {
                        health::announced(cue, &value)
                            .filter(|_| cue != Cue::Plan || self.is_spelled(part, cue))
                    })
                    .or_else(|| payment::bank(cue, &value, self.is_spelled(part, cue)));
                if let Some(verdict) = verdict {
                    let example = government::is_example(value.as_str());
                    push(part, verdict, example, out);
                    return Some(count);
                }
            }
            if distance <= NEAR && government::announces(cue) {
                break;
            }
        }
        None
    }

    /// A value known by its own form; windows must be longer than `beyond` tokens to count.
    fn unannounced(
        &self,
        tokens: &[Token],
        near: &Near,
        out: &mut Vec<Finding>,
        beyond: usize,
    ) -> usize {
        let (mut mask, mut digits, mut length, mut lower) = (0, 0, 0, false);
        // The bits of the windows that have the form of something, by their count of tokens.
        let mut promising = 0_u32;
        for (count, token) in (1..).zip(tokens.iter().take(WINDOW_MAX + 2)) {
            mask = mask << 4 | mask_of(*token);
            (digits, length) = (digits + token.digits, length + token.len());
            lower = lower || !token.is_number() && self.has_lower(*token);
            // Nothing with a letter in lower case is known, and it is in all windows that are longer.
            if length > VALUE_BYTES_MAX || lower {
                break;
            }
            if length >= VALUE_BYTES_MIN
                && count >= beyond
                && is_promising(mask, digits, length, lower)
                && (digits == length || self.may_be_known(tokens, (count, mask), digits, length))
            {
                promising |= 1 << count;
            }
        }
        while let Some(count) = promising.checked_ilog2() {
            promising &= !(1 << count);
            let Some(part) = tokens.get(..count as usize) else { continue };
            let Some(value) = Compact::of(self.bytes, part) else { continue };
            let joint = self.joint(part);
            let Some(verdict) = Self::recognise(&value, joint, near) else { continue };
            if !self.is_whole(part) || self.is_in_table(part) {
                continue;
            }
            let text = value.as_str();
            let example = match verdict.label.family() {
                "payment" => payment::is_test_card(text),
                _ => government::is_example(text),
            };
            push(part, verdict, example, out);
            return part.len();
        }
        0
    }

    /// Whether letters and digits have a form that [`Walk::recognise`] knows.
    fn may_be_known(
        &self,
        tokens: &[Token],
        (count, mask): (usize, u64),
        digits: usize,
        length: usize,
    ) -> bool {
        let Some(first) = tokens.first() else { return false };
        let (one, two) = (byte(self.bytes, first.start), byte(self.bytes, first.start + 1));
        let country = one.is_ascii_alphabetic() && (first.len() == 1 || two.is_ascii_alphabetic());
        let solid = count == 1
            && matches!((length, digits), (18 | 16, _) | (12, 11) | (11, 10) | (9, 6..=8));
        length >= 15 && country
            || length == 11 && digits < 10
            || matches!(mask, 0x64 | 0x0002_2221)
            || solid
    }

    fn recognise(value: &Compact, joint: u8, near: &Near) -> Option<Verdict> {
        if value.is_number() {
            return payment::card(value, joint, near)
                .or_else(|| government::unannounced(value, joint, near));
        }
        if value.len() >= 15
            && matches!(joint, 0 | b' ' | b'-')
            && let Some(found) = payment::iban(value)
        {
            return Some(found);
        }
        government::unannounced(value, joint, near).or_else(|| health::unannounced(value, joint))
    }

    #[inline]
    fn has_lower(&self, token: Token) -> bool {
        let letters = self.bytes.get(token.start..token.end).unwrap_or_default();
        letters.iter().any(u8::is_ascii_lowercase)
    }

    /// The separator between the tokens: 0 for a single token, 1 for a mixture.
    #[inline]
    fn joint(&self, part: &[Token]) -> u8 {
        let mut joints = part.iter().rev().skip(1).map(|token| byte(self.bytes, token.end));
        let Some(first) = joints.next() else { return 0 };
        if joints.all(|joint| joint == first) { first } else { 1 }
    }

    /// Whether nothing outside belongs to the value: no decimals, no longer word, no further dash.
    fn is_whole(&self, part: &[Token]) -> bool {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
        let (before, after) = (byte_before(self.bytes, first.start), byte(self.bytes, last.end));
        let beyond = byte(self.bytes, last.end + 1);
        let left = !matches!(before, b'.' | b'_' | b'-' | b'+' | b'\\' | b'%' | b'&' | b'$')
            && before < 0x80
            || before >= 0x80 && !self.is_letter_before(first.start)
            || before == b'-' && byte_before(self.bytes, first.start.saturating_sub(1)) == b' ';
        let right = match after {
            b'.' | b'-' | b':' | b'/' => !beyond.is_ascii_alphanumeric(),
            b'_' | b'%' | b'=' | b'@' => false,
            0x80.. => !self.is_letter_at(last.end),
            _ => true,
        };
        left && right
    }

    fn is_letter_before(&self, at: usize) -> bool {
        self.text
            .get(..at)
            .and_then(|head| head.chars().next_back())
            .is_some_and(|c| c.is_alphabetic() && u32::from(c) < 0x2E80)
    }

    fn is_letter_at(&self, at: usize) -> bool {
        self.text
            .get(at..)
            .and_then(|tail| tail.chars().next())
            .is_some_and(|c| c.is_alphabetic() && u32::from(c) < 0x2E80)
    }

    /// Whether groups of the same width go on to the sides, as in a table of hexadecimal codes.
    fn is_in_table(&self, part: &[Token]) -> bool {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
        let (joint, width) = (self.joint(part), first.len());
        if joint < b' ' || width != 4 {
            return false;
        }
        let group = |start: usize| {
            let group = self.bytes.get(start..start.saturating_add(width)).unwrap_or_default();
            group.len() == width && group.iter().all(u8::is_ascii_hexdigit)
        };
        let step = width + 1;
        let left = (1..=2).take_while(|count| {
            let start = first.start.checked_sub(count * step);
            start.is_some_and(|start| byte(self.bytes, start + width) == joint && group(start))
        });
        let right = (0..2).take_while(|count| {
            let start = last.end + count * step;
            byte(self.bytes, start) == joint && group(start + 1)
        });
        left.count() + right.count() >= 2
    }

    /// Whether the separator behind the tokens is the one between them and another digit follows.
    #[inline]
    fn goes_on(&self, part: &[Token]) -> bool {
        let end = part.last().map_or(0, |token| token.end);
        byte(self.bytes, end) == self.joint(part) && byte(self.bytes, end + 1).is_ascii_digit()
    }

    /// A calendar date is no identity, whatever stands before it.
    #[inline]
    fn is_date(&self, part: &[Token]) -> bool {
        let mut lengths = part.iter().map(|token| if token.is_number() { token.len() } else { 0 });
        let shape = [lengths.next(), lengths.next(), lengths.next(), lengths.next()];
        let joint = self.joint(part);
        matches!(
            shape,
            [Some(4), Some(2), Some(2), None] | [Some(1 | 2), Some(1 | 2), Some(4 | 2), None]
        ) && matches!(joint, b'-' | b'/' | b'.')
            && !matches!((shape, joint), ([Some(2), Some(2), Some(2), None], b'-'))
    }

    /// Whether the value begins a cell of a row, quoted or not, with a sign or not.
    #[inline]
    fn is_cell(&self, start: usize) -> bool {
        let mut at = start;
        while at > start.saturating_sub(3)
            && matches!(byte_before(self.bytes, at), b'"' | b'\'' | b' ' | b'+' | b'(')
        {
            at -= 1;
        }
        matches!(byte_before(self.bytes, at), b',' | b';' | b'\t' | b'|')
    }

    /// Whether a number stands between the cue, `distance` bytes before, and the value.
    fn is_parted(&self, start: usize, distance: usize) -> bool {
        let from = start.saturating_sub(distance);
        self.bytes.get(from..start).is_some_and(|gap| gap.iter().any(u8::is_ascii_digit))
    }

    /// Whether a word before the value speaks of a number (`account number`, `Konto`), or words of banks stand around it: an account
    /// alone may be anybody's login.
    fn is_spelled(&self, part: &[Token], cue: Cue) -> bool {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
        let head =
            slice(self.text, first.start.saturating_sub(32)..first.start).to_ascii_lowercase();
        let mut words = head.split(|c: char| !c.is_alphanumeric() && c != '#');
        let number = words.any(|word| {
            let plain = matches!(
                word,
                "number"
                    | "num"
                    | "no"
                    | "nr"
                    | "nummer"
                    | "nbr"
                    | "#"
                    | "acct"
                    | "acc"
                    | "konto"
                    | "kontonummer"
                    | "accountnumber"
                    | "compte"
                    | "cuenta"
                    | "conto"
                    | "checking"
                    | "savings"
                    | "clabe"
                    | "rekeningnummer"
            );
            plain || word.ends_with("number") || cue == Cue::Plan && word == "id"
        });
        let bank = || {
            let around =
                slice(self.text, first.start.saturating_sub(60)..last.end.saturating_add(60))
                    .to_ascii_lowercase();
            ["bank", "routing", "swift", "iban", "aba ", "wire "]
                .iter()
                .any(|word| around.contains(word))
        };
        number || cue == Cue::Account && bank()
    }
}

fn push(part: &[Token], verdict: Verdict, example: bool, out: &mut Vec<Finding>) {
    if let (Some(first), Some(last)) = (part.first(), part.last()) {
        out.push(finding(verdict, first.start..last.end, example));
    }
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

#[cfg(test)]
mod tests {
    use super::{is_formed, is_promising};

    #[test]
    fn every_form_of_numbers_is_told_by_its_first_lengths() {
        let mut promising = 0;
        for code in 0..8_usize.pow(7) {
            let sizes: [usize; 7] = std::array::from_fn(|at| code >> (3 * at) & 7);
            let count = sizes.iter().take_while(|size| **size > 0).count();
            let (mask, length) = sizes[..count]
                .iter()
                .fold((0, 0), |(mask, sum), size| (mask << 4 | *size as u64, sum + size));
            // A zero in the middle would count the same lengths again.
            let whole = sizes[count..].iter().all(|size| *size == 0) && count > 1;
            if whole && is_promising(mask, length, length, false) {
                promising += 1;
                assert!(is_formed([sizes[0], sizes[1], sizes[2], sizes[3]]), "{sizes:?}");
            }
        }
        assert_eq!(promising, 13);
        assert!((12..=19).all(|size| is_formed([size, 0, 0, 0])));
    }
}
