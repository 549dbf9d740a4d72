//! The one pass over the bytes: a loop with its own stack, so that nesting costs no call stack.

use domain::limits::{JSON_DEPTH_MAX, JSON_NODES_MAX};

use crate::json::{Fault, JsonError, Kind, Tape, keys, tape::Node, text::hex4};

/// Checks `body` and gives the spans of everything in it.
///
/// Takes linear time (`n log n` within an object of many members) and at most [`JSON_NODES_MAX`] times 16 bytes.
///
/// # Errors
/// [`JsonError`] for anything that RFC 8259 does not allow, and for what the module documentation adds to it.
pub fn parse(body: &[u8]) -> Result<Tape<'_>, JsonError> {
    let fail = |fault, offset| JsonError::at(fault, body, offset);
    if u32::try_from(body.len()).is_err() {
        return Err(fail(Fault::Large, 0));
    }
    let text = std::str::from_utf8(body).map_err(|e| fail(Fault::Utf8, e.valid_up_to()))?;
    if text.starts_with('\u{feff}') {
        return Err(fail(Fault::ByteOrderMark, 0));
    }
    // Real requests have one node for 20 to 60 bytes.
    let nodes = Vec::with_capacity((body.len() / 32).min(1 << 16));
    let mut walk = Walk { text, bytes: body, at: 0, nodes, open: Vec::with_capacity(16) };
    match walk.run() {
        Ok(()) => Ok(Tape { text, nodes: walk.nodes }),
        Err(fault) => Err(fail(fault, walk.at)),
    }
}

struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// The next byte; after a fault the place of it.
    at: usize,
    nodes: Vec<Node>,
    /// Node numbers of the objects and arrays that are not closed yet.
    open: Vec<Open>,
}

#[derive(Clone, Copy)]
struct Open {
    node: usize,
    object: bool,
}

/// What stands before the next value.
enum Ahead {
    Value,
    /// The value is complete.
    Done,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            if let Ahead::Value = self.value()? {
                continue;
            }
            if let Ahead::Done = self.after_value()? {
                break;
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::Trailing),
        }
    }

    /// Reads one scalar, or opens an object or array up to its first value.
    fn value(&mut self) -> Result<Ahead, Fault> {
        match self.peek().ok_or(Fault::End)? {
            b'"' => self.string(Kind::String)?,
            b'{' => return self.open(Kind::Object),
            b'[' => return self.open(Kind::Array),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word(b"true", Kind::True)?,
            b'f' => self.word(b"false", Kind::False)?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => return Err(Fault::Value),
        }
        Ok(Ahead::Done)
    }

    /// Closes what ends here and stops before the next value, or at the end of the outermost.
    fn after_value(&mut self) -> Result<Ahead, Fault> {
        while let Some(open) = self.open.last().copied() {
            let byte = self.peek().ok_or(Fault::End)?;
            match (byte, open.object) {
                (b',', true) => {
                    self.step();
                    self.key()?;
                    return Ok(Ahead::Value);
                }
                (b',', false) => {
                    self.step();
                    return Ok(Ahead::Value);
                }
                (b'}', true) | (b']', false) => self.close(open)?,
                (_, true) => return Err(Fault::CommaOrBrace),
                (_, false) => return Err(Fault::CommaOrBracket),
            }
        }
        Ok(Ahead::Done)
    }

    fn open(&mut self, kind: Kind) -> Result<Ahead, Fault> {
        if self.open.len() >= JSON_DEPTH_MAX {
            return Err(Fault::Deep);
        }
        let open = Open { node: self.nodes.len(), object: kind == Kind::Object };
        self.push(kind, self.at, self.at, false)?;
        self.open.push(open);
        self.step();
        let first = self.peek().ok_or(Fault::End)?;
        match (first, open.object) {
            (b'}', true) | (b']', false) => {
                self.close(open)?;
                Ok(Ahead::Done)
            }
            (_, true) => {
                self.key()?;
                Ok(Ahead::Value)
            }
            (_, false) => Ok(Ahead::Value),
        }
    }

    fn close(&mut self, open: Open) -> Result<(), Fault> {
        self.open.pop();
        self.step();
        let (end, next) = (place(self.at), place(self.nodes.len()));
        if let Some(node) = self.nodes.get_mut(open.node) {
            node.end = end;
            node.next = next;
        }
        if !open.object {
            return Ok(());
        }
        match keys::duplicate(self.text, &self.nodes, open.node) {
            None => Ok(()),
            Some(key) => {
                let start = self.nodes.get(key as usize).map_or(0, |node| node.start);
                self.at = (start as usize).saturating_sub(1);
                Err(Fault::DuplicateKey)
            }
        }
    }

    /// Reads a member name and its colon.
    fn key(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string(Kind::Key)?,
            Some(_) => return Err(Fault::Key),
            None => return Err(Fault::End),
        }
        match self.peek() {
            Some(b':') => self.step(),
            Some(_) => return Err(Fault::Colon),
            None => return Err(Fault::End),
        }
        Ok(())
    }

    fn string(&mut self, kind: Kind) -> Result<(), Fault> {
        self.step();
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(Fault::Control),
                None => return Err(Fault::End),
            }
        }
        self.push(kind, start, self.at, escaped)?;
        self.step();
        Ok(())
    }

    /// Checks the escape that begins here and steps behind it.
    fn escape(&mut self) -> Result<(), Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => unicode_escape(rest)?,
            Some(_) => return Err(Fault::Escape),
            None => return Err(Fault::End),
        };
        self.at = self.at.saturating_add(length);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.step();
        }
        if self.byte() == Some(b'0') {
            self.step();
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.step();
            if let Some(b'+' | b'-') = self.byte() {
                self.step();
            }
            self.digits()?;
        }
        // `01` and `1x` are faults of the number, not of what may follow it.
        if self.byte().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return Err(Fault::Number);
        }
        self.push(Kind::Number, start, self.at, false)
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.step();
        }
        match (self.at > start, self.byte()) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(Fault::Number),
            (false, None) => Err(Fault::End),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), Fault> {
        let start = self.at;
        for expected in word {
            match self.byte() {
                Some(byte) if byte == *expected => self.step(),
                Some(_) => return Err(Fault::Value),
                None => return Err(Fault::End),
            }
        }
        self.push(kind, start, self.at, false)
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, escaped: bool) -> Result<(), Fault> {
        let next = self.nodes.len().saturating_add(1);
        if next > JSON_NODES_MAX {
            return Err(Fault::Many);
        }
        let node = Node { start: place(start), end: place(end), next: place(next), kind, escaped };
        self.nodes.push(node);
        Ok(())
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.step(),
                byte => return Some(byte),
            }
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }
}

/// Offsets fit because [`parse`] refuses longer bodies, node numbers because [`JSON_NODES_MAX`] is small.
#[inline]
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Length of the `\u` escape at the start of `rest`, or of the pair that it begins.
fn unicode_escape(rest: &[u8]) -> Result<usize, Fault> {
    let missing = |end: usize| if rest.len() < end { Fault::End } else { Fault::Escape };
    let unit = hex4(rest.get(2..6)).ok_or_else(|| missing(6))?;
    match unit {
        0xDC00..=0xDFFF => return Err(Fault::Surrogate),
        0xD800..=0xDBFF => {}
        _ => return Ok(6),
    }
    match (rest.get(6), rest.get(7)) {
        (Some(b'\\'), Some(b'u')) => {}
        (None, _) | (Some(b'\\'), None) => return Err(Fault::End),
        _ => return Err(Fault::Surrogate),
    }
    match hex4(rest.get(8..12)).ok_or_else(|| missing(12))? {
        0xDC00..=0xDFFF => Ok(12),
        _ => Err(Fault::Surrogate),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Offset of the first quote, backslash or control character at or after `at`, or the length.
///
/// Eight bytes at a time: a borrow can only run upwards, so the lowest mark is always true.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let marks = special(word);
        if marks != 0 {
            return at.wrapping_add((marks.trailing_zeros() / 8) as usize);
        }
        at = at.wrapping_add(8);
        rest = tail;
    }
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    at.wrapping_add(rest.iter().take_while(|byte| plain(byte)).count())
}

/// The high bit of every byte that is a quote, a backslash or below 0x20.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let slash = word ^ (ONES * 0x5C);
    let found = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    found & HIGH
}
