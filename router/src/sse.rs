//! Server-sent events without I/O: bytes in, frames out, and the way back.
//!
//! Here: the line and field rules of the WHATWG HTML standard (§9.2.6 "Interpreting an event stream"). Not here:
//! what the data of an event means (`answer`, `backends`), reconnection, sockets.
//!
//! Invariant: the `raw` bytes of all frames and of [`Decoder::finish`], joined, are the bytes that were pushed,
//! and the frames do not depend on how the bytes were cut.

use std::{borrow::Cow, collections::VecDeque, mem, ops::Range, str};

use memchr::{memchr, memchr2, memchr2_iter};
use thiserror::Error;

/// Why a byte stream is no event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SseError {
    /// One event is longer than the decoder's limit.
    #[error("a server-sent event is longer than {limit} bytes")]
    TooLong {
        /// Most bytes of one event, its blank line included.
        limit: usize,
    },
}

/// One event, or a group of comment lines, or a stray blank line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Value of the last `event:` line; `None` if there is none, it is empty or no UTF-8.
    pub event: Option<&'a str>,
    /// Values of the `data:` lines joined by line feeds; empty if there are none. Invalid UTF-8 is replaced by
    /// U+FFFD, as the standard says.
    pub data: &'a str,
    /// The bytes as they came, the closing blank line included.
    pub raw: &'a [u8],
    /// Where `data` stands in `raw`, if it is one line of valid UTF-8.
    pub data_at: Option<Range<usize>>,
}

/// Cuts a byte stream into frames. Each byte is looked at a fixed number of times, however it arrives.
///
/// Push a chunk, then take frames until there is none. Lines may end in LF, CRLF, CR or a mixture. A frame that
/// ends in a bare CR is given out once the next byte (which may be its LF) or the end of the stream is known.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: Vec<u8>,
    /// Start of the next frame to give out.
    start: usize,
    /// Ends of complete frames not given out yet.
    ends: VecDeque<usize>,
    /// Start of the frame that is still growing.
    growing: usize,
    /// Start of the line that is still growing; bytes before it are understood.
    line: usize,
    /// First byte that no search has looked at.
    searched: usize,
    /// Whether the next frame is the first one, which may begin with a byte order mark.
    first: bool,
    failed: bool,
    joined: String,
}

impl Decoder {
    /// A decoder that refuses events of more than `limit` bytes. It buffers one unfinished event and one chunk.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            start: 0,
            ends: VecDeque::new(),
            growing: 0,
            line: 0,
            searched: 0,
            first: true,
            failed: false,
            joined: String::new(),
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`SseError::TooLong`] for an event above the limit, finished or not, and for every push after it. Complete
    /// events before it can still be taken.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SseError> {
        if !self.failed {
            self.compact();
            self.buffer.extend_from_slice(chunk);
            self.scan();
        }
        if self.failed { Err(SseError::TooLong { limit: self.limit }) } else { Ok(()) }
    }

    /// The next complete frame; `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let end = self.ends.pop_front()?;
        Some(self.frame_until(end))
    }

    /// What stands after the last blank line once the stream has ended, read as if a blank line followed it;
    /// `None` if nothing does. Take the complete frames first.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        let end = self.buffer.len();
        if self.failed || self.start >= end {
            return None;
        }
        self.ends.clear();
        (self.growing, self.line, self.searched) = (end, end, end);
        Some(self.frame_until(end))
    }

    /// Drops what was given out, at a cost that the dropped bytes have paid for.
    fn compact(&mut self) {
        if self.start == 0 || self.start < self.buffer.len() / 2 {
            return;
        }
        let gone = mem::take(&mut self.start);
        self.buffer.drain(..gone);
        for at in
            self.ends.iter_mut().chain([&mut self.growing, &mut self.line, &mut self.searched])
        {
            *at = at.saturating_sub(gone);
        }
    }

    /// Finds the blank lines in what is new.
    fn scan(&mut self) {
        while let Some((at, next)) = self.line_end() {
            if at == self.line {
                self.ends.push_back(next);
                self.fail_above_limit(next);
                self.growing = next;
            }
            self.line = next;
            self.searched = next;
            if self.failed {
                self.ends.pop_back();
                return;
            }
        }
        self.fail_above_limit(self.buffer.len());
    }

    fn fail_above_limit(&mut self, end: usize) {
        self.failed |= end.saturating_sub(self.growing) > self.limit;
    }

    /// Where the growing line ends and the next one starts.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        let unseen = self.buffer.get(self.searched..)?;
        let Some(offset) = memchr2(b'\n', b'\r', unseen) else {
            self.searched = self.buffer.len();
            return None;
        };
        let at = self.searched.saturating_add(offset);
        let next = at.saturating_add(1);
        if self.buffer.get(at) == Some(&b'\n') {
            return Some((at, next));
        }
        match self.buffer.get(next) {
            Some(b'\n') => Some((at, next.saturating_add(1))),
            Some(_) => Some((at, next)),
            None => {
                self.searched = at;
                None
            }
        }
    }

    fn frame_until(&mut self, end: usize) -> Frame<'_> {
        let start = mem::replace(&mut self.start, end);
        let first = mem::take(&mut self.first);
        let raw = self.buffer.get(start..end).unwrap_or_default();
        let fields = fields(raw, first);
        let event = fields.event.and_then(|at| str::from_utf8(raw.get(at)?).ok());
        let event = event.filter(|name| !name.is_empty());
        let Some(line) = fields.data else {
            return Frame { event, data: "", raw, data_at: None };
        };
        if fields.more.is_empty()
            && let Some(data) = raw.get(line.clone()).and_then(|bytes| str::from_utf8(bytes).ok())
        {
            return Frame { event, data, raw, data_at: Some(line) };
        }
        self.joined.clear();
        self.joined.push_str(&lossy(raw.get(line).unwrap_or_default()));
        for at in fields.more {
            self.joined.push('\n');
            self.joined.push_str(&lossy(raw.get(at).unwrap_or_default()));
        }
        Frame { event, data: &self.joined, raw, data_at: None }
    }
}

/// The ranges of the fields that matter; `id` and `retry` only live on in the raw bytes.
#[derive(Default)]
struct Fields {
    event: Option<Range<usize>>,
    data: Option<Range<usize>>,
    /// Further `data:` lines, which are rare: an event of one line allocates nothing.
    more: Vec<Range<usize>>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

fn fields(raw: &[u8], first: bool) -> Fields {
    let mut found = Fields::default();
    let mut line =
        if first && raw.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    // The LF of a CRLF shows up as an empty line, which has no field.
    for end in memchr2_iter(b'\n', b'\r', raw).chain([raw.len()]) {
        let bytes = raw.get(line..end).unwrap_or_default();
        let name_end = memchr(b':', bytes).unwrap_or(bytes.len());
        let (name, rest) = bytes.split_at_checked(name_end).unwrap_or_default();
        let skip = name.len() + rest.iter().take(2).zip(b": ").take_while(|(a, b)| a == b).count();
        let value = line.saturating_add(skip)..end;
        match name {
            b"event" => found.event = Some(value),
            b"data" if found.data.is_none() => found.data = Some(value),
            b"data" => found.more.push(value),
            _ => {}
        }
        line = end.saturating_add(1);
    }
    found
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Appends one event to `out`: an `event:` line if there is a name, a `data:` line per line of `data`, a blank line.
/// Line ends in the name are dropped, since they would start another field.
pub fn write(event: Option<&str>, data: &str, out: &mut Vec<u8>) {
    if let Some(name) = event {
        out.extend_from_slice(b"event: ");
        out.extend(name.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
        out.push(b'\n');
    }
    let mut line = 0;
    let bytes = data.as_bytes();
    for end in memchr2_iter(b'\n', b'\r', bytes).chain([bytes.len()]) {
        let second_of_crlf = end == line && end > 0 && bytes.get(end - 1..=end) == Some(b"\r\n");
        if !second_of_crlf {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(bytes.get(line..end).unwrap_or_default());
            out.push(b'\n');
        }
        line = end.saturating_add(1);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
