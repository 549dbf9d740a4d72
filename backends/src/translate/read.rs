//! Reading a request into a [`Conversation`]; one file a dialect.

mod chat;
mod messages;
mod responses;

use std::borrow::Cow;

use crate::translate::{
    TranslateError,
    conversation::{Block, Conversation, Effort, Knob, KnobKind},
    json::{Node, Object},
    omitted::{self, Omitted},
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

/// Takes a hint of the OpenAI dialects, or of the `own` ones of one of them; the module doc of `translate` says why hints
/// can go.
fn openai_hint<'a>(
    to: &mut Conversation<'a>,
    key: &str,
    node: &Node<'a, '_>,
    own: &[&'static str],
) -> Result<(), TranslateError> {
    const SHARED: [&str; 6] = [
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
    ];
    match key {
        "store" if !node.bool()? => {}
        "store" => to.omitted.add("store"),
        "prompt_cache_key" => to.cached = Some("prompt_cache_key"),
        _ => match SHARED.iter().chain(own).find(|hint| **hint == key) {
            Some(name) => to.omitted.add(name),
            None => return Err(node.unknown()),
        },
    }
    Ok(())
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

/// Leaves out a tool that only the provider of the caller's dialect runs. The model may call it or not, so it can do
/// without; whether the caller forces it is looked at later.
fn hosted<'a>(to: &mut Conversation<'a>, tool: &Object<'a, '_>) -> Result<(), TranslateError> {
    let kind = kind(tool)?;
    to.omitted.add(omitted::hosted(&kind));
    to.hosted.extend(text(tool, "name")?);
    to.hosted.push(kind);
    Ok(())
}

/// The place up to which the prompt may be cached, if an object says so.
fn cache<'a>(object: &Object<'a, '_>) -> Option<&'a str> {
    object.get("cache_control").map(|node| node.text)
}

/// Adds that place behind the blocks that it ends.
fn cache_until<'a>(object: &Object<'a, '_>, blocks: &mut Vec<Block<'a>>) {
    blocks.extend(cache(object).map(Block::CacheUntil));
}

/// Notes the members that are left out, by their own names.
fn leave_out(object: &Object<'_, '_>, names: &[&'static str], omitted: &mut Omitted) {
    names.iter().filter(|name| object.get(name).is_some()).for_each(|name| omitted.add(name));
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
