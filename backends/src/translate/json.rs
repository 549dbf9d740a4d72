//! Reading JSON lazily and exactly, and writing it without a tree.
//!
//! A [`Node`] is a slice of the document with the path that leads to it. The document is checked once; then one level
//! is split at a time (`split`), so that an image of several megabytes is skipped and not copied, and a number or a
//! schema is written back byte for byte. Null counts as absent. Not here: what the members mean.
//!
//! Invariant: an object with a repeated key is refused, because two readers could disagree about its value.

mod split;

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translate::TranslateError;

/// Longest path that an error names, bytes.
const PARAM_BYTES_MAX: usize = 256;

/// Where a value stands in its document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    At(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Root => Ok(()),
            Self::Key(Path::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::At(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// One value of a document: its exact text and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a, 'p> {
    pub(crate) text: &'a str,
    pub(crate) path: Path<'p>,
}

/// Reads a whole document.
///
/// # Errors
/// `invalid_json` when the bytes are not one JSON value in UTF-8.
pub(crate) fn document(body: &[u8]) -> Result<Node<'_, 'static>, TranslateError> {
    let invalid = |message: String| TranslateError {
        param: String::new(),
        message,
        code: TranslateError::INVALID_JSON,
    };
    let text = std::str::from_utf8(body).map_err(|_| invalid("not UTF-8".to_owned()))?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| invalid(format!("not JSON: {error}")))?;
    Ok(Node { text: raw.get(), path: Path::Root })
}

impl<'a, 'p> Node<'a, 'p> {
    /// The same value without its place.
    pub(crate) fn detached(&self) -> Node<'a, 'static> {
        Node { text: self.text, path: Path::Root }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.text == "null"
    }

    pub(crate) fn is_string(&self) -> bool {
        self.text.starts_with('"')
    }

    pub(crate) fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    pub(crate) fn is_array(&self) -> bool {
        self.text.starts_with('[')
    }

    /// The string without escapes; borrowed when it has none.
    pub(crate) fn string(&self) -> Result<Cow<'a, str>, TranslateError> {
        if let Some(plain) = split::plain_string(self.text) {
            return Ok(plain.into());
        }
        self.parse::<Text<'a>>("must be a string").map(|text| text.0)
    }

    pub(crate) fn bool(&self) -> Result<bool, TranslateError> {
        self.parse("must be true or false")
    }

    pub(crate) fn u64(&self) -> Result<u64, TranslateError> {
        self.parse("must be a whole number that is not negative")
    }

    pub(crate) fn f64(&self) -> Result<f64, TranslateError> {
        self.parse("must be a number")
    }

    /// The members of an object, in order.
    pub(crate) fn object(&self) -> Result<Object<'a, 'p>, TranslateError> {
        if !self.is_object() {
            return Err(self.wrong("must be an object"));
        }
        let members = split::object(self.text).ok_or_else(|| self.wrong("must be an object"))?;
        if has_repeated_key(&members) {
            return Err(self.wrong("must be an object with distinct keys"));
        }
        Ok(Object { members, path: self.path })
    }

    /// The items of an array, in order.
    pub(crate) fn array(&self) -> Result<Array<'a, 'p>, TranslateError> {
        let items = split::array(self.text).ok_or_else(|| self.wrong("must be an array"))?;
        Ok(Array { items, path: self.path })
    }

    /// The error for a value of the wrong shape.
    pub(crate) fn wrong(&self, message: &str) -> TranslateError {
        self.error(TranslateError::INVALID_VALUE, message)
    }

    /// The error for a value that has no counterpart in the other dialect.
    pub(crate) fn unsupported(&self, message: &str) -> TranslateError {
        self.error(TranslateError::UNSUPPORTED, message)
    }

    /// The error for a member that this translation does not know.
    pub(crate) fn unknown(&self) -> TranslateError {
        self.unsupported("this field cannot be translated")
    }

    fn error(&self, code: &'static str, message: &str) -> TranslateError {
        let mut param = self.path.to_string();
        // A key of the caller may be as long as the body.
        param.truncate(param.floor_char_boundary(PARAM_BYTES_MAX));
        TranslateError { param, message: message.to_owned(), code }
    }

    fn parse<T: Deserialize<'a>>(&self, message: &str) -> Result<T, TranslateError> {
        serde_json::from_str(self.text).map_err(|_| self.wrong(message))
    }
}

/// The members of one object.
#[derive(Debug)]
pub(crate) struct Object<'a, 'p> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    pub(crate) path: Path<'p>,
}

impl<'a> Object<'a, '_> {
    /// Every member that is not null, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Node<'a, '_>)> {
        self.members
            .iter()
            .filter(|(_, text)| *text != "null")
            .map(|(key, text)| (key.as_ref(), Node { text, path: Path::Key(&self.path, key) }))
    }

    /// Every member as it is written, null included.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(key, text)| (key.as_ref(), *text))
    }

    /// The member `key`, unless it is absent or null.
    pub(crate) fn get<'s>(&'s self, key: &'s str) -> Option<Node<'a, 's>> {
        let (_, text) = self.members.iter().find(|(name, _)| name == key)?;
        let node = Node { text, path: Path::Key(&self.path, key) };
        (!node.is_null()).then_some(node)
    }

    /// The member `key`, or an error that names it.
    pub(crate) fn need<'s>(&'s self, key: &'s str) -> Result<Node<'a, 's>, TranslateError> {
        let missing = Node { text: "null", path: Path::Key(&self.path, key) };
        self.get(key).ok_or_else(|| missing.wrong("is required"))
    }

    /// The string `key`, if it is there and a string.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(|node| node.string().ok())
    }

    /// The number `key`; 0 when it is absent or no whole number.
    pub(crate) fn count(&self, key: &str) -> u64 {
        self.get(key).and_then(|node| node.u64().ok()).unwrap_or(0)
    }

    /// The object `key`, if it is there and an object.
    pub(crate) fn child<'s>(&'s self, key: &'s str) -> Option<Object<'a, 's>> {
        self.get(key).and_then(|node| node.object().ok())
    }

    /// The `type` member, or an empty string.
    pub(crate) fn kind(&self) -> Cow<'a, str> {
        self.text("type").unwrap_or_default()
    }

    /// Refuses every member whose name is not in `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), TranslateError> {
        match self.iter().find(|(key, _)| !known.contains(key)) {
            None => Ok(()),
            Some((_, node)) => Err(node.unknown()),
        }
    }
}

/// The items of one array.
#[derive(Debug)]
pub(crate) struct Array<'a, 'p> {
    items: Vec<&'a str>,
    path: Path<'p>,
}

impl<'a> Array<'a, '_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Node<'a, '_>> {
        self.items
            .iter()
            .enumerate()
            .map(|(index, text)| Node { text, path: Path::At(&self.path, index) })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Compares all pairs of a few keys, which is the common case, and hashes many.
fn has_repeated_key(members: &[(Cow<'_, str>, &str)]) -> bool {
    if members.len() > 16 {
        let distinct: HashSet<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
        return distinct.len() < members.len();
    }
    let mut rest = members;
    while let Some(((key, _), others)) = rest.split_first() {
        if others.iter().any(|(other, _)| other == key) {
            return true;
        }
        rest = others;
    }
    false
}

/// Appends JSON to a buffer; commas are its business.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
    comma: bool,
}

impl Writer {
    /// A writer with room for `bytes`.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), comma: false }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// What was written; empty if it is not UTF-8, which no method here can cause.
    pub(crate) fn into_string(self) -> String {
        String::from_utf8(self.out).unwrap_or_default()
    }

    pub(crate) fn object<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        self.nest(b'{', b'}', body)
    }

    pub(crate) fn array<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        self.nest(b'[', b']', body)
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.separate();
        quote(key, &mut self.out);
        self.out.push(b':');
        self.comma = false;
        self
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.separate();
        quote(text, &mut self.out);
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.separate();
        self.out.extend_from_slice(json.as_bytes());
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.raw(&number.to_string());
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self) {
        self.raw("null");
    }

    /// `"key":"text"`
    pub(crate) fn field(&mut self, key: &str, text: &str) {
        self.key(key).string(text);
    }

    fn nest<R>(&mut self, open: u8, close: u8, body: impl FnOnce(&mut Self) -> R) -> R {
        self.separate();
        self.out.push(open);
        self.comma = false;
        let result = body(self);
        self.out.push(close);
        self.comma = true;
        result
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }
}

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, text).is_err() {
        // A Vec takes every byte, so this arm is for the type checker.
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

/// `text` if it is a JSON object, as Anthropic wants tool input; `None` otherwise.
pub(crate) fn as_object(text: &str) -> Option<&str> {
    let trimmed = text.trim();
    // What models write for a tool without arguments.
    if trimmed.is_empty() || trimmed == "null" {
        return Some("{}");
    }
    let raw: &RawValue = serde_json::from_str(trimmed).ok()?;
    raw.get().starts_with('{').then(|| raw.get())
}
