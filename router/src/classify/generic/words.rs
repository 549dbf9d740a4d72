//! Telling words from drawn characters, and stand-ins from values.

use crate::classify::scan_words::Words;

/// For each letter, the letters that often follow it in words, as bits. Counted over identifiers and prose.
static FOLLOWS: [u32; 128] = follows(&[
    0x13E_BD6F, 0x010_4937, 0x01A_4D9F, 0x006_413F, 0x1EE_B87F, 0x010_4937, 0x016_4991, 0x008_4111,
    0x22E_F87F, 0x000_0000, 0x004_0110, 0x11C_4919, 0x000_C111, 0x03C_617D, 0x07E_FC4C, 0x01E_C911,
    0x010_0000, 0x11E_755D, 0x01C_C195, 0x11E_4995, 0x00E_B91F, 0x000_0111, 0x000_4111, 0x080_8000,
    0x100_8000, 0x000_0010,
]);

/// The bits of all classes; what is no letter has none.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn follows(letters: &[u32; 26]) -> [u32; 128] {
    let mut table = [0; 128];
    let mut at = 0;
    while at < letters.len() {
        table[at] = letters[at];
        at += 1;
    }
    table
}

/// A letter's number in the alphabet, whatever its case; a digit; anything else.
static LETTER: [u8; 256] = letters();
const DIGIT: u8 = 32;
const OTHER: u8 = 64;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler over all 256 byte values"
)]
const fn letters() -> [u8; 256] {
    let mut table = [OTHER; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            byte @ b'a'..=b'z' => byte - b'a',
            byte @ b'A'..=b'Z' => byte - b'A',
            b'0'..=b'9' => DIGIT,
            _ => OTHER,
        };
        at += 1;
    }
    table
}

/// The share of neighbouring letters that words often have, in percent of the neighbours that are looked at; letters next to
/// digits count as neighbours that words do not have.
#[expect(
    clippy::indexing_slicing,
    reason = "the tables have an entry for each value of a byte, and of seven bits"
)]
pub(in crate::classify) fn word_share(value: &[u8]) -> u8 {
    let (mut common, mut pairs) = (0_usize, 0_usize);
    let mut before = OTHER;
    for byte in value {
        let after = LETTER[usize::from(*byte)];
        let both = before | after;
        // Two letters, or a letter and a digit.
        pairs += usize::from(both < DIGIT || both < OTHER && before & DIGIT != after & DIGIT);
        let bits = FOLLOWS[usize::from(before & 127)];
        common += usize::from(both < DIGIT && bits >> (after & 31) & 1 == 1);
        before = after;
    }
    u8::try_from((common * 100).checked_div(pairs).unwrap_or_default()).unwrap_or(100)
}

/// The share from which on a value reads like words.
pub(super) const WORDY: u8 = 72;

/// Whether a value reads like words: an identifier, a path, a sentence.
pub(crate) fn is_wordy(value: &str) -> bool {
    word_share(value.as_bytes()) >= WORDY
}

/// Words of which the names of secrets are made, the longer ones first.
const NAMES: [&str; 27] = [
    "credentials",
    "credential",
    "authorization",
    "consumer",
    "password",
    "session",
    "refresh",
    "private",
    "service",
    "account",
    "passwd",
    "client",
    "access",
    "secret",
    "bearer",
    "public",
    "token",
    "oauth",
    "admin",
    "user",
    "pass",
    "auth",
    "api",
    "pwd",
    "key",
    "new",
    "id",
];

/// Whether a value is made of nothing but words that name a secret: `client_secret`, `access-token`, `password`.
fn names_itself(lower: &str) -> bool {
    let mut rest = lower;
    let mut words = 0;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(['_', '-', ' ', '.', ':']);
        match NAMES.iter().find_map(|word| rest.strip_prefix(word)) {
            Some(tail) => rest = tail,
            None => return rest.is_empty(),
        }
        words += 1;
        if words > 6 {
            return false;
        }
    }
    lower != "secret" && lower != "admin" && lower != "newpass"
}

/// Words that stand for a value instead of being one.
const STAND_INS: [&str; 44] = [
    "none",
    "null",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "str",
    "text",
    "int",
    "integer",
    "bool",
    "boolean",
    "bytes",
    "number",
    "required",
    "optional",
    "changeme",
    "change_me",
    "change-me",
    "change_this",
    "todo",
    "tbd",
    "n/a",
    "empty",
    "redacted",
    "hidden",
    "masked",
    "placeholder",
    "yes",
    "no",
    "on",
    "off",
    "any",
    "object",
    "default",
    "enabled",
    "disabled",
    "always",
    "never",
    "auto",
    "unset",
    "dummy",
    "bearer",
];

/// Pieces that only references and templates hold.
static REFERENCES: Words = Words::new(&[
    "${",
    "{{",
    "#{",
    "%(",
    "$(",
    "@{",
    "process.env",
    "os.environ",
    "getenv",
    "ENV[",
    "env.",
    "secrets.",
    "System.",
    "import.meta",
    "self.",
    "this.",
    "config.",
    "settings.",
    "params.",
    "options.",
    "request.",
    "req.",
    "=>",
    "...",
]);

/// Whether a value is a stand-in: a template, a reference to a variable, a type, a word such as `changeme`.
pub(crate) fn placeholder(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (first, last) =
        (bytes.first().copied().unwrap_or_default(), bytes.last().copied().unwrap_or_default());
    let wrapped = matches!(
        (first, last),
        (b'<', b'>') | (b'{', b'}') | (b'[', b']') | (b'%', b'%') | (b'(', b')')
    );
    let variable = first == b'$'
        && bytes.iter().skip(1).all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'_' | b'{' | b'}' | b':' | b'-' | b'>' | b'[' | b']' | b'\'' | b'"')
        });
    let format = first == b'%' && bytes.len() <= 4;
    let same =
        bytes.iter().all(|byte| *byte == first) && bytes.len() < 9 && !first.is_ascii_digit();
    if wrapped || variable || format || same || !bytes.iter().any(u8::is_ascii_alphanumeric) {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    let your = ["your", "my_", "<your", "insert", "enter_", "put_", "replace"]
        .iter()
        .any(|word| lower.starts_with(word) && is_wordy(value));
    let joined = memchr::memchr_iter(b'+', bytes).any(|plus| {
        let (head, tail) = bytes.split_at_checked(plus).unwrap_or_default();
        matches!(head, [.., b'`' | b'"' | b'\'', b' ']) || tail.starts_with(b"+ `")
    });
    let hashed = value.starts_with("$2")
        || value.starts_with("$6$")
        || value.starts_with("$5$")
        || value.starts_with("$1$");
    if joined || hashed || names_itself(&lower) {
        return true;
    }
    your || STAND_INS.contains(&lower.as_str()) || REFERENCES.in_text(bytes)
}
