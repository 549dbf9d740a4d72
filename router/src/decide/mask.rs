//! Turns findings that are to be hidden into edits of the body, in the order of the conversation.

use std::{borrow::Cow, ops::Range};

use crate::{
    classify::Finding,
    decide::examine::Located,
    json::{raw_ranges, unescape},
    redact::{MaskError, Masker, Vault},
    rules::Action,
    wire::{Edit, Part, Role, Segment, View},
};

/// Placeholders for all findings whose action is `redact`.
///
/// Values are numbered in the order system, messages, rest, whatever the order of the members in the body: an
/// agent only ever appends messages, so each placeholder stays the same in every turn.
///
/// # Errors
/// [`MaskError`] when there are too many values; nothing is hidden then.
pub(super) fn mask(
    view: &View<'_>,
    body: &[u8],
    located: &[Located],
    masker: impl FnOnce() -> Masker,
) -> Result<(Vec<Edit>, Vault), MaskError> {
    let mut hidden: Vec<&Located> =
        located.iter().filter(|located| located.action == Action::Redact).collect();
    if hidden.is_empty() {
        return Ok((Vec::new(), Vault::default()));
    }
    let mut masker = masker();
    for segment in &view.segments {
        masker.reserve(&segment.text);
    }
    // Stable: within a message the order of the document remains.
    hidden.sort_by_key(|located| (rank(located.place.role, located.place.turn), located.segment));
    let mut edits = Vec::with_capacity(hidden.len());
    for group in hidden.chunk_by(|one, other| one.segment == other.segment) {
        let Some(segment) = group.first().and_then(|first| view.segments.get(first.segment)) else {
            continue;
        };
        let findings: Vec<&Finding> = group.iter().map(|located| &located.finding).collect();
        edits.extend(mask_segment(segment, body, &findings, &mut masker)?);
    }
    Ok((edits, masker.into_vault()))
}

fn rank(role: Role, turn: Option<u32>) -> (u8, u32) {
    match (turn, role) {
        (None, Role::System) => (0, 0),
        (Some(turn), _) => (1, turn),
        (None, _) => (2, 0),
    }
}

fn mask_segment(
    segment: &Segment<'_>,
    body: &[u8],
    findings: &[&Finding],
    masker: &mut Masker,
) -> Result<Vec<Edit>, MaskError> {
    let spans: Vec<Range<usize>> = findings.iter().map(|finding| finding.span.clone()).collect();
    let raw = raw_ranges(body, segment.span.clone(), &spans);
    let mut edits = Vec::with_capacity(findings.len());
    for (finding, span) in findings.iter().zip(raw) {
        let surface = segment.text.get(finding.span.clone()).unwrap_or_default();
        // Inside a JSON document the value is what its reader will see, without the inner escapes.
        let value = match segment.part {
            Part::Json => unescape(surface),
            Part::Prose | Part::Field => Cow::Borrowed(surface),
        };
        edits.push(Edit { span, with: masker.mask(&finding.label, &value)?.to_owned() });
    }
    Ok(edits)
}
