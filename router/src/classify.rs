//! Finds what is sensitive in a text: credentials, personal data, payment and health data, markings, terms.
//!
//! The stages are those of a funnel: one pass over the bytes yields candidates, each candidate is confirmed by
//! the rule for its shape, and only suspicious windows are decoded and scanned again.
//! Not here: what follows from a finding; that is the business of the rules.
//!
//! Invariant: the findings of a scan are sorted, do not overlap, are never empty, and lie on character boundaries.

use std::{cmp::Reverse, ops::Range};

use domain::Label;

use crate::wire::Part;

pub mod candidates;
pub mod generic;
pub mod terms;

mod address;
mod byte_table;
mod checksum;
mod code;
mod decode;
mod examples;
mod health;
mod marking;
mod masks;
mod names;
mod payment;
mod pii;
mod reading;
mod scan_words;
mod secrets;

use candidates::Candidates;
use reading::Reading;
pub use terms::{Term, TermError};

/// What kind of text is scanned.
pub type Hint = Part;

/// One sensitive (or example) value in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub label: Label,
    /// Where it is: byte offsets into the text that was scanned, on character boundaries, never empty.
    /// When the value was hidden by an encoding, this is the encoded form.
    pub span: Range<usize>,
    /// How sure the detector is, 0 to 100. Findings below [`CONFIDENCE_MIN`] are never reported.
    pub confidence: u8,
    /// Why the detector is sure, as one fixed word: `prefix`, `checksum`, `context`, `entropy`, `decoded`…
    pub evidence: &'static str,
    /// A value that documentation uses as an example (`AKIAIOSFODNN7EXAMPLE`): hidden where its label is, never
    /// a reason to route or to block.
    pub example: bool,
}

/// Findings less sure than this are dropped by the detectors.
pub const CONFIDENCE_MIN: u8 = 50;

/// One family of detectors: reads the text at the candidates and adds what it finds, in any order.
type Family = fn(text: &str, candidates: &Candidates, out: &mut Vec<Finding>);

/// Every family that needs nothing but the text.
const FAMILIES: [Family; 3] = [generic::scan, marking::scan, code::scan];

/// All detectors with the operator's own terms. Immutable; share it between threads.
#[derive(Debug)]
pub struct Classifier {
    terms: terms::Terms,
    secrets: secrets::Secrets,
}

impl Classifier {
    /// Detectors that also know the operator's `terms`.
    ///
    /// # Errors
    /// When a term cannot be used: see [`TermError`].
    pub fn new(terms: Vec<Term>) -> Result<Self, TermError> {
        let terms = terms::Terms::new(terms)?;
        Ok(Self { terms, secrets: secrets::Secrets::new() })
    }

    /// Everything sensitive in `text`. Time and memory are linear in its length.
    pub fn scan(&self, text: &str, _hint: Hint) -> Vec<Finding> {
        let mut found = Vec::new();
        let reading = self.scan_plain(text, &mut found);
        let read = |view: &str, found: &mut Vec<Finding>| self.scan_plain(view, found);
        decode::scan((text, &reading.candidates), &read, &mut found);
        reading.recycle(text);
        settle(text, found)
    }

    /// Runs all families over `text` as it stands, and gives what they read.
    fn scan_plain(&self, text: &str, out: &mut Vec<Finding>) -> Box<Reading> {
        let reading = Reading::of(text);
        let Reading { candidates, lexed } = &*reading;
        pii::scan(text, (candidates, lexed), out);
        self.secrets.scan(text, candidates, out);
        for family in FAMILIES {
            family(text, candidates, out);
        }
        self.terms.scan(text, out);
        reading
    }
}

/// Drops what is unsure or badly placed, lets the better of two overlapping findings win, and sorts by place.
fn settle(text: &str, mut found: Vec<Finding>) -> Vec<Finding> {
    if found.is_empty() {
        return found;
    }
    found.retain(|one| {
        one.confidence >= CONFIDENCE_MIN
            && text.get(one.span.clone()).is_some_and(|value| !value.is_empty())
    });
    found.sort_by_key(|one| (one.span.start, Reverse(one.span.end)));
    let mut kept: Vec<Finding> = Vec::with_capacity(found.len());
    for one in found {
        let mut wins = true;
        while let Some(last) = kept.last() {
            if last.span.end <= one.span.start {
                break;
            }
            if rank(last) >= rank(&one) {
                wins = false;
                break;
            }
            kept.pop();
        }
        if wins {
            kept.push(one);
        }
    }
    kept
}

/// The order in which overlapping findings win: real before example, credential before the rest, sure before unsure,
/// long before short.
fn rank(one: &Finding) -> (bool, bool, u8, usize) {
    let credential = one.label.family() == "credential";
    (!one.example, credential, one.confidence / 10, one.span.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(label: &'static str, span: Range<usize>, confidence: u8) -> Finding {
        Finding { label: Label::fixed(label), span, confidence, evidence: "prefix", example: false }
    }

    #[test]
    fn what_agents_send_with_every_prompt_is_clean() {
        let classifier = Classifier::new(Vec::new()).unwrap();
        let clean = [
            "  last=$(date -u +%Y-%m-%dT%H:%M:%SZ)\n  while true; do\n",
            "Co-Authored-By: Claude <noreply@anthropic.com>",
            r#"{"latest_git_commit_hash":"2cce13081585b6a6c9690f1e5aff6ee2e5a8f008","has_changes":false}"#,
            "identified by `code:` [`'ERR_HTTP'`] and identified by `dir`.",
            "with password authentication that asks for a login name and the password file.",
            "pub const BTH_HOST_FEATURE_SCO_HCIBYPASS: u64 = 16u64;",
            "    def ed448_generate_key(self) -> ed448.Ed448PrivateKey:",
            "gpg -u YOURKEY --digest-algo SHA256 --clearsign /path/to/SHASUMS256.txt",
            "const pubkey256 = 'SIXvRyDmBJSgatgTQRGbInBaAK+hZOQ18UmrSwnDlK8=';",
            "hkps://keys.openpgp.org --recv-keys CC68F5A3106FF448322E48ED27F5E38D5B0A215F",
            "pub const hrMutationExpiryToken: windows_sys::core::HRESULT = 0xC7FF000F_u32 as _;",
            "should use the login name and/or password callbacks to acquire the user",
            "License (MIT)\n\nCopyright (c) Pavel, 2014-2020\n",
            "pub const ETH_P_DNA_DL: c_int = 0x6001;",
            "6053 6047 6049 605B 604C 6040 6042\n605F 6024 6044 6058 6066 606E 6242 6243",
        ];
        for text in clean {
            assert_eq!(classifier.scan(text, Part::Prose), [], "{text}");
        }
    }

    #[test]
    fn of_overlapping_findings_the_better_one_stays() {
        let text = "0123456789";
        let cases = [
            (
                vec![finding("pii/phone", 0..10, 90), finding("credential/jwt", 2..5, 60)],
                vec!["credential/jwt"],
            ),
            (vec![finding("pii/phone", 0..10, 60), finding("pii/ip", 2..5, 90)], vec!["pii/ip"]),
            (vec![finding("pii/phone", 0..10, 90), finding("pii/ip", 2..5, 90)], vec!["pii/phone"]),
            (
                vec![finding("pii/phone", 6..10, 90), finding("pii/ip", 2..5, 90)],
                vec!["pii/ip", "pii/phone"],
            ),
            (
                vec![
                    finding("pii/phone", 0..1, 49),
                    finding("pii/ip", 2..50, 90),
                    finding("pii/ip", 3..3, 90),
                ],
                vec![],
            ),
        ];
        for (found, expected) in cases {
            let kept = settle(text, found);
            let labels: Vec<_> = kept.iter().map(|one| one.label.as_str()).collect();
            assert_eq!(labels, expected);
        }
    }
}
