//! How placeholders are recognised in a text, as written and as models and serialisers deform them.
//!
//! | deformation | example | who does that |
//! |---|---|---|
//! | case | `<email_1_K7Q>` | models, in headings and identifiers |
//! | Markdown escapes | `\<EMAIL\_1\_k7q\>` | models that write Markdown |
//! | HTML entities | `&lt;EMAIL_1_k7q&gt;` | models that write HTML |
//! | percent encoding | `%3CEMAIL_1_k7q%3E` | models that write URLs |
//! | JSON escapes | `\u003cEMAIL_1_k7q\u003e` | JSON writers of Go and others, in tool arguments |
//! | no brackets | `EMAIL_1_k7q`, `EMAIL\_1\_k7q` | models, in file names, code and tables |
//!
//! Without brackets the kind must be in capitals and nothing is asked of what stands around: the tag is proof
//! enough. So whatever else happens to the brackets, they stay and the value comes back. Surrounding quotes and
//! emphasis need no rule: they stay where they are. Not here: which placeholders exist.
//!
//! Invariant: reading never looks further than [`SPAN_BYTES_MAX`] bytes past where it starts, apart from a run of
//! backslashes, which it passes over as a whole.

use std::{cmp::Ordering, hash};

/// Longest name of a placeholder: a kind of 8 letters, a number of 10 digits, a tag of 3 and two underscores.
const KEY_BYTES_MAX: usize = 23;

/// Longest kind.
const KIND_BYTES_MAX: usize = 8;

/// Characters of a tag.
const TAG_BYTES: usize = 3;

/// Longest text that is read as one placeholder: the name, two backslashes before each of its underscores and
/// before both angle brackets, and the longest bracket form on both sides.
pub(crate) const SPAN_BYTES_MAX: usize = KEY_BYTES_MAX + 4 + 2 * 8;

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// The name in a placeholder, without brackets and in lower case; or the beginning of one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    length: usize,
}

impl Key {
    /// The kind, in lower case.
    pub(crate) fn kind(&self) -> &[u8] {
        self.as_bytes().split(|byte| *byte == b'_').next().unwrap_or_default()
    }

    /// The name in a placeholder as it is given out.
    pub(crate) fn of(placeholder: &str) -> Option<Self> {
        let mut key = Self::default();
        let name = placeholder.strip_prefix('<')?.strip_suffix('>')?;
        name.bytes().all(|byte| key.push(byte)).then_some(key)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> bool {
        let Some(slot) = self.bytes.get_mut(self.length) else { return false };
        *slot = byte.to_ascii_lowercase();
        self.length = self.length.saturating_add(1);
        true
    }

    /// Letters, digits and a tag between underscores, as every placeholder has.
    fn is_whole(&self) -> bool {
        let mut parts = self.as_bytes().split(|byte| *byte == b'_');
        let mut part = |min: usize, allowed: fn(&u8) -> bool| {
            parts.next().is_some_and(|part| part.len() >= min && part.iter().all(allowed))
        };
        part(2, u8::is_ascii_lowercase)
            && part(1, u8::is_ascii_digit)
            && part(TAG_BYTES, u8::is_ascii_alphanumeric)
            && parts.next().is_none()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Key {}
impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl hash::Hash for Key {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// How the brackets are written, which says what the value must be escaped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `<…>`, perhaps with backslashes before them.
    Angle,
    /// `&lt;…&gt;`
    Html,
    /// `%3C…%3E`
    Percent,
    /// `\u003c…\u003e`: the text around it is JSON.
    Json,
    /// `\\u003c…\\u003e`: the text around it is JSON in a JSON string.
    JsonInJson,
    /// No brackets.
    Bare,
}

/// A placeholder in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// First byte that belongs to it.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
    /// Where to go on if no such name is in use.
    pub next: usize,
    pub key: Key,
    pub form: Form,
}

/// What stands at a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// No placeholder starts before `next`.
    Other { next: usize },
    /// The text ends at `start` and after with what may become a placeholder whose name begins with `key`.
    /// If no such name is in use, go on at `next`.
    Cut { start: usize, key: Key, next: usize },
    /// A placeholder, in shape.
    Whole(Spot),
}

/// The next byte from `from` on that may start a placeholder.
pub(crate) fn candidate(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let mut at = 0;
    loop {
        at = next(rest, at)?;
        // Kinds have two capitals at least, which spares reading most words that have one.
        let word = rest.get(at).is_some_and(u8::is_ascii_uppercase)
            && rest.get(at.saturating_add(1)).is_some_and(|byte| !byte.is_ascii_uppercase());
        if !word {
            return Some(from.saturating_add(at));
        }
        at = at.saturating_add(1);
    }
}

/// The next byte from `from` on that may start a placeholder or a word in a text.
fn next(bytes: &[u8], from: usize) -> Option<usize> {
    let starts = |byte: &u8| matches!(byte, b'<' | b'\\' | b'&' | b'%' | b'A'..=b'Z');
    let mut at = from;
    // Without a way out of it, the compiler looks at all bytes of a block at once.
    while let Some(block) = bytes.get(at..at.saturating_add(BLOCK)) {
        if block.iter().fold(false, |any, byte| any | starts(byte)) {
            break;
        }
        at = at.saturating_add(BLOCK);
    }
    let found = bytes.get(at..)?.iter().position(starts)?;
    Some(at.saturating_add(found))
}

/// Reads the candidate at `at`. `run` is how many backslashes stand directly before it, outside of `bytes`.
pub(crate) fn read(bytes: &[u8], at: usize, run: usize) -> Read {
    let length = bytes.iter().skip(at).take_while(|byte| **byte == b'\\').count();
    let open = at.saturating_add(length);
    let lead = length.min(2);
    match bytes.get(open) {
        None => Read::Cut { start: open.saturating_sub(lead), key: Key::default(), next: open },
        Some(b'<') => Body { bytes, lead, form: Form::Angle }.read(open, open.saturating_add(1)),
        Some(b'u') => {
            // An odd run ends in an escape; half of an even run, if odd, does so one level further in.
            let run = run.saturating_add(length);
            let (form, own) = match run % 4 {
                1 | 3 => (Form::Json, 1),
                2 => (Form::JsonInJson, 2),
                _ => return Read::Other { next: open },
            };
            if own > length {
                return Read::Other { next: open };
            }
            Body { bytes, lead: 0, form }.open(open.saturating_sub(own), b"u003c", open)
        }
        Some(b'&') if length == 0 => {
            Body { bytes, lead: 0, form: Form::Html }.open(open, b"&lt;", open)
        }
        Some(b'%') if length == 0 => {
            Body { bytes, lead: 0, form: Form::Percent }.open(open, b"%3c", open)
        }
        Some(_) if length == 0 => bare(bytes, at),
        Some(_) => Read::Other { next: open },
    }
}

/// Reads a name without brackets, which ends with its tag.
fn bare(bytes: &[u8], start: usize) -> Read {
    let capitals = bytes.iter().skip(start).take_while(|byte| byte.is_ascii_uppercase()).count();
    let kind_end = start.saturating_add(capitals);
    let first = kind_end.saturating_sub(KIND_BYTES_MAX);
    match bytes.get(kind_end) {
        // Of a long word in capitals only the end can be a kind, and only before an underscore.
        Some(b'_' | b'\\') | None if start < first => return Read::Other { next: first },
        Some(b'_' | b'\\') | None => {}
        Some(_) => return Read::Other { next: kind_end },
    }
    let next = start.saturating_add(1);
    let other = Read::Other { next };
    let mut key = Key::default();
    let (mut at, mut part, mut tag) = (start, 0, 0);
    while tag < TAG_BYTES {
        let slashes = slashes(bytes, at);
        let after = at.saturating_add(slashes);
        match (part, bytes.get(after)) {
            _ if slashes > 2 => return other,
            (_, None) => return Read::Cut { start, key, next },
            (0 | 1, Some(b'_')) => part += 1,
            _ if slashes > 0 => return other,
            (0, Some(b'A'..=b'Z')) | (1, Some(b'0'..=b'9')) => {}
            (2, Some(byte)) if byte.is_ascii_alphanumeric() => tag = tag.saturating_add(1),
            _ => return other,
        }
        if !bytes.get(after).is_some_and(|byte| key.push(*byte)) {
            return other;
        }
        at = after.saturating_add(1);
    }
    Read::Whole(Spot { start, end: at, next, key, form: Form::Bare })
}

/// How many backslashes stand at `at`; three for more.
fn slashes(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at) != Some(&b'\\') {
        return 0;
    }
    bytes.iter().skip(at).take(3).take_while(|byte| **byte == b'\\').count()
}

/// How far `bytes` from `at` on agree with `word`, in any case: wholly, as far as they go, or not.
enum Agree {
    Wholly,
    SoFar,
    Not,
}

fn agree(bytes: &[u8], at: usize, word: &[u8]) -> Agree {
    let rest = bytes.get(at..).unwrap_or_default();
    let same = rest.iter().zip(word).all(|(a, b)| a.eq_ignore_ascii_case(b));
    match (same, rest.len() >= word.len()) {
        (false, _) => Agree::Not,
        (true, true) => Agree::Wholly,
        (true, false) => Agree::SoFar,
    }
}

/// A reading that has found its opening bracket.
struct Body<'b> {
    bytes: &'b [u8],
    /// Backslashes before `<` that may be escapes of it.
    lead: usize,
    form: Form,
}

impl Body<'_> {
    /// Reads an opening bracket of several characters, which is `word` at `from`; the whole starts at `start`.
    fn open(&self, start: usize, word: &[u8], from: usize) -> Read {
        let next = from.saturating_add(1);
        match agree(self.bytes, from, word) {
            Agree::Not => Read::Other { next },
            Agree::SoFar => Read::Cut { start, key: Key::default(), next },
            Agree::Wholly => self.read(start, from.saturating_add(word.len())),
        }
    }

    /// Reads the name from `from` on, and the closing bracket. `start` is where the opening one starts.
    fn read(&self, start: usize, from: usize) -> Read {
        let other = Read::Other { next: from };
        let cut = |key| Read::Cut { start: start.saturating_sub(self.lead), key, next: from };
        let mut key = Key::default();
        let mut at = from;
        loop {
            let slashes = slashes(self.bytes, at);
            let after = at.saturating_add(slashes);
            match self.bytes.get(after) {
                _ if slashes > 2 => return other,
                None => return cut(key),
                Some(byte) if slashes > 0 && !self.takes_backslash(*byte) => return other,
                Some(byte) if *byte == b'_' || (byte.is_ascii_alphanumeric() && slashes == 0) => {
                    if !key.push(*byte) {
                        return other;
                    }
                    at = after.saturating_add(1);
                }
                Some(_) => break,
            }
        }
        let (close, close_at, lead) = self.close(at);
        let end = close_at.saturating_add(close.len());
        match agree(self.bytes, close_at, close) {
            Agree::SoFar => cut(key),
            Agree::Wholly if key.is_whole() => {
                let start = start.saturating_sub(lead);
                Read::Whole(Spot { start, end, next: from, key, form: self.form })
            }
            Agree::Wholly | Agree::Not => other,
        }
    }

    /// The closing bracket that belongs to the opening one, where it must stand if the name ends at `at`, and how
    /// many backslashes before the opening one are escapes.
    fn close(&self, at: usize) -> (&'static [u8], usize, usize) {
        let slashes = slashes(self.bytes, at);
        match self.form {
            // A lone backslash before `<` may be a path separator, so it is an escape only if `>` has one too.
            Form::Angle => {
                let lead = if self.lead >= slashes { slashes } else { 0 };
                (b">", at.saturating_add(slashes), lead)
            }
            Form::Html => (b"&gt;", at, 0),
            Form::Percent => (b"%3e", at, 0),
            Form::Bare => (b"", at, 0),
            Form::Json => (b"\\u003e", at, 0),
            Form::JsonInJson => (b"\\\\u003e", at, 0),
        }
    }

    /// Whether a backslash may stand before `byte` inside a placeholder.
    fn takes_backslash(&self, byte: u8) -> bool {
        match self.form {
            Form::Angle => matches!(byte, b'_' | b'>'),
            Form::Html | Form::Percent | Form::Bare => byte == b'_',
            Form::Json | Form::JsonInJson => matches!(byte, b'_' | b'u' | b'U'),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_find_what_reading_byte_by_byte_finds(
            text in "[a-z é]{0,80}[<&%A-Z\\\\]?[a-z]{0,40}[<&%A-Z\\\\]{0,2}", from in 0_usize..100,
        ) {
            let starts = |byte: &u8| br"<\&%".contains(byte) || byte.is_ascii_uppercase();
            let naive = text.bytes().enumerate().skip(from).find(|(_, byte)| starts(byte));
            prop_assert_eq!(next(text.as_bytes(), from), naive.map(|(at, _)| at));
        }
    }
}
