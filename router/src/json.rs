//! Reads JSON without building values: one pass checks everything and leaves a flat tape of byte spans.
//!
//! Here: the checked tape ([`parse`]), a cheap handle to look at it ([`Value`]), and the way between the text of a
//! string and its raw bytes ([`unescape`], [`escape_into`], [`raw_range`]). Not here: what the fields mean (`wire`).
//!
//! Invariant: a body that [`parse`] accepts reads the same for every conforming reader. Hence it is stricter than
//! RFC 8259: two members of one object with the same name are refused at any level (section 4 leaves open which of
//! them counts, and a value that we did not look at must not be the one that a backend sees), and so is a byte order
//! mark (section 8.1 forbids sending one; skipping it here would leave it in the spliced body).

mod keys;
mod tape;
mod text;
mod walk;

pub use tape::{Elements, Kind, Members, Tape, Value};
pub use text::{escape_into, raw_range, raw_ranges, unescape};
use thiserror::Error;
pub use walk::parse;

/// Why a body is not read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault} at byte {offset} (line {line}, column {column})")]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// Where: bytes before the place, from 0.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in bytes.
    pub column: usize,
}

/// What is wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The body is no UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// The body starts with U+FEFF.
    #[error("a byte order mark is not allowed")]
    ByteOrderMark,
    /// More bytes than the tape can address.
    #[error("the body is too large")]
    Large,
    /// The text ends within a value.
    #[error("unexpected end of the body")]
    End,
    /// A value was expected.
    #[error("expected a value")]
    Value,
    /// A member name in quotes was expected.
    #[error("expected a member name in double quotes")]
    Key,
    /// A colon was expected.
    #[error("expected a colon")]
    Colon,
    /// A comma or the end of the object was expected.
    #[error("expected a comma or a closing brace")]
    CommaOrBrace,
    /// A comma or the end of the array was expected.
    #[error("expected a comma or a closing bracket")]
    CommaOrBracket,
    /// Something follows the value.
    #[error("unexpected bytes after the value")]
    Trailing,
    /// A number breaks the grammar of RFC 8259 section 6.
    #[error("invalid number")]
    Number,
    /// A character below U+0020 stands unescaped in a string.
    #[error("a control character in a string must be escaped")]
    Control,
    /// A backslash is followed by something that is no escape.
    #[error("invalid escape")]
    Escape,
    /// Half of a UTF-16 surrogate pair.
    #[error("a lone surrogate stands for no character")]
    Surrogate,
    /// Two members of one object have the same name.
    #[error("the same member name occurs twice in one object")]
    DuplicateKey,
    /// Deeper than [`domain::limits::JSON_DEPTH_MAX`].
    #[error("nested too deeply")]
    Deep,
    /// More values than [`domain::limits::JSON_NODES_MAX`].
    #[error("too many values")]
    Many,
}

impl JsonError {
    /// A stable word for programs: `invalid_json`, `invalid_utf8`, `duplicate_key`, `too_deep`, `too_many_values`
    /// or `body_too_large`.
    pub fn code(&self) -> &'static str {
        match self.fault {
            Fault::Utf8 => "invalid_utf8",
            Fault::DuplicateKey => "duplicate_key",
            Fault::Deep => "too_deep",
            Fault::Many => "too_many_values",
            Fault::Large => "body_too_large",
            _ => "invalid_json",
        }
    }

    /// An error at `offset` of `body`, with line and column counted.
    fn at(fault: Fault, body: &[u8], offset: usize) -> Self {
        let before = body.get(..offset).unwrap_or(body);
        let line = memchr::memchr_iter(b'\n', before).count().saturating_add(1);
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at.saturating_add(1));
        let column = before.len().saturating_sub(start).saturating_add(1);
        Self { fault, offset, line, column }
    }
}

#[cfg(test)]
mod tests;
