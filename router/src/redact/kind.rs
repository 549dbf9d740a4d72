//! What a placeholder calls the value behind it, and when two spellings mean the same thing.

use std::borrow::Cow;

use domain::Label;

/// Every word that [`of`] gives.
const KINDS: [&str; 20] = [
    "EMAIL", "PHONE", "PERSON", "ADDRESS", "PLACE", "DATE", "IP", "MAC", "ID", "CARD", "IBAN",
    "BIC", "WALLET", "ACCOUNT", "KEY", "HEALTH", "TERM", "MARKING", "CODE", "VALUE",
];

/// Whether `word`, in any case, stands in placeholders.
pub(super) fn is_kind(word: &[u8]) -> bool {
    KINDS.iter().any(|kind| kind.as_bytes().eq_ignore_ascii_case(word))
}

/// The word in the placeholder of a value with this label: 2 to 8 capital letters.
pub(super) fn of(label: &Label) -> &'static str {
    let name = label.as_str();
    let (family, rest) = name.split_once('/').unwrap_or((name, ""));
    match (family, rest.split('/').next().unwrap_or_default()) {
        ("pii", "email") => "EMAIL",
        ("pii", "phone") => "PHONE",
        ("pii", "person") => "PERSON",
        ("pii", "address") => "ADDRESS",
        ("pii", "location") => "PLACE",
        ("pii", "birth-date") => "DATE",
        ("pii", "ip") => "IP",
        ("pii", "mac") => "MAC",
        ("pii", _) => "ID",
        ("payment", "card") => "CARD",
        ("payment", "iban") => "IBAN",
        ("payment", "bic") => "BIC",
        ("payment", "crypto") => "WALLET",
        ("payment", _) => "ACCOUNT",
        ("credential", _) => "KEY",
        ("health", _) => "HEALTH",
        ("term", _) => "TERM",
        ("marking", _) => "MARKING",
        ("code", _) => "CODE",
        _ => "VALUE",
    }
}

/// The spelling that the tag is computed over. Different spellings of one value share a tag, which lets a model
/// see that they belong together, but keep placeholders of their own, which brings back each as it was written.
pub(super) fn canonical<'v>(kind: &str, value: &'v str) -> Cow<'v, str> {
    match kind {
        // RFC 5321 §2.4: the domain has no case, the local part may have.
        "EMAIL" => match value.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()).into(),
            None => value.into(),
        },
        "PHONE" | "CARD" => value.chars().filter(char::is_ascii_digit).collect(),
        "IBAN" | "BIC" | "ID" | "ACCOUNT" | "MAC" => value
            .chars()
            .filter(|letter| letter.is_alphanumeric())
            .map(|letter| letter.to_ascii_uppercase())
            .collect(),
        "IP" => value.to_ascii_lowercase().into(),
        _ => value.trim().into(),
    }
}
