//! The part of a body that is looked at: it moves on in steps that depend on the body alone, never on its chunks.
//!
//! Each step sees what follows on what went on, and a little of that, too, because the words before a value tell what it
//! is. What stands near the end of a step waits for the next one, so that a value is seen whole.

use std::{borrow::Cow, ops::Range};

use http::{HeaderMap, header};
use router::{classify::Finding, redact};

use super::{Blocked, Judge, Outcome};

/// Bytes that one step sees.
const WINDOW_BYTES: usize = 64 << 10;
/// Bytes at the end of a step that wait for the next: longer values may be seen in two parts.
const VALUE_BYTES: usize = 8 << 10;
/// Bytes before what is looked at that are seen again.
const CONTEXT_BYTES: usize = 2 << 10;

/// How the kind of a value is written in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// `<EMAIL>`; `0` for a number of JSON, which has no room for words.
    Json,
    /// `%3CEMAIL%3E`
    Form,
    /// `<EMAIL>`
    Plain,
}

impl Marks {
    /// The marks for a body of the type that these headers give.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
        if kind.contains("json") || kind.is_empty() {
            Self::Json
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            Self::Form
        } else {
            Self::Plain
        }
    }

    fn write(self, finding: &Finding, bytes: &[u8], out: &mut Vec<u8>) {
        let kind = redact::kind(&finding.label).as_bytes();
        match self {
            Self::Json if is_number(bytes, &finding.span) => out.push(b'0'),
            Self::Json | Self::Plain => out.extend([b"<", kind, b">"].concat()),
            Self::Form => out.extend([b"%3C", kind, b"%3E"].concat()),
        }
    }
}

/// Whether a value stands in JSON as a number.
fn is_number(bytes: &[u8], span: &Range<usize>) -> bool {
    let blank = |byte: &&u8| !byte.is_ascii_whitespace();
    let value = bytes.get(span.clone()).unwrap_or_default();
    let before = bytes.get(..span.start).unwrap_or_default().iter().rev().find(blank);
    let after = bytes.get(span.end..).unwrap_or_default().iter().find(blank);
    value.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte))
        && before.is_none_or(|byte| b":,[".contains(byte))
        && after.is_none_or(|byte| b",]}".contains(byte))
}

/// The bytes that wait, and some that went on.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// How many of them went on already.
    passed: usize,
    marks: Marks,
}

impl Window {
    /// An empty window.
    pub(super) fn new(marks: Marks) -> Self {
        Self { bytes: Vec::new(), passed: 0, marks }
    }

    /// How many bytes are kept.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// What may go on after these bytes.
    pub(super) fn push(&mut self, mut more: &[u8], judge: &mut Judge) -> Result<Vec<u8>, Blocked> {
        let mut out = Vec::new();
        loop {
            let room = WINDOW_BYTES.saturating_sub(self.bytes.len());
            let (now, later) = more.split_at(room.min(more.len()));
            self.bytes.extend_from_slice(now);
            // A full window waits for one byte more, so that the last step is the same however the body ends.
            if later.is_empty() {
                return Ok(out);
            }
            let end = self.bytes.len().saturating_sub(VALUE_BYTES);
            self.step(end, judge, &mut out)?;
            more = later;
        }
    }

    /// What is left when the body has ended.
    pub(super) fn finish(&mut self, judge: &mut Judge) -> Result<Vec<u8>, Blocked> {
        let mut out = Vec::new();
        self.step(self.bytes.len(), judge, &mut out)?;
        Ok(out)
    }

    /// Looks at everything and lets go what stands before `end`.
    fn step(
        &mut self,
        mut end: usize,
        judge: &mut Judge,
        out: &mut Vec<u8>,
    ) -> Result<(), Blocked> {
        let decoded = (self.marks == Marks::Form).then(|| decode(&self.bytes));
        let text = decoded.as_ref().map_or(&*self.bytes, |decoded| &decoded.bytes);
        let mut from = self.passed;
        for mut finding in judge.find(&readable(text)) {
            if let Some(decoded) = &decoded {
                finding.span = decoded.source(&finding.span);
            }
            let span = finding.span.clone();
            if span.end <= from {
                continue;
            }
            if span.start >= end {
                break;
            }
            if span.end > end && span.start > from {
                // The next step sees it whole.
                end = span.start;
                break;
            }
            if judge.judge(&finding)? == Outcome::Hide {
                out.extend_from_slice(self.bytes.get(from..span.start).unwrap_or_default());
                self.marks.write(&finding, &self.bytes, out);
                from = span.end.min(end);
            }
        }
        out.extend_from_slice(self.bytes.get(from..end).unwrap_or_default());
        let keep = end.saturating_sub(CONTEXT_BYTES);
        drop(self.bytes.drain(..keep));
        self.passed = end.saturating_sub(keep);
        Ok(())
    }
}

/// A part of a form without its escapes: those of a whole body would be seen by the detectors anyway, a single `%40` is
/// too little for them to look twice.
struct Decoded {
    bytes: Vec<u8>,
    /// Where each of the bytes is written, and where the last one ends.
    starts: Vec<usize>,
}

impl Decoded {
    /// Where a part of the decoded bytes is written.
    fn source(&self, span: &Range<usize>) -> Range<usize> {
        let place = |at: usize| self.starts.get(at).or(self.starts.last()).copied().unwrap_or(0);
        place(span.start)..place(span.end)
    }
}

fn decode(raw: &[u8]) -> Decoded {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut starts = Vec::with_capacity(raw.len().saturating_add(1));
    let mut at = 0;
    while let Some(first) = raw.get(at) {
        let digit = |place: usize| char::from(*raw.get(at.checked_add(place)?)?).to_digit(16);
        let value =
            digit(1).zip(digit(2)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        starts.push(at);
        let (byte, length) = match (first, value) {
            (b'%', Some(value)) => (value, 3),
            (b'+', _) => (b' ', 1),
            (other, _) => (*other, 1),
        };
        bytes.push(byte);
        at = at.saturating_add(length);
    }
    starts.push(raw.len());
    Decoded { bytes, starts }
}

/// The bytes as a text of the same length, with blanks for what is no UTF-8.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n(' ', chunk.invalid().len()));
    }
    Cow::Owned(text)
}
