//! Values that are not numbers and that a cue announces: bank identifier codes and codes of diagnoses.

use domain::Label;

use super::{
    cue::Cue,
    government::Verdict,
    group::{self, byte},
    lex::Lexed,
    numbers::finding,
};
use crate::classify::{Finding, candidates::slice, health, payment};

/// Adds the codes that cues in `text` announce.
pub(crate) fn scan(text: &str, lexed: &Lexed, out: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    for hit in lexed.hits.iter().filter(|hit| hit.cue == Cue::Diagnosis) {
        diagnosis(text, hit.end, out);
    }
    for hit in lexed.hits.iter().filter(|hit| hit.cue == Cue::Bic) {
        let mut at = hit.end;
        // `BIC`, `BIC/SWIFT code:`, `"bic": "`: at most three words between.
        for _ in 0..4 {
            let limit = at + 8;
            while at < limit && !byte(bytes, at).is_ascii_alphanumeric() {
                at += 1;
            }
            let token = group::token(bytes, at, at);
            let value = text.get(token.start..token.end).unwrap_or_default();
            if payment::is_bic(value) {
                let label = Label::fixed("payment/bic");
                out.push(Finding {
                    label,
                    span: token.start..token.end,
                    confidence: 92,
                    evidence: "context",
                    example: false,
                });
                break;
            }
            if token.len() == 0 || token.len() > 8 {
                break;
            }
            at = token.end;
        }
    }
}

/// Adds the code of a diagnosis that stands within a few words behind `from`.
fn diagnosis(text: &str, from: usize, out: &mut Vec<Finding>) {
    let near = slice(text, from..from.saturating_add(40));
    for word in near.split([' ', ',', ':', '"', '(', ')', '\n', ';']) {
        if health::is_diagnosis(word.trim_end_matches('.')) {
            let start = word.as_ptr().addr() - text.as_ptr().addr();
            let span = start..start + word.trim_end_matches('.').len();
            out.push(finding(Verdict::new("health/diagnosis", 85, "context"), span, false));
            return;
        }
    }
}
