//! What a detector found, as a path-like name such as `pii/email`, and patterns over such names.

use std::{fmt, hash, str::FromStr, sync::Arc};

use thiserror::Error;

/// The kind of a finding: `family/kind`, such as `credential/aws-access-key` or `pii/government-id/de-tax-id`.
///
/// Cloning is cheap: fixed labels are static, the operator's own words (`term/…`) are shared.
#[derive(Clone)]
pub struct Label(Repr);

#[derive(Clone)]
enum Repr {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Label {
    /// A label that is known when the program is compiled.
    pub const fn fixed(name: &'static str) -> Self {
        Self(Repr::Fixed(name))
    }

    /// The label of a term that the operator named in the router file: `term/<name>`.
    pub fn term(name: &str) -> Self {
        Self(Repr::Shared(format!("term/{name}").into()))
    }

    /// A label read back from a record, such as an audit line.
    pub fn recorded(name: &str) -> Self {
        Self(Repr::Shared(name.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Fixed(name) => name,
            Repr::Shared(name) => name,
        }
    }

    /// The part before the first slash: `credential`, `pii`, `payment`, `health`, `term`, `marking` or `code`.
    pub fn family(&self) -> &str {
        self.as_str().split('/').next().unwrap_or_default()
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for Label {}
impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Label {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}
impl hash::Hash for Label {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A glob over labels: `*` stands for any characters, slashes included; everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPattern(Box<str>);

/// Why a text is no label pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelPatternError {
    /// Labels hold lower-case letters, digits, `-`, `_`, `.` and `/`; patterns also `*`.
    #[error(
        "{0:?} cannot stand in a label; use lower-case letters, digits, '-', '_', '.', '/' and '*'"
    )]
    Character(char),
    /// The first part must be a family that exists.
    #[error(
        "{0:?} is no label family; families are credential, pii, payment, health, term, marking, code"
    )]
    Family(Box<str>),
}

/// The label families of this version.
const FAMILIES: [&str; 7] = ["credential", "pii", "payment", "health", "term", "marking", "code"];

impl LabelPattern {
    /// Whether `label` is one of those meant.
    pub fn matches(&self, label: &Label) -> bool {
        glob(self.0.as_bytes(), label.as_str().as_bytes())
    }

    /// How closely the pattern binds: characters that are no wildcard. The closest pattern decides.
    pub fn closeness(&self) -> usize {
        self.0.bytes().filter(|byte| *byte != b'*').count()
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelPattern {
    type Err = LabelPatternError;
    fn from_str(text: &str) -> Result<Self, LabelPatternError> {
        let allowed = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '/' | '*');
        if let Some(bad) = text.chars().find(|c| !allowed(c)) {
            return Err(LabelPatternError::Character(bad));
        }
        let family = text.split('/').next().unwrap_or_default();
        if !family.contains('*') && !FAMILIES.contains(&family) {
            return Err(LabelPatternError::Family(family.into()));
        }
        Ok(Self(text.into()))
    }
}

/// Linear glob match with one backtracking point: `*` is greedy over any bytes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if text.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    at = star_at + 1;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_spans_slashes_and_the_rest_is_literal() {
        let cases = [
            ("pii/*", "pii/government-id/us-ssn", true),
            ("pii/*", "payment/card", false),
            ("*", "term/falcon", true),
            ("credential/*-key", "credential/aws-access-key", true),
            ("credential/*-key", "credential/jwt", false),
            ("term/falcon", "term/falcon", true),
            ("term/falcon", "term/falcons", false),
        ];
        for (pattern, label, expected) in cases {
            let pattern: LabelPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&Label::recorded(label)), expected, "{pattern:?} {label}");
        }
    }

    #[test]
    fn unknown_families_and_characters_are_refused() {
        assert_eq!("pee/*".parse::<LabelPattern>(), Err(LabelPatternError::Family("pee".into())));
        assert_eq!("PII/*".parse::<LabelPattern>(), Err(LabelPatternError::Character('P')));
    }

    #[test]
    fn a_term_label_carries_its_name() {
        assert_eq!(Label::term("falcon"), Label::fixed("term/falcon"));
        assert_eq!(Label::term("falcon").family(), "term");
    }
}
