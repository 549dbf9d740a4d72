//! The tape: what [`super::parse`] leaves, and the handle that looks at it.
//!
//! Every value and every member name is one node of 16 bytes, in document order; `next` jumps over a subtree. The
//! text itself stays where it is.

use std::{borrow::Cow, ops::Range};

use crate::json::unescape;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `{…}`; its nodes are name, value, name, value…
    Object,
    /// `[…]`
    Array,
    /// The name of a member; the next node is its value.
    Key,
    /// A string value.
    String,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// One value or member name. Strings and names span the bytes between the quotes, all others the whole value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Number of the first node that is not part of this value.
    pub(super) next: u32,
    pub(super) kind: Kind,
    pub(super) escaped: bool,
}

/// A JSON text that is known to be sound, with the spans of everything in it. Only [`super::parse`] makes one.
#[derive(Clone, Debug)]
pub struct Tape<'a> {
    pub(super) text: &'a str,
    pub(super) nodes: Vec<Node>,
}

impl<'a> Tape<'a> {
    /// The outermost value.
    pub fn root(&self) -> Value<'_, 'a> {
        Value { tape: self, at: 0 }
    }

    /// The bytes that were read.
    pub fn body(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Number of nodes: values and member names.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node; never so for a tape that [`super::parse`] made.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node with this number in document order.
    pub fn at(&self, number: u32) -> Option<Value<'_, 'a>> {
        self.nodes.get(number as usize).map(|_| Value { tape: self, at: number })
    }
}

/// A node of a tape: a value, or the name of a member.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t, 'a> {
    tape: &'t Tape<'a>,
    at: u32,
}

impl<'t, 'a> Value<'t, 'a> {
    fn node(&self) -> Node {
        let none = Node { start: 0, end: 0, next: u32::MAX, kind: Kind::Null, escaped: false };
        self.tape.nodes.get(self.at as usize).copied().unwrap_or(none)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Its number in document order; the numbers of its parts follow it.
    pub fn number(&self) -> u32 {
        self.at
    }

    /// The number of the first node that is not part of it.
    pub fn next(&self) -> u32 {
        self.node().next
    }

    /// Its bytes: between the quotes for strings and names, the whole value for all others.
    pub fn span(&self) -> Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    /// Its bytes with the quotes.
    pub fn outer(&self) -> Range<usize> {
        let span = self.span();
        match self.kind() {
            Kind::String | Kind::Key => span.start.saturating_sub(1)..span.end.saturating_add(1),
            _ => span,
        }
    }

    /// The bytes of [`Self::span`] as they are written.
    pub fn raw(&self) -> &'a str {
        self.tape.text.get(self.span()).unwrap_or_default()
    }

    /// The text of a string or name with its escapes undone; for other kinds what is written.
    pub fn text(&self) -> Cow<'a, str> {
        if self.node().escaped { unescape(self.raw()) } else { Cow::Borrowed(self.raw()) }
    }

    /// Whether a string or name is written with an escape.
    pub fn is_escaped(&self) -> bool {
        self.node().escaped
    }

    /// Whether it is a string.
    pub fn is_string(&self) -> bool {
        self.kind() == Kind::String
    }

    /// Whether it is a string or name with exactly this text.
    pub fn is_text(&self, text: &str) -> bool {
        let node = self.node();
        if !matches!(node.kind, Kind::String | Kind::Key) {
            return false;
        }
        if node.escaped { unescape(self.raw()) == text } else { self.raw() == text }
    }

    /// The members of an object as pairs of name and value; nothing for other kinds.
    pub fn members(&self) -> Members<'t, 'a> {
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        Members { tape: self.tape, at: self.at.saturating_add(1), end }
    }

    /// The elements of an array; nothing for other kinds.
    pub fn elements(&self) -> Elements<'t, 'a> {
        let node = self.node();
        let end = if node.kind == Kind::Array { node.next } else { 0 };
        Elements { tape: self.tape, at: self.at.saturating_add(1), end }
    }

    /// The value of the member with this name. Looks at every member until it is found.
    pub fn get(&self, name: &str) -> Option<Value<'t, 'a>> {
        self.members().find(|(key, _)| key.is_text(name)).map(|(_, value)| value)
    }

    /// The value of a number without fraction or exponent that fits.
    pub fn as_u64(&self) -> Option<u64> {
        if self.kind() == Kind::Number { self.raw().parse().ok() } else { None }
    }

    /// The value of `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }
}

/// The members of an object, in order.
#[derive(Clone, Debug)]
pub struct Members<'t, 'a> {
    tape: &'t Tape<'a>,
    at: u32,
    end: u32,
}

impl<'t, 'a> Iterator for Members<'t, 'a> {
    type Item = (Value<'t, 'a>, Value<'t, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let key = Value { tape: self.tape, at: self.at };
        let value = Value { tape: self.tape, at: key.next() };
        self.at = value.next();
        Some((key, value))
    }
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Elements<'t, 'a> {
    tape: &'t Tape<'a>,
    at: u32,
    end: u32,
}

impl<'t, 'a> Iterator for Elements<'t, 'a> {
    type Item = Value<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { tape: self.tape, at: self.at };
        self.at = value.next();
        Some(value)
    }
}
