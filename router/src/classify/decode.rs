//! Undoes what hides a value: encodings, escapes, look-alike characters, pieces that code or lines hold apart.
//!
//! Only windows around a trigger are decoded, into short views that remember where each of their bytes came from. All
//! families read the views, and what they find is reported at the ORIGINAL place. Views of views are looked at, too, up to
//! [`DEPTH_MAX`]; all views of a text together hold at most twice its bytes.
//! Not here: compression, ciphers, text that is written backwards.

use std::ops::Range;

use super::{Finding, candidates::Candidates, reading::Reading};

mod escapes;
mod fold;
mod join;
mod runs;
mod view;

pub(super) use runs::base64;
use view::View;

/// How often a view may be decoded again.
const DEPTH_MAX: usize = 3;
/// Bytes of views that even a short text may have.
const BUDGET_MIN: usize = 4096;

/// The bytes that all views of a text of so many bytes may hold.
fn budget(bytes: usize) -> usize {
    bytes.saturating_mul(2).saturating_add(BUDGET_MIN)
}

/// Calls `read` with every view of `text`.
fn views(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    runs::views(text, candidates, read);
    fold::views(text, candidates, read);
    join::wrapped(text, candidates, read);
    join::spaced(text, candidates, read);
    join::halves(text, candidates, read);
    escapes::views(text, candidates, read);
    join::views(text, candidates, read);
}

/// Adds what `read` finds in the views of `text`, at the places in `text` where it is hidden.
pub(super) fn scan(
    marked: (&str, &Candidates),
    read: &dyn Fn(&str, &mut Vec<Finding>) -> Box<Reading>,
    out: &mut Vec<Finding>,
) {
    let mut budget = budget(marked.0.len());
    scan_deep(marked, (DEPTH_MAX, &mut budget), read, out);
}

/// The same, with the depth and the bytes that are left.
fn scan_deep(
    (text, candidates): (&str, &Candidates),
    (depth, budget): (usize, &mut usize),
    read: &dyn Fn(&str, &mut Vec<Finding>) -> Box<Reading>,
    out: &mut Vec<Finding>,
) {
    if depth == 0 || !candidates.may_hide() {
        return;
    }
    views(text, candidates, &mut |view: View| {
        if view.text().len() > *budget {
            return;
        }
        *budget -= view.text().len();
        let mut found = Vec::new();
        let inner = read(view.text(), &mut found);
        let marked = (view.text(), &inner.candidates);
        scan_deep(marked, (depth - 1, &mut *budget), read, &mut found);
        inner.recycle(view.text());
        for one in found {
            if let Some(span) = view.source(&one.span) {
                out.push(Finding {
                    span,
                    evidence: "decoded",
                    confidence: one.confidence.saturating_sub(2),
                    ..one
                });
            }
        }
    });
}

/// The part of the line around `at` that a view covers: at most `before` and `after` bytes, on character boundaries.
fn line_around(text: &str, at: usize, before: usize, after: usize) -> Range<usize> {
    let low = text.floor_char_boundary(at.saturating_sub(before));
    let high = text.ceil_char_boundary(at.saturating_add(after).min(text.len()));
    let head = text.get(low..at).unwrap_or_default();
    let start = head.rfind('\n').map_or(low, |line| low + line + 1);
    let tail = text.get(at..high).unwrap_or_default();
    let end = tail.find('\n').map_or(high, |line| at + line);
    start..end
}

#[cfg(test)]
mod tests;
