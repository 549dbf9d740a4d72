//! Checks beyond a token's shape: its check sum, whether it looks random, whether it is a placeholder.

use crate::classify::scan_words::Words;

/// Whether the last six characters are the CRC-32, in base 62, of what stands between the prefix and them.
/// Facts: GitHub's announcement of its token formats; npm uses the same.
pub(super) fn crc_holds(token: &str) -> bool {
    let Some((_, body)) = token.split_once('_') else { return false };
    let Some((entropy, check)) = body.split_at_checked(body.len().saturating_sub(6)) else {
        return false;
    };
    let mut left = crc32(entropy.as_bytes());
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = base62(left % 62);
        left /= 62;
    }
    check.as_bytes() == digits
}

/// A digit of base 62: `0-9A-Za-z`.
fn base62(value: u32) -> u8 {
    let value = u8::try_from(value).unwrap_or_default();
    match value {
        0..=9 => b'0' + value,
        10..=35 => b'A' + (value - 10),
        _ => b'a' + value.saturating_sub(36),
    }
}

/// CRC-32 (IEEE), bit by bit: it runs on forty bytes now and then.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = crc & 1;
            crc = (crc >> 1) ^ (odd * 0xEDB8_8320);
        }
    }
    !crc
}

/// Whether a token body looks like it was drawn, not written: enough different characters, digits among them, no
/// run of one character, no ladder such as `abcdef` or `123456`.
pub(in crate::classify) fn looks_random(body: &[u8]) -> bool {
    let digits = body.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = body.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    distinct(body) * 3 >= body.len().min(24) && digits >= 2 && letters >= 2 && !is_dummy(body)
}

/// Pieces that only filler holds.
static FILLER: Words = Words::new(&[
    "xxxx",
    "example",
    "placeholder",
    "your_",
    "your-",
    "yourkey",
    "abcdefghij",
    "redacted",
    "****",
    "....",
]);

/// Whether a value is filler, whatever its shape: `xxxxxxxx`, `1234567890abcdef`, `EXAMPLE`, `your-key-here`, `...`.
pub(in crate::classify) fn is_dummy(body: &[u8]) -> bool {
    if body.len() >= 8 && distinct(body) * 4 < body.len().min(20) {
        return true;
    }
    if FILLER.in_text(body) {
        return true;
    }
    longest_ladder(body) * 2 > body.len()
}

/// How many different bytes there are.
pub(in crate::classify) fn distinct(body: &[u8]) -> usize {
    let mut seen = [0_u64; 4];
    for byte in body {
        if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    seen.iter().map(|word| word.count_ones() as usize).sum()
}

/// The longest stretch in which each byte is the one before, plus one, the same, or wraps from `9` to `0`.
fn longest_ladder(body: &[u8]) -> usize {
    let (mut best, mut run) = (1, 1);
    for pair in body.array_windows::<2>() {
        let [before, after] = pair;
        let climbs = after.wrapping_sub(*before) < 2 || (*before == b'9' && *after == b'0');
        run = if climbs { run + 1 } else { 1 };
        best = best.max(run);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_matches_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_token_with_its_own_check_sum_holds() {
        let entropy = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5";
        let mut left = crc32(entropy.as_bytes());
        let mut check = Vec::new();
        for _ in 0..6 {
            check.push(base62(left % 62));
            left /= 62;
        }
        check.reverse();
        let token = format!("ghp_{entropy}{}", String::from_utf8(check).unwrap());
        assert!(crc_holds(&token));
        assert!(!crc_holds(&token.replace('B', "C")));
        assert!(!crc_holds("ghp_"));
    }

    #[test]
    fn filler_is_told_from_random_text() {
        for filler in [
            "xxxxxxxxxxxxxxxx",
            "1234567890123456",
            "abcdefghijklmnop",
            "0000000000000000",
            "your-key-goes-here1",
            "EXAMPLEKEY12345678",
        ] {
            assert!(!looks_random(filler.as_bytes()), "{filler}");
        }
        for random in ["K7gNU3sdo4OL0wNh", "9f86d081884c7d659a2f", "4fJx0q2vB7nZ1LmC"] {
            assert!(looks_random(random.as_bytes()), "{random}");
        }
    }
}
