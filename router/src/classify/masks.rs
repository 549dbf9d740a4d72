//! The pass over the bytes that feeds every family: 64 bytes become one bit mask per class of byte.
//!
//! The masks are made with the widest vector instructions that the machine has, without a branch. Whoever looks for something
//! looks at set bits only. Not here: what the bits mean.

#![expect(
    clippy::inline_always,
    reason = "what is compiled for the vectors of each machine must stand in one function"
)]

use fearless_simd::{prelude::*, u8x64};

use super::candidates::cues;

/// Bytes per block: one bit of a `u64` each.
pub(super) const BLOCK: usize = 64;
/// A block and the two bytes behind it.
type Window = [u8; BLOCK + 2];
/// Blocks whose masks are made at once.
const GROUP: usize = 8;

/// The classes of 64 bytes, the lowest bit for the first byte. Where a class asks for the byte before or behind, the first and the
/// last byte of a block count as if it were right.
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
    /// `:`, `=`, `>`, `@`, and `,` behind a quote.
    pub(super) event: u64,
    /// Blanks.
    pub(super) space: u64,
    /// `%`, `&`, `=` and backslashes.
    pub(super) escape: u64,
    /// Backslashes, quotes before a blank or `+`, and `d` behind a blank or an opening bracket.
    pub(super) joint: u64,
    /// Bytes of characters that are not ASCII.
    pub(super) foreign: u64,
    /// Line ends.
    pub(super) newline: u64,
    /// What decorates a line; see [`is_frame`]. Beyond the end of the text everything does.
    pub(super) frame: u64,
    /// Where a phrase that introduces a password may be told: `-` behind a blank, `w` behind `s`, `s` behind `s` and before a
    /// blank, and the first letters of `is` and `by` behind a blank, whatever their case.
    pub(super) phrase: u64,
    /// Capitals, and the signs that may stand right before the number of a house.
    pub(super) opener: u64,
    /// Capitals behind `-`.
    pub(super) title: u64,
    /// `*` behind a digit, `|` behind a capital.
    pub(super) field: u64,
    /// Where three letters begin that may belong to a cue; see [`triples`].
    pub(super) cue: u64,
    /// `:`, `=`, `>`, `@`, `,` and line ends: what stands in no key.
    pub(super) stop: u64,
}

impl Masks {
    /// Classifies the 64 bytes that a window begins with.
    #[inline(always)]
    pub(super) fn of<S: Simd>(simd: S, window: &Window) -> Self {
        let at = |from: usize| {
            let block = window.get(from..).and_then(|rest| rest.first_chunk::<BLOCK>());
            u8x64::from_slice(simd, block.unwrap_or(&[0; BLOCK]))
        };
        let bytes = at(0);
        let folded = bytes | 0x20;
        let is = |byte: u8| bytes.simd_eq(byte);
        let letter_is = |byte: u8| folded.simd_eq(byte).to_bitmask();
        let within = |bytes: u8x64<S>, first: u8, count: u8| (bytes - first).simd_le(count - 1);
        let (letters, capitals) = (within(folded, b'a', 26), within(bytes, b'A', 26));
        let (digits, blanks, line_ends) = (within(bytes, b'0', 10), is(b' '), is(b'\n'));
        let (equals, slashes, plus) = (is(b'='), is(b'\\'), is(b'+'));
        // `-`, `.` and `/` stand side by side.
        let dashes = within(bytes, b'-', 3);
        let (comma, double, single) = (is(b','), is(b'"'), is(b'\''));
        let (opening, star, pipe) = (is(b'('), is(b'*'), is(b'|'));
        let joints = equals | plus | dashes | is(b'_');
        let quotes = double | single | is(b'`');
        let openings = opening | is(b'[') | is(b'{');
        let (letter, upper) = (letters.to_bitmask(), capitals.to_bitmask());
        let (digit, space) = (digits.to_bitmask(), blanks.to_bitmask());
        let (quote, dash) = (quotes.to_bitmask(), is(b'-').to_bitmask());
        let s = letter_is(b's');
        let behind_space = space << 1 | 1;
        let phrase = dash & behind_space
            | letter_is(b'w') & (s << 1 | 1)
            | s & (s << 1 | 1) & before(space)
            | letter_is(b'i') & behind_space & before(s)
            | letter_is(b'b') & behind_space & before(letter_is(b'y'));
        let events = (equals | is(b':') | is(b'>') | is(b'@')).to_bitmask();
        let commas = comma.to_bitmask();
        let newline = line_ends.to_bitmask();
        let cues = triples(simd, bytes, 0) & triples(simd, at(1), 1) & triples(simd, at(2), 2);
        // `!` to `#`, `'` to `+`, `;` to `>`, and `{` to `~`.
        let frames = joints
            | blanks
            | within(bytes, b'!', 3)
            | within(bytes, b'\'', 5)
            | within(bytes, b';', 4)
            | within(bytes, b'{', 4)
            | is(b'%')
            | is(b'[')
            | is(b']')
            | is(b'`')
            | is(b'\t')
            | is(b'\r');
        let openers = capitals | blanks | line_ends | comma | double | single | opening;
        Self {
            letter,
            upper,
            digit,
            token: letter | digit | (joints | is(b'~')).to_bitmask(),
            event: events | commas & (quote << 1 | 1),
            space,
            escape: (equals | slashes | is(b'%') | is(b'&')).to_bitmask(),
            joint: slashes.to_bitmask()
                | quote & before((blanks | plus).to_bitmask())
                | letter_is(b'd') & (openings.to_bitmask() << 1 | behind_space),
            foreign: bytes.simd_ge(0x80).to_bitmask(),
            newline,
            frame: frames.to_bitmask(),
            phrase,
            opener: (openers | is(b'\t') | is(b'#') | is(b'>')).to_bitmask(),
            title: upper & (dash << 1 | 1),
            field: star.to_bitmask() & (digit << 1 | 1) | pipe.to_bitmask() & (upper << 1 | 1),
            cue: cues.simd_ge(1).to_bitmask() & letter & before(letter) & before(before(letter)),
            stop: events | commas | newline,
        }
    }
}

/// The groups of cues that have the letter of each byte at a place of their three telling letters, as bits. What is no letter counts
/// as the letter with the same lower five bits.
#[inline(always)]
fn triples<S: Simd>(simd: S, bytes: u8x64<S>, place: usize) -> u8x64<S> {
    let [first, second] = cues::LETTERS.get(place).unwrap_or(&[[0; BLOCK]; 2]);
    let low = bytes & 0x0F;
    let is_first = (bytes & 0x10).simd_eq(0);
    let of = |table: &[u8; BLOCK]| u8x64::from_slice(simd, table).swizzle_dyn_within_blocks(low);
    is_first.select(of(first), of(second))
}

/// The bytes before those of a class.
#[inline(always)]
fn before(class: u64) -> u64 {
    class >> 1 | 1 << 63
}

/// Whether an ASCII byte decorates a line: comment signs, quotes, rules, brackets, list marks.
pub(super) const fn is_frame(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'\r'
            | b'!'..=b'#'
            | b'%'
            | b'\''..=b'+'
            | b'-'..=b'/'
            | b';'..=b'>'
            | b'['
            | b']'
            | b'_'
            | b'`'
            | b'{'..=b'~'
    )
}

/// Calls `read` with the offset and the masks of each block of `text`; the last is filled up with bytes of no class.
#[inline(always)]
pub(super) fn each<S: Simd>(simd: S, text: &[u8], mut read: impl FnMut(usize, &Masks)) {
    let mut base = 0;
    if text.len() >= BLOCK + 2 {
        // The masks of several blocks are made before any is read: between calls the compiler would take the vectors apart.
        let mut group = [Masks::default(); GROUP];
        while let Some(rest) = text.get(base..).filter(|rest| rest.len() >= BLOCK + 2) {
            let mut count = 0;
            for masks in &mut group {
                let Some(window) = rest.get(count * BLOCK..).and_then(|rest| rest.first_chunk())
                else {
                    break;
                };
                *masks = Masks::of(simd, window);
                count += 1;
            }
            for masks in group.iter().take(count) {
                read(base, masks);
                base += BLOCK;
            }
        }
    }
    while let Some(rest) = text.get(base..).filter(|rest| !rest.is_empty()) {
        let mut last = [0; BLOCK + 2];
        for (to, byte) in last.iter_mut().zip(rest) {
            *to = *byte;
        }
        let mut masks = Masks::of(simd, &last);
        masks.frame |= from_bit(rest.len());
        read(base, &masks);
        base += BLOCK;
    }
}

/// The bits from `from` on; none when that is behind the block.
#[inline]
pub(super) fn from_bit(from: usize) -> u64 {
    if from < BLOCK { u64::MAX << from } else { 0 }
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

    /// Whether the byte beside is one of those.
    type Beside<'a> = &'a dyn Fn(&[u8]) -> bool;

    /// The same byte by byte, with what stands behind the block.
    fn naive(text: &[u8], behind: &[u8]) -> Masks {
        let at = |at: Option<usize>| at.and_then(|at| text.get(at)).copied();
        // What stands beyond the block counts as right.
        let bits = |test: &dyn Fn(u8, Beside<'_>, Beside<'_>) -> bool| {
            let holds = |place: usize| {
                let behind =
                    |class: &[u8]| place == 0 || class.contains(&at(place.checked_sub(1)).unwrap());
                let before = |class: &[u8]| {
                    place == BLOCK - 1 || class.contains(&at(Some(place + 1)).unwrap_or(0))
                };
                test(text[place], &behind, &before)
            };
            (0..text.len()).map(|place| u64::from(holds(place)) << place).sum::<u64>()
        };
        let capitals: Vec<u8> = (b'A'..=b'Z').collect();
        let longer = [text, behind].concat();
        let tells = |place: usize| {
            let letter = |at: usize| longer.get(at).map_or(0, |byte| byte & 31);
            // A letter right behind the block counts as one.
            let letters = (0..3).all(|more| {
                place + more >= BLOCK || text.get(place + more).is_some_and(u8::is_ascii_alphabetic)
            });
            letters && cues::may_tell([0, 1, 2].map(|more| letter(place + more)))
        };
        Masks {
            letter: bits(&|b, _, _| b.is_ascii_alphabetic()),
            upper: bits(&|b, _, _| b.is_ascii_uppercase()),
            digit: bits(&|b, _, _| b.is_ascii_digit()),
            token: bits(&|b, _, _| b.is_ascii_alphanumeric() || b"_-+/=.~".contains(&b)),
            event: bits(&|b, behind, _| b":=>@".contains(&b) || b == b',' && behind(b"\"'`")),
            space: bits(&|b, _, _| b == b' '),
            escape: bits(&|b, _, _| b"%&=\\".contains(&b)),
            joint: bits(&|b, behind, before| match b {
                b'\\' => true,
                b'"' | b'\'' | b'`' => before(b" +"),
                b'd' | b'D' => behind(b" [({"),
                _ => false,
            }),
            foreign: bits(&|b, _, _| b >= 0x80),
            newline: bits(&|b, _, _| b == b'\n'),
            frame: bits(&|b, _, _| is_frame(b)) | from_bit(text.len()),
            phrase: bits(&|b, behind, before| match b.to_ascii_lowercase() {
                b'-' => behind(b" "),
                b'w' => behind(b"sS"),
                b's' => behind(b"sS") && before(b" "),
                b'i' => behind(b" ") && before(b"sS"),
                b'b' => behind(b" ") && before(b"yY"),
                _ => false,
            }),
            opener: bits(&|b, _, _| b.is_ascii_uppercase() || b" \n\t\"',#(>".contains(&b)),
            title: bits(&|b, behind, _| b.is_ascii_uppercase() && behind(b"-")),
            field: bits(&|b, behind, _| {
                b == b'*' && behind(b"0123456789") || b == b'|' && behind(&capitals)
            }),
            cue: (0..text.len()).map(|place| u64::from(tells(place)) << place).sum::<u64>(),
            stop: bits(&|b, _, _| b":=>@,\n".contains(&b)),
        }
    }

    #[test]
    fn every_byte_value_has_its_classes() {
        for byte in 0..=u8::MAX {
            let block = [byte; BLOCK];
            let level = fearless_simd::Level::new();
            let window = [byte; BLOCK + 2];
            let masks = fearless_simd::dispatch!(level, simd => Masks::of(simd, &window));
            assert_eq!(masks, naive(&block, &[byte; 2]), "{byte:#x}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn masks_say_what_reading_byte_by_byte_says(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut read = Vec::new();
            let level = fearless_simd::Level::new();
            fearless_simd::dispatch!(level, simd => each(simd, &text, |base, masks| read.push((base, *masks))));
            let blocks = text.chunks(BLOCK).enumerate();
            let behind = |at: usize| {
                let rest = text.get((at + 1) * BLOCK..).unwrap_or_default();
                &rest[..rest.len().min(2)]
            };
            let expected: Vec<_> =
                blocks.map(|(at, block)| (at * BLOCK, naive(block, behind(at)))).collect();
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
