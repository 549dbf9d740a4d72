//! Puts hidden values back where an answer holds their placeholders.
//!
//! Here: whole texts ([`restore_text`]) and texts that arrive in fragments ([`Restorer`]). Placeholders are found
//! in every spelling that `redact::shape` lists. Not here: which texts of an answer are restored (`answer`).
//!
//! Invariants: the result does not depend on how a text was cut; what is no placeholder in use stays as it is;
//! a value that was put back is not read again, whatever it looks like.

use std::{borrow::Cow, fmt::Write, mem, sync::Arc};

use crate::redact::{
    Vault,
    shape::{self, Form, Read, SPAN_BYTES_MAX, Spot},
};

/// What the text around a placeholder is, so that the value cannot break out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escape {
    /// Words: the value stands there as it is.
    #[default]
    None,
    /// A JSON document in itself, such as the arguments of a tool call: the value is escaped for a JSON string.
    Json,
}

/// `text` with every placeholder in use replaced by its value; borrowed if there is none.
pub fn restore_text<'t>(vault: &Vault, text: &'t str, escape: Escape) -> Cow<'t, str> {
    if vault.is_empty() || shape::candidate(text.as_bytes(), 0).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut copied = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = shape::candidate(bytes, at) {
        at = match shape::read(bytes, found, 0) {
            Read::Other { next } | Read::Cut { next, .. } => next,
            Read::Whole(spot) => {
                if let Some(value) = vault.reveal(&spot.key) {
                    out.push_str(text.get(copied..spot.start).unwrap_or_default());
                    put(value, spot.form, escape, &mut out);
                    copied = spot.end;
                    spot.end
                } else {
                    spot.next
                }
            }
        };
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// By how many bytes restoring may lengthen `text`, or 0 if that is at most eight times its length. A backend that
/// repeats a short placeholder of a long value must not fill the memory.
pub(crate) fn growth(vault: &Vault, text: &str) -> usize {
    // The shortest placeholder, `IP_1_k7q`, has eight bytes.
    if vault.longest() <= 64 {
        return 0;
    }
    let bytes = text.as_bytes();
    let (mut at, mut growth) = (0, 0usize);
    while let Some(found) = shape::candidate(bytes, at) {
        at = match shape::read(bytes, found, 0) {
            Read::Other { next } | Read::Cut { next, .. } => next,
            Read::Whole(spot) => {
                let length = vault.reveal(&spot.key).map(str::len);
                growth = growth.saturating_add(length.unwrap_or_default());
                if length.is_some() { spot.end } else { spot.next }
            }
        };
    }
    growth
}

/// Restores one text that arrives in fragments, such as one content block of a stream.
///
/// What it holds back is the end of what it was given, and only while that may still become a placeholder in use:
/// less than `SPAN_BYTES_MAX` bytes.
#[derive(Debug)]
pub struct Restorer {
    vault: Arc<Vault>,
    escape: Escape,
    /// What was held back.
    held: String,
    /// Backslashes that were passed on directly before what is held back.
    run: usize,
}

impl Restorer {
    /// A restorer at the start of a text.
    pub fn new(vault: Arc<Vault>, escape: Escape) -> Self {
        Self { vault, escape, held: String::new(), run: 0 }
    }

    /// Takes the next fragment and appends to `out` what is certain now.
    pub fn push(&mut self, fragment: &str, out: &mut String) {
        if self.vault.is_empty() {
            out.push_str(fragment);
        } else if self.held.is_empty() {
            self.advance(fragment, out);
        } else {
            let mut text = mem::take(&mut self.held);
            text.push_str(fragment);
            self.advance(&text, out);
        }
    }

    /// Appends to `out` what was held back, which may be a placeholder that only lacks its closing bracket; the text
    /// has ended, and another may begin.
    pub fn flush(&mut self, out: &mut String) {
        out.push_str(&restore_text(&self.vault, &self.held, self.escape));
        self.held.clear();
        self.run = 0;
    }

    /// Whether nothing is held back. Such a restorer is as good as a new one.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    fn advance(&mut self, text: &str, out: &mut String) {
        let bytes = text.as_bytes();
        let mut copied = 0;
        let mut at = 0;
        while let Some(found) = shape::candidate(bytes, at) {
            let run = if found == 0 { self.run } else { 0 };
            at = match shape::read(bytes, found, run) {
                Read::Other { next } => next,
                Read::Cut { start, key, .. } if self.vault.begins(&key) => {
                    self.pass(text.get(copied..start).unwrap_or_default(), out);
                    self.held.push_str(text.get(start..).unwrap_or_default());
                    debug_assert!(self.held.len() < SPAN_BYTES_MAX, "held {}", self.held.len());
                    return;
                }
                Read::Cut { next, .. } => next,
                Read::Whole(Spot { start, end, next, key, form }) => {
                    if let Some(value) = self.vault.reveal(&key) {
                        out.push_str(text.get(copied..start).unwrap_or_default());
                        put(value, form, self.escape, out);
                        self.run = 0;
                        copied = end;
                        end
                    } else {
                        next
                    }
                }
            };
        }
        self.pass(text.get(copied..).unwrap_or_default(), out);
    }

    /// Passes text on, and counts the backslashes at its end.
    fn pass(&mut self, text: &str, out: &mut String) {
        out.push_str(text);
        let run = text.bytes().rev().take_while(|byte| *byte == b'\\').count();
        self.run = if run == text.len() { self.run.saturating_add(run) } else { run };
    }
}

/// Appends a value in the escaping that its surroundings need.
fn put(value: &str, form: Form, escape: Escape, out: &mut String) {
    let value = match form {
        Form::Html => html(value),
        Form::Percent => percent(value),
        Form::Angle | Form::Json | Form::JsonInJson | Form::Bare => Cow::Borrowed(value),
    };
    match (form, escape) {
        (Form::JsonInJson, _) => {
            let mut once = String::new();
            json(&value, &mut once);
            json(&once, out);
        }
        (Form::Json, _) | (_, Escape::Json) => json(&value, out),
        (Form::Angle | Form::Html | Form::Percent | Form::Bare, Escape::None) => {
            out.push_str(&value);
        }
    }
}

/// Appends `text` as the inside of a JSON string: RFC 8259 §7 with the short escapes, no more than it must.
pub(crate) fn json(text: &str, out: &mut String) {
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(text.get(copied..at).unwrap_or_default());
        copied = at.saturating_add(1);
        if short.is_empty() {
            // Writing to a string cannot fail.
            write!(out, "\\u{byte:04x}").unwrap_or_default();
        } else {
            out.push_str(short);
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
}

fn html(value: &str) -> Cow<'_, str> {
    if !value.contains(['&', '<', '>']) {
        return value.into();
    }
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
}

/// Percent encoding of all but the unreserved characters of RFC 3986 §2.3.
fn percent(value: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if value.bytes().all(plain) {
        return value.into();
    }
    let mut out = String::new();
    for byte in value.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
    out.into()
}

#[cfg(test)]
mod tests;
