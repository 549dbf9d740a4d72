//! The stream of `POST /v1/messages`.

use crate::translate::{
    TranslateError,
    answer::{Kind, Stop, messages::stop},
    event::Event,
    failure,
    json::Object,
    usage::Usage,
};

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    usage: Usage,
    /// Indexes of the open blocks that a caller of another dialect can use.
    open: Vec<u64>,
    stop: Stop,
}

impl Decoder {
    /// Reads one event.
    pub(crate) fn event(
        &mut self,
        kind: &str,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        match kind {
            "message_start" => {
                let message = root.need("message")?.object()?;
                self.report(message.child("usage").as_ref(), events);
                events.push(Event::Start);
            }
            "content_block_start" => self.start(root, events)?,
            "content_block_delta" => self.delta(root, events)?,
            "content_block_stop" => {
                let index = root.need("index")?.u64()?;
                if self.open.contains(&index) {
                    self.open.retain(|open| *open != index);
                    events.push(Event::Close(index));
                }
            }
            "message_delta" => {
                let delta = root.need("delta")?.object()?;
                if let Some(reason) = delta.text("stop_reason") {
                    let sequence = delta.text("stop_sequence").map(std::borrow::Cow::into_owned);
                    self.stop = stop(&reason, sequence);
                }
                self.report(root.child("usage").as_ref(), events);
            }
            "message_stop" => events.push(Event::End(std::mem::take(&mut self.stop))),
            "ping" => events.push(Event::Ping),
            "error" => {
                events.push(Event::Failed(failure::read_member(&root.need("error")?)));
            }
            _ => {}
        }
        Ok(())
    }

    fn report(&mut self, usage: Option<&Object<'_, '_>>, events: &mut Vec<Event>) {
        if let Some(usage) = usage {
            self.usage.update_from_messages(usage);
            events.push(Event::Usage(self.usage));
        }
    }

    fn start(
        &mut self,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let index = root.need("index")?.u64()?;
        let block = root.need("content_block")?.object()?;
        let text = |key: &str| block.text(key).unwrap_or_default().into_owned();
        let (kind, said) = match block.kind().as_ref() {
            "text" => (Kind::Text, text("text")),
            "thinking" => (Kind::Reasoning, text("thinking")),
            "tool_use" => {
                let name = block.need("name")?.string()?.into_owned();
                // Servers that do not stream the input send it whole here.
                let input = block.get("input").map_or("{}", |input| input.text);
                let is_empty = input.bytes().all(|byte| b"{} \t\r\n".contains(&byte));
                let said = if is_empty { String::new() } else { input.to_owned() };
                (Kind::Call { id: text("id"), name }, said)
            }
            _ => return Ok(()),
        };
        self.open.push(index);
        events.push(Event::Open(index, kind));
        if !said.is_empty() {
            events.push(Event::Append(index, said));
        }
        Ok(())
    }

    fn delta(
        &mut self,
        root: &Object<'_, '_>,
        events: &mut Vec<Event>,
    ) -> Result<(), TranslateError> {
        let index = root.need("index")?.u64()?;
        if !self.open.contains(&index) {
            return Ok(());
        }
        let delta = root.need("delta")?.object()?;
        let key = match delta.kind().as_ref() {
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "input_json_delta" => "partial_json",
            _ => return Ok(()),
        };
        let text = delta.need(key)?.string()?.into_owned();
        if !text.is_empty() {
            events.push(Event::Append(index, text));
        }
        Ok(())
    }
}
