//! A table with one entry per byte, made by the compiler from patterns.

/// A class for each of the 256 bytes.
#[derive(Debug)]
pub(super) struct ByteTable(pub(super) [u8; 256]);

impl ByteTable {
    /// The entry of a byte.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the table has an entry for each value of a byte")]
    pub(super) const fn of(&self, byte: u8) -> u8 {
        self.0[byte as usize]
    }
}

/// `byte_table! { b'0'..=b'9' => DIGIT, _ => 0 }`
macro_rules! byte_table {
    ($($bytes:pat => $entry:expr),+ $(,)?) => {{
        #[expect(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            reason = "runs in the compiler over all 256 byte values"
        )]
        const TABLE: [u8; 256] = {
            let mut table = [0; 256];
            let mut at = 0;
            while at < 256 {
                table[at] = match at as u8 { $($bytes => $entry),+ };
                at += 1;
            }
            table
        };
        $crate::classify::byte_table::ByteTable(TABLE)
    }};
}
pub(super) use byte_table;
