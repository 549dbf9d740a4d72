//! Places of members and elements, so that they can be taken out and the JSON around them stays sound.

use std::{borrow::Cow, ops::Range};

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
    /// The message that holds the block and nothing else but blocks. Backends refuse a message without content, so
    /// it goes as a whole when all of its blocks go; [`detachment`] does that.
    pub message: Option<Slot>,
}

/// What must go with a piece of [`BackendBound`] data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposal {
    /// The whole block or item, which says nothing without the data (reasoning, thinking, compaction).
    Element,
    /// The member alone; what is around it keeps its sense.
    Member,
}

/// A tool that is more than a function with a schema: one that the provider runs itself (`web_search`), or whose
/// schema only some models know (`bash_20250124`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTool<'a> {
    /// The `type` that it names.
    pub kind: Cow<'a, str>,
    /// Its definition, to take it out with [`removal`] for a backend that does not know it.
    pub slot: Slot,
}

/// Edits that take out these slots, whatever their order, with the commas that must go with them.
///
/// Slots of several objects and arrays may be mixed; a slot within another one goes with it. All slots that go must
/// be given in one call: neighbours share a comma, and two calls would both take it or both leave it.
pub fn removal<'s>(slots: impl IntoIterator<Item = &'s Slot>) -> Vec<Edit> {
    let runs = runs(slots.into_iter().map(|slot| (slot.clone(), None)).collect());
    runs.iter().map(|(run, _)| Edit { span: run_span(run), with: String::new() }).collect()
}

/// Edits that take out data of another backend: blocks, items or members as their [`Disposal`] says, and messages of
/// which nothing would be left. `others` are slots that go as well, for the reason given at [`removal`]; edits for
/// them alone must not be applied beside these.
pub fn detachment<'s>(
    bound: &[BackendBound],
    others: impl IntoIterator<Item = &'s Slot>,
) -> Vec<Edit> {
    let bound = bound.iter().map(|bound| (bound.slot.clone(), bound.message.clone()));
    let others = others.into_iter().map(|slot| (slot.clone(), None));
    let slots: Vec<Slot> = runs(bound.chain(others).collect())
        .into_iter()
        .map(|(run, message)| match message {
            Some(message) if run.before.is_none() && run.after.is_none() => message,
            _ => run,
        })
        .collect();
    removal(&slots)
}

/// Joins neighbours that both go, so that the commas between them go once, and drops what is within another slot.
/// Each comes with the message around it, if that goes when nothing is left in it.
fn runs(mut slots: Vec<(Slot, Option<Slot>)>) -> Vec<(Slot, Option<Slot>)> {
    // The outer of two that begin together comes first.
    slots.sort_unstable_by_key(|(slot, _)| (slot.span.start, std::cmp::Reverse(slot.span.end)));
    let mut runs: Vec<(Slot, Option<Slot>)> = Vec::new();
    for (slot, message) in slots {
        match runs.last_mut() {
            Some((run, _)) if slot.span.end <= run.span.end => {}
            Some((run, around)) if run.after == Some(slot.span.start) => {
                run.span.end = slot.span.end;
                run.after = slot.after;
                *around = around.take().or(message);
            }
            _ => runs.push((slot, message)),
        }
    }
    runs
}

fn run_span(run: &Slot) -> Range<usize> {
    match (run.before, run.after) {
        (Some(before), _) => before..run.span.end,
        (None, Some(after)) => run.span.start..after,
        (None, None) => run.span.clone(),
    }
}
