//! What moves money: card numbers, bank accounts, routing codes and addresses of crypto currencies.
//!
//! Here: what one value is. The walk over the text that offers the values is in `pii`, because a number is one thing only:
//! a card, a telephone or an identity, and they are weighed against each other there.

use super::{
    checksum::{self, coin},
    pii::{cue::Cue, government::Verdict, group::Compact, near::Near},
};

/// Countries of the IBAN registry and the length of their IBANs (SWIFT IBAN registry, release 97), as `CCnn`.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 \
    QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// Whether `code` names a country: ISO 3166-1 and `XK`.
pub(crate) fn is_country(code: &str) -> bool {
    const CODES: &str = "AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ \
        CA CD CF CG CH CI CK CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FM FO FR GA GB GD GE GF \
        GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY \
        KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MM MN MO MQ MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO \
        NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SK SL SM SN SO SR SS ST \
        SV SX SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";
    code.len() == 2 && CODES.split_ascii_whitespace().any(|known| known == code)
}

/// An IBAN: country, its length, check digits.
pub(crate) fn iban(value: &Compact) -> Option<Verdict> {
    let text = value.as_str();
    let [c1, c2, k1, k2, ..] = text.as_bytes() else { return None };
    if !(c1.is_ascii_uppercase()
        && c2.is_ascii_uppercase()
        && k1.is_ascii_digit()
        && k2.is_ascii_digit())
    {
        return None;
    }
    let known = IBAN_LENGTHS.split_ascii_whitespace().any(|entry| {
        entry.get(..2) == text.get(..2)
            && entry.get(2..).and_then(|n| n.parse().ok()) == Some(value.len())
    });
    (known && checksum::iban(text)).then(|| Verdict::new("payment/iban", 99, "checksum"))
}

/// Whether `text` (digits only) begins and is as long as the cards of a brand (ISO/IEC 7812 ranges as brands publish them).
fn is_branded(text: &str) -> bool {
    let head =
        |count: usize| text.get(..count).and_then(|head| head.parse::<u32>().ok()).unwrap_or(0);
    let (two, three, four) = (head(2), head(3), head(4));
    match text.len() {
        13 | 19 if text.starts_with('4') => true,
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three) || three == 309,
        15 => matches!(two, 34 | 37) || matches!(four, 2131 | 1800),
        16 => {
            text.starts_with('4')
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || four == 6011
                || (644..=659).contains(&three)
                || (3528..=3589).contains(&four)
                || matches!(two, 62 | 36 | 38 | 39)
                || (300..=305).contains(&three)
                || (2200..=2204).contains(&four)
                || matches!(two, 60 | 81)
                || is_maestro(two, four)
        }
        17..=19 => {
            two == 62 || four == 6011 || (644..=659).contains(&three) || is_maestro(two, four)
        }
        _ => false,
    }
}

/// Maestro's best known ranges.
fn is_maestro(two: u32, four: u32) -> bool {
    matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 | 6771) || two == 67
}

/// A payment card: Luhn, a brand's beginning and length; twelve-digit and unbranded ones only behind a cue.
pub(crate) fn card(value: &Compact, joint: u8, near: &Near) -> Option<Verdict> {
    let text = value.as_str();
    if !value.is_number() || !(12..=19).contains(&value.len()) || text.starts_with('0') {
        return None;
    }
    let printed = matches!(value.mask, 0x4444 | 0x465 | 0x464 | 0x0004_4443 | 0x0004_4441 | 0x4333);
    let single = value.mask < 16;
    if !(single && joint == 0 || printed && matches!(joint, b' ' | b'-' | b'.'))
        || !checksum::luhn(text)
    {
        return None;
    }
    let cued = near.has(Cue::Card, 60) || near.has(Cue::Pan, 40);
    let against = near.has(Cue::Order, 24) || near.has(Cue::Build, 24);
    let branded = is_branded(text);
    match (cued, branded, printed) {
        _ if checksum::uniform(text) => None,
        (true, true, _) => Some(Verdict::new("payment/card", 99, "checksum")),
        (true, false, _) => Some(Verdict::new("payment/card", 85, "checksum")),
        (false, true, _) if against => None,
        (false, true, true) => Some(Verdict::new("payment/card", 90, "checksum")),
        (false, true, false) if value.len() >= 14 => {
            Some(Verdict::new("payment/card", 75, "checksum"))
        }
        _ => None,
    }
}

/// Card numbers that payment providers publish for tests.
pub(crate) fn is_test_card(text: &str) -> bool {
    const CARDS: [&str; 26] = [
        "4242424242424242",
        "4111111111111111",
        "4012888888881881",
        "4222222222222",
        "4000056655665556",
        "4000000000000002",
        "4000000000003220",
        "4000002500003155",
        "4917610000000000",
        "4263982640269299",
        "5555555555554444",
        "5105105105105100",
        "5200828282828210",
        "2223003122003222",
        "5454545454545454",
        "378282246310005",
        "371449635398431",
        "378734493671000",
        "6011111111111117",
        "6011000990139424",
        "30569309025904",
        "38520000023237",
        "3056930009020004",
        "3530111333300000",
        "3566002020360505",
        "6200000000000005",
    ];
    CARDS.contains(&text)
}

/// A bank account or routing number that a cue announces. `spelled` says that the cue speaks of a number (`account number`,
/// `Konto`), not just of an account.
pub(crate) fn bank(cue: Cue, value: &Compact, spelled: bool) -> Option<Verdict> {
    let text = value.as_str();
    let all = value.is_number();
    match cue {
        Cue::Routing if checksum::aba(text) => {
            Some(Verdict::new("payment/routing", 95, "checksum"))
        }
        Cue::Routing if all && (value.mask == 0x222 || value.len() == 8) => {
            Some(Verdict::new("payment/routing", 85, "context"))
        }
        Cue::Account
            if spelled && all && (6..=18).contains(&value.len()) && !checksum::uniform(text) =>
        {
            Some(Verdict::new("payment/account", 80, "context"))
        }
        Cue::Iban if iban(value).is_some() => iban(value),
        Cue::Iban
            if (15..=34).contains(&value.len())
                && is_country(text.get(..2).unwrap_or_default()) =>
        {
            Some(Verdict::new("payment/iban", 75, "context"))
        }
        _ => None,
    }
}

/// A BIC: bank, country, place, branch (ISO 9362); only believed behind its cue.
pub(crate) fn is_bic(text: &str) -> bool {
    let letters =
        |part: Option<&str>| part.is_some_and(|part| part.bytes().all(|b| b.is_ascii_uppercase()));
    matches!(text.len(), 8 | 11)
        && letters(text.get(..4))
        && text.get(4..6).is_some_and(is_country)
        && text.bytes().skip(6).all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The address of a crypto currency, by its own check.
pub(crate) fn wallet(text: &str, near: &Near) -> Option<Verdict> {
    let found = |confidence| Some(Verdict::new("payment/crypto", confidence, "checksum"));
    match text.as_bytes() {
        [b'1' | b'3' | b'L' | b'M' | b'D' | b'T', ..] if (26..=35).contains(&text.len()) => {
            coin::base58_version(text)
                .filter(|version| matches!(version, 0 | 5 | 48 | 50 | 30 | 65))
                .and_then(|_| found(99))
        }
        [b'b', b'c', b'1', ..]
        | [b'l', b't', b'c', b'1', ..]
        | [b'a', b'd', b'd', b'r', b'1', ..]
            if text.len() >= 26 && coin::bech32(text) =>
        {
            found(99)
        }
        [b'0', b'x', ..] if text.len() == 42 => {
            let hex = text.get(2..)?;
            let mixed = hex.bytes().any(|b| b.is_ascii_uppercase())
                && hex.bytes().any(|b| b.is_ascii_lowercase());
            let empty = checksum::uniform(hex);
            (coin::eip55(hex) && !empty && (mixed || near.has(Cue::Wallet, 60)))
                .then(|| found(if mixed { 95 } else { 80 }))?
        }
        _ => None,
    }
}
