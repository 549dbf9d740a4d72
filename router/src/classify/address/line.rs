//! Where a street line ends, and its words in lower case, without an allocation for most.

use std::borrow::Cow;

/// Bytes that end a street line behind its number, and before it.
pub(super) const AHEAD: u8 = 1;
/// See [`AHEAD`].
pub(super) const BACK: u8 = 2;

static STOPS: [u8; 256] = stops();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler over all 256 byte values"
)]
const fn stops() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            b'\n' | b',' | b';' | b'"' | b'\\' | b'(' | b')' | b'|' | b'\t' => AHEAD | BACK,
            b'<' | b'^' => AHEAD,
            b':' | b'>' | b'\'' => BACK,
            _ => 0,
        };
        at += 1;
    }
    table
}

/// Whether a byte ends a line in a direction.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the table has an entry for each value of a byte")]
pub(super) fn is_stop(byte: u8, direction: u8) -> bool {
    STOPS[usize::from(byte)] & direction != 0
}

/// Longest word that is folded without an allocation.
pub(super) const SHORT: usize = 32;

/// A word in lower case.
pub(super) fn lower<'a>(word: &str, short: &'a mut [u8; SHORT]) -> Cow<'a, str> {
    if let (true, Some(bytes)) = (word.is_ascii(), short.get_mut(..word.len())) {
        bytes.copy_from_slice(word.as_bytes());
        bytes.make_ascii_lowercase();
        if let Ok(lower) = std::str::from_utf8(bytes) {
            return Cow::Borrowed(lower);
        }
    }
    Cow::Owned(word.to_lowercase())
}
