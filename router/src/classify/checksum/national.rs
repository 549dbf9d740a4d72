//! Check digits of the numbers that states give to people and firms.
//!
//! Each function takes the bare characters and says whether shape and check are right. Sources are the public
//! descriptions by the issuing authorities. Not here: whether a text speaks of such a number.

use super::{
    base36, day_month, digits, letters_digits, luhn, mod11_10, uniform, verhoeff, weighted,
};

/// A US social security number: area, group and serial that the agency may issue (SSA, randomisation of 2011).
pub(crate) fn us_ssn(text: &str) -> bool {
    let Some(all) = digits::<9>(text) else { return false };
    let area = weighted(&all, &[100, 10, 1]);
    let [_, _, _, g1, g2, s1, s2, s3, s4] = all;
    area != 0 && area != 666 && area < 900 && g1 + g2 > 0 && s1 + s2 + s3 + s4 > 0
}

/// A US individual taxpayer number: 9xx, fourth and fifth digit in the issued ranges (IRS).
pub(crate) fn us_itin(text: &str) -> bool {
    let Some([9, _, _, g1, g2, ..]) = digits::<9>(text) else { return false };
    matches!(g1 * 10 + g2, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// A UK national insurance number: two prefix letters, six digits, suffix A to D (HMRC NIM39110).
pub(crate) fn gb_nino(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let &[a, b, .., suffix] = upper.as_bytes() else { return false };
    let barred = [*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&[a, b]);
    upper.len() == 9
        && a.is_ascii_uppercase()
        && b.is_ascii_uppercase()
        && !b"DFIQUV".contains(&a)
        && !b"DFIQUVO".contains(&b)
        && !barred
        && upper.bytes().skip(2).take(6).all(|byte| byte.is_ascii_digit())
        && matches!(suffix, b'A'..=b'D')
}

/// An Indian Aadhaar number: twelve digits, first 2 to 9, Verhoeff.
pub(crate) fn in_aadhaar(text: &str) -> bool {
    text.len() == 12 && !text.starts_with(['0', '1']) && verhoeff(text) && !uniform(text)
}

/// An Indian permanent account number: five letters (the fourth names the holder's kind), four digits, a letter.
pub(crate) fn in_pan(text: &str) -> bool {
    letters_digits(text, "AAAAA9999A")
}

/// A Singapore NRIC or FIN: prefix S, T, F, G or M, seven digits, weighted check letter.
pub(crate) fn sg_nric(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let (Some(middle), Some(check)) = (upper.get(1..8), upper.as_bytes().get(8).copied()) else {
        return false;
    };
    let Some(numbers) = digits::<7>(middle) else { return false };
    let sum = weighted(&numbers, &[2, 7, 6, 5, 4, 3, 2]);
    let (offset, table) = match upper.bytes().next() {
        Some(b'S') => (0, b"JZIHGFEDCBA"),
        Some(b'T') => (4, b"JZIHGFEDCBA"),
        Some(b'F') => (0, b"XWUTRQPNMLK"),
        Some(b'G') => (4, b"XWUTRQPNMLK"),
        Some(b'M') => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    upper.len() == 9 && table.get(((sum + offset) % 11) as usize) == Some(&check)
}

/// An Australian tax file number: nine digits (or the older eight), weighted sum divisible by 11.
pub(crate) fn au_tfn(text: &str) -> bool {
    let nine = digits::<9>(text)
        .is_some_and(|all| weighted(&all, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11));
    let eight = digits::<8>(text)
        .is_some_and(|all| weighted(&all, &[10, 7, 8, 4, 6, 3, 5, 1]).is_multiple_of(11));
    (nine || eight) && !uniform(text)
}

/// An Australian business number: eleven digits, first reduced by one, weighted sum divisible by 89.
pub(crate) fn au_abn(text: &str) -> bool {
    digits::<11>(text).is_some_and(|all| {
        let sum = weighted(&all, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        sum >= 10 && (sum - 10).is_multiple_of(89) && !uniform(text)
    })
}

/// An Australian company number: nine digits, complement of a weighted sum modulo 10.
pub(crate) fn au_acn(text: &str) -> bool {
    digits::<9>(text).is_some_and(|all| {
        let [.., check] = all;
        (10 - weighted(&all, &[8, 7, 6, 5, 4, 3, 2, 1]) % 10) % 10 == check && !uniform(text)
    })
}

/// The check letter of a Spanish identity number.
fn es_letter(number: u32) -> Option<u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get((number % 23) as usize).copied()
}

/// A Spanish DNI/NIF: eight digits and a letter (modulus 23).
pub(crate) fn es_nif(text: &str) -> bool {
    let (Some(number), Some(check)) = (text.get(..8), text.as_bytes().get(8).copied()) else {
        return false;
    };
    text.len() == 9
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && number
            .parse()
            .ok()
            .and_then(es_letter)
            .is_some_and(|letter| letter == check.to_ascii_uppercase())
}

/// A Spanish NIE: X, Y or Z stands for 0, 1 or 2, then as [`es_nif`].
pub(crate) fn es_nie(text: &str) -> bool {
    let Some(rest) = text.get(1..) else { return false };
    let first = match text.bytes().next().map(|byte| byte.to_ascii_uppercase()) {
        Some(b'X') => '0',
        Some(b'Y') => '1',
        Some(b'Z') => '2',
        _ => return false,
    };
    es_nif(&format!("{first}{rest}"))
}

/// An Italian fiscal code: sixteen characters with a check letter over odd and even places.
pub(crate) fn it_fiscal_code(text: &str) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    if !it_fiscal_shape(text) {
        return false;
    }
    let mut sum = 0;
    for (place, byte) in text.bytes().take(15).enumerate() {
        let Some(value) = base36(byte) else { return false };
        let value = if value >= 10 { value - 10 } else { value };
        sum += if place % 2 == 0 {
            ODD.get(value as usize).copied().unwrap_or_default()
        } else {
            value
        };
    }
    text.as_bytes().get(15).copied().and_then(base36) == Some(sum % 26 + 10)
}

/// The shape of an Italian fiscal code: letters, year, month letter, day, place; digits may be letters L to V (omocodia).
pub(crate) fn it_fiscal_shape(text: &str) -> bool {
    let number = |byte: u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(&byte);
    text.len() == 16
        && text.bytes().enumerate().all(|(place, byte)| {
            let byte = byte.to_ascii_uppercase();
            match place {
                6 | 7 | 9 | 10 | 12 | 13 | 14 => number(byte),
                8 => b"ABCDEHLMPRST".contains(&byte),
                _ => byte.is_ascii_uppercase(),
            }
        })
}

/// A Polish PESEL: eleven digits that begin with a birth date, weights 1-3-7-9.
pub(crate) fn pl_pesel(text: &str) -> bool {
    digits::<11>(text).is_some_and(|all| {
        let [_, _, m1, m2, d1, d2, ..] = all;
        let (month, day) = ((m1 * 10 + m2) % 20, d1 * 10 + d2);
        (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && weighted(&all, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
    })
}

/// A Finnish personal identity code: `DDMMYY`, a century sign, three digits and a check character (modulus 31).
pub(crate) fn fi_hetu(text: &str) -> bool {
    let (Some(date), Some(sign), Some(serial), Some(check)) = (
        text.get(..6),
        text.as_bytes().get(6).copied(),
        text.get(7..10),
        text.as_bytes().get(10).copied(),
    ) else {
        return false;
    };
    let all = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() != 11 || !all(date) || !all(serial) || !b"+-ABCDEFUVWXY".contains(&sign) {
        return false;
    }
    let number: u32 = format!("{date}{serial}").parse().unwrap_or_default();
    day_month(date.get(..2), date.get(2..4))
        && b"0123456789ABCDEFHJKLMNPRSTUVWXY".get((number % 31) as usize)
            == Some(&check.to_ascii_uppercase())
}

/// A Korean resident registration number: birth date, sex digit, weighted check (numbers issued since 2020 have none).
pub(crate) fn kr_rrn(text: &str) -> bool {
    digits::<13>(text).is_some_and(|all| {
        let [_, _, _, _, _, _, sex, .., check] = all;
        let sum = weighted(&all, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
        day_month(text.get(4..6), text.get(2..4))
            && (1..=8).contains(&sex)
            && (11 - sum % 11) % 10 == check
    })
}

/// A Canadian social insurance number: nine digits, first not 0 or 8, Luhn.
pub(crate) fn ca_sin(text: &str) -> bool {
    text.len() == 9 && !text.starts_with(['0', '8']) && luhn(text) && !uniform(text)
}

/// A German tax identification number: eleven digits, one digit repeated among the first ten, MOD 11,10.
pub(crate) fn de_tax_id(text: &str) -> bool {
    let Some(all @ [first, ..]) = digits::<11>(text) else { return false };
    let mut counts = [0_u8; 10];
    for digit in all.iter().take(10) {
        if let Some(count) = counts.get_mut(*digit as usize) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    first != 0 && (2..=3).contains(&most) && mod11_10(&all)
}

/// A German social insurance number: area, birth date, letter, serial, check (VKVV §4).
pub(crate) fn de_social_security(text: &str) -> bool {
    if !letters_digits(text, "99999999A999") || !day_month(text.get(2..4), text.get(4..6)) {
        return false;
    }
    let mut numbers = [0_u32; 13];
    let expanded = text.bytes().filter_map(base36).flat_map(|value| {
        let letter = value >= 10;
        let value = if letter { value - 9 } else { value };
        [letter.then_some(value / 10), Some(value % 10)].into_iter().flatten()
    });
    for (slot, value) in numbers.iter_mut().zip(expanded) {
        *slot = value;
    }
    let sum: u32 = numbers
        .iter()
        .zip([2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1])
        .map(|(number, weight)| {
            let product = number * weight;
            product / 10 + product % 10
        })
        .sum();
    let [.., check] = numbers;
    sum % 10 == check
}

/// A Swedish personal number: ten digits (century dropped) with a birth date (day plus 60 when provisional), Luhn.
pub(crate) fn se_personnummer(text: &str) -> bool {
    let text = if text.len() == 12 { text.get(2..).unwrap_or_default() } else { text };
    let Some([_, _, _, _, d1, d2, ..]) = digits::<10>(text) else { return false };
    let day = (d1 * 10 + d2) % 60;
    (1..=31).contains(&day) && day_month(Some("1"), text.get(2..4)) && luhn(text)
}

/// A Thai identity number: thirteen digits, weights 13 to 2, modulus 11.
pub(crate) fn th_tnin(text: &str) -> bool {
    digits::<13>(text).is_some_and(|all| {
        let [first, .., check] = all;
        let sum = weighted(&all, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
        first != 0 && (11 - sum % 11) % 10 == check && !uniform(text)
    })
}

/// A Turkish identity number: eleven digits, two check digits.
pub(crate) fn tr_tckn(text: &str) -> bool {
    let Some(all @ [a, b, c, d, e, f, g, h, i, ten, eleven]) = digits::<11>(text) else {
        return false;
    };
    let sum: u32 = all.iter().take(10).sum();
    a != 0 && (7 * (a + c + e + g + i) + 100 - (b + d + f + h)) % 10 == ten && sum % 10 == eleven
}

/// A South African identity number: thirteen digits that begin with a birth date, citizenship digit 0 to 2, Luhn.
pub(crate) fn za_id(text: &str) -> bool {
    text.len() == 13
        && day_month(text.get(4..6), text.get(2..4))
        && matches!(text.as_bytes().get(10).copied(), Some(b'0'..=b'2'))
        && luhn(text)
}

/// One Brazilian check digit: a weighted sum modulo 11, where 10 counts as 0.
fn br_check(sum: u32) -> u32 {
    sum * 10 % 11 % 10
}

/// A Brazilian CPF: eleven digits, two check digits.
pub(crate) fn br_cpf(text: &str) -> bool {
    digits::<11>(text).is_some_and(|all| {
        let [.., first, second] = all;
        br_check(weighted(&all, &[10, 9, 8, 7, 6, 5, 4, 3, 2])) == first
            && br_check(weighted(&all, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2])) == second
            && !uniform(text)
    })
}

/// A Brazilian CNPJ: fourteen digits, two check digits.
pub(crate) fn br_cnpj(text: &str) -> bool {
    digits::<14>(text).is_some_and(|all| {
        let [.., first, second] = all;
        br_check(weighted(&all, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])) == first
            && br_check(weighted(&all, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])) == second
            && !uniform(text)
    })
}

/// A Dutch citizen service number: nine digits, the "eleven test" with a negative last weight.
pub(crate) fn nl_bsn(text: &str) -> bool {
    digits::<9>(text).is_some_and(|all| {
        let [.., check] = all;
        let sum = weighted(&all, &[9, 8, 7, 6, 5, 4, 3, 2]);
        sum >= check && (sum - check).is_multiple_of(11) && !uniform(text)
    })
}

/// A French social security number: thirteen characters (2A and 2B for Corsica) and a two-digit key modulo 97.
pub(crate) fn fr_nir(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let (Some(body), Some(key)) = (upper.get(..13), upper.get(13..)) else { return false };
    let digits: String = match body.get(5..7) {
        Some("2A") => {
            format!("{}19{}", body.get(..5).unwrap_or_default(), body.get(7..).unwrap_or_default())
        }
        Some("2B") => {
            format!("{}18{}", body.get(..5).unwrap_or_default(), body.get(7..).unwrap_or_default())
        }
        _ => body.to_owned(),
    };
    let month: u32 = digits.get(3..5).and_then(|month| month.parse().ok()).unwrap_or_default();
    let (Ok(number), Ok(key)) = (digits.parse::<u64>(), key.parse::<u64>()) else { return false };
    upper.len() == 15
        && matches!(upper.bytes().next(), Some(b'1' | b'2' | b'3' | b'4' | b'7' | b'8'))
        && (1..=12).contains(&month) | (20..=42).contains(&month) | (50..=99).contains(&month)
        && 97 - number % 97 == key
}

/// A Chinese resident identity number: region, birth date, serial, check character (GB 11643-1999, MOD 11-2).
pub(crate) fn cn_id(text: &str) -> bool {
    let (Some(body), Some(check)) = (text.get(..17), text.as_bytes().get(17).copied()) else {
        return false;
    };
    let Some(all) = digits::<17>(body) else { return false };
    let sum = weighted(&all, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    text.len() == 18
        && matches!(body.get(6..8), Some("19" | "20"))
        && day_month(body.get(12..14), body.get(10..12))
        && b"10X98765432".get((sum % 11) as usize) == Some(&check.to_ascii_uppercase())
}

/// A Belgian national number: eleven digits, 97 minus the remainder of the first nine (2 in front for births since 2000).
pub(crate) fn be_nrn(text: &str) -> bool {
    let (Some(body), Some(key)) = (text.get(..9), text.get(9..)) else { return false };
    let (Some(_), Ok(key)) = (digits::<11>(text), key.parse::<u64>()) else { return false };
    let Ok(number) = body.parse::<u64>() else { return false };
    let month = body.get(2..4).and_then(|month| month.parse::<u32>().ok()).unwrap_or(99);
    month <= 12 && (97 - number % 97 == key || 97 - (2_000_000_000 + number) % 97 == key)
}

/// A Norwegian birth number: eleven digits, two check digits modulo 11.
pub(crate) fn no_fnr(text: &str) -> bool {
    digits::<11>(text).is_some_and(|all| {
        let [d1, d2, ..] = all;
        let day = (d1 * 10 + d2) % 40;
        (1..=31).contains(&day)
            && day_month(Some("1"), text.get(2..4))
            && weighted(&all, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
            && weighted(&all, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
    })
}

/// A Danish CPR number by shape: ten digits that begin with a birth date (the check digit is no longer promised).
pub(crate) fn dk_cpr(text: &str) -> bool {
    digits::<10>(text).is_some() && day_month(text.get(..2), text.get(2..4))
}

/// A Portuguese tax number: nine digits, weights 9 to 2, modulus 11.
pub(crate) fn pt_nif(text: &str) -> bool {
    digits::<9>(text).is_some_and(|all| {
        let [first, .., check] = all;
        let rest = weighted(&all, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        matches!(first, 1..=3 | 5 | 6 | 8 | 9) && (if rest < 2 { 0 } else { 11 - rest }) == check
    })
}

/// A Swiss social insurance number: thirteen digits that begin with 756, EAN-13 check.
pub(crate) fn ch_ahv(text: &str) -> bool {
    text.starts_with("756")
        && digits::<13>(text).is_some_and(|all| {
            weighted(&all, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
        })
}

/// A Mexican CURP by shape: eighteen characters with a birth date, a sex letter and a check digit modulo 10.
pub(crate) fn mx_curp(text: &str) -> bool {
    letters_digits(text, "AAAA999999AAAAAA*9")
        && day_month(text.get(8..10), text.get(6..8))
        && matches!(text.as_bytes().get(10).copied(), Some(b'H' | b'M' | b'X' | b'h' | b'm' | b'x'))
}
