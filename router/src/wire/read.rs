//! Reads a request: checks what must be there, walks over everything once, and fills the view.

mod usage;
mod walk;

use std::{borrow::Cow, ops::Range};

use crate::{
    json::{self, Kind, Tape, Value},
    wire::{
        Dialect, Identifier, IdentifierKind, Media, Needs, ReadError, Role, Slot, View,
        check::{self, Head},
        removal,
    },
};

/// Reads a request in the caller's dialect.
///
/// Takes time linear in the body and memory for the tape of [`json::parse`] and the segments.
///
/// # Errors
/// [`ReadError`] when the body is no sound JSON, lacks a required field, or holds too much.
pub fn read(dialect: Dialect, body: &[u8]) -> Result<View<'_>, ReadError> {
    read_for(dialect, None, body)
}

/// [`read`] for a request whose path may name the model; the one in the body counts if there is one.
///
/// # Errors
/// As [`read`].
pub fn read_for<'a>(
    dialect: Dialect,
    model: Option<&'a str>,
    body: &'a [u8],
) -> Result<View<'a>, ReadError> {
    let tape = check::tape(body)?;
    let head = Head::new(tape.root())?;
    let (model, model_span) = model_of(&tape, &head, model)?;
    check::head(dialect, &head)?;
    let stream = head.flag("stream")?.unwrap_or(false);
    let mut view = View {
        dialect,
        model,
        model_span,
        stream,
        segments: Vec::with_capacity(tape.len() / 2),
        media: Vec::new(),
        needs: needs(&head),
        output_max: output_max(dialect, &head)?,
        strip: Vec::new(),
        attachments: Vec::new(),
        identifiers: Vec::new(),
        backend_bound: Vec::new(),
        provider_tools: Vec::new(),
        messages: messages(dialect, &head),
        anchor: None,
        server_state: server_state(&head),
        stored: head.flag("store")?.unwrap_or(dialect == Dialect::OpenAiResponses),
        include_usage: usage::included(&head)?,
        usage_edit: usage::edit(dialect, stream, &head),
        choices: choices(&head)?,
    };
    walk::fill(&tape, &mut view)?;
    billing(body, &tape, &head, &mut view.identifiers);
    view.media = view.attachments.iter().map(|attachment| attachment.media).collect();
    for media in &view.media {
        match media {
            Media::Image => view.needs.images = true,
            Media::File => view.needs.files = true,
            Media::Audio => view.needs.audio = true,
            Media::Tokens => {}
        }
    }
    view.anchor = anchor(&view, &head);
    view.strip = removal(view.identifiers.iter().map(|identifier| &identifier.slot));
    Ok(view)
}

fn model_of<'a>(
    tape: &Tape<'a>,
    head: &Head<'_, 'a>,
    path: Option<&'a str>,
) -> Result<(Cow<'a, str>, Range<usize>), ReadError> {
    let (model, span) = match (head.written("model"), path) {
        (Some(model), _) if !model.is_string() => return Err(check::wrong("model", "a string")),
        (Some(model), _) => (model.text(), model.span()),
        (None, Some(path)) => {
            let inside = tape.root().span().start.saturating_add(1);
            (Cow::Borrowed(path), inside..inside)
        }
        (None, None) => return Err(check::missing("model")),
    };
    if check::is_model_name(&model) {
        return Ok((model, span));
    }
    let problem = "must be 1 to 128 visible ASCII characters without quotes or backslashes";
    Err(ReadError::Value { param: "model".to_owned(), problem })
}

fn output_max(dialect: Dialect, head: &Head<'_, '_>) -> Result<Option<u64>, ReadError> {
    // All are checked, so that a wrong one is an error here rather than at the backend.
    let completion = head.count("max_completion_tokens")?;
    let output = head.count("max_output_tokens")?;
    let tokens = head.count("max_tokens")?;
    Ok(match dialect {
        Dialect::OpenAiChat => completion.or(tokens),
        Dialect::OpenAiResponses => output,
        Dialect::OpenAiCompletions | Dialect::AnthropicMessages => tokens,
        Dialect::OpenAiEmbeddings | Dialect::AnthropicCountTokens => None,
    })
}

fn choices(head: &Head<'_, '_>) -> Result<u32, ReadError> {
    let choices = head.count("n")?.unwrap_or(1);
    Ok(u32::try_from(choices).unwrap_or(u32::MAX).max(1))
}

fn needs(head: &Head<'_, '_>) -> Needs {
    let filled = |name| head.get(name).is_some_and(|list: Value<'_, '_>| has_parts(list));
    let is_schema = |format: Option<Value<'_, '_>>| {
        format.and_then(|format| format.get("type")).is_some_and(|kind| kind.is_text("json_schema"))
    };
    let inner = |outer: &str, name: &str| head.get(outer).and_then(|value| value.get(name));
    Needs {
        tools: filled("tools") || filled("functions"),
        json_schema: is_schema(head.get("response_format"))
            || is_schema(inner("text", "format"))
            || is_schema(inner("output_config", "format")),
        reasoning: is_effort(head.get("reasoning_effort"))
            || is_effort(inner("reasoning", "effort"))
            || inner("reasoning", "max_tokens").is_some()
            || inner("thinking", "type")
                .is_some_and(|kind| kind.is_text("enabled") || kind.is_text("adaptive")),
        ..Needs::default()
    }
}

fn has_parts(list: Value<'_, '_>) -> bool {
    list.elements().next().is_some()
}

/// An effort is asked for when it is named and is not `none`.
fn is_effort(effort: Option<Value<'_, '_>>) -> bool {
    effort.is_some_and(|effort| effort.is_string() && !effort.is_text("none"))
}

/// The byte ranges of the conversation's elements.
fn messages(dialect: Dialect, head: &Head<'_, '_>) -> Vec<Range<usize>> {
    let list = match dialect {
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            head.get("messages")
        }
        Dialect::OpenAiResponses | Dialect::OpenAiEmbeddings => head.get("input"),
        Dialect::OpenAiCompletions => head.get("prompt"),
    };
    let Some(list) = list else {
        return Vec::new();
    };
    match list.elements().next().map(|first| first.kind()) {
        // One text as token numbers, or one as a string.
        Some(Kind::Number) => vec![list.outer()],
        None if list.is_string() => vec![list.outer()],
        _ => list.elements().map(|element| element.outer()).collect(),
    }
}

/// The first message that somebody wrote who is not the operator of the agent.
fn anchor(view: &View<'_>, head: &Head<'_, '_>) -> Option<usize> {
    let list =
        head.get(if view.dialect == Dialect::OpenAiResponses { "input" } else { "messages" });
    let elements = list.map(|list| list.elements());
    let mut objects = elements.into_iter().flatten().enumerate();
    let named =
        objects.find(|(_, message)| message.get("role").is_some_and(|role| role.is_text("user")));
    match named {
        Some((index, _)) => Some(index),
        // A conversation that is one string, and the texts of the other dialects.
        None => view
            .segments
            .iter()
            .find(|segment| segment.role == Role::User && segment.turn.is_some())
            .and_then(|segment| segment.turn)
            .and_then(|turn| usize::try_from(turn).ok()),
    }
}

fn server_state(head: &Head<'_, '_>) -> Option<&'static str> {
    let is_set =
        |name: &&'static str| head.get(name).is_some_and(|value| value.kind() != Kind::False);
    let chat_prompt = |name: &&'static str| {
        *name != "prompt" || head.get("prompt").is_some_and(|prompt| prompt.kind() == Kind::Object)
    };
    ["previous_response_id", "conversation", "background", "prompt", "container"]
        .iter()
        .filter(|name| chat_prompt(name))
        .find(|name| is_set(name))
        .copied()
}

/// How the first system block of one client begins, which tells account and version.
const BILLING: &str = "x-anthropic-billing-header";

/// Notes the client's billing block: the first block of `system`, or its first line if it is one string.
fn billing(body: &[u8], tape: &Tape<'_>, head: &Head<'_, '_>, found: &mut Vec<Identifier>) {
    let Some(system) = head.get("system") else {
        return;
    };
    let mut note = |slot: Slot, value: Range<usize>| {
        found.push(Identifier { kind: IdentifierKind::Billing, slot, value, string: true });
    };
    if system.is_string() {
        let text = system.text();
        if text.starts_with(BILLING) {
            let line = text.find('\n').map_or(text.len(), |end| end.saturating_add(1));
            let span = json::raw_range(body, system.span(), 0..line);
            note(Slot { span: span.clone(), before: None, after: None }, span);
        }
        return;
    }
    let mut blocks = system.elements();
    let Some((block, text)) = blocks.next().and_then(|block| Some((block, block.get("text")?)))
    else {
        return;
    };
    if !text.is_string() || !text.text().starts_with(BILLING) {
        return;
    }
    match blocks.next() {
        Some(next) => {
            let after = Some(next.outer().start);
            note(Slot { span: block.outer(), before: None, after }, text.span());
        }
        // An empty list of blocks would be refused, so the whole member goes.
        None => {
            if let Some(slot) = walk::member_slot(tape, "system") {
                note(slot, text.span());
            }
        }
    }
}

#[cfg(test)]
mod tests;
