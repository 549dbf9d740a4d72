//! Between the text of a JSON string and the bytes that write it.
//!
//! All functions take strings that [`super::parse`] has accepted. Given anything else they still end and stay within
//! bounds, but the result means nothing.

use std::{borrow::Cow, ops::Range};

use memchr::memchr;

/// The text that `raw` (the bytes between the quotes) stands for. Borrows when there is no escape.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'\\', raw.as_bytes()) else {
        return Cow::Borrowed(raw);
    };
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut at = Some(first);
    while let Some(plain) = at {
        let (before, escape) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        text.push_str(before);
        let (character, length) = decode(escape.as_bytes());
        text.push(character);
        rest = escape.get(length..).unwrap_or_default();
        at = memchr(b'\\', rest.as_bytes());
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Writes `text` as it must stand between the quotes of a JSON string.
pub fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 0x20 => {
                // Below U+0020 the two leading digits are zero and the third is zero or one.
                let code = u32::from(control);
                let digit = |value| char::from_digit(value, 16).unwrap_or('0');
                out.extend(['\\', 'u', '0', '0', digit(code >> 4), digit(code & 15)]);
            }
            other => out.push(other),
        }
    }
}

/// The bytes of `body` that write the part `text_range` of the string at `string_span` (without quotes).
///
/// `text_range` counts bytes of the unescaped text. A range that begins or ends within a character is widened to
/// the whole of it, so an escape is never cut; what lies beyond the text is cut off. Takes time linear in the string.
pub fn raw_range(body: &[u8], string_span: Range<usize>, text_range: Range<usize>) -> Range<usize> {
    let end = string_span.end;
    let mut ranges = raw_ranges(body, string_span, std::slice::from_ref(&text_range));
    ranges.pop().unwrap_or(end..end)
}

/// [`raw_range`] for several ranges of one string, in one walk. They must not overlap and must be in order; one that
/// begins before the end of the last is taken to begin there.
pub fn raw_ranges(
    body: &[u8],
    string_span: Range<usize>,
    text_ranges: &[Range<usize>],
) -> Vec<Range<usize>> {
    let raw = body.get(string_span.clone()).unwrap_or_default();
    let mut cursor = Cursor { raw, at: 0, text_at: 0 };
    let base = string_span.start;
    text_ranges
        .iter()
        .map(|range| {
            let start = cursor.forward(range.start, Side::Before);
            let end = cursor.forward(range.end, Side::After).max(start);
            base.saturating_add(start)..base.saturating_add(end)
        })
        .collect()
}

/// A place in the raw bytes of a string and the same place in its text.
struct Cursor<'a> {
    raw: &'a [u8],
    at: usize,
    text_at: usize,
}

/// Which side of a character a place within it moves to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Cursor<'_> {
    /// Moves on to text offset `target` and gives the raw offset there.
    fn forward(&mut self, target: usize, side: Side) -> usize {
        while self.text_at < target && self.at < self.raw.len() {
            let rest = self.raw.get(self.at..).unwrap_or_default();
            let wanted = target.saturating_sub(self.text_at);
            let look = rest.get(..wanted).unwrap_or(rest);
            let plain = memchr(b'\\', look).unwrap_or(look.len());
            if plain > 0 {
                self.at = self.at.saturating_add(plain);
                self.text_at = self.text_at.saturating_add(plain);
                continue;
            }
            let (character, length) = decode(rest);
            let width = character.len_utf8();
            if width > wanted && side == Side::Before {
                return self.at;
            }
            self.at = self.at.saturating_add(length).min(self.raw.len());
            self.text_at = self.text_at.saturating_add(width);
        }
        self.settle(side)
    }

    /// Leaves the middle of a character that is written as itself.
    fn settle(&mut self, side: Side) -> usize {
        let inside = |at: usize| self.raw.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
        let mut at = self.at;
        if side == Side::Before {
            while at > 0 && inside(at) {
                at = at.saturating_sub(1);
            }
            return at;
        }
        while inside(at) {
            at = at.saturating_add(1);
        }
        self.text_at = self.text_at.saturating_add(at.saturating_sub(self.at));
        self.at = at;
        at
    }
}

/// The character that an escape at the start of `raw` stands for, and the bytes that it takes (at least 1).
fn decode(raw: &[u8]) -> (char, usize) {
    let Some(&letter) = raw.get(1) else {
        return (char::REPLACEMENT_CHARACTER, 1);
    };
    let character = match letter {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return decode_unicode(raw),
        other => char::from(other),
    };
    (character, 2)
}

fn decode_unicode(raw: &[u8]) -> (char, usize) {
    let Some(unit) = hex4(raw.get(2..6)) else {
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    if let Some(character) = char::from_u32(unit) {
        return (character, 6);
    }
    let low = hex4(raw.get(8..12)).unwrap_or(0);
    let pair = unit.wrapping_sub(0xD800) << 10 | (low.wrapping_sub(0xDC00) & 0x3FF);
    let character = char::from_u32(pair.wrapping_add(0x1_0000));
    (character.unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}

/// The value of four hexadecimal digits.
pub(super) fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    let digits: &[u8; 4] = digits?.try_into().ok()?;
    digits
        .iter()
        .try_fold(0, |sum, digit| char::from(*digit).to_digit(16).map(|value| sum << 4 | value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_plain_text_is_borrowed() {
        let cases = [
            ("plain é", "plain é"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u00e9\uD83D\uDE00x", "é😀x"),
            (r"a\nb", "a\nb"),
        ];
        for (raw, text) in cases {
            assert_eq!(unescape(raw), text);
        }
        assert!(matches!(unescape("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_escaped_reads_back_the_same() {
        let text = "a\"\\\n\r\t\u{8}\u{c}\u{1}é😀\u{7f}";
        let mut raw = String::new();
        escape_into(&mut raw, text);
        assert_eq!(unescape(&raw), text);
        assert!(crate::json::parse(format!("\"{raw}\"").as_bytes()).is_ok());
    }

    #[test]
    fn a_range_of_the_text_finds_its_raw_bytes() {
        // The text is `a é b 😀 c`, without the spaces.
        let body = br#""a\u00e9b\ud83d\ude00c""#;
        let span = 1..body.len() - 1;
        let cases = [
            (0..1, "a"),
            (1..3, r"\u00e9"),
            (0..3, r"a\u00e9"),
            (2..3, r"\u00e9"),
            (1..2, r"\u00e9"),
            (3..4, "b"),
            (5..6, r"\ud83d\ude00"),
            (4..9, r"\ud83d\ude00c"),
            (8..99, "c"),
            (9..9, ""),
            (3..3, ""),
        ];
        for (range, raw) in cases {
            let found = raw_range(body, span.clone(), range.clone());
            assert_eq!(std::str::from_utf8(&body[found]).unwrap(), raw, "{range:?}");
        }
    }

    #[test]
    fn a_range_within_a_plain_character_takes_the_whole() {
        let body = "\"xéy\"".as_bytes();
        assert_eq!(raw_range(body, 1..5, 2..3), 2..4);
        assert_eq!(raw_range(body, 1..5, 1..2), 2..4);
    }
}
