//! What the model sees of a value and its surroundings.

use std::ops::Range;

use super::words::{WORDY, word_share};
use crate::classify::{
    byte_table::{ByteTable, byte_table},
    candidates::{Assign, slice},
    scan_words::{Lists, Words},
};

/// How many features there are.
pub const FEATURES: usize = 64;

/// How far around a value the model looks, in bytes.
const NEAR: usize = 64;

/// The first of the features that [`look_around`] fills; it also fills the one of repetition.
pub(super) const AROUND: usize = 59;
/// Whether the value repeats its key.
pub(super) const REPEATS: usize = 55;

/// The features of one value, filled by place.
#[derive(Clone, Debug)]
pub(super) struct Filling {
    pub(super) features: [f32; FEATURES],
    /// The places that were filled with anything but zero, as bits.
    pub(super) filled: u64,
}

impl Filling {
    /// All zero.
    fn new() -> Self {
        Self { features: [0.0; FEATURES], filled: 0 }
    }

    #[inline]
    fn set(&mut self, at: usize, value: f32) {
        if let Some(slot) = self.features.get_mut(at) {
            *slot = value;
            self.filled |= 1 << at;
        }
    }

    #[inline]
    fn flag(&mut self, at: usize, on: bool) {
        if on {
            self.set(at, 1.0);
        }
    }
}

/// What kinds of bytes a value has.
struct Shape {
    length: usize,
    lower: usize,
    upper: usize,
    digit: usize,
    odd: usize,
    words: f32,
    hex: bool,
    random: f32,
    /// How many different bytes there are.
    distinct: usize,
    seen: [u64; 4],
}

/// A byte's class for [`shape`]: two bits for its kind, then flags.
const LOWER: u8 = 0;
const UPPER: u8 = 1;
const DIGIT: u8 = 2;
const OTHER: u8 = 3;
const KIND: u8 = 3;
const ODD: u8 = 4;
const HEX: u8 = 8;

/// The class of each byte.
static CLASS: ByteTable = byte_table! {
    b'a'..=b'f' => LOWER | HEX,
    b'g'..=b'z' => LOWER,
    b'A'..=b'F' => UPPER | HEX,
    b'G'..=b'Z' => UPPER,
    b'0'..=b'9' => DIGIT | HEX,
    b'_' | b'-' | b'.' | b'/' | b' ' => OTHER,
    _ => OTHER | ODD,
};

impl Shape {
    /// Whether the value holds an ASCII byte.
    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.seen.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
    }
}

/// Reads a value once.
fn shape(value: &[u8]) -> Shape {
    let length = value.len().max(1);
    let mut counts = [0_u16; 4];
    let (mut odd, mut every, mut changes) = (0_u16, HEX, 0_u16);
    let mut seen = [0_u64; 4];
    let mut last = value.first().map_or(OTHER, |byte| class(*byte)) & KIND;
    for byte in value {
        let class = class(*byte);
        let kind = class & KIND;
        add(&mut counts, kind, 1);
        odd = odd.wrapping_add(u16::from(class & ODD != 0));
        every &= class;
        changes = changes.wrapping_add(u16::from(kind != last));
        last = kind;
        mark(&mut seen, *byte);
    }
    let [lower, upper, digit, _] = counts.map(usize::from);
    let distinct = seen.iter().map(|word| word.count_ones() as usize).sum();
    Shape {
        length,
        lower,
        upper,
        digit,
        odd: usize::from(odd),
        words: 0.0,
        hex: every & HEX != 0,
        distinct,
        random: ratio(usize::from(changes), length) * ratio(distinct, length.min(24)),
        seen,
    }
}

/// Adds to one of four counts.
#[inline]
#[expect(clippy::indexing_slicing, reason = "two bits number four counts")]
fn add(counts: &mut [u16; 4], kind: u8, one: u16) {
    let count = &mut counts[usize::from(kind & 3)];
    *count = count.wrapping_add(one);
}

/// Marks a byte as seen.
#[inline]
#[expect(clippy::indexing_slicing, reason = "two bits number four words")]
fn mark(seen: &mut [u64; 4], byte: u8) {
    seen[usize::from(byte >> 6 & 3)] |= 1 << (byte & 63);
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASS.of(byte)
}

/// `part / whole`, at most 4, without loss for the small numbers that occur.
fn ratio(part: usize, whole: usize) -> f32 {
    let small = |number: usize| u16::try_from(number).map_or(f32::from(u16::MAX), f32::from);
    (small(part) / small(whole).max(1.0)).min(4.0)
}

/// The features of the value of an assignment; `scheme` says that `Bearer` or the like stood before it.
pub(super) fn assigned(
    text: &str,
    assign: &Assign,
    key: &[u8],
    span: &Range<usize>,
    scheme: bool,
) -> Filling {
    let value = text.get(span.clone()).unwrap_or_default();
    let mut shape = shape(value.as_bytes());
    shape.words = f32::from(word_share(value.as_bytes())) / 100.0;
    let mut to = Filling::new();
    value_features(value, &shape, &mut to);
    key_features(key, &mut to);
    let quoted = matches!(assign.quote, Some(b'"' | b'\''));
    to.flag(40, quoted);
    to.flag(41, assign.quote == Some(b'`'));
    to.flag(42, assign.quote.is_none());
    let operator = text.as_bytes().get(assign.op..).unwrap_or_default();
    to.flag(43, operator.starts_with(b":"));
    to.flag(44, operator.starts_with(b"=="));
    to.flag(45, operator.starts_with(b",") || operator.starts_with(b">"));
    to.flag(46, scheme);
    let after = text.as_bytes().get(span.end).copied().unwrap_or(b'\n');
    to.flag(47, assign.quote.is_none() && matches!(after, b')' | b'(' | b'[' | b'.'));
    let bare_code = assign.quote.is_none() && matches!(after, b';' | b',' | b')' | b'}');
    let word = shape.odd == 0 && shape.digit == 0;
    to.flag(48, bare_code && word);
    to.flag(49, assign.quote.is_none() && word && shape.words > 0.6);
    let password = to.filled >> KEY_FIRST & 1 == 1;
    to.flag(50, password && quoted && shape.length < 16);
    to.flag(51, password && assign.quote.is_none());
    to.flag(52, !password && shape.words > 0.7);
    to.flag(53, !password && shape.random > 0.25 && shape.length >= 12);
    to.flag(54, password && shape.digit > 0 && !word);
    to
}

/// Adds what takes longer to see: whether the value repeats its key, and what stands around, from `from`.
pub(super) fn look_around(
    text: &str,
    key: &[u8],
    span: &Range<usize>,
    from: usize,
    to: &mut Filling,
) {
    let value = text.get(span.clone()).unwrap_or_default();
    to.flag(REPEATS, !key.is_empty() && repeats(key, value.as_bytes()));
    surroundings(text, span, from, to);
}

/// Fewest different bytes of such a run.
const DISTINCT_MIN: usize = 9;

/// The features of a run that no assignment introduces; `None` when nothing near hints at a secret and it is plain hex,
/// or when it reads like words.
pub(super) fn bare(text: &str, span: &Range<usize>) -> Option<Filling> {
    let value = text.get(span.clone())?;
    let plain = value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let words = || word_share(value.as_bytes());
    let early = if plain { None } else { Some(words()).filter(|share| *share < WORDY) };
    if !plain && early.is_none() {
        return None;
    }
    let before = slice(text, span.start.saturating_sub(NEAR)..span.start).as_bytes();
    let line = last_line(before);
    let cue = HINTS.in_text(line);
    if plain && !cue {
        return None;
    }
    let share = early.unwrap_or_else(words);
    let mut shape = shape(value.as_bytes());
    if share >= WORDY || shape.distinct < DISTINCT_MIN || KEY_RING.in_text(line) {
        return None;
    }
    shape.words = f32::from(share) / 100.0;
    let mut to = Filling::new();
    value_features(value, &shape, &mut to);
    to.flag(56, true);
    to.flag(57, cue);
    to.flag(58, cue && shape.random > 0.25);
    Some(to)
}

/// What the value alone says: places 0 to 23.
fn value_features(value: &str, shape: &Shape, to: &mut Filling) {
    let length = shape.length;
    let lengths = [0..5, 5..8, 8..12, 12..16, 16..24, 24..40, 40..64, 64..usize::MAX];
    for (at, range) in lengths.iter().enumerate() {
        to.flag(at, range.contains(&length));
    }
    to.flag(8, shape.digit == length);
    to.flag(9, shape.lower == length);
    to.flag(10, shape.upper > 0 && shape.lower > 0 && shape.digit == 0);
    to.flag(11, shape.upper > 0 && shape.lower > 0 && shape.digit > 0);
    to.flag(12, shape.digit > 0 && shape.upper == 0 && shape.lower > 0);
    to.flag(13, shape.hex && length >= 16);
    to.flag(14, shape.odd > 0);
    to.flag(15, shape.has(b' '));
    to.flag(16, shape.has(b'.'));
    to.flag(17, shape.has(b'_') || shape.has(b'-'));
    to.flag(18, shape.has(b'/'));
    let arrow = shape.has(b'-') && shape.has(b'>') && value.contains("->");
    let path = shape.has(b':') && value.contains("::");
    to.flag(19, shape.has(b'(') || shape.has(b'[') || arrow || path);
    to.set(20, shape.words);
    to.set(21, shape.random);
    to.set(22, ratio(shape.digit, length));
    to.flag(23, shape.upper > 0 && shape.lower == 0 && shape.has(b'_'));
}

/// Ends of keys whose values describe a secret instead of being one.
static ABOUT: Words = Words::new(&[
    "url",
    "uri",
    "path",
    "file",
    "name",
    "type",
    "length",
    "len",
    "size",
    "count",
    "expiry",
    "expires",
    "label",
    "prompt",
    "hint",
    "policy",
    "format",
    "min",
    "max",
    "required",
    "enabled",
    "endpoint",
    "host",
    "error",
    "message",
    "title",
    "placeholder",
    "version",
    "field",
    "class",
    "method",
    "header",
    "prefix",
    "suffix",
    "tokens",
    "keys",
    "algorithm",
    "provider",
    "mode",
    "status",
    "state",
    "date",
    "time",
]);
/// Words that hold a cue by accident, or that say the value is for all to see.
const ACCIDENT: Words = Words::new(&[
    "public",
    "author",
    "keyboard",
    "keyword",
    "monkey",
    "foreign",
    "primary",
    "tokeniz",
    "bypass",
    "passenger",
    "passed",
    "sort",
    "cache",
    "index",
    "partition",
]);
/// Ends of keys that ask for a secret.
static ASKING: Words = Words::new(&[
    "password",
    "passwd",
    "pwd",
    "pass",
    "secret",
    "token",
    "key",
    "auth",
    "authorization",
    "credential",
    "credentials",
]);
/// The place of the first list of [`KEY_WORDS`].
const KEY_FIRST: usize = 24;
/// Words of keys: one list per place from 24, then those of other places.
static KEY_WORDS: [Words; 9] = [
    Words::new(&["pass", "pwd", "psw"]),
    Words::new(&["secret"]),
    Words::new(&["token"]),
    Words::new(&["key"]),
    Words::new(&["auth", "cred", "bearer", "session", "cookie"]),
    Words::new(&["api", "access", "private", "client", "consumer", "oauth"]),
    Words::new(&["hash", "digest", "signature", "nonce", "hmac", "sid", "pin", "otp", "salt"]),
    ACCIDENT,
    OWNER,
];
/// All of them.
static KEY_LISTS: Lists = Lists::new(&KEY_WORDS);
/// Words of keys that name who or what the secret opens.
const OWNER: Words =
    Words::new(&["admin", "root", "db", "mysql", "postgres", "redis", "database", "smtp", "mail"]);
/// Words near a check sum.
const SUMS: Words = Words::new(&[
    "sha1",
    "sha2",
    "sha5",
    "md5",
    "integrity",
    "checksum",
    "commit",
    "digest",
    "revision",
    "resolved",
    "etag",
    "blob",
]);
/// Words near a login.
const LOGIN: Words = Words::new(&["user", "login", "email", "host", "account", "client"]);
/// Words in values of tests.
const TESTS: Words =
    Words::new(&["test", "example", "dummy", "foo", "bar", "fake", "sample", "demo"]);
/// Words in values that name a secret.
const NAMED: Words = Words::new(&[
    "password",
    "passwd",
    "secret",
    "token",
    "username",
    "credential",
    "apikey",
    "api_key",
]);
/// The lists around a value, and those in it.
static AROUND_WORDS: [Words; 2] = [SUMS, LOGIN];
static VALUE_WORDS: [Words; 2] = [TESTS, NAMED];
static AROUND_LISTS: Lists = Lists::new(&AROUND_WORDS);
static VALUE_LISTS: Lists = Lists::new(&VALUE_WORDS);
/// Commands for key rings, whose keys are named by fingerprints that everybody may know.
static KEY_RING: Words = Words::new(&["--recv-key", "gpg --"]);
/// Words on the line before a value that no assignment introduces.
static HINTS: Words =
    Words::new(&["key", "token", "secret", "password", "auth", "credential", "bearer"]);

/// What the key says: places 24 to 39.
fn key_features(key: &[u8], to: &mut Filling) {
    let found = KEY_LISTS.in_text(key);
    for list in 0..7 {
        to.flag(KEY_FIRST + list, found >> list & 1 == 1);
    }
    to.flag(31, ASKING.end(key));
    to.flag(32, ABOUT.end(key));
    to.flag(33, found >> 7 & 1 == 1);
    to.flag(34, key.iter().any(u8::is_ascii_uppercase) && !key.iter().any(u8::is_ascii_lowercase));
    let is = |words: &[&str]| words.iter().any(|word| key.eq_ignore_ascii_case(word.as_bytes()));
    to.flag(35, is(&["key", "token", "auth", "client", "session"]));
    to.flag(36, is(&["password", "secret"]));
    to.flag(37, Words::new(&["id"]).end(key));
    to.flag(38, key.contains(&b'.'));
    to.flag(39, found >> 8 & 1 == 1);
}

/// What stands around: places 59 to 63.
fn surroundings(text: &str, span: &Range<usize>, from: usize, to: &mut Filling) {
    let before = slice(text, from.saturating_sub(NEAR)..from).as_bytes();
    let after = slice(text, span.end..span.end + NEAR).as_bytes();
    let line = last_line(before).trim_ascii_start();
    let around = AROUND_LISTS.in_text(before) | AROUND_LISTS.in_text(after);
    to.flag(59, line.starts_with(b"//") || line.starts_with(b"#") || line.starts_with(b"*"));
    to.flag(60, around & 1 != 0);
    to.flag(61, around & 2 != 0);
    let value = VALUE_LISTS.in_text(slice(text, span.clone()).as_bytes());
    to.flag(62, value & 1 != 0);
    to.flag(63, value & 2 != 0);
}

/// What stands behind the last line end.
fn last_line(text: &[u8]) -> &[u8] {
    let start = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

/// Whether two names are the same when case and separators do not count, or one continues the other.
fn repeats(key: &[u8], value: &[u8]) -> bool {
    let fold = |text: &[u8]| -> Vec<u8> {
        let plain = text.iter().filter(|byte| !matches!(byte, b'_' | b'-' | b' ' | b'.'));
        plain.map(u8::to_ascii_lowercase).collect()
    };
    let (key, value) = (fold(key), fold(value));
    key.ends_with(&value) || value.ends_with(&key) || value.starts_with(&key)
}
