//! Cuts edits into a body without copying what stays.

use bytes::Bytes;

use crate::{
    json,
    wire::{Edit, View},
};

/// The body with the edits applied, as pieces to be sent one after another. Pieces of the original share its memory.
///
/// Edits may come in any order. Where edits overlap, the outer one wins and the inner one is ignored. If neither
/// contains the other, everything that either covers is replaced, by the text of the longer one: what an edit was to
/// hide must not survive because another edit touched it. An empty edit (an insertion) at the edge of another edit
/// does not overlap it. What lies beyond the body is cut off; a range that ends before it starts is ignored.
pub fn splice(body: &Bytes, edits: Vec<Edit>) -> Vec<Bytes> {
    let edits = disjoint(body.len(), edits);
    let mut pieces = Vec::with_capacity(edits.len().saturating_mul(2).saturating_add(1));
    let mut at = 0;
    for edit in edits {
        if edit.span.start > at {
            pieces.push(body.slice(at..edit.span.start));
        }
        at = edit.span.end;
        if !edit.with.is_empty() {
            pieces.push(Bytes::from(edit.with));
        }
    }
    if at < body.len() || pieces.is_empty() {
        pieces.push(body.slice(at..));
    }
    pieces
}

/// The edits in order and without overlaps, within a body of `length` bytes.
fn disjoint(length: usize, mut edits: Vec<Edit>) -> Vec<Edit> {
    for edit in &mut edits {
        edit.span.end = edit.span.end.min(length);
    }
    edits.retain(|edit| edit.span.start <= edit.span.end);
    // Insertions first, then the longer of two that begin together. The sort keeps the given order of insertions.
    edits.sort_by_key(|edit| {
        (edit.span.start, !edit.span.is_empty(), std::cmp::Reverse(edit.span.end))
    });
    let mut kept: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
        match kept.last_mut().filter(|last| last.span.end > edit.span.start) {
            None => kept.push(edit),
            Some(last) if edit.span.end <= last.span.end => {}
            Some(last) => {
                if edit.span.len() > last.span.len() {
                    last.with = edit.with;
                }
                last.span.end = edit.span.end;
            }
        }
    }
    kept
}

/// The edit that makes the request ask for another model. Changes nothing else; a request that names its model in the
/// path gets the member.
pub fn model_edit(view: &View<'_>, model: &str) -> Edit {
    let mut with = String::with_capacity(model.len().saturating_add(16));
    if !view.model_span.is_empty() {
        json::escape_into(&mut with, model);
        return Edit { span: view.model_span.clone(), with };
    }
    with.push_str("\"model\":\"");
    json::escape_into(&mut with, model);
    with.push_str("\",");
    Edit { span: view.model_span.clone(), with }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, edits: &[(usize, usize, &str)], wanted: &str) {
        let edits = edits
            .iter()
            .map(|(start, end, with)| Edit { span: *start..*end, with: (*with).to_owned() });
        let pieces = splice(&Bytes::copy_from_slice(body.as_bytes()), edits.collect());
        assert_eq!(String::from_utf8(pieces.concat()).unwrap(), wanted);
    }

    #[test]
    fn edits_are_applied_in_order_of_their_place() {
        check("abcdef", &[], "abcdef");
        check("", &[], "");
        check("abcdef", &[(4, 5, "X"), (0, 1, "Y")], "YbcdXf");
        check("abcdef", &[(0, 6, "")], "");
        check("abcdef", &[(6, 6, "!"), (3, 3, "-")], "abc-def!");
    }

    #[test]
    fn the_outer_of_two_overlapping_edits_wins() {
        check("abcdef", &[(2, 3, "in"), (1, 5, "OUT")], "aOUTf");
        check("abcdef", &[(1, 5, "OUT"), (1, 5, "again")], "aOUTf");
        check("abcdef", &[(1, 5, "OUT"), (3, 3, "in")], "aOUTf");
    }

    #[test]
    fn nothing_that_an_edit_covers_survives_a_partial_overlap() {
        check("abcdef", &[(0, 3, "long"), (2, 4, "s")], "longef");
        check("abcdef", &[(0, 2, "s"), (1, 5, "long")], "longf");
    }

    #[test]
    fn insertions_at_the_edges_of_an_edit_stay() {
        check("abcdef", &[(2, 4, ""), (2, 2, "<"), (4, 4, ">")], "ab<>ef");
    }

    #[test]
    fn ranges_beyond_the_body_are_cut_off() {
        check("abc", &[(2, 9, "X")], "abX");
        check("abc", &[(7, 9, "X")], "abc");
    }
}
