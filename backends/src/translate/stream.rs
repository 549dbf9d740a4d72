//! A stream of one dialect as a stream of another, without I/O.
//!
//! Frames become events, events become blocks one after the other, blocks become frames. Backends may mix the fragments
//! of several calls; callers get whole blocks in the order in which they began. Not here: the dialects themselves
//! (`decode`, `encode`).
//!
//! Invariant: after the end or an error nothing is written any more, and an end is written only after the backend's own.

mod blocks;

use domain::limits::EVENT_BYTES_MAX;
use router::{sse, wire::Dialect};

use crate::translate::{
    AnswerContext, ErrorFacts, TranslateError, decode::Decoder, encode::Encoder, event::Event,
    usage::Usage,
};

use blocks::Blocks;

/// Translates one stream. The bytes that come out do not depend on how the bytes that go in are cut.
#[derive(Debug)]
pub struct StreamTranslator {
    frames: sse::Decoder,
    decoder: Decoder,
    output: Output,
}

/// Everything behind the events.
#[derive(Debug)]
struct Output {
    context: AnswerContext,
    encoder: Encoder,
    blocks: Blocks,
    usage: Option<Usage>,
    started: bool,
    failure: Option<ErrorFacts>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

impl StreamTranslator {
    /// A translator from the dialect of the backend to the dialect of the caller.
    ///
    /// # Errors
    /// `dialect_unsupported` for a pair that has no translation. Equal dialects have one, which leaves out what is unknown;
    /// a proxy forwards the bytes instead.
    pub fn new(from: Dialect, to: Dialect, context: AnswerContext) -> Result<Self, TranslateError> {
        let (Some(decoder), Some(encoder)) = (Decoder::new(from), Encoder::new(to)) else {
            return Err(TranslateError::dialect(from, to));
        };
        let output = Output {
            context,
            encoder,
            blocks: Blocks::default(),
            usage: None,
            started: false,
            failure: None,
            state: State::Open,
        };
        Ok(Self { frames: sse::Decoder::new(EVENT_BYTES_MAX), decoder, output })
    }

    /// Takes the next bytes of the backend and appends what the caller gets to `out`.
    ///
    /// # Errors
    /// `invalid_answer` when the backend does not follow its dialect. What was said before it stays in `out`; call
    /// [`Self::fail`] to tell the caller.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), TranslateError> {
        if self.output.state != State::Open {
            return Ok(());
        }
        let pushed = self.frames.push(chunk);
        let mut events = Vec::new();
        while let Some(frame) = self.frames.next_frame() {
            let read = self.decoder.frame(frame.event, frame.data, &mut events);
            self.output.take(&mut events, out)?;
            if self.output.state != State::Open {
                // What follows the end says nothing, also where it came in the same piece.
                return Ok(());
            }
            read?;
        }
        pushed.map_err(|error| TranslateError {
            param: String::new(),
            message: error.to_string(),
            code: TranslateError::INVALID_ANSWER,
        })
    }

    /// The backend's stream has ended.
    ///
    /// # Errors
    /// `stream_truncated` when its last event has not come. Nothing that looks like an end is written then; call
    /// [`Self::fail`] to tell the caller.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), TranslateError> {
        let mut events = Vec::new();
        if self.output.state == State::Open {
            // Some servers leave out the last blank line. Half an event is not read.
            if let Some(frame) = self.frames.finish()
                && self.decoder.frame(frame.event, frame.data, &mut events).is_err()
            {
                events.clear();
            }
            self.decoder.finish(&mut events);
            self.output.take(&mut events, out)?;
        }
        match self.output.state {
            State::Ended | State::Failed => Ok(()),
            State::Open => Err(TranslateError {
                param: String::new(),
                message: "the backend's stream ended before the answer did".to_owned(),
                code: TranslateError::STREAM_TRUNCATED,
            }),
        }
    }

    /// Tells the caller, in its dialect, that the answer will never be whole. Does nothing after the end.
    pub fn fail(&mut self, facts: &ErrorFacts, out: &mut Vec<u8>) {
        self.output.fail(facts, out);
    }

    /// Whether the backend has said anything: before that the caller's bytes can be thrown away and another backend asked.
    pub fn has_spoken(&self) -> bool {
        self.output.blocks.opened() > 0
    }

    /// The error that the backend reported inside its stream; the caller's bytes hold it already.
    pub fn failure(&self) -> Option<&ErrorFacts> {
        self.output.failure.as_ref()
    }

    /// Whether the backend has ended its answer properly.
    pub fn is_ended(&self) -> bool {
        self.output.state == State::Ended
    }
}

impl Output {
    fn take(&mut self, events: &mut Vec<Event>, out: &mut Vec<u8>) -> Result<(), TranslateError> {
        for event in events.drain(..) {
            if self.state != State::Open {
                break;
            }
            self.event(event, out)?;
        }
        events.clear();
        Ok(())
    }

    fn event(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), TranslateError> {
        match event {
            Event::Usage(usage) => {
                self.usage = Some(usage);
                return Ok(());
            }
            Event::Failed(facts) => {
                self.fail(&facts, out);
                self.failure = Some(facts);
                return Ok(());
            }
            // Signs of life wait until there is something to keep alive.
            Event::Ping if !self.started => return Ok(()),
            _ => self.start(out),
        }
        let mut sink = blocks::Sink { context: &self.context, encoder: &mut self.encoder, out };
        match event {
            Event::Open(key, kind) => self.blocks.open(key, kind, &mut sink)?,
            Event::Append(key, text) => self.blocks.append(key, &text, &mut sink)?,
            Event::Close(key) => self.blocks.close(key, &mut sink),
            Event::Ping => self.encoder.ping(out),
            Event::End(stop) => {
                let mut answer = self.blocks.end(&mut sink);
                answer.stop = stop.with_calls(self.blocks.calls() > 0);
                answer.usage = self.usage;
                self.state = State::Ended;
                self.encoder.end(&self.context, &answer, out);
            }
            Event::Start | Event::Usage(_) | Event::Failed(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            self.encoder.start(&self.context, self.usage.unwrap_or_default(), out);
        }
    }

    fn fail(&mut self, facts: &ErrorFacts, out: &mut Vec<u8>) {
        if self.state == State::Open {
            self.start(out);
            self.state = State::Failed;
            self.encoder.fail(&self.context, facts, out);
        }
    }
}
