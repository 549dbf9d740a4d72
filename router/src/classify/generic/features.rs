//! What the model sees of a value and its surroundings.

use std::ops::Range;

use super::words::word_share;
use crate::classify::{
    candidates::{Assign, slice},
    secrets::distinct,
};

/// How many features there are.
pub const FEATURES: usize = 64;

/// How far around a value the model looks, in bytes.
const NEAR: usize = 64;

/// The features of one value, filled by place.
struct Filling {
    features: [f32; FEATURES],
}

impl Filling {
    fn set(&mut self, at: usize, value: f32) {
        if let Some(slot) = self.features.get_mut(at) {
            *slot = value;
        }
    }

    fn flag(&mut self, at: usize, on: bool) {
        self.set(at, if on { 1.0 } else { 0.0 });
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
}

fn shape(value: &[u8]) -> Shape {
    let count = |test: fn(&u8) -> bool| value.iter().filter(|byte| test(byte)).count();
    let length = value.len().max(1);
    let changes = value.array_windows::<2>().filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    Shape {
        length,
        lower: count(u8::is_ascii_lowercase),
        upper: count(u8::is_ascii_uppercase),
        digit: count(u8::is_ascii_digit),
        odd: count(|b| {
            !b.is_ascii_alphanumeric() && !matches!(b, b'_' | b'-' | b'.' | b'/' | b' ')
        }),
        words: f32::from(word_share(value)) / 100.0,
        hex: value.iter().all(u8::is_ascii_hexdigit),
        random: ratio(changes, length) * ratio(distinct(value), length.min(24)),
    }
}

/// The class of a byte, for counting changes.
fn kind(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    }
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
    key: &str,
    span: &Range<usize>,
    scheme: bool,
) -> [f32; FEATURES] {
    let value = text.get(span.clone()).unwrap_or_default();
    let lower_key = key.to_ascii_lowercase();
    let shape = shape(value.as_bytes());
    let mut to = Filling { features: [0.0; FEATURES] };
    value_features(value, &shape, &mut to);
    key_features(key, &lower_key, &mut to);
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
    let password = ["pass", "pwd", "psw"].iter().any(|cue| lower_key.contains(cue));
    to.flag(50, password && quoted && shape.length < 16);
    to.flag(51, password && assign.quote.is_none());
    to.flag(52, !password && shape.words > 0.7);
    to.flag(53, !password && shape.random > 0.25 && shape.length >= 12);
    to.flag(54, password && shape.digit > 0 && !word);
    let folded_value: String = value.to_ascii_lowercase().replace(['_', '-', ' ', '.'], "");
    let folded_key = lower_key.replace(['_', '-', ' ', '.'], "");
    to.flag(
        55,
        folded_key.ends_with(&folded_value)
            || folded_value.ends_with(&folded_key)
            || folded_value.starts_with(&folded_key),
    );
    surroundings(text, span, assign.key.start, &mut to);
    to.features
}

/// The features of a run that no assignment introduces; `None` when nothing near hints at a secret and it is plain hex.
pub(super) fn bare(text: &str, span: &Range<usize>) -> Option<[f32; FEATURES]> {
    let value = text.get(span.clone())?;
    let shape = shape(value.as_bytes());
    let mut to = Filling { features: [0.0; FEATURES] };
    value_features(value, &shape, &mut to);
    let before = slice(text, span.start.saturating_sub(NEAR)..span.start).to_ascii_lowercase();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let cue = ["key", "token", "secret", "password", "auth", "credential", "bearer"]
        .iter()
        .any(|word| line.contains(word));
    if !cue && shape.hex {
        return None;
    }
    to.flag(56, true);
    to.flag(57, cue);
    to.flag(58, cue && shape.random > 0.25);
    surroundings(text, span, span.start, &mut to);
    Some(to.features)
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
    to.flag(15, value.contains(' '));
    to.flag(16, value.contains('.'));
    to.flag(17, value.contains('_') || value.contains('-'));
    to.flag(18, value.contains('/'));
    to.flag(
        19,
        value.contains('(') || value.contains('[') || value.contains("->") || value.contains("::"),
    );
    to.set(20, shape.words);
    to.set(21, shape.random);
    to.set(22, ratio(shape.digit, length));
    to.flag(23, shape.upper > 0 && shape.lower == 0 && value.contains('_'));
}

/// Ends of keys whose values describe a secret instead of being one.
const ABOUT: &str = "url uri path file name type length len size count expiry expires label prompt hint policy format min \
    max required enabled endpoint host error message title placeholder version field class method header prefix suffix tokens keys \
    algorithm provider mode status state date time";
/// Words that hold a cue by accident, or that say the value is for all to see.
const ACCIDENT: &str = "public author keyboard keyword monkey foreign primary tokeniz bypass passenger passed sort cache index \
    partition";
/// Ends of keys that ask for a secret.
const ASKING: &str =
    "password passwd pwd pass secret token key auth authorization credential credentials";
/// Words of keys, one list per place from 24.
const KEY_WORDS: [&str; 7] = [
    "pass pwd psw",
    "secret",
    "token",
    "key",
    "auth cred bearer session cookie",
    "api access private client consumer oauth",
    "hash digest signature nonce hmac sid pin otp salt",
];

/// What the key says: places 24 to 39.
fn key_features(key: &str, lower: &str, to: &mut Filling) {
    let any = |words: &str| words.split(' ').any(|word| lower.contains(word));
    let ends = |words: &str| words.split_whitespace().any(|word| lower.ends_with(word));
    for (at, words) in (24..).zip(KEY_WORDS) {
        to.flag(at, any(words));
    }
    to.flag(31, ends(ASKING));
    to.flag(32, ends(ABOUT));
    to.flag(33, ACCIDENT.split_whitespace().any(|word| lower.contains(word)));
    let upper = key.bytes().any(|b| b.is_ascii_uppercase());
    to.flag(34, upper && !key.bytes().any(|b| b.is_ascii_lowercase()));
    to.flag(35, matches!(lower, "key" | "token" | "auth" | "client" | "session"));
    to.flag(36, matches!(lower, "password" | "secret"));
    to.flag(37, lower.ends_with("id"));
    to.flag(38, lower.contains('.'));
    to.flag(39, any("admin root db mysql postgres redis database smtp mail"));
}

/// What stands around: places 59 to 63.
fn surroundings(text: &str, span: &Range<usize>, from: usize, to: &mut Filling) {
    let before = slice(text, from.saturating_sub(NEAR)..from).to_ascii_lowercase();
    let after = slice(text, span.end..span.end + NEAR).to_ascii_lowercase();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let around =
        |words: &[&str]| words.iter().any(|word| before.contains(word) || after.contains(word));
    to.flag(
        59,
        line.trim_start().starts_with("//")
            || line.trim_start().starts_with('#')
            || line.trim_start().starts_with('*'),
    );
    to.flag(
        60,
        around(&[
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
        ]),
    );
    to.flag(61, around(&["user", "login", "email", "host", "account", "client"]));
    let value = slice(text, span.clone()).to_ascii_lowercase();
    to.flag(
        62,
        ["test", "example", "dummy", "foo", "bar", "fake", "sample", "demo"]
            .iter()
            .any(|word| value.contains(word)),
    );
    to.flag(
        63,
        ["password", "passwd", "secret", "token", "username", "credential", "apikey", "api_key"]
            .iter()
            .any(|word| value.contains(word)),
    );
}
