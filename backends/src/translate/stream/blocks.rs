//! Blocks that may be mixed on the way in, one after the other on the way out.
//!
//! The first block goes through as it comes. A block that begins before it ends waits. A call whose arguments are a whole
//! object is taken as ended when the next block begins, so that parallel calls usually do not wait.

use std::{collections::VecDeque, mem};

use domain::limits::ANSWER_BYTES_MAX;

use crate::translate::{
    AnswerContext, TranslateError,
    answer::{Answer, Kind, Part},
    encode::Encoder,
};

/// Most blocks of one answer. Each costs a search among the open ones, and no model makes hundreds.
const BLOCKS_MAX: usize = 4096;

/// Where blocks go.
#[derive(Debug)]
pub(super) struct Sink<'s> {
    pub(super) context: &'s AnswerContext,
    pub(super) encoder: &'s mut Encoder,
    pub(super) out: &'s mut Vec<u8>,
}

/// The blocks of one answer.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    live: Option<Block>,
    waiting: VecDeque<Block>,
    done: Vec<Part>,
    opened: usize,
    calls: usize,
    /// Bytes of all text so far.
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    key: u64,
    kind: Kind,
    text: String,
    scan: Scan,
    closed: bool,
}

impl Blocks {
    /// # Errors
    /// `invalid_answer` for more blocks than any model makes.
    pub(super) fn open(
        &mut self,
        key: u64,
        mut kind: Kind,
        sink: &mut Sink<'_>,
    ) -> Result<(), TranslateError> {
        self.opened = self.opened.saturating_add(1);
        if self.opened > BLOCKS_MAX {
            return Err(invalid("the answer has too many parts"));
        }
        if let Kind::Call { id, .. } = &mut kind {
            self.calls = self.calls.saturating_add(1);
            if id.is_empty() {
                *id = format!("call_{}_{}", sink.context.id, self.calls);
            }
        }
        let block = Block { key, kind, text: String::new(), scan: Scan::default(), closed: false };
        self.waiting.push_back(block);
        self.advance(sink);
        Ok(())
    }

    /// # Errors
    /// `invalid_answer` for words after the end of their block, or an answer above the limit.
    pub(super) fn append(
        &mut self,
        key: u64,
        text: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), TranslateError> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(invalid("the answer is too long"));
        }
        if let Some(live) = self.live.as_mut().filter(|live| live.key == key) {
            live.add(text);
            sink.encoder.text(sink.context, &live.kind, text, sink.out);
        } else if let Some(block) = self.waiting.iter_mut().rev().find(|block| block.key == key) {
            block.add(text);
        } else if !text.trim().is_empty() {
            return Err(invalid("a part of the answer continues after its end"));
        }
        Ok(())
    }

    pub(super) fn close(&mut self, key: u64, sink: &mut Sink<'_>) {
        let all = self.live.iter_mut().chain(&mut self.waiting);
        for block in all.filter(|block| block.key == key) {
            block.closed = true;
        }
        self.advance(sink);
    }

    /// Ends every block and gives the whole answer.
    pub(super) fn end(&mut self, sink: &mut Sink<'_>) -> Answer {
        for block in self.live.iter_mut().chain(&mut self.waiting) {
            block.closed = true;
        }
        self.advance(sink);
        Answer { parts: mem::take(&mut self.done), ..Answer::default() }
    }

    /// Blocks that have begun.
    pub(super) fn opened(&self) -> usize {
        self.opened
    }

    /// Calls that have begun.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Ends the live block if it can end, and begins the next one.
    fn advance(&mut self, sink: &mut Sink<'_>) {
        loop {
            let is_next_waiting = !self.waiting.is_empty();
            let ends = |block: &Block| block.closed || (is_next_waiting && block.scan.is_whole());
            if let Some(block) = self.live.take_if(|block| ends(block)) {
                self.done.push(block.finish(sink));
            }
            if self.live.is_some() {
                return;
            }
            let Some(next) = self.waiting.pop_front() else { return };
            sink.encoder.begin(sink.context, &next.kind, sink.out);
            if !next.text.is_empty() {
                sink.encoder.text(sink.context, &next.kind, &next.text, sink.out);
            }
            self.live = Some(next);
        }
    }
}

impl Block {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        if matches!(self.kind, Kind::Call { .. }) {
            self.scan.feed(text);
        }
    }

    fn finish(mut self, sink: &mut Sink<'_>) -> Part {
        // No arguments are an empty object; parsers of clients want to read one.
        if matches!(self.kind, Kind::Call { .. }) && self.text.trim().is_empty() {
            "{}".clone_into(&mut self.text);
            sink.encoder.text(sink.context, &self.kind, &self.text, sink.out);
        }
        sink.encoder.done(sink.context, &self.kind, &self.text, sink.out);
        Part { kind: self.kind, text: self.text }
    }
}

/// Finds the end of a JSON object that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    whole: bool,
}

impl Scan {
    fn is_whole(self) -> bool {
        self.whole
    }

    fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                self.escaped = byte == b'\\';
                self.in_string = byte != b'"';
            } else {
                self.structure(byte);
            }
        }
    }

    fn structure(&mut self, byte: u8) {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.whole |= self.depth == 0;
            }
            _ => {}
        }
    }
}

fn invalid(message: &str) -> TranslateError {
    TranslateError {
        param: String::new(),
        message: message.to_owned(),
        code: TranslateError::INVALID_ANSWER,
    }
}
