//! The forms of numbers that are known without a cue, told by the lengths of their tokens.

use super::super::group::Token;

/// What the lengths of the tokens must be for a number without a cue to be tried at all.
pub(super) fn is_promising(mask: u64, digits: usize, length: usize, lower: bool) -> bool {
    if digits == length {
        let single = mask < 16 && (12..=19).contains(&length);
        return single
            || matches!(
                mask,
                0x4444
                    | 0x465
                    | 0x464
                    | 0x0004_4443
                    | 0x0004_4441
                    | 0x4333
                    | 0x324
                    | 0x67
                    | 0x3332
                    | 0x0002_3342
                    | 0x3442
                    | 0x64
                    | 0x0122_2332
            );
    }
    !lower && digits >= 4
}

/// Whether numbers whose lengths begin so may be one of the forms of [`is_promising`], or a telephone number in blocks as in North
/// America.
pub(super) fn is_formed(sizes: [usize; 4]) -> bool {
    match sizes {
        [12..=19, ..] => true,
        [6, next, ..] => matches!(next, 4 | 7),
        [4, next, last, _] => matches!((next, last), (6, 4 | 5) | (4, 4) | (3, 3)),
        [3, 3, 3, last] => last == 2,
        [3, next, last, _] => next == 3 && last > 3 || matches!(next, 2 | 4) && last == 4,
        [2, next, last, _] => next == 3 && last == 3,
        [1, next, last, _] => matches!((next, last), (2, 2) | (3, 3)),
        _ => false,
    }
}

/// The four bits of a token in the mask of a value: its length, at most 15.
#[inline]
pub(super) fn mask_of(token: Token) -> u64 {
    u64::from(u8::try_from(token.len().min(15)).unwrap_or(15))
}

#[cfg(test)]
mod tests {
    use super::{is_formed, is_promising};

    #[test]
    fn every_form_of_numbers_is_told_by_its_first_lengths() {
        let mut promising = 0;
        for code in 0..8_usize.pow(7) {
            let sizes: [usize; 7] = std::array::from_fn(|at| code >> (3 * at) & 7);
            let count = sizes.iter().take_while(|size| **size > 0).count();
            let (mask, length) = sizes[..count]
                .iter()
                .fold((0, 0), |(mask, sum), size| (mask << 4 | *size as u64, sum + size));
            // A zero in the middle would count the same lengths again.
            let whole = sizes[count..].iter().all(|size| *size == 0) && count > 1;
            if whole && is_promising(mask, length, length, false) {
                promising += 1;
                assert!(is_formed([sizes[0], sizes[1], sizes[2], sizes[3]]), "{sizes:?}");
            }
        }
        assert_eq!(promising, 13);
        assert!((12..=19).all(|size| is_formed([size, 0, 0, 0])));
    }
}
