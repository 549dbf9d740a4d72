//! A small JSON reader that keeps byte ranges, so that one string can be exchanged and every other byte stays.
//!
//! Not here: numbers as values beyond `u64`, writing. It is a private reader for answers; requests are read by
//! `wire`. Elements of arrays that are neither strings, objects nor arrays are checked and forgotten: an
//! embedding costs no memory.
//!
//! Invariant: nodes stand in document order, and the descendants of a node directly follow it.

use std::{borrow::Cow, ops::Range};

use domain::limits::JSON_DEPTH_MAX;
use memchr::{memchr, memchr2};

/// Most nodes of one document: about 16 MB of memory.
const NODES_MAX: usize = 1 << 18;

/// Bytes of an answer per node, and most nodes for which there is room before they are read.
const BYTES_PER_NODE: usize = 16;
const NODES_AHEAD_MAX: usize = 64;

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no JSON.
    Malformed,
    /// It is nested too deeply or has too many parts.
    TooComplex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    /// A string; whether it holds an escape.
    Text {
        escaped: bool,
    },
    /// A number, `true`, `false` or `null`.
    Scalar,
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    /// The member's name without quotes, as written; empty for an element and the root.
    key: Range<usize>,
    /// The value; a string without its quotes.
    span: Range<usize>,
    /// The first node that is not below this one.
    next: usize,
}

/// Reads documents one after the other and reuses its memory.
#[derive(Debug, Default)]
pub(super) struct Tape {
    nodes: Vec<Node>,
    open: Vec<usize>,
}

impl Tape {
    /// The root of the document `text`.
    pub(super) fn read<'t>(&'t mut self, text: &'t str) -> Result<Value<'t>, Unread> {
        self.nodes.clear();
        self.open.clear();
        // A guess that holds for most: growing step by step would copy the nodes each time.
        self.nodes.reserve((text.len() / BYTES_PER_NODE).min(NODES_AHEAD_MAX));
        Reader { bytes: text.as_bytes(), at: 0, tape: self }.document()?;
        Ok(Value { text, nodes: &self.nodes, at: 0 })
    }
}

struct Reader<'r> {
    bytes: &'r [u8],
    at: usize,
    tape: &'r mut Tape,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Unread> {
        loop {
            let closed = self.value()?;
            if closed && self.after_value()? {
                return Ok(());
            }
        }
    }

    /// Reads a value, or the opening bracket of one; whether a whole value ended.
    fn value(&mut self) -> Result<bool, Unread> {
        let parent = self.tape.open.last().and_then(|at| self.tape.nodes.get(*at)).map(|n| n.kind);
        let key = if parent == Some(Kind::Object) { self.key()? } else { 0..0 };
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.open(Kind::Object, key),
            Some(b'[') => self.open(Kind::Array, key),
            Some(b'"') => {
                let (span, escaped) = self.string()?;
                self.node(Kind::Text { escaped }, key, span)?;
                Ok(true)
            }
            _ => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                let scalar = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = rest.iter().take_while(|byte| scalar(byte)).count();
                if length == 0 {
                    return Err(Unread::Malformed);
                }
                self.at = start.saturating_add(length);
                if parent != Some(Kind::Array) {
                    self.node(Kind::Scalar, key, start..self.at)?;
                }
                Ok(true)
            }
        }
    }

    fn open(&mut self, kind: Kind, key: Range<usize>) -> Result<bool, Unread> {
        if self.tape.open.len() >= JSON_DEPTH_MAX {
            return Err(Unread::TooComplex);
        }
        let node = self.tape.nodes.len();
        self.node(kind, key, self.at..self.at)?;
        self.tape.open.push(node);
        self.at = self.at.saturating_add(1);
        self.space();
        let empty =
            matches!((kind, self.peek()), (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')));
        Ok(empty)
    }

    /// Closes what ends here; whether that was the document.
    fn after_value(&mut self) -> Result<bool, Unread> {
        loop {
            self.space();
            let open = self.tape.open.last().copied();
            let byte = self.peek();
            self.at = self.at.saturating_add(1);
            let count = self.tape.nodes.len();
            let Some(node) = open.and_then(|at| self.tape.nodes.get_mut(at)) else {
                return if byte.is_none() { Ok(true) } else { Err(Unread::Malformed) };
            };
            match (node.kind, byte) {
                (_, Some(b',')) => return Ok(false),
                (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => {
                    node.span.end = self.at;
                    node.next = count;
                    self.tape.open.pop();
                }
                _ => return Err(Unread::Malformed),
            }
        }
    }

    fn key(&mut self) -> Result<Range<usize>, Unread> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(Unread::Malformed);
        }
        let (span, _) = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(Unread::Malformed);
        }
        self.at = self.at.saturating_add(1);
        Ok(span)
    }

    fn string(&mut self) -> Result<(Range<usize>, bool), Unread> {
        let start = self.at.saturating_add(1);
        let mut at = start;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(at..).ok_or(Unread::Malformed)?;
            let offset = memchr2(b'"', b'\\', rest).ok_or(Unread::Malformed)?;
            let found = at.saturating_add(offset);
            if self.bytes.get(found) == Some(&b'"') {
                self.at = found.saturating_add(1);
                return Ok((start..found, escaped));
            }
            escaped = true;
            at = found.saturating_add(2);
        }
    }

    fn node(&mut self, kind: Kind, key: Range<usize>, span: Range<usize>) -> Result<(), Unread> {
        let next = self.tape.nodes.len().saturating_add(1);
        if next > NODES_MAX {
            return Err(Unread::TooComplex);
        }
        self.tape.nodes.push(Node { kind, key, span, next });
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at = self.at.saturating_add(1);
        }
    }
}

/// A place in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'t> {
    text: &'t str,
    nodes: &'t [Node],
    at: usize,
}

impl<'t> Value<'t> {
    fn node(self) -> Option<&'t Node> {
        self.nodes.get(self.at)
    }

    /// The first member of this name.
    pub(super) fn get(self, key: &str) -> Option<Value<'t>> {
        self.children().find(|child| child.key() == key)
    }

    /// Members or elements; of an array only those that are strings, objects or arrays.
    pub(super) fn children(self) -> impl Iterator<Item = Value<'t>> {
        let end = self.node().map_or(0, |node| node.next);
        let mut at = self.at.saturating_add(1);
        std::iter::from_fn(move || {
            let child = Value { at, ..self };
            let node = (at < end).then(|| child.node()).flatten()?;
            at = node.next;
            Some(child)
        })
    }

    /// Every node below this one, in document order.
    pub(super) fn descendants(self) -> impl Iterator<Item = Value<'t>> {
        let end = self.node().map_or(0, |node| node.next);
        (self.at.saturating_add(1)..end).map(move |at| Value { at, ..self })
    }

    /// The name of a member as written; empty for an element.
    pub(super) fn key(self) -> &'t str {
        self.node().and_then(|node| self.text.get(node.key.clone())).unwrap_or_default()
    }

    /// Where [`key`](Self::key) stands; empty for an element.
    pub(super) fn key_span(self) -> Range<usize> {
        self.node().map_or(0..0, |node| node.key.clone())
    }

    /// Where the value stands; a string without its quotes.
    pub(super) fn span(self) -> Range<usize> {
        self.node().map_or(0..0, |node| node.span.clone())
    }

    /// The value as written; a string without its quotes.
    pub(super) fn raw(self) -> &'t str {
        self.text.get(self.span()).unwrap_or_default()
    }

    /// The value as written, with the quotes of a string.
    pub(super) fn source(self) -> &'t str {
        let Range { start, end } = self.span();
        let quote = usize::from(self.is_text());
        self.text.get(start.saturating_sub(quote)..end.saturating_add(quote)).unwrap_or_default()
    }

    pub(super) fn is_text(self) -> bool {
        self.node().is_some_and(|node| matches!(node.kind, Kind::Text { .. }))
    }

    pub(super) fn is_array(self) -> bool {
        self.node().is_some_and(|node| node.kind == Kind::Array)
    }

    pub(super) fn is_object(self) -> bool {
        self.node().is_some_and(|node| node.kind == Kind::Object)
    }

    /// The text of a string, escapes undone; `None` for another value.
    pub(super) fn text(self) -> Option<Cow<'t, str>> {
        match self.node()?.kind {
            Kind::Text { escaped: false } => Some(self.raw().into()),
            Kind::Text { escaped: true } => Some(unescape(self.raw()).into()),
            Kind::Object | Kind::Array | Kind::Scalar => None,
        }
    }

    /// The bytes of [`text`](Self::text), without making it.
    pub(super) fn text_length(self) -> Option<usize> {
        match self.node()?.kind {
            Kind::Text { escaped: false } => Some(self.raw().len()),
            Kind::Text { escaped: true } => Some(unescaped_length(self.raw())),
            Kind::Object | Kind::Array | Kind::Scalar => None,
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number(self) -> Option<u64> {
        self.raw().parse().ok().filter(|_| !self.is_text())
    }
}

/// The inside of a JSON string with its escapes undone. What is no escape stays; half a surrogate pair becomes
/// U+FFFD.
pub(super) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut letters = after.chars();
        let letter = letters.next().unwrap_or('\\');
        rest = letters.as_str();
        match letter {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let (found, after) = unicode(rest);
                out.push(found);
                rest = after;
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    out
}

/// The bytes of [`unescape`].
fn unescaped_length(raw: &str) -> usize {
    let mut length = 0_usize;
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        let mut letters = rest.get(at.saturating_add(1)..).unwrap_or_default().chars();
        length = length.saturating_add(at);
        let (letter, after) = match letters.next() {
            Some('u') => unicode(letters.as_str()),
            // Letters of escapes stand for one byte; what is none stays as it is.
            Some(letter) => (letter, letters.as_str()),
            None => ('\\', ""),
        };
        length = length.saturating_add(letter.len_utf8());
        rest = after;
    }
    length.saturating_add(rest.len())
}

/// The character of the digits after `\u`, and what follows it.
fn unicode(rest: &str) -> (char, &str) {
    let Some((first, after)) = unit(rest) else { return (char::REPLACEMENT_CHARACTER, rest) };
    if let Some(found) = char::from_u32(first) {
        return (found, after);
    }
    let second = after.strip_prefix("\\u").and_then(unit);
    if let Some((low @ 0xDC00..0xE000, end)) = second
        && (0xD800..0xDC00).contains(&first)
    {
        let scalar = 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), end);
    }
    (char::REPLACEMENT_CHARACTER, after)
}

fn unit(rest: &str) -> Option<(u32, &str)> {
    let (digits, after) = rest.split_at_checked(4)?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((u32::from_str_radix(digits, 16).ok().filter(|_| hex)?, after))
}

#[cfg(test)]
mod tests;
