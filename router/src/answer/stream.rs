//! One event stream on its way to the caller.

use std::sync::Arc;

use domain::limits::EVENT_BYTES_MAX;

use crate::{
    answer::{
        AnswerError, Ended, Observed, anthropic, chat, responses,
        rewrite::{Channels, Numbering, Rewrite, Texts, splice},
        tape::{Tape, Unread, Value},
    },
    redact::Vault,
    restore::{Escape, restore_text},
    sse::{self, Decoder, Frame},
    wire::Dialect,
};

/// How a stream is passed on.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The dialect of the stream, which is the caller's.
    pub dialect: Dialect,
    /// What was hidden from the backend.
    pub vault: Arc<Vault>,
    /// Whether the chunk that holds only the usage is dropped, because the caller did not ask for it.
    pub hide_usage: bool,
    /// The name that the caller asked for, for records. The `model` in the answer is left as the backend said.
    pub model_alias: Option<String>,
}

/// Passes an event stream on: restores what was hidden, drops what the caller did not ask for, observes the rest.
///
/// After an error the stream is over; nothing more is passed.
#[derive(Debug)]
pub struct StreamPass {
    decoder: Decoder,
    state: State,
}

#[derive(Debug)]
struct State {
    dialect: Dialect,
    words: Escape,
    hide_usage: bool,
    model_alias: Option<String>,
    tape: Tape,
    channels: Channels,
    choices: chat::Choices,
    numbers: Numbering,
    observed: Observed,
    /// Whether a byte of the stream has been looked at.
    begun: bool,
    /// Whether an event with data was understood.
    understood: bool,
    failed: Option<AnswerError>,
}

impl StreamPass {
    /// A pass at the start of a stream.
    pub fn new(options: StreamOptions) -> Self {
        let StreamOptions { dialect, vault, hide_usage, model_alias } = options;
        let state = State {
            dialect,
            words: Escape::None,
            hide_usage,
            model_alias,
            tape: Tape::default(),
            channels: Channels::new(vault),
            choices: chat::Choices::default(),
            numbers: Numbering::default(),
            observed: Observed::default(),
            begun: false,
            understood: false,
            failed: None,
        };
        Self { decoder: Decoder::new(EVENT_BYTES_MAX), state }
    }

    /// The same pass, where the model's own words are what `words` says: [`Escape::Json`] if the request asked for
    /// JSON, so that a value with a quote in it does not break the document. Reasoning stays prose.
    #[must_use]
    pub fn with_words(mut self, words: Escape) -> Self {
        self.state.words = words;
        self
    }

    /// Takes the next bytes of the backend and appends to `out` the bytes for the caller.
    ///
    /// # Errors
    /// Any [`AnswerError`], for this and every later push. What was appended before it may be sent.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), AnswerError> {
        if let Some(error) = self.state.failed {
            return Err(error);
        }
        let done = self.advance(chunk, out);
        self.state.failed = done.err();
        done
    }

    /// Takes the end of the backend's bytes, appends what was held back, and says how the stream ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Ended {
        if self.state.failed.is_none()
            && let Some(frame) = self.decoder.finish()
        {
            self.state.failed = self.state.last(&frame, out).err();
        }
        let State { channels, numbers, observed, failed, .. } = &mut self.state;
        channels.flush("", numbers, out);
        if observed.terminal && failed.is_none() { Ended::Complete } else { Ended::Truncated }
    }

    /// Why nothing more is passed; [`finish`](Self::finish) may find a reason too.
    pub fn error(&self) -> Option<AnswerError> {
        self.state.failed
    }

    /// What was seen so far.
    pub fn observed(&self) -> &Observed {
        &self.state.observed
    }

    /// The name that the caller asked for.
    pub fn model_alias(&self) -> Option<&str> {
        self.state.model_alias.as_deref()
    }

    fn advance(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), AnswerError> {
        self.state.look(chunk)?;
        let pushed = self.decoder.push(chunk);
        while let Some(frame) = self.decoder.next_frame() {
            self.state.frame(&frame, out)?;
        }
        Ok(pushed?)
    }
}

impl State {
    /// Refuses what cannot be an event stream by its first byte, before a megabyte of it is buffered.
    fn look(&mut self, chunk: &[u8]) -> Result<(), AnswerError> {
        let Some(first) = chunk.first().filter(|_| !self.begun) else { return Ok(()) };
        self.begun = true;
        // A field name, a comment, a blank line, or a byte order mark.
        let fits = first.is_ascii_alphabetic() || b":\r\n\xEF".contains(first);
        if fits { Ok(()) } else { Err(AnswerError::NotAStream) }
    }

    fn frame(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        if frame.data.is_empty() {
            return self.without_data(frame, out);
        }
        if frame.data.trim() == "[DONE]" {
            self.understood = true;
            self.observed.terminal = true;
            self.channels.flush("", &mut self.numbers, out);
            out.extend_from_slice(frame.raw);
            return Ok(());
        }
        let Self { tape, .. } = self;
        let mut tape = std::mem::take(tape);
        let result = match tape.read(frame.data) {
            Ok(root) => self.event(frame, root, out),
            Err(unread) => self.unread(frame, unread, out),
        };
        self.tape = tape;
        result
    }

    /// Comments, blank lines and bare names pass. Lines that no event stream has are refused at its start.
    fn without_data(&self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let foreign = |line: &[u8]| {
            let fields: [&[u8]; 4] = [b"event", b"id", b"retry", b"data"];
            !line.is_empty()
                && !line.starts_with(b":")
                && !fields.iter().any(|field| line.starts_with(field))
        };
        let raw = frame.raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(frame.raw);
        if !self.understood && raw.split(|byte| matches!(byte, b'\n' | b'\r')).any(foreign) {
            return Err(AnswerError::NotAStream);
        }
        out.extend_from_slice(frame.raw);
        Ok(())
    }

    fn event(
        &mut self,
        frame: &Frame<'_>,
        root: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        self.understood = true;
        match self.dialect {
            Dialect::AnthropicMessages => anthropic::observe(root, &mut self.observed),
            Dialect::OpenAiResponses => responses::observe(root, &mut self.observed),
            _ => chat::observe(root, &mut self.choices, &mut self.observed),
        }
        if self.hide_usage && self.is_chat() && chat::is_usage_only(root) {
            return Ok(());
        }
        if !self.channels.is_needed() {
            out.extend_from_slice(frame.raw);
            return Ok(());
        }
        let number = root.get("sequence_number");
        self.numbers.next = number.and_then(Value::number);
        let vault = self.channels.vault();
        let texts = Texts { dialect: self.dialect, words: self.words };
        let mut rewrite = Rewrite::new(&mut self.channels, &vault, texts);
        match self.dialect {
            Dialect::AnthropicMessages => anthropic::rewrite(root, &mut rewrite)?,
            Dialect::OpenAiResponses => responses::rewrite(root, &mut rewrite)?,
            _ => chat::rewrite(root, &mut rewrite)?,
        }
        rewrite.flush_ended(&mut self.numbers, number, out);
        let edits = rewrite.into_edits();
        self.numbers.next = self.numbers.next.map(|next| next.saturating_add(1));
        match &frame.data_at {
            _ if edits.is_empty() => out.extend_from_slice(frame.raw),
            Some(at) => {
                let (before, rest) = frame.raw.split_at_checked(at.start).unwrap_or_default();
                out.extend_from_slice(before);
                splice(frame.data.as_bytes(), &edits, out);
                out.extend_from_slice(rest.get(at.len()..).unwrap_or_default());
            }
            None => {
                let mut data = Vec::new();
                splice(frame.data.as_bytes(), &edits, &mut data);
                sse::write(frame.event, &String::from_utf8_lossy(&data), out);
            }
        }
        Ok(())
    }

    /// Data that is no JSON passes with its placeholders restored, once the stream has proved to be one.
    fn unread(
        &mut self,
        frame: &Frame<'_>,
        unread: Unread,
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        let understood = self.understood || unread == Unread::TooComplex;
        if !understood || (unread == Unread::TooComplex && self.channels.is_needed()) {
            return Err(unread.into());
        }
        match restore_text(&self.channels.vault(), frame.data, Escape::None) {
            std::borrow::Cow::Borrowed(_) => out.extend_from_slice(frame.raw),
            std::borrow::Cow::Owned(data) => sse::write(frame.event, &data, out),
        }
        Ok(())
    }

    /// An event without its blank line at the end of the stream counts if it is whole; half of one is dropped.
    fn last(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let whole = match frame.data.trim() {
            "" => frame.raw.starts_with(b":") || frame.raw.trim_ascii().is_empty(),
            data => data == "[DONE]" || self.tape.read(data).is_ok(),
        };
        if !whole {
            return if self.understood { Ok(()) } else { Err(AnswerError::NotAStream) };
        }
        let from = out.len();
        self.frame(frame, out)?;
        if out.len() > from {
            // Whatever follows must not become a part of it.
            let ended = out.ends_with(b"\n") || out.ends_with(b"\r");
            out.extend_from_slice(if ended { b"\n" } else { b"\n\n" });
        }
        Ok(())
    }

    fn is_chat(&self) -> bool {
        matches!(self.dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions)
    }
}
