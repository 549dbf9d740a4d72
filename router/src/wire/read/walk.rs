//! The walk over the tape that finds the segments, attachments, identifiers and opaque data of a request.
//!
//! One loop over the nodes in document order with a stack of the objects and arrays around the node, so nesting costs
//! no call stack. `place` says what each member is; here is what follows from it.

use std::borrow::Cow;

use domain::limits::SEGMENTS_MAX;

use crate::{
    json::{self, Kind, Tape, Value},
    wire::{
        Attachment, BackendBound, Disposal, Given, Identifier, Media, Part, ProviderTool,
        ReadError, Role, Segment, Slot, View, media,
        place::{self, Member, Place, Scope},
    },
};

/// Fills the lists of `view`.
pub(super) fn fill<'a>(tape: &Tape<'a>, view: &mut View<'a>) -> Result<(), ReadError> {
    let mut walk = Walk { tape, view, frames: Vec::with_capacity(16) };
    walk.enter(Scope::new(Place::Root, Role::Other), tape.root(), None);
    let mut number = 1;
    while let Some(value) = tape.at(number) {
        while walk.frames.last().is_some_and(|frame| frame.end <= number) {
            walk.frames.pop();
        }
        walk.node(value)?;
        number = number.saturating_add(1);
    }
    Ok(())
}

/// The slot of the member `name` of the outermost object.
pub(super) fn member_slot(tape: &Tape<'_>, name: &str) -> Option<Slot> {
    let mut before = None;
    for (key, value) in tape.root().members() {
        if key.is_text(name) {
            return Some(slot_of_member(tape, tape.root().next(), key, before));
        }
        before = Some(value.outer().end);
    }
    None
}

fn slot_of_member(tape: &Tape<'_>, end: u32, key: Value<'_, '_>, before: Option<usize>) -> Slot {
    let value = tape.at(key.next());
    let value_end = value.map_or(key.outer().end, |value| value.outer().end);
    let after = value.and_then(|value| sibling(tape, end, value)).map(|next| next.outer().start);
    Slot { span: key.outer().start..value_end, before, after }
}

/// The node behind `value` in the object or array that ends before node `end`.
fn sibling<'t, 'a>(tape: &'t Tape<'a>, end: u32, value: Value<'_, '_>) -> Option<Value<'t, 'a>> {
    tape.at(value.next()).filter(|next| next.number() < end)
}

/// What is around a tool of the request, as opposed to one within another tool: the outermost object and the list.
const TOOL_FRAMES: usize = 2;

struct Walk<'t, 'a, 'v> {
    tape: &'t Tape<'a>,
    view: &'v mut View<'a>,
    frames: Vec<Frame<'t, 'a>>,
}

/// An object or array that is not finished.
struct Frame<'t, 'a> {
    scope: Scope,
    /// The first node that is not part of it.
    end: u32,
    object: bool,
    /// The `type` that an object names.
    kind: Cow<'a, str>,
    /// Of an object: its last name, and what the value of that is.
    key: Option<(Value<'t, 'a>, Scope)>,
    /// Where the last element or member ended.
    last_end: Option<usize>,
    /// Elements so far.
    count: u32,
    /// Of an element of a conversation or a message: its own place there.
    element: Option<Slot>,
    /// Whether a message holds calls beside its content.
    calls: bool,
    /// And the element behind it.
    pair: Option<std::ops::Range<usize>>,
}

impl<'t, 'a> Walk<'t, 'a, '_> {
    fn node(&mut self, value: Value<'t, 'a>) -> Result<(), ReadError> {
        if value.kind() == Kind::Key {
            return self.key(value);
        }
        let before = self.frames.last().and_then(|frame| frame.last_end);
        let scope = self.scope(value);
        match value.kind() {
            Kind::Object | Kind::Array => self.enter(scope, value, before),
            Kind::String => self.string(scope, value, before)?,
            Kind::Number => self.number(scope, value)?,
            Kind::True | Kind::False | Kind::Null | Kind::Key => {}
        }
        Ok(())
    }

    /// What the value is where it stands. Counts it there.
    fn scope(&mut self, value: Value<'t, 'a>) -> Scope {
        let Some(frame) = self.frames.last_mut() else {
            return Scope::new(Place::Free, Role::Other);
        };
        let index = frame.count;
        frame.count = index.saturating_add(1);
        frame.last_end = Some(value.outer().end);
        if frame.object {
            return frame.key.map_or(frame.scope.at(Place::Free), |(_, scope)| scope);
        }
        match frame.scope.place {
            Place::Messages | Place::Prompt if frame.scope.turn.is_none() => {
                Scope { turn: Some(index), ..frame.scope }
            }
            _ => frame.scope,
        }
    }

    fn key(&mut self, key: Value<'t, 'a>) -> Result<(), ReadError> {
        let dialect = self.view.dialect;
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        let name = key.text();
        let Member { scope, data } = place::member(dialect, frame.scope, &frame.kind, &name);
        frame.key = Some((key, scope));
        if frame.scope.place == Place::Tool && name == "vector_store_ids" {
            self.view.server_state.get_or_insert("vector_store_ids");
        }
        let (object, end, before) = (frame.scope, frame.end, frame.last_end);
        if let Some(kind) = place::identifier(object, &frame.kind, &name)
            && let Some(value) = self.tape.at(key.next())
            && value.kind() != Kind::Null
        {
            let slot = slot_of_member(self.tape, end, key, before);
            let (value, string) = (value.span(), value.is_string());
            self.view.identifiers.push(Identifier { kind, slot, value, string });
        }
        if data {
            let segment = segment(object, Part::Field, key.span(), name);
            self.push(Segment { key: true, ..segment })?;
        }
        Ok(())
    }

    fn enter(&mut self, scope: Scope, value: Value<'t, 'a>, before: Option<usize>) {
        let object = value.kind() == Kind::Object;
        let mut frame = Frame {
            scope: scope.at(place::container(scope.place, object)),
            end: value.next(),
            object,
            kind: Cow::Borrowed(""),
            calls: false,
            key: None,
            last_end: None,
            count: 0,
            element: None,
            pair: None,
        };
        if object {
            self.look(&mut frame, value);
        } else if frame.scope.place == Place::Prompt
            && value.elements().next().is_some_and(|first| first.kind() == Kind::Number)
        {
            let turn = scope.turn.or(Some(0));
            self.attach(Media::Tokens, Given::Inline, value.span(), turn);
        }
        if matches!(frame.scope.place, Place::Message | Place::Block | Place::Tool)
            && let Some(list) = self.frames.last().filter(|list| !list.object)
        {
            frame.pair = sibling(self.tape, list.end, value).map(|next| next.outer());
            let after = frame.pair.as_ref().map(|next| next.start);
            frame.element = Some(Slot { span: value.outer(), before, after });
        }
        self.note_tool(&frame);
        self.frames.push(frame);
    }

    /// Notes a tool that is more than a function.
    fn note_tool(&mut self, frame: &Frame<'t, 'a>) {
        let plain = matches!(&*frame.kind, "" | "function" | "custom");
        if frame.scope.place != Place::Tool || plain || self.frames.len() != TOOL_FRAMES {
            return;
        }
        if let Some(slot) = frame.element.clone() {
            self.view.provider_tools.push(ProviderTool { kind: frame.kind.clone(), slot });
        }
    }

    /// Looks ahead into an object for what decides how to read it: who speaks, and its type.
    fn look(&mut self, frame: &mut Frame<'t, 'a>, object: Value<'t, 'a>) {
        let scope = &mut frame.scope;
        if !matches!(scope.place, Place::Message | Place::Block | Place::Source(_) | Place::Tool) {
            return;
        }
        let (mut named, mut media_type) = (None, None);
        for (key, value) in object.members() {
            match &*key.text() {
                "type" if value.is_string() => frame.kind = value.text(),
                "role" if value.is_string() => named = Some(value.text()),
                "media_type" if value.is_string() => media_type = Some(value.text()),
                "tool_calls" | "function_call" => frame.calls = true,
                _ => {}
            }
        }
        let kind = &*frame.kind;
        match scope.place {
            Place::Message => scope.role = place::role(named.as_deref(), kind, scope.role),
            Place::Block => scope.role = place::role(None, kind, scope.role),
            // A document that is text is read like text, not like a payload.
            Place::Source(_)
                if kind == "text" || media_type.as_deref().is_some_and(media::is_textual) =>
            {
                scope.place = Place::Block;
            }
            _ => return,
        }
        self.need(&frame.kind);
    }

    fn need(&mut self, kind: &str) {
        let needs = &mut self.view.needs;
        match kind {
            "image" | "image_url" | "input_image" => needs.images = true,
            "document" | "file" | "input_file" | "container_upload" => needs.files = true,
            "input_audio" => needs.audio = true,
            "item_reference" => {
                self.view.server_state.get_or_insert("item_reference");
            }
            "tool_use" | "tool_result" | "function_call" | "function_call_output" => {
                needs.tools = true;
            }
            _ => {}
        }
    }

    fn string(
        &mut self,
        scope: Scope,
        value: Value<'t, 'a>,
        before: Option<usize>,
    ) -> Result<(), ReadError> {
        let text = value.text();
        let span = value.span();
        let part = match scope.place {
            Place::Messages | Place::Prompt => {
                let turn = scope.turn.or(Some(0));
                return self.push(segment(Scope { turn, ..scope }, Part::Prose, span, text));
            }
            Place::Content | Place::Prose | Place::Input => Part::Prose,
            Place::Arguments => Part::Json,
            Place::Free if text.contains(char::is_whitespace) => Part::Prose,
            Place::Url(media) => {
                let header = media::data_url_header(&text);
                let inline = media::is_data_url(&text);
                let given = if inline { Given::Inline } else { Given::Url };
                self.attach(media, given, span.clone(), scope.turn);
                if let Some(header) = header {
                    return self.push_header(scope, value, header);
                }
                Part::Field
            }
            Place::Payload(media) => {
                self.attach(media, Given::Inline, span.clone(), scope.turn);
                if let Some(header) = media::data_url_header(&text) {
                    return self.push_header(scope, value, header);
                }
                if media::is_payload(&text) {
                    return Ok(());
                }
                Part::Prose
            }
            Place::FileId(media) => {
                self.attach(media, Given::Id, span.clone(), scope.turn);
                self.view.server_state.get_or_insert("file_id");
                Part::Field
            }
            Place::Sealed => {
                self.bind(value, before);
                if media::is_sealed(&text) {
                    return Ok(());
                }
                Part::Field
            }
            _ => Part::Field,
        };
        self.push(segment(scope, part, span, text))
    }

    /// The readable start of a `data:` URL.
    fn push_header(
        &mut self,
        scope: Scope,
        value: Value<'t, 'a>,
        length: usize,
    ) -> Result<(), ReadError> {
        let whole = value.text();
        let header = whole.get(..length).unwrap_or_default().to_owned();
        let span = json::raw_range(self.tape.body(), value.span(), 0..length);
        self.push(segment(scope, Part::Field, span, Cow::Owned(header)))
    }

    fn number(&mut self, scope: Scope, value: Value<'t, 'a>) -> Result<(), ReadError> {
        let searched = !matches!(
            scope.place,
            Place::Root | Place::Options | Place::Schema | Place::Names | Place::Prompt
        );
        if !searched || !has_long_run(value.raw()) {
            return Ok(());
        }
        let segment = segment(scope, Part::Field, value.span(), Cow::Borrowed(value.raw()));
        self.push(Segment { number: true, ..segment })
    }

    fn attach(
        &mut self,
        media: Media,
        given: Given,
        span: std::ops::Range<usize>,
        turn: Option<u32>,
    ) {
        self.view.attachments.push(Attachment { media, given, span, turn });
    }

    /// Notes opaque data with what must go with it.
    fn bind(&mut self, value: Value<'t, 'a>, before: Option<usize>) {
        let Some(frame) = self.frames.last().filter(|_| !value.raw().is_empty()) else {
            return;
        };
        let whole = frame.element.clone().filter(|_| place::is_reasoning_kind(&frame.kind));
        let (disposal, slot) = match (whole, frame.key) {
            (Some(element), _) => (Disposal::Element, element),
            (None, Some((key, _))) => {
                (Disposal::Member, slot_of_member(self.tape, frame.end, key, before))
            }
            (None, None) => return,
        };
        let pair = frame.pair.clone().filter(|_| disposal == Disposal::Element);
        let message = self.emptied_message(disposal);
        let value = value.span();
        self.view.backend_bound.push(BackendBound { value, disposal, slot, pair, message });
    }

    /// The message around the block that is to go, if there is nothing in it but its content.
    fn emptied_message(&self, disposal: Disposal) -> Option<Slot> {
        let around = self.frames.iter().rev().nth(2).filter(|_| disposal == Disposal::Element)?;
        let content = around.key.is_some_and(|(key, _)| key.is_text("content"));
        let only = around.scope.place == Place::Message && content && !around.calls;
        around.element.clone().filter(|_| only)
    }

    fn push(&mut self, segment: Segment<'a>) -> Result<(), ReadError> {
        if segment.text.is_empty() {
            return Ok(());
        }
        if self.view.segments.len() >= SEGMENTS_MAX {
            return Err(ReadError::Segments);
        }
        self.view.segments.push(segment);
        Ok(())
    }
}

fn segment(
    scope: Scope,
    part: Part,
    span: std::ops::Range<usize>,
    text: Cow<'_, str>,
) -> Segment<'_> {
    let Scope { role, turn, .. } = scope;
    Segment { text, span, role, part, turn, number: false, key: false }
}

/// The shortest account numbers have nine digits.
const RUN_DIGITS_MIN: usize = 9;

fn has_long_run(number: &str) -> bool {
    number.len() >= RUN_DIGITS_MIN
        && number.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= RUN_DIGITS_MIN)
}
