//! Numbers that states give to people and firms, of some thirty countries.
//!
//! A number whose cue stands near is taken by its shape, more surely when its check digits are right. Without a cue only
//! shapes that random data hardly has are taken. Not here: the arithmetic (`checksum`) and finding the cue (`near`).

use domain::Label;

use super::{cue::Cue, group::Compact, near::Near};
use crate::classify::checksum::{self, national};

/// What a value was taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The kind.
    pub(crate) label: Label,
    /// How sure, 0 to 100.
    pub(crate) confidence: u8,
    /// Why.
    pub(crate) evidence: &'static str,
}

impl Verdict {
    pub(crate) fn new(label: &'static str, confidence: u8, evidence: &'static str) -> Self {
        Self { label: Label::fixed(label), confidence, evidence }
    }
}

/// One kind of number: its cue, its label, its shape and its check.
struct Rule {
    cue: Cue,
    label: &'static str,
    /// Whether the bare characters have the right form.
    shape: fn(&str) -> bool,
    /// Whether the check digits are right.
    check: fn(&str) -> bool,
}

const fn rule(
    cue: Cue,
    label: &'static str,
    shape: fn(&str) -> bool,
    check: fn(&str) -> bool,
) -> Rule {
    Rule { cue, label, shape, check }
}

/// Numbers that a cue announces. More than one rule of a cue: the first whose shape fits.
const RULES: &[Rule] = &[
    rule(Cue::Ssn, "pii/government-id/us-ssn", |t| digits(t, 9), national::us_ssn),
    rule(Cue::Itin, "pii/government-id/us-itin", |t| digits(t, 9), national::us_itin),
    rule(Cue::Ein, "pii/government-id/us-ein", |t| digits(t, 9), |t| !checksum::uniform(t)),
    rule(Cue::Nino, "pii/government-id/gb-nino", |t| shape(t, "AA999999A"), national::gb_nino),
    rule(Cue::Aadhaar, "pii/government-id/in-aadhaar", |t| digits(t, 12), national::in_aadhaar),
    rule(Cue::Pan, "pii/government-id/in-pan", national::in_pan, national::in_pan),
    rule(Cue::Nric, "pii/government-id/sg-nric", |t| shape(t, "A9999999A"), national::sg_nric),
    rule(Cue::Tfn, "pii/government-id/au-tfn", |t| digits(t, 8) || digits(t, 9), national::au_tfn),
    rule(Cue::Abn, "pii/government-id/au-abn", |t| digits(t, 11), national::au_abn),
    rule(Cue::Acn, "pii/government-id/au-acn", |t| digits(t, 9), national::au_acn),
    rule(Cue::Nif, "pii/government-id/es-nif", |t| shape(t, "99999999A"), national::es_nif),
    rule(Cue::Nif, "pii/government-id/es-nie", |t| shape(t, "A9999999A"), national::es_nie),
    rule(Cue::Nif, "pii/government-id/pt-nif", |t| digits(t, 9), national::pt_nif),
    rule(Cue::Nif, "pii/government-id/ar-dni", |t| digits(t, 7) || digits(t, 8), |_| false),
    rule(Cue::Nie, "pii/government-id/es-nie", |t| shape(t, "A9999999A"), national::es_nie),
    rule(
        Cue::Fiscal,
        "pii/government-id/it-fiscal-code",
        national::it_fiscal_shape,
        national::it_fiscal_code,
    ),
    rule(Cue::Pesel, "pii/government-id/pl-pesel", |t| digits(t, 11), national::pl_pesel),
    rule(Cue::Hetu, "pii/government-id/fi-hetu", |t| shape(t, "999999999*"), |_| false),
    rule(Cue::Rrn, "pii/government-id/kr-rrn", |t| digits(t, 13), national::kr_rrn),
    rule(Cue::Sin, "pii/government-id/ca-sin", |t| digits(t, 9), national::ca_sin),
    rule(Cue::TaxDe, "pii/government-id/de-tax-id", |t| digits(t, 11), national::de_tax_id),
    rule(
        Cue::TaxDe,
        "pii/government-id/de-tax-number",
        |t| digits(t, 10) || digits(t, 13),
        |_| false,
    ),
    rule(
        Cue::SocialDe,
        "pii/government-id/de-social-security",
        |t| shape(t, "99999999A999"),
        national::de_social_security,
    ),
    rule(Cue::SocialDe, "pii/government-id/at-social-security", |t| digits(t, 10), |_| false),
    rule(Cue::CardDe, "pii/government-id/de-id-card", |t| mixed(t, 9..=11, 4), checksum::icao),
    rule(
        Cue::PersonalSe,
        "pii/government-id/se-personnummer",
        |t| digits(t, 10) || digits(t, 12),
        national::se_personnummer,
    ),
    rule(Cue::PersonalSe, "pii/government-id/no-fnr", |t| digits(t, 11), national::no_fnr),
    rule(Cue::Thai, "pii/government-id/th-tnin", |t| digits(t, 13), national::th_tnin),
    rule(Cue::Tckn, "pii/government-id/tr-tckn", |t| digits(t, 11), national::tr_tckn),
    rule(Cue::Cpf, "pii/government-id/br-cpf", |t| digits(t, 11), national::br_cpf),
    rule(Cue::Cnpj, "pii/government-id/br-cnpj", |t| digits(t, 14), national::br_cnpj),
    rule(Cue::Bsn, "pii/government-id/nl-bsn", |t| digits(t, 9), national::nl_bsn),
    rule(Cue::Nir, "pii/government-id/fr-nir", |t| mixed(t, 13..=15, 12), national::fr_nir),
    rule(
        Cue::IdCn,
        "pii/government-id/cn-id",
        |t| t.len() == 18 && mixed(t, 18..=18, 17),
        national::cn_id,
    ),
    rule(Cue::Nin, "pii/government-id/ng-nin", |t| digits(t, 11), |t| !checksum::uniform(t)),
    rule(Cue::Cpr, "pii/government-id/dk-cpr", |t| digits(t, 10), national::dk_cpr),
    rule(Cue::Fnr, "pii/government-id/no-fnr", |t| digits(t, 11), national::no_fnr),
    rule(Cue::Nrn, "pii/government-id/be-nrn", |t| digits(t, 11), national::be_nrn),
    rule(Cue::TaxPt, "pii/government-id/pt-nif", |t| digits(t, 9), national::pt_nif),
    rule(Cue::Ahv, "pii/government-id/ch-ahv", |t| digits(t, 13), national::ch_ahv),
    rule(Cue::Curp, "pii/government-id/mx-curp", national::mx_curp, national::mx_curp),
    rule(
        Cue::Pps,
        "pii/government-id/ie-pps",
        |t| shape(t, "9999999A") || shape(t, "9999999AA"),
        |_| true,
    ),
    rule(Cue::Passport, "pii/government-id/passport", |t| mixed(t, 6..=10, 4), |_| false),
    rule(Cue::License, "pii/government-id/driver-license", |t| mixed(t, 6..=18, 4), |_| false),
    rule(Cue::Voter, "pii/government-id/in-voter", |t| shape(t, "AAA9999999"), |_| true),
    rule(Cue::Identity, "pii/government-id/national-id", |t| mixed(t, 7..=18, 6), |_| false),
    rule(Cue::Tax, "pii/government-id/tax-id", |t| mixed(t, 8..=15, 7), |_| false),
    rule(Cue::Rsa, "pii/government-id/za-id", |t| digits(t, 13), national::za_id),
];

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn shape(text: &str, pattern: &str) -> bool {
    checksum::letters_digits(text, pattern)
}

/// Letters and digits, so many in all and at least so many digits.
fn mixed(text: &str, length: std::ops::RangeInclusive<usize>, least: usize) -> bool {
    length.contains(&text.len()) && text.bytes().filter(u8::is_ascii_digit).count() >= least
}

/// Whether a cue announces a government's number.
pub(crate) fn announces(cue: Cue) -> bool {
    RULES.iter().any(|rule| rule.cue == cue)
}

/// The verdict on a value that `cue` announces.
pub(crate) fn announced(cue: Cue, value: &Compact) -> Option<Verdict> {
    let text = value.as_str();
    // "Licence … (c) 2014-2020" and "DL = 0x6001" are about programs.
    let years = value.mask == 0x44 && text.get(..2) < Some("21") && text.starts_with(['1', '2']);
    if years && cue == Cue::License
        || text.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("0x"))
    {
        return None;
    }
    let rule = RULES.iter().find(|rule| rule.cue == cue && (rule.shape)(text))?;
    let checked = (rule.check)(text);
    // Numbers that people are asked for are also mistyped; a wrong check is still somebody's number.
    let (confidence, evidence) = if checked { (97, "checksum") } else { (80, "context") };
    Some(Verdict::new(refine(rule.cue, rule.label, text), confidence, evidence))
}

/// A closer label where the value says more than the cue.
fn refine(cue: Cue, label: &'static str, text: &str) -> &'static str {
    match cue {
        Cue::Ssn if national::us_itin(text) => "pii/government-id/us-itin",
        Cue::Passport if digits(text, 9) => "pii/government-id/us-passport",
        Cue::Tax | Cue::Identity => guess(text).unwrap_or(label),
        _ => label,
    }
}

/// The country of a number whose cue names none, by its check.
fn guess(text: &str) -> Option<&'static str> {
    type Check = (&'static str, fn(&str) -> bool);
    const CHECKS: [Check; 12] = [
        ("pii/government-id/cn-id", national::cn_id),
        ("pii/government-id/za-id", national::za_id),
        ("pii/government-id/th-tnin", national::th_tnin),
        ("pii/government-id/kr-rrn", national::kr_rrn),
        ("pii/government-id/br-cpf", national::br_cpf),
        ("pii/government-id/de-tax-id", national::de_tax_id),
        ("pii/government-id/tr-tckn", national::tr_tckn),
        ("pii/government-id/no-fnr", national::no_fnr),
        ("pii/government-id/be-nrn", national::be_nrn),
        ("pii/government-id/sg-nric", national::sg_nric),
        ("pii/government-id/es-nif", national::es_nif),
        ("pii/government-id/es-nie", national::es_nie),
    ];
    CHECKS.iter().find(|(_, check)| check(text)).map(|(label, _)| *label)
}

/// The verdict on a value without a cue, by shape and check alone. `joint` is the separator between its tokens,
/// 0 for none and 1 for a mixture.
pub(crate) fn unannounced(value: &Compact, joint: u8, near: &Near) -> Option<Verdict> {
    let text = value.as_str();
    let found = |label, confidence| Some(Verdict::new(label, confidence, "checksum"));
    if near.has(Cue::Order, 32) || near.has(Cue::Build, 24) {
        return None;
    }
    match (value.mask, joint) {
        (0x324, b'-') if national::us_ssn(text) => found("pii/government-id/us-ssn", 85),
        (0x324, b'-') if national::us_itin(text) => found("pii/government-id/us-itin", 75),
        (0x67, b'-') if national::kr_rrn(text) => found("pii/government-id/kr-rrn", 85),
        (0x3332, _) if joint != b' ' && national::br_cpf(text) => {
            found("pii/government-id/br-cpf", 90)
        }
        (0x0002_3342, 1) if national::br_cnpj(text) => found("pii/government-id/br-cnpj", 90),
        (0x3442, b'.') if national::ch_ahv(text) => found("pii/government-id/ch-ahv", 90),
        (0x64, b'-') if national::fi_hetu(&format!("{}-{}", cut(text, 0, 6), cut(text, 6, 10))) => {
            found("pii/government-id/fi-hetu", 85)
        }
        (0x0122_2332, b' ') if national::fr_nir(text) => found("pii/government-id/fr-nir", 90),
        (0x0002_2221, b' ') if national::gb_nino(text) => found("pii/government-id/gb-nino", 90),
        (_, 0) => solid(text, value),
        _ => None,
    }
}

fn cut(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// One token without separators.
fn solid(text: &str, value: &Compact) -> Option<Verdict> {
    let found = |label, confidence| Some(Verdict::new(label, confidence, "checksum"));
    match (value.len(), value.digits) {
        (18, 17..) if national::cn_id(text) => found("pii/government-id/cn-id", 90),
        (18, _) if national::mx_curp(text) => found("pii/government-id/mx-curp", 85),
        (16, _) if national::it_fiscal_code(text) => found("pii/government-id/it-fiscal-code", 95),
        (12, 11) if national::de_social_security(text) => {
            found("pii/government-id/de-social-security", 80)
        }
        (11, 10) if national::fi_hetu(text) => found("pii/government-id/fi-hetu", 85),
        (9, 6) if national::gb_nino(text) => found("pii/government-id/gb-nino", 70),
        (9, 7) if national::es_nie(text) => found("pii/government-id/es-nie", 70),
        (9, 7) if national::sg_nric(text) => found("pii/government-id/sg-nric", 65),
        (9, 8) if national::es_nif(text) => found("pii/government-id/es-nif", 60),
        _ => None,
    }
}

/// Numbers that documents print as examples.
pub(crate) fn is_example(text: &str) -> bool {
    matches!(
        text,
        "123456789" | "078051120" | "219099999" | "457555462" | "987654321" | "111223333"
    ) || text.strip_prefix("98765432").is_some_and(|last| last.len() == 1)
        || checksum::uniform(text)
}
