//! Groups of tokens that may be one identifier: `4652 9430 3462 3769`, `RZ 07 91 98 D`, `(415) 305-9309`.
//!
//! Not here: what a group means. Invariant: a group is bounded in tokens and bytes, so that trying its windows is
//! bounded work; its tokens are ASCII letters and digits only.

use std::ops::Range;

use crate::classify::byte_table::{ByteTable, byte_table};

/// Most tokens of one group; a longer one goes on as the next group.
pub(crate) const TOKENS_MAX: usize = 12;
/// Longest token that can belong to an identifier of people; longer ones are hashes, keys and addresses of coins.
pub(crate) const TOKEN_BYTES_MAX: usize = 34;

/// A maximal run of ASCII letters and digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Offset behind its last byte.
    pub(crate) end: usize,
    /// How many of its bytes are digits.
    pub(crate) digits: usize,
}

impl Token {
    /// Bytes in it.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }
    /// Whether it holds digits only.
    #[inline]
    pub(crate) fn is_number(self) -> bool {
        self.digits == self.len()
    }
}

/// Tokens with single separators between them.
#[derive(Debug, Default)]
pub(crate) struct Group {
    tokens: [Token; TOKENS_MAX],
    count: usize,
}

/// The byte at `at`, or a blank outside of the text.
#[inline]
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(b' ')
}

/// The byte before `at`, or a blank at the beginning.
#[inline]
pub(crate) fn byte_before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(b' ', |at| byte(bytes, at))
}

/// A byte's class: a digit, or another letter or digit of ASCII.
const DIGIT: u8 = 1;
const LETTER: u8 = 2;

static CLASS: ByteTable = byte_table! {
    b'0'..=b'9' => DIGIT,
    b'a'..=b'z' | b'A'..=b'Z' => LETTER,
    _ => 0,
};

#[inline]
fn class(byte: u8) -> u8 {
    CLASS.of(byte)
}

/// The token around `at`, looking back not farther than `floor`.
pub(crate) fn token(bytes: &[u8], at: usize, floor: usize) -> Token {
    let head = bytes.get(floor..at).unwrap_or_default();
    let before = head.iter().rev().take_while(|byte| class(**byte) != 0).count();
    let start = at - before;
    let (mut length, mut digits) = (0, 0);
    for byte in bytes.get(start..).unwrap_or_default() {
        let class = class(*byte);
        if class == 0 {
            break;
        }
        length += 1;
        digits += usize::from(class & DIGIT);
    }
    Token { start, end: start + length, digits }
}

/// The next run of digits of the token that goes on at `done`.
pub(crate) fn rest_of_token(bytes: &[u8], done: usize) -> Option<usize> {
    let mut before = byte_before(bytes, done);
    if !before.is_ascii_alphanumeric() {
        return None;
    }
    let rest = bytes.get(done..).unwrap_or_default();
    let rest = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    let found = rest.enumerate().find(|(_, byte)| {
        let begins = byte.is_ascii_digit() && !before.is_ascii_digit();
        before = **byte;
        begins
    });
    found.map(|(at, _)| done + at)
}

/// Where the next token of a group would begin, behind the separator at `at`.
#[inline]
fn behind_separator(bytes: &[u8], at: usize) -> Option<usize> {
    let joint = |byte: u8| matches!(byte, b' ' | b'-' | b'.' | b'/');
    match [byte(bytes, at), byte(bytes, at + 1)] {
        [b')', next] if next.is_ascii_alphanumeric() => Some(at + 1),
        [b')', b' ' | b'-' | b'.' | b'/'] | [b' ' | b'-', b'('] => Some(at + 2),
        [0xC2, 0xA0] => Some(at + 2),
        [first, next] if joint(first) && next.is_ascii_alphanumeric() => Some(at + 1),
        _ => None,
    }
}

/// Whether no other token of a group stands behind the separator at `at`, but at most a word in lower case.
pub(crate) fn is_before_word(bytes: &[u8], at: usize) -> bool {
    let Some(next) = behind_separator(bytes, at) else { return true };
    let word = bytes.get(next..).unwrap_or_default();
    let mut word = word.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    word.next().is_some_and(u8::is_ascii_lowercase) && !word.any(u8::is_ascii_digit)
}

/// Whether the group that begins with `first` has no other token.
pub(crate) fn is_alone(bytes: &[u8], first: Token, floor: usize) -> bool {
    behind_separator(bytes, first.end).is_none() && lead(bytes, first.start, floor).is_none()
}

impl Group {
    /// Reads the group that begins with `first` or just before it, nothing before `floor`.
    pub(crate) fn read(&mut self, bytes: &[u8], first: Token, floor: usize) {
        let group = self;
        group.count = 0;
        if let Some(lead) = lead(bytes, first.start, floor) {
            group.push(lead);
        }
        group.push(first);
        let mut end = first.end;
        while group.count < TOKENS_MAX {
            let Some(next) = behind_separator(bytes, end) else { break };
            let token = token(bytes, next, next);
            let upper = || {
                let letters = bytes.get(token.start..token.end).unwrap_or_default();
                letters.len() <= 4 && letters.iter().all(u8::is_ascii_uppercase)
            };
            if token.len() == 0 || token.len() > TOKEN_BYTES_MAX || !(token.digits > 0 || upper()) {
                break;
            }
            group.push(token);
            end = token.end;
        }
    }

    #[inline]
    fn push(&mut self, token: Token) {
        if let Some(slot) = self.tokens.get_mut(self.count) {
            *slot = token;
            self.count += 1;
        }
    }

    /// The tokens, in order.
    #[inline]
    pub(crate) fn tokens(&self) -> &[Token] {
        self.tokens.get(..self.count).unwrap_or_default()
    }

    /// Digits in all tokens.
    pub(crate) fn digits(&self) -> usize {
        self.tokens().iter().map(|token| token.digits).sum()
    }

    /// Whether it is an object identifier or a long version: five tokens or more, all parted by dots.
    pub(crate) fn is_dotted(&self, bytes: &[u8]) -> bool {
        let dots = self.tokens().iter().filter(|token| byte(bytes, token.end) == b'.').count();
        let pairs = self.tokens().iter().all(|token| token.is_number() && token.len() == 2);
        self.count >= 5 && dots + 1 >= self.count && !pairs
    }

    /// From the first byte to behind the last.
    pub(crate) fn span(&self) -> Range<usize> {
        let tokens = self.tokens();
        tokens.first().map_or(0, |token| token.start)..tokens.last().map_or(0, |token| token.end)
    }
}

/// Capitals that belong to the token at `start`: two with one blank behind them (`RZ 07 91 98 D`), or up to four with a dash
/// (`MR-4471-882`).
#[inline]
fn lead(bytes: &[u8], start: usize, floor: usize) -> Option<Token> {
    let joint = byte_before(bytes, start);
    if !matches!(joint, b' ' | b'-')
        || start <= floor + 2
        || !byte(bytes, start - 2).is_ascii_uppercase()
    {
        return None;
    }
    let token = token(bytes, start - 2, floor.max(start.saturating_sub(7)));
    let letters = bytes.get(token.start..token.end).unwrap_or_default();
    let most = if joint == b'-' { 1..=4 } else { 2..=2 };
    (most.contains(&letters.len()) && letters.iter().all(u8::is_ascii_uppercase)).then_some(token)
}

/// The bare characters of an identifier, upper case, without separators.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compact {
    bytes: [u8; 40],
    len: usize,
    /// How many characters are digits.
    pub(crate) digits: usize,
    /// The lengths of the tokens, four bits each, first token highest.
    pub(crate) mask: u64,
}

impl Compact {
    /// The characters of some neighbouring tokens, or `None` when they are too many.
    pub(crate) fn of(text: &[u8], tokens: &[Token]) -> Option<Self> {
        let mut made = Self { bytes: [0; 40], len: 0, digits: 0, mask: 0 };
        for token in tokens {
            let from = text.get(token.start..token.end)?;
            let to = made.bytes.get_mut(made.len..made.len + from.len())?;
            to.copy_from_slice(from);
            made.len += from.len();
            made.digits += token.digits;
            made.mask = made.mask << 4 | u64::from(u8::try_from(from.len().min(15)).unwrap_or(15));
        }
        made.bytes.make_ascii_uppercase();
        Some(made)
    }

    /// The characters.
    pub(crate) fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// Whether all characters are digits.
    pub(crate) fn is_number(&self) -> bool {
        self.digits == self.len
    }

    /// How many characters.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
