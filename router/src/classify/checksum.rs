//! The arithmetic that tells an identifier from a random number.
//!
//! Every function takes the bare characters of one identifier (separators already dropped) and says whether they
//! carry a valid check. None looks at context. A text of another shape is simply not valid; nothing panics.
//! Here: general schemes, money and health; the numbers of states are in `national`, coins in `coin`.
//! Invariant: time is linear in the (short) input, and each function is free of state.

pub(crate) mod coin;
pub(crate) mod national;

/// The digits of `text` as numbers, or `None` when anything else is in it or when the count is not `N`.
pub(crate) fn digits<const N: usize>(text: &str) -> Option<[u32; N]> {
    let mut out = [0_u32; N];
    let mut seen = 0;
    for (slot, byte) in out.iter_mut().zip(text.bytes()) {
        *slot = digit(byte)?;
        seen += 1;
    }
    (seen == N && text.len() == N).then_some(out)
}

/// The value of an ASCII digit.
fn digit(byte: u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| u32::from(byte.wrapping_sub(b'0')))
}

/// The value of a digit or a letter in base 36, case ignored.
fn base36(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(36)
}

/// Sum of the products of digits and weights.
fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit.saturating_mul(*weight)).sum()
}

/// Whether all digits are the same: such numbers pass many checks and are never real.
pub(crate) fn uniform(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_none_or(|first| bytes.all(|byte| byte == first))
}

/// The Luhn sum modulo 10 (ISO/IEC 7812-1), or `None` when a character is no digit or there is none.
fn luhn_sum(text: &str) -> Option<u32> {
    let mut sum = 0_u32;
    for (place, byte) in text.bytes().rev().enumerate() {
        let value = digit(byte)?;
        let value = if place % 2 == 1 { value * 2 } else { value };
        sum = sum.wrapping_add(value / 10).wrapping_add(value % 10);
    }
    (!text.is_empty()).then_some(sum % 10)
}

/// The Luhn check: payment cards, IMEI, Canadian SIN, South African ID, Swedish personal numbers.
pub(crate) fn luhn(text: &str) -> bool {
    luhn_sum(text) == Some(0)
}

/// The remainder modulo 97 of an ISO 7064 MOD 97-10 text (letters count 10 to 35), or `None` on other characters.
fn mod97(bytes: impl Iterator<Item = u8>) -> Option<u32> {
    bytes.map(base36).try_fold(0_u32, |rest, value| {
        let value = value?;
        let shifted = if value < 10 { rest * 10 } else { rest * 100 };
        Some((shifted + value) % 97)
    })
}

/// An IBAN's check (ISO 13616): the first four characters move to the end, the remainder must be 1.
pub(crate) fn iban(text: &str) -> bool {
    let (head, tail) = text.as_bytes().split_at(text.len().min(4));
    mod97(tail.iter().chain(head).copied()) == Some(1)
}

/// A US bank routing number: weights 3-7-1 (ABA policy), first two digits of a Federal Reserve district.
pub(crate) fn aba(text: &str) -> bool {
    let Some(digits) = digits::<9>(text) else { return false };
    let [first, second, ..] = digits;
    let district = first * 10 + second;
    matches!(district, 1..=12 | 21..=32 | 61..=72 | 80)
        && weighted(&digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

/// A US national provider identifier: Luhn over `80840` and the ten digits (45 CFR 162.406), first digit 1 or 2.
pub(crate) fn npi(text: &str) -> bool {
    text.len() == 10
        && text.starts_with(['1', '2'])
        // The prefix 80840 adds 24 to the sum.
        && luhn_sum(text).is_some_and(|sum| (sum + 24).is_multiple_of(10))
}

/// A US DEA registration: two letters (the second may be 9), seven digits, last digit of a weighted sum.
pub(crate) fn dea(text: &str) -> bool {
    let Some((head, tail)) = text.split_at_checked(2) else { return false };
    let [kind, name] = head.as_bytes() else { return false };
    let known = b"ABCDEFGHJKLMPRSTUX".contains(&kind.to_ascii_uppercase());
    let Some(all @ [.., check]) = digits::<7>(tail) else { return false };
    known
        && (name.is_ascii_alphabetic() || *name == b'9')
        && weighted(&all, &[1, 2, 1, 2, 1, 2]) % 10 == check
}

/// A UK NHS number: weights 10 to 2, modulus 11.
pub(crate) fn nhs(text: &str) -> bool {
    let Some(all @ [.., check]) = digits::<10>(text) else { return false };
    let rest = 11 - weighted(&all, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    (if rest == 11 { 0 } else { rest }) == check && !uniform(text)
}

/// An Australian Medicare card number: ten or eleven digits, first 2 to 6, ninth digit is the check.
pub(crate) fn au_medicare(text: &str) -> bool {
    let head = text.get(..10).unwrap_or_default();
    let Some(all @ [first, .., check, _]) = digits::<10>(head) else { return false };
    text.len() <= 11
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (2..=6).contains(&first)
        && weighted(&all, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == check
}

/// A US Medicare beneficiary identifier: eleven characters of a fixed class pattern (CMS, MBI format); no check digit.
pub(crate) fn mbi(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte);
    text.len() == 11
        && text.bytes().zip(*b"1AX9AX9AA99").all(|(byte, class)| match class {
            b'1' => matches!(byte, b'1'..=b'9'),
            b'9' => byte.is_ascii_digit(),
            b'A' => letter(byte),
            _ => letter(byte) || byte.is_ascii_digit(),
        })
}

/// The Verhoeff check digit (dihedral group of order ten): Indian Aadhaar.
pub(crate) fn verhoeff(text: &str) -> bool {
    const PERMUTE: [[usize; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let mut state = 0_usize;
    for (row, byte) in PERMUTE.iter().cycle().zip(text.bytes().rev()) {
        let Some(value) = digit(byte) else { return false };
        let Some(&mapped) = row.get(value as usize) else { return false };
        state = dihedral(state, mapped);
    }
    state == 0 && !text.is_empty()
}

/// The product of two elements of the dihedral group of the pentagon: 0 to 4 rotate, 5 to 9 reflect.
fn dihedral(a: usize, b: usize) -> usize {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Whether `text` follows `shape`: `A` a letter, `9` a digit, `*` either; case ignored.
pub(crate) fn letters_digits(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, class)| match class {
            b'A' => byte.is_ascii_alphabetic(),
            b'9' => byte.is_ascii_digit(),
            _ => byte.is_ascii_alphanumeric(),
        })
}

/// Whether two texts are a day of the month and a month.
pub(crate) fn day_month(day: Option<&str>, month: Option<&str>) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    (1..=31).contains(&number(day)) && (1..=12).contains(&number(month))
}

/// The ISO 7064 MOD 11,10 check over all digits, the last being the check digit.
fn mod11_10(digits: &[u32]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10_u32, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == *check
}

/// A machine-readable document check digit: weights 7-3-1, letters count 10 to 35 (ICAO 9303 part 3).
pub(crate) fn icao(text: &str) -> bool {
    let Some((check, body)) = text.as_bytes().split_last() else { return false };
    let mut sum = 0;
    for (byte, weight) in body.iter().zip([7, 3, 1].into_iter().cycle()) {
        let Some(value) = base36(*byte) else { return false };
        sum += value * weight % 10;
    }
    digit(*check) == Some(sum % 10) && !body.is_empty()
}

#[cfg(test)]
mod tests;
