//! Where a street line ends, and its words in lower case, without an allocation for most.

use std::borrow::Cow;

use crate::classify::byte_table::{ByteTable, byte_table};

/// Bytes that end a street line behind its number, and before it.
pub(super) const AHEAD: u8 = 1;
/// See [`AHEAD`].
pub(super) const BACK: u8 = 2;

static STOPS: ByteTable = byte_table! {
    b'\n' | b',' | b';' | b'"' | b'\\' | b'(' | b')' | b'|' | b'\t' => AHEAD | BACK,
    b'<' | b'^' => AHEAD,
    b':' | b'>' | b'\'' => BACK,
    _ => 0,
};

/// Whether a byte ends a line in a direction.
#[inline]
pub(super) fn is_stop(byte: u8, direction: u8) -> bool {
    STOPS.of(byte) & direction != 0
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
