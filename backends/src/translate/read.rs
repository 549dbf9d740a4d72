//! Reading a request into a [`Conversation`]; one file a dialect.

mod chat;
mod messages;
mod responses;

use std::borrow::Cow;

use crate::translate::{
    HostedTools, TranslateError,
    conversation::{Conversation, Effort, Knob, KnobKind},
    json::{Node, Object},
};

pub(crate) use chat::read as chat;
pub(crate) use messages::read as messages;
pub(crate) use responses::read as responses;

/// A number as written.
fn number<'a>(node: &Node<'a, '_>) -> Result<&'a str, TranslateError> {
    node.f64().map(|_| node.text)
}

fn nonzero(node: &Node<'_, '_>) -> Result<bool, TranslateError> {
    Ok(node.f64()?.abs() > 0.0)
}

/// The string `key`, if it is there.
fn text<'a>(object: &Object<'a, '_>, key: &str) -> Result<Option<Cow<'a, str>>, TranslateError> {
    object.get(key).map(|node| node.string()).transpose()
}

fn effort(node: &Node<'_, '_>) -> Result<Effort, TranslateError> {
    Effort::parse(&node.string()?).ok_or_else(|| node.unsupported("is not an effort that is known"))
}

/// Refuses a switch that is on.
fn off(node: &Node<'_, '_>) -> Result<(), TranslateError> {
    if node.bool()? { Err(node.unknown()) } else { Ok(()) }
}

/// Refuses a list with items in it.
fn empty(node: &Node<'_, '_>) -> Result<(), TranslateError> {
    if node.array()?.is_empty() { Ok(()) } else { Err(node.unknown()) }
}

/// Whether a format is strict; where nothing is said it is not.
fn strict(object: &Object<'_, '_>) -> Result<bool, TranslateError> {
    object.get("strict").map_or(Ok(false), |node| node.bool())
}

fn knob<'a>(
    conversation: &mut Conversation<'a>,
    kind: KnobKind,
    path: &'static str,
    node: &Node<'a, '_>,
) {
    conversation.knobs.push(Knob { kind, path, value: node.text });
}

/// Refuses a hosted tool, unless the operator lets it go.
fn hosted(node: &Node<'_, '_>, tools: HostedTools) -> Result<(), TranslateError> {
    match tools {
        HostedTools::Omit => Ok(()),
        HostedTools::Refuse => Err(node.unsupported("a tool of this type runs at the provider")),
    }
}

/// The `type` of an object, or an error that names it.
fn kind<'a>(object: &Object<'a, '_>) -> Result<Cow<'a, str>, TranslateError> {
    object.need("type")?.string()
}

/// The error for the `type` of an object.
fn unknown_kind(object: &Object<'_, '_>) -> TranslateError {
    match object.need("type") {
        Ok(node) => node.unsupported("this type cannot be translated"),
        Err(error) => error,
    }
}
