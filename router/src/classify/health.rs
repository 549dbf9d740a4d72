//! Numbers of patients, insured people and prescribers, and diagnosis codes beside a patient.
//!
//! Here: what one value is. The walk over the text that offers the values is in `pii`.

use super::{
    checksum,
    pii::{cue::Cue, government::Verdict, group::Compact},
};

/// The verdict on a value that `cue` announces.
pub(crate) fn announced(cue: Cue, value: &Compact) -> Option<Verdict> {
    let text = value.as_str();
    let checked = |label, check: bool| {
        Some(Verdict::new(
            label,
            if check { 97 } else { 75 },
            if check { "checksum" } else { "context" },
        ))
    };
    let number = |count: usize| value.is_number() && value.len() == count;
    match cue {
        Cue::Npi if number(10) => checked("health/npi", checksum::npi(text)),
        Cue::Dea if value.len() == 9 && value.digits >= 7 => {
            checked("health/dea", checksum::dea(text))
        }
        Cue::Nhs if number(10) => checked("health/nhs", checksum::nhs(text)),
        Cue::Mbi if checksum::mbi(text) => checked("health/mbi", true),
        Cue::Mbi if (number(10) || number(11)) && checksum::au_medicare(text) => {
            checked("health/au-medicare", true)
        }
        Cue::Mbi if (9..=12).contains(&value.len()) && value.digits >= 8 => {
            checked("health/mbi", false)
        }
        Cue::Mrn if (5..=14).contains(&value.len()) && value.digits >= 4 => {
            Some(Verdict::new("health/mrn", 90, "context"))
        }
        Cue::Plan if (7..=16).contains(&value.len()) && value.digits >= 6 => {
            Some(Verdict::new("health/plan", 75, "context"))
        }
        _ => None,
    }
}

/// The verdict on a value without a cue.
pub(crate) fn unannounced(value: &Compact, joint: u8) -> Option<Verdict> {
    let text = value.as_str();
    let shape = joint == 0 || (value.mask == 0x434 && joint == b'-');
    (shape && value.len() == 11 && checksum::mbi(text) && value.digits < 10)
        .then(|| Verdict::new("health/mbi", 65, "shape"))
}

/// Whether `text` is an ICD-10 code with a decimal part, such as `E11.9`.
pub(crate) fn is_diagnosis(text: &str) -> bool {
    let Some((head, tail)) = text.split_once('.') else { return false };
    let [letter, d1, d2] = head.as_bytes() else { return false };
    letter.is_ascii_uppercase()
        && d1.is_ascii_digit()
        && d2.is_ascii_alphanumeric()
        && (1..=4).contains(&tail.len())
        && tail.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}
