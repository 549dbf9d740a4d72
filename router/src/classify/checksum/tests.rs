use proptest::prelude::*;

use super::*;

type Check = fn(&str) -> bool;

/// A scheme that finds every single wrong digit: the digits before its check characters, what those may be, and an example
/// that its authority or the public description prints.
struct Scheme {
    name: &'static str,
    check: Check,
    /// `9` is any digit; other characters stand for themselves.
    body: &'static str,
    ends: &'static str,
    end_length: usize,
    example: &'static str,
}

const DIGITS: &str = "0123456789";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const fn scheme(
    name: &'static str,
    check: Check,
    body: &'static str,
    (ends, end_length): (&'static str, usize),
    example: &'static str,
) -> Scheme {
    Scheme { name, check, body, ends, end_length, example }
}

const SCHEMES: [Scheme; 20] = [
    scheme("luhn", luhn, "499999999999999", (DIGITS, 1), "4111111111111111"),
    scheme("npi", npi, "199999999", (DIGITS, 1), "1234567893"),
    scheme("aba", aba, "01999999", (DIGITS, 1), "021000021"),
    scheme("nhs", nhs, "949999999", (DIGITS, 1), "9434765919"),
    scheme("aadhaar", national::in_aadhaar, "29999999999", (DIGITS, 1), "234123412346"),
    scheme("pesel", national::pl_pesel, "4405149999", (DIGITS, 1), "44051401359"),
    scheme("tfn", national::au_tfn, "19999999", (DIGITS, 1), "123456782"),
    scheme("abn", national::au_abn, "51999999999", ("", 0), "51824753556"),
    scheme("nif", national::es_nif, "99999999", (LETTERS, 1), "12345678Z"),
    scheme("nie", national::es_nie, "X9999999", (LETTERS, 1), "X1234567L"),
    scheme("nric", national::sg_nric, "S9999999", (LETTERS, 1), "S1234567D"),
    scheme("sin", national::ca_sin, "19999999", (DIGITS, 1), "193456787"),
    scheme("de-tax-id", national::de_tax_id, "8609574271", (DIGITS, 1), "86095742719"),
    scheme("bsn", national::nl_bsn, "19999999", (DIGITS, 1), "111222333"),
    scheme("nir", national::fr_nir, "1850799999999", (DIGITS, 2), "255081416802538"),
    scheme("cn-id", national::cn_id, "11010519491231999", ("0123456789X", 1), "11010519491231002X"),
    scheme(
        "hetu",
        national::fi_hetu,
        "131052-999",
        ("0123456789ABCDEFHJKLMNPRSTUVWXY", 1),
        "131052-308T",
    ),
    scheme("za-id", national::za_id, "800101999908", (DIGITS, 1), "8001015009087"),
    scheme("ahv", national::ch_ahv, "756999999999", (DIGITS, 1), "7569217076985"),
    scheme("be-nrn", national::be_nrn, "850730999", (DIGITS, 2), "85073003328"),
];

/// The body with its digits from `seed`, and every ending that makes it valid.
fn valid(scheme: &Scheme, seed: &[u8]) -> Vec<String> {
    let mut seeds = seed.iter().cycle();
    let body: String = scheme
        .body
        .chars()
        .map(|c| if c == '9' { char::from(b'0' + seeds.next().unwrap() % 10) } else { c })
        .collect();
    let mut all = vec![body];
    for _ in 0..scheme.end_length {
        all = all
            .iter()
            .flat_map(|head| scheme.ends.chars().map(move |end| format!("{head}{end}")))
            .collect();
    }
    all.retain(|text| (scheme.check)(text));
    all
}

#[test]
fn published_examples_are_valid() {
    for scheme in &SCHEMES {
        assert!((scheme.check)(scheme.example), "{}", scheme.name);
    }
    for (check, example) in [
        (iban as Check, "GB82WEST12345698765432"),
        (iban, "DE89370400440532013000"),
        (dea, "AB1234563"),
        (mbi, "1EG4TE5MK73"),
        (au_medicare, "2123456701"),
        (national::us_ssn, "219099998"),
        (national::th_tnin, "1101700207366"),
        (national::pt_nif, "501964843"),
        (national::us_itin, "912701234"),
        (national::gb_nino, "AB123456C"),
        (national::in_pan, "AAAPL1234C"),
        (national::it_fiscal_code, "RSSMRA85T10A562S"),
        (national::kr_rrn, "7501011234568"),
        (national::de_social_security, "15070649C103"),
        (national::se_personnummer, "8112189876"),
        (national::tr_tckn, "10000000146"),
        (national::br_cpf, "52998224725"),
        (national::br_cnpj, "11222333000181"),
        (national::no_fnr, "01010750160"),
        (national::mx_curp, "HEGG560427MVZRRL04"),
        (icao, "L898902C36"),
    ] {
        assert!(check(example), "{example}");
    }
}

#[test]
fn numbers_that_are_never_issued_are_refused() {
    for (check, text) in [
        (national::us_ssn as Check, "000123456"),
        (national::us_ssn, "666123456"),
        (national::us_ssn, "123006789"),
        (national::us_ssn, "123450000"),
        (national::us_itin, "912341234"),
        (national::gb_nino, "BG123456C"),
        (national::gb_nino, "AB123456E"),
        (aba, "991000021"),
        (iban, "GB82WEST12345698765433"),
        (mbi, "1SG4TE5MK73"),
        (national::br_cpf, "11111111111"),
        (national::pl_pesel, "44991401359"),
    ] {
        assert!(!check(text), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_single_wrong_digit_is_always_found(seed in prop::collection::vec(any::<u8>(), 18), place in 0_usize..18, add in 1_u8..10) {
        for scheme in &SCHEMES {
            for text in valid(scheme, &seed).into_iter().take(2) {
                let mut wrong = text.clone().into_bytes();
                let place = place % wrong.len();
                if !wrong[place].is_ascii_digit() {
                    continue;
                }
                wrong[place] = b'0' + (wrong[place] - b'0' + add) % 10;
                let wrong = String::from_utf8(wrong).unwrap();
                // Two Belgian keys are right for one number: that of births before and after 2000.
                if scheme.name != "be-nrn" || place >= 9 {
                    prop_assert!(!(scheme.check)(&wrong) || scheme.name == "be-nrn", "{}: {text} and {wrong}", scheme.name);
                }
            }
        }
    }

    #[test]
    fn most_bodies_have_a_valid_ending(seed in prop::collection::vec(any::<u8>(), 18)) {
        for name in ["luhn", "npi", "nie", "nif", "aadhaar", "nir", "ahv", "hetu"] {
            let scheme = SCHEMES.iter().find(|scheme| scheme.name == name).unwrap();
            prop_assert!(!valid(scheme, &seed).is_empty() || checks_uniform(scheme, &seed), "{name}");
        }
    }

    #[test]
    fn no_check_panics_on_any_text(text in ".{0,24}", digits in "[0-9]{0,20}") {
        for scheme in &SCHEMES {
            let _ = (scheme.check)(&text);
            let _ = (scheme.check)(&digits);
        }
        for check in [iban as Check, dea, mbi, au_medicare, icao, verhoeff, national::it_fiscal_code, national::de_social_security,
            national::kr_rrn, national::se_personnummer, national::dk_cpr, national::mx_curp, national::br_cnpj, national::tr_tckn] {
            let _ = check(&text);
            let _ = check(&digits);
        }
        let _ = coin::base58_version(&text);
        let _ = coin::bech32(&text);
        let _ = coin::eip55(&text);
    }
}

/// Bodies of equal digits are refused on purpose.
fn checks_uniform(scheme: &Scheme, seed: &[u8]) -> bool {
    scheme.body.len() == scheme.body.matches('9').count()
        && seed.iter().all(|byte| byte % 10 == seed[0] % 10)
}
