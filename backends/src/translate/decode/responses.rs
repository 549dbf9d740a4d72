//! The stream of `POST /v1/responses`.
//!
//! Servers differ in what they send: some leave out `output_index`, some send only whole items, some only the final
//! response. Whatever was not said by then is taken from the larger piece.

use crate::translate::{
    TranslateError,
    answer::{Kind, Part, responses},
    event::Event,
    failure,
    json::Object,
    usage::Usage,
};

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    next_key: u64,
    slots: Vec<Slot>,
}

/// One content part, summary part or call of an output item.
#[derive(Debug)]
struct Slot {
    place: Place,
    key: u64,
    /// Bytes that were said.
    said: usize,
    closed: bool,
}

/// Where a slot is; `output` is absent at servers that leave it out.
#[derive(Clone, Debug)]
struct Place {
    output: Option<u64>,
    item: String,
    family: Family,
    part: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Content,
    Summary,
    Call,
}

impl Place {
    fn is_in_item(&self, other: &Self) -> bool {
        match (self.output, other.output) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.item == other.item,
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.family == other.family && self.part == other.part && self.is_in_item(other)
    }
}

impl Decoder {
    /// Reads one event.
    pub(crate) fn event(
        &mut self,
        kind: &str,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start);
        }
        let text = |key: &str| root.text(key).unwrap_or_default().into_owned();
        match kind {
            "response.output_text.delta" => {
                self.append(place(root, Family::Content), &Kind::Text, text("delta"), events);
            }
            "response.refusal.delta" => {
                self.append(place(root, Family::Content), &Kind::Refusal, text("delta"), events);
            }
            "response.reasoning_text.delta" => {
                self.append(place(root, Family::Content), &Kind::Reasoning, text("delta"), events);
            }
            "response.reasoning_summary_text.delta" => {
                self.append(place(root, Family::Summary), &Kind::Reasoning, text("delta"), events);
            }
            "response.function_call_arguments.delta" => {
                // Its start was an item; without it the call has no name yet, and the whole item is read at its end.
                let place = place(root, Family::Call);
                if let Some(slot) = self.find(&place) {
                    say(slot, text("delta"), events);
                }
            }
            "response.output_item.added" => self.added(root, events)?,
            "response.output_item.done" => self.done(root, events)?,
            "response.completed" | "response.incomplete" => self.ended(root, events)?,
            "response.failed" => events.push(Event::Failed(failed(root)?)),
            "error" => {
                // The facts stand in the event itself; some servers nest them.
                let facts = match root.get("error") {
                    Some(error) => failure::read_member(&error),
                    None => failure::read_object(root),
                };
                events.push(Event::Failed(facts));
            }
            _ => {}
        }
        Ok(())
    }

    fn added(
        &mut self,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let item = root.need("item")?.object()?;
        if item.kind() == "function_call" {
            let place = Place { family: Family::Call, ..item_place(output_index(root), &item) };
            let text = item.text("arguments").unwrap_or_default().into_owned();
            self.append(place, &responses::call_kind(&item)?, text, events);
        }
        Ok(())
    }

    fn done(
        &mut self,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let item = root.need("item")?.object()?;
        let output = output_index(root);
        self.complete(output, &item, events)?;
        let place = item_place(output, &item);
        let open = |slot: &&mut Slot| !slot.closed && slot.place.is_in_item(&place);
        for slot in self.slots.iter_mut().filter(open) {
            slot.closed = true;
            events.push(Event::Close(slot.key));
        }
        Ok(())
    }

    /// Says what the deltas of an item did not say.
    fn complete(
        &mut self,
        output: Option<u64>,
        item: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let here = item_place(output, item);
        let mut parts: Vec<Part> = Vec::new();
        responses::read_item(item, &mut parts)?;
        if let [Part { kind: kind @ Kind::Call { .. }, text }] = parts.as_slice() {
            let place = Place { family: Family::Call, ..here };
            let said = self.find(&place).map_or(0, |slot| slot.said);
            let rest = text.get(said..).unwrap_or_default().to_owned();
            self.append(place, kind, rest, events);
            return Ok(());
        }
        let is_said = |slot: &Slot| slot.said > 0 && slot.place.is_in_item(&here);
        if self.slots.iter().any(is_said) {
            return Ok(());
        }
        for (part, whole) in (0_u64..).zip(parts) {
            let place = Place { part, ..here.clone() };
            self.append(place, &whole.kind, whole.text, events);
        }
        Ok(())
    }

    fn ended(
        &mut self,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let response = root.need("response")?.object()?;
        if self.slots.is_empty()
            && let Some(output) = response.get("output")
        {
            for (index, item) in (0_u64..).zip(output.array()?.iter()) {
                self.complete(Some(index), &item.object()?, events)?;
            }
        }
        for slot in self.slots.iter_mut().filter(|slot| !slot.closed) {
            slot.closed = true;
            events.push(Event::Close(slot.key));
        }
        if let Some(usage) = response.child("usage") {
            events.push(Event::Usage(Usage::of_responses(&usage)));
        }
        events.push(Event::End(responses::stop(&response)));
        Ok(())
    }

    /// Adds to a slot, which opens with its first words; a call opens at once.
    fn append(&mut self, place: Place, kind: &Kind, text: String, events: &mut Vec<Event>) {
        if let Some(slot) = self.find(&place) {
            say(slot, text, events);
            return;
        }
        if text.is_empty() && !matches!(kind, Kind::Call { .. }) {
            return;
        }
        self.next_key = self.next_key.saturating_add(1);
        let mut slot = Slot { place, key: self.next_key, said: 0, closed: false };
        events.push(Event::Open(slot.key, kind.clone()));
        say(&mut slot, text, events);
        self.slots.push(slot);
    }

    fn find(&mut self, place: &Place) -> Option<&mut Slot> {
        self.slots.iter_mut().rev().find(|slot| slot.place.is(place))
    }
}

fn say(slot: &mut Slot, text: String, events: &mut Vec<Event>) {
    if !text.is_empty() && !slot.closed {
        slot.said = slot.said.saturating_add(text.len());
        events.push(Event::Append(slot.key, text));
    }
}

/// The place that a delta names.
fn place(root: &Object<'_, '_>, family: Family) -> Place {
    let part = match family {
        Family::Content => root.count("content_index"),
        Family::Summary => root.count("summary_index"),
        Family::Call => 0,
    };
    Place {
        output: output_index(root),
        item: root.text("item_id").unwrap_or_default().into_owned(),
        family,
        part,
    }
}

/// The place of the first content part of a whole item.
fn item_place(output: Option<u64>, item: &Object<'_, '_>) -> Place {
    let item = item.text("id").unwrap_or_default().into_owned();
    Place { output, item, family: Family::Content, part: 0 }
}

fn output_index(root: &Object<'_, '_>) -> Option<u64> {
    root.get("output_index").and_then(|node| node.u64().ok())
}

fn failed(root: &Object<'_, '_>) -> Result<failure::ErrorFacts, TranslateError> {
    let response = root.need("response")?.object()?;
    Ok(failure::read_member(&response.need("error")?))
}
