//! Places of members and elements, so that they can be taken out and the JSON around them stays sound.

use std::ops::Range;

use crate::wire::Edit;

/// A member of an object (its name and value) or an element of an array, with its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Byte range of the element, or from the name's quote to the end of the value.
    pub span: Range<usize>,
    /// Where the neighbour before it ends.
    pub before: Option<usize>,
    /// Where the neighbour behind it starts.
    pub after: Option<usize>,
}

/// Something that tells who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// What it is.
    pub kind: IdentifierKind,
    /// The member or element, to take it out with [`removal`].
    pub slot: Slot,
    /// Byte range of the value; for strings without the quotes.
    pub value: Range<usize>,
    /// Whether the value is a string, so that another text can stand in its place.
    pub string: bool,
}

/// What an [`Identifier`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentifierKind {
    /// Account, device or end user: `user`, `safety_identifier`, `metadata.user_id`, `workspace_id`.
    User,
    /// Session, installation or workspace of a client: `client_metadata` and the like.
    Session,
    /// `prompt_cache_key`: names a session, and a provider's cache depends on it. Replace it by a keyed hash to keep
    /// the cache without telling who asks.
    CacheKey,
    /// The client's billing block at the start of an Anthropic system prompt.
    Billing,
    /// A credential of the caller for a third party, in the definition of a tool server.
    Credential,
}

/// Opaque data in the history that only the backend which made it can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendBound {
    /// Byte range of the opaque string, without quotes.
    pub value: Range<usize>,
    /// What must go when the request goes to another backend.
    pub disposal: Disposal,
    /// That element or member, to take it out with [`removal`].
    pub slot: Slot,
    /// Byte range of the item that follows in the conversation and is paired with it: the output that the reasoning
    /// led to. Its `id`, if any, is bound to the same backend.
    pub pair: Option<Range<usize>>,
}

/// What must go with a piece of [`BackendBound`] data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposal {
    /// The whole block or item, which says nothing without the data (reasoning, thinking, compaction).
    Element,
    /// The member alone; what is around it keeps its sense.
    Member,
}

/// Edits that take out these slots, whatever their order, with the commas that must go with them.
///
/// Slots of several objects and arrays may be mixed; a slot within another one goes with it.
pub fn removal<'s>(slots: impl IntoIterator<Item = &'s Slot>) -> Vec<Edit> {
    let mut slots: Vec<&Slot> = slots.into_iter().collect();
    // The outer of two that begin together comes first.
    slots.sort_unstable_by_key(|slot| (slot.span.start, std::cmp::Reverse(slot.span.end)));
    let mut runs: Vec<Slot> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some(run) if slot.span.end <= run.span.end => {}
            // Neighbours that both go are one run: the commas between them go once.
            Some(run) if run.after == Some(slot.span.start) => {
                run.span.end = slot.span.end;
                run.after = slot.after;
            }
            _ => runs.push(slot.clone()),
        }
    }
    runs.iter().map(|run| Edit { span: run_span(run), with: String::new() }).collect()
}

fn run_span(run: &Slot) -> Range<usize> {
    match (run.before, run.after) {
        (Some(before), _) => before..run.span.end,
        (None, Some(after)) => run.span.start..after,
        (None, None) => run.span.clone(),
    }
}
