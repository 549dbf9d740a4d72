//! Finds what is sensitive in a text: credentials, personal data, payment and health data, markings, terms.
//!
//! The stages are those of a funnel: one pass over the bytes yields candidates, each candidate is confirmed by
//! the rule for its shape, and only suspicious windows are decoded and scanned again.
//! Not here: what follows from a finding; that is the business of the rules.

use std::ops::Range;

use domain::Label;

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
    /// A value that documentation uses as an example (`AKIAIOSFODNN7EXAMPLE`): noted, never acted upon.
    pub example: bool,
}

/// Findings less sure than this are dropped by the detectors.
pub const CONFIDENCE_MIN: u8 = 50;
