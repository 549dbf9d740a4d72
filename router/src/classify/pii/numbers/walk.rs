//! Offers each window of a group of tokens to those who know what it may be: cues first, then forms.

use super::{
    super::{
        cue::Cue,
        government::{self, Verdict},
        group::{Compact, Group, Token, byte, byte_before},
        lex::Lexed,
        near::{self, Columns, NEAR, Near},
        phone,
    },
    finding,
    form::{is_formed, is_promising, mask_of},
};
use crate::classify::{Finding, candidates::slice, health, payment};

/// Shortest value that is known without a cue: a telephone number of seven digits.
const UNANNOUNCED_BYTES_MIN: usize = 7;
/// Letters and digits of a value that is known by its own form.
const VALUE_BYTES_MIN: usize = 8;
const VALUE_BYTES_MAX: usize = 34;
/// Most tokens of one identifier.
const WINDOW_MAX: usize = 8;

/// The walk over the tokens of a group.
pub(super) struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    lexed: &'a Lexed,
    columns: &'a mut Columns,
    /// Whether no cue stands before the tokens and all are numbers, so that no cue stands before those behind them.
    quiet: bool,
    /// Whether all tokens of the group are numbers.
    numbers: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new((text, lexed): (&'a str, &'a Lexed), columns: &'a mut Columns) -> Self {
        Self { text, bytes: text.as_bytes(), lexed, columns, quiet: false, numbers: false }
    }

    /// Offers each window of the group, longest first, and goes on behind what was taken.
    pub(super) fn group(mut self, group: &Group, out: &mut Vec<Finding>) {
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
    pub(super) fn is_nothing(&self, token: Token) -> bool {
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
