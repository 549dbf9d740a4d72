//! The pass over the bytes that feeds every family: 64 bytes become one bit mask per class of byte.
//!
//! The masks are made with vector instructions of the least that the target has, without a branch. Whoever looks for something
//! looks at set bits only. Not here: what the bits mean.

use wide::u8x16;

/// Bytes per block: one bit of a `u64` each.
pub(super) const BLOCK: usize = 64;

/// The classes of 64 bytes, the lowest bit for the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks {
    /// ASCII letters.
    pub(super) letter: u64,
    /// ASCII capitals.
    pub(super) upper: u64,
    /// ASCII digits.
    pub(super) digit: u64,
    /// Letters, digits and `_ - + / = . ~`.
    pub(super) token: u64,
    /// `:`, `=`, `>`, `@`, and `,` behind a quote; the first byte of a block counts as behind one.
    pub(super) event: u64,
    /// Blanks.
    pub(super) space: u64,
    /// `%`, `&`, `=` and backslashes.
    pub(super) escape: u64,
    /// Backslashes, quotes before a blank or `+`, and `d` behind a blank or an opening bracket; the last byte of a block counts as
    /// before, the first as behind one.
    pub(super) joint: u64,
    /// Bytes of characters that are not ASCII.
    pub(super) foreign: u64,
}

impl Masks {
    /// Classifies 64 bytes.
    #[inline]
    pub(super) fn of(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self::default();
        let mut sides = Sides::default();
        for (at, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            masks.add(u8x16::new(*bytes), at * 16, &mut sides);
        }
        let before_sign = (masks.space | sides.plus) >> 1 | 1 << 63;
        let behind_sign = (masks.space | sides.open) << 1 | 1;
        masks.event |= sides.comma & (sides.quote << 1 | 1);
        masks.joint |= sides.quote & before_sign | sides.d & behind_sign;
        masks
    }

    /// Adds the classes of 16 bytes at bit `shift`.
    #[inline]
    fn add(&mut self, bytes: u8x16, shift: usize, sides: &mut Sides) {
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << shift;
        let lower = within(bytes | u8x16::splat(0x20), b'a', 26);
        let digit = within(bytes, b'0', 10);
        // '-' '.' '/'
        let plus = is(b'+');
        let joint = within(bytes, b'-', 3) | plus | is(b'_') | is(b'~');
        let equals = is(b'=');
        let slash = is(b'\\');
        self.letter |= bits(lower);
        self.upper |= bits(within(bytes, b'A', 26));
        self.digit |= bits(digit);
        self.token |= bits(lower | digit | joint | equals);
        self.event |= bits(equals | is(b':') | is(b'>') | is(b'@'));
        sides.comma |= bits(is(b','));
        self.space |= bits(is(b' '));
        self.escape |= bits(is(b'%') | is(b'&') | equals | slash);
        self.joint |= bits(slash);
        sides.plus |= bits(plus);
        sides.quote |= bits(is(b'"') | is(b'\'') | is(b'`'));
        sides.open |= bits(is(b'[') | is(b'(') | is(b'{'));
        sides.d |= bits((bytes | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'd')));
        self.foreign |= bits(bytes);
    }
}

/// What stands beside a joint.
#[derive(Clone, Copy, Default)]
struct Sides {
    plus: u64,
    comma: u64,
    quote: u64,
    open: u64,
    d: u64,
}

/// The bytes from `first` on, `count` of them.
#[inline]
fn within(bytes: u8x16, first: u8, count: u8) -> u8x16 {
    let above = bytes - u8x16::splat(first);
    above.min(u8x16::splat(count - 1)).simd_eq(above)
}

/// Calls `read` with the offset and the masks of each block of `text`; the last is filled up with bytes of no class.
#[inline]
pub(super) fn each(text: &[u8], mut read: impl FnMut(usize, &Masks)) {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (at, block) in blocks.iter().enumerate() {
        read(at * BLOCK, &Masks::of(block));
    }
    if let (false, Some(from)) = (rest.is_empty(), text.len().checked_sub(rest.len())) {
        let mut last = [0; BLOCK];
        for (to, byte) in last.iter_mut().zip(rest) {
            *to = *byte;
        }
        read(from, &Masks::of(&last));
    }
}

/// The bits from `from` on; none when that is behind the block.
#[inline]
pub(super) fn from_bit(from: usize) -> u64 {
    u32::try_from(from).ok().and_then(|from| u64::MAX.checked_shl(from)).unwrap_or_default()
}

/// The positions of the set bits, from the lowest.
pub(super) struct Bits(pub(super) u64);

impl Iterator for Bits {
    type Item = usize;
    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same byte by byte.
    fn naive(text: &[u8]) -> Masks {
        let joint = text.iter().enumerate().filter(|(at, byte)| {
            let before = at.checked_sub(1).map_or(b' ', |at| text[at]);
            let after =
                if *at == BLOCK - 1 { b' ' } else { text.get(at + 1).copied().unwrap_or(0) };
            match byte {
                b'\\' => true,
                b'"' | b'\'' | b'`' => matches!(after, b' ' | b'+'),
                b'd' | b'D' => matches!(before, b' ' | b'[' | b'(' | b'{'),
                _ => false,
            }
        });
        let event = text.iter().enumerate().filter(|(at, byte)| {
            let quoted = at.checked_sub(1).is_none_or(|at| b"\"'`".contains(&text[at]));
            b":=>@".contains(byte) || **byte == b',' && quoted
        });
        let event = event.map(|(at, _)| 1 << at).sum();
        let joint = joint.map(|(at, _)| 1 << at).sum();
        let bits = |test: fn(u8) -> bool| -> u64 {
            text.iter().enumerate().map(|(at, byte)| u64::from(test(*byte)) << at).sum()
        };
        Masks {
            letter: bits(|b| b.is_ascii_alphabetic()),
            upper: bits(|b| b.is_ascii_uppercase()),
            digit: bits(|b| b.is_ascii_digit()),
            token: bits(|b| b.is_ascii_alphanumeric() || b"_-+/=.~".contains(&b)),
            event,
            space: bits(|b| b == b' '),
            escape: bits(|b| b"%&=\\".contains(&b)),
            joint,
            foreign: bits(|b| b >= 0x80),
        }
    }

    #[test]
    fn every_byte_value_has_its_classes() {
        for byte in 0..=u8::MAX {
            assert_eq!(Masks::of(&[byte; BLOCK]), naive(&[byte; BLOCK]), "{byte:#x}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn masks_say_what_reading_byte_by_byte_says(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut read = Vec::new();
            each(&text, |base, masks| read.push((base, *masks)));
            let blocks = text.chunks(BLOCK).enumerate();
            let expected: Vec<_> = blocks.map(|(at, block)| (at * BLOCK, naive(block))).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn positions_come_in_order() {
        assert_eq!(Bits(0b1010_0001).collect::<Vec<_>>(), [0, 5, 7]);
        assert_eq!(
            (from_bit(0), from_bit(63), from_bit(64), from_bit(500)),
            (u64::MAX, 1 << 63, 0, 0)
        );
    }
}
