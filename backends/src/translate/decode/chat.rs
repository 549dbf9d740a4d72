//! The stream of `POST /v1/chat/completions`.
//!
//! Consumers of this dialect must know calls by index, by id where a server repeats the index, and by order where it
//! sends neither.

use crate::translate::{
    TranslateError,
    answer::{Kind, Stop, chat},
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
    /// The text, refusal or reasoning that is being said.
    speaking: Option<(u64, Kind)>,
    calls: Vec<Call>,
    stop: Option<Stop>,
}

#[derive(Debug)]
struct Call {
    index: Option<u64>,
    id: String,
    key: u64,
}

impl Decoder {
    /// Reads one chunk.
    pub(crate) fn chunk(
        &mut self,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        if let Some(error) = root.get("error") {
            events.push(Event::Failed(failure::read_member(&error)));
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start);
        }
        if let Some(choices) = root.get("choices") {
            for choice in choices.array()?.iter() {
                let choice = choice.object()?;
                // Only one answer is asked for.
                if choice.count("index") == 0 {
                    self.choice(&choice, events)?;
                }
            }
        }
        let usage = root
            .child("usage")
            .map(|usage| Usage::of_chat(&usage))
            .or_else(|| Some(Usage::of_chat(&root.child("x_groq")?.child("usage")?)));
        events.extend(usage.map(Event::Usage));
        Ok(())
    }

    /// Ends the answer if the backend said why it ended.
    pub(crate) fn end(&mut self, events: &mut Vec<Event>) {
        if let Some(stop) = self.stop.take() {
            self.silence(events);
            events.extend(self.calls.iter().map(|call| Event::Close(call.key)));
            events.push(Event::End(stop));
        }
    }

    fn choice(
        &mut self,
        choice: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        if let Some(delta) = choice.child("delta") {
            self.delta(&delta, events)?;
        }
        if let Some(reason) = choice.text("finish_reason") {
            self.stop = Some(chat::stop(&reason));
        }
        Ok(())
    }

    fn delta(
        &mut self,
        delta: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        if let Some(text) = chat::reasoning(delta) {
            self.say(Kind::Reasoning, text, events);
        }
        if let Some(content) = delta.get("content") {
            for (kind, text) in chat::content_texts(&content)? {
                self.say(kind, text, events);
            }
        }
        if let Some(text) = delta.text("refusal") {
            self.say(Kind::Refusal, text.into_owned(), events);
        }
        if let Some(calls) = delta.get("tool_calls") {
            for call in calls.array()?.iter() {
                self.call(&call.object()?, events)?;
            }
        }
        Ok(())
    }

    fn say(&mut self, kind: Kind, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let key = match &self.speaking {
            Some((key, speaking)) if *speaking == kind => *key,
            _ => {
                self.silence(events);
                let key = self.key();
                self.speaking = Some((key, kind.clone()));
                events.push(Event::Open(key, kind));
                key
            }
        };
        events.push(Event::Append(key, text));
    }

    fn silence(&mut self, events: &mut Vec<Event>) {
        if let Some((key, _)) = self.speaking.take() {
            events.push(Event::Close(key));
        }
    }

    fn call(
        &mut self,
        call: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let index = call.get("index").and_then(|node| node.u64().ok());
        let id = call.text("id").unwrap_or_default();
        let function = call.child("function");
        let name = function.as_ref().and_then(|function| function.text("name")).unwrap_or_default();
        let key = if let Some(key) = self.find(index, &id, &name) {
            key
        } else {
            self.silence(events);
            let key = self.key();
            self.calls.push(Call { index, id: id.as_ref().to_owned(), key });
            let kind = Kind::Call { id: id.into_owned(), name: name.into_owned() };
            events.push(Event::Open(key, kind));
            key
        };
        let text = function.as_ref().map(chat::arguments).transpose()?.unwrap_or_default();
        if !text.is_empty() {
            events.push(Event::Append(key, text));
        }
        Ok(())
    }

    /// The call that a fragment continues.
    fn find(&self, index: Option<u64>, id: &str, name: &str) -> Option<u64> {
        let continues = |call: &&Call| match index {
            Some(index) => call.index == Some(index),
            None if !id.is_empty() => call.id == id,
            None => true,
        };
        let call = self.calls.iter().rev().find(continues)?;
        let is_other = !id.is_empty() && !call.id.is_empty() && call.id != id;
        // Without index and id, a name is all that a new call has.
        let is_new = index.is_none() && id.is_empty() && !name.is_empty();
        (!is_other && !is_new).then_some(call.key)
    }

    fn key(&mut self) -> u64 {
        self.next_key = self.next_key.saturating_add(1);
        self.next_key
    }
}
