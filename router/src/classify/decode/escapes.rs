//! Escapes in running text: `%41`, `\u0041`, `\x41`, `&#65;`, `&#x41;`, `=41` of quoted-printable.

use super::{line_around, view::View};
use crate::classify::candidates::Candidates;

/// Bytes of a line before and after a trigger that are decoded with it.
const BEFORE: usize = 128;
const AFTER: usize = 2048;
/// Fewest escapes that make a window worth a second reading.
const ESCAPES_MIN: usize = 2;

/// Calls `read` with every window that holds escapes.
pub(super) fn views(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    let mut done = 0;
    for &hit in &candidates.escapes {
        if hit < done {
            continue;
        }
        let window = line_around(text, hit, BEFORE, AFTER);
        // A soft line break of quoted-printable joins two lines.
        let window = window.start
            ..if text.get(window.end.saturating_sub(1)..window.end) == Some("\r") {
                text.floor_char_boundary((window.end + 200).min(text.len()))
            } else {
                window.end
            };
        done = window.end.max(hit + 1);
        let Some(source) = text.get(window.clone()) else { continue };
        let mut view = View::at(window.start);
        let (mut at, mut escapes) = (0, 0);
        while let Some(rest) = source.get(at..) {
            let Some(c) = rest.chars().next() else { break };
            let (decoded, length) = escape(rest).unwrap_or((Some(c), c.len_utf8()));
            escapes += usize::from(length > c.len_utf8());
            if let Some(decoded) = decoded {
                view.push(decoded, window.start + at..window.start + at + length);
            }
            at += length;
        }
        if escapes >= ESCAPES_MIN {
            read(view);
        }
    }
}

/// The character that the escape at the beginning of `rest` stands for (none for a soft line break), and its length.
fn escape(rest: &str) -> Option<(Option<char>, usize)> {
    let bytes = rest.as_bytes();
    let (digits, radix, skip, close) = match bytes {
        [b'%', ..] => (2, 16, 1, 0),
        [b'\\', b'u', b'{', ..] => (0, 16, 3, 1),
        [b'\\', b'u', ..] => (4, 16, 2, 0),
        [b'\\', b'U', ..] => (8, 16, 2, 0),
        [b'\\', b'x', ..] => (2, 16, 2, 0),
        [b'&', b'#', b'x' | b'X', ..] => (0, 16, 3, 1),
        [b'&', b'#', ..] => (0, 10, 2, 1),
        [b'=', b'\r', b'\n', ..] => return Some((None, 3)),
        [b'=', ..] => (2, 16, 1, 0),
        [b'&', ..] => return entity(rest),
        _ => return None,
    };
    let tail = bytes.get(skip..)?;
    let length = if digits == 0 {
        tail.iter().take(8).take_while(|b| char::from(**b).is_digit(radix)).count()
    } else {
        digits
    };
    let number = rest.get(skip..skip + length)?;
    let upper_only =
        bytes.first() != Some(&b'=') || !number.bytes().any(|b| b.is_ascii_lowercase());
    let c = char::from_u32(u32::from_str_radix(number, radix).ok()?)?;
    (upper_only && c.is_ascii() && (!c.is_ascii_control() || c.is_ascii_whitespace()))
        .then_some((Some(c), skip + length + close))
        .filter(|(_, length)| rest.is_char_boundary(*length))
}

/// The named entities that stand in values.
fn entity(rest: &str) -> Option<(Option<char>, usize)> {
    let named = [("&amp;", '&'), ("&quot;", '"'), ("&lt;", '<'), ("&gt;", '>'), ("&apos;", '\'')];
    named.iter().find(|(name, _)| rest.starts_with(name)).map(|(name, c)| (Some(*c), name.len()))
}
