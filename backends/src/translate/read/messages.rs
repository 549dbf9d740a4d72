//! `POST /v1/messages` to a [`Conversation`].

use std::borrow::Cow;

use crate::translate::{
    TranslateError,
    conversation::{
        Block, Call, Choice, Conversation, Effort, Format, KnobKind, Media, Name, Paths, Source,
        Speaker, Tool, ToolResult, Turn,
    },
    json::{Node, Object},
    omitted::Omitted,
    read::{
        cache, cache_until, effort, empty, hosted, kind, knob, leave_out, number, off, text,
        unknown_kind,
    },
};

/// Reads a request of the Anthropic dialect.
///
/// # Errors
/// The first field without a counterpart in the other dialects.
pub(crate) fn read<'a>(root: &Object<'a, '_>) -> Result<Conversation<'a>, TranslateError> {
    let paths = Paths { turns: "messages", stop: "stop_sequences", effort: "thinking" };
    let mut conversation = Conversation { paths, ..Conversation::default() };
    root.need("model")?;
    if let Some(system) = root.get("system") {
        let blocks = content(Speaker::System, Some(system), &mut conversation.omitted)?;
        conversation.turns.push(Turn { speaker: Speaker::System, blocks });
    }
    for (key, node) in root.iter() {
        if key == "tools" {
            tools(&mut conversation, &node)?;
        } else {
            setting(&mut conversation, key, &node)?;
        }
    }
    if let Some(output) = root.child("output_config") {
        output_config(&mut conversation, &output)?;
    }
    for message in root.need("messages")?.array()?.iter() {
        let turn = turn(&mut conversation, &message)?;
        conversation.turns.push(turn);
    }
    Ok(conversation)
}

fn setting<'a>(
    to: &mut Conversation<'a>,
    key: &str,
    node: &Node<'a, '_>,
) -> Result<(), TranslateError> {
    match key {
        "model" | "messages" | "system" | "output_config" => {}
        "stream" => to.stream = node.bool()?,
        "max_tokens" => to.output_max = Some(node.u64()?),
        "stop_sequences" => {
            to.stop = node.array()?.iter().map(|item| item.string()).collect::<Result<_, _>>()?;
        }
        "temperature" => to.temperature = Some(number(node)?),
        "top_p" => to.top_p = Some(number(node)?),
        "top_k" => knob(to, KnobKind::TopK, "top_k", node),
        "tool_choice" => choice(to, &node.object()?)?,
        "thinking" => thinking(to, &node.object()?)?,
        // The name of `output_config.format` while it was a beta.
        "output_format" => to.format = Some(output_format(node)?),
        "cache_control" => to.cached = Some("cache_control"),
        "mcp_servers" if empty(node).is_ok() => {}
        _ => match HINTS.into_iter().find(|hint| *hint == key) {
            Some(name) => to.omitted.add(name),
            None => return Err(node.unknown()),
        },
    }
    Ok(())
}

/// Hints; the module doc of `translate` says why they can go.
const HINTS: [&str; 8] = [
    "context_management",
    "mcp_servers",
    "metadata",
    "service_tier",
    "speed",
    "diagnostics",
    "user_profile_id",
    "workspace_id",
];

fn choice<'a>(to: &mut Conversation<'a>, object: &Object<'a, '_>) -> Result<(), TranslateError> {
    object.only(&["type", "name", "disable_parallel_tool_use"])?;
    to.choice = Some(match kind(object)?.as_ref() {
        "auto" => Choice::Auto,
        "any" => Choice::Required,
        "none" => Choice::None,
        "tool" => Choice::Tool(name(object)?),
        _ => return Err(unknown_kind(object)),
    });
    if let Some(disabled) = object.get("disable_parallel_tool_use") {
        to.parallel = Some(!disabled.bool()?);
    }
    Ok(())
}

/// A budget becomes an effort; an explicit `output_config.effort` wins, because it is read later.
fn thinking(to: &mut Conversation<'_>, object: &Object<'_, '_>) -> Result<(), TranslateError> {
    object.only(&["type", "budget_tokens", "display"])?;
    if object.get("display").is_some() {
        to.omitted.add("thinking.display");
    }
    match kind(object)?.as_ref() {
        // How models of other providers behave when nothing is said.
        "adaptive" | "disabled" => to.omitted.add("thinking"),
        "enabled" => {
            to.effort = Some(match object.need("budget_tokens")?.u64()? {
                0..=2048 => Effort::Low,
                2049..=16384 => Effort::Medium,
                _ => Effort::High,
            });
        }
        _ => return Err(unknown_kind(object)),
    }
    Ok(())
}

fn output_config<'a>(
    to: &mut Conversation<'a>,
    object: &Object<'a, '_>,
) -> Result<(), TranslateError> {
    object.only(&["effort", "format"])?;
    if let Some(node) = object.get("effort") {
        to.effort = Some(effort(&node)?);
        to.paths.effort = "output_config.effort";
    }
    if let Some(node) = object.get("format") {
        to.format = Some(output_format(&node)?);
    }
    Ok(())
}

fn output_format<'a>(node: &Node<'a, '_>) -> Result<Format<'a>, TranslateError> {
    let format = node.object()?;
    format.only(&["type", "schema"])?;
    if kind(&format)? != "json_schema" {
        return Err(unknown_kind(&format));
    }
    let schema = format.need("schema")?.text;
    Ok(Format::Schema { name: None, schema, strict: None, description: None })
}

fn tools<'a>(to: &mut Conversation<'a>, node: &Node<'a, '_>) -> Result<(), TranslateError> {
    for item in node.array()?.iter() {
        let item = item.object()?;
        if item.get("type").is_some() && kind(&item)? != "custom" {
            hosted(to, &item)?;
        } else {
            to.tools.push(tool(&item, &mut to.omitted)?);
        }
    }
    Ok(())
}

fn tool<'a>(item: &Object<'a, '_>, omitted: &mut Omitted) -> Result<Tool<'a>, TranslateError> {
    for (key, node) in item.iter() {
        match key {
            "type" | "name" | "description" | "input_schema" | "strict" => {}
            "cache_control" => {}
            "defer_loading" => omitted.add("tools.defer_loading"),
            "eager_input_streaming" => omitted.add("tools.eager_input_streaming"),
            "input_examples" => empty(&node)?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(Tool {
        name: name(item)?,
        description: text(item, "description")?,
        schema: item.get("input_schema").map(|node| node.text),
        strict: item.get("strict").map(|node| node.bool()).transpose()?,
        cache: cache(item),
    })
}

fn name<'a>(object: &Object<'a, '_>) -> Result<Name<'a>, TranslateError> {
    Ok(Name { namespace: None, name: object.need("name")?.string()? })
}

fn turn<'a>(to: &mut Conversation<'a>, node: &Node<'a, '_>) -> Result<Turn<'a>, TranslateError> {
    let message = node.object()?;
    let role = message.need("role")?;
    let speaker = match role.string()?.as_ref() {
        "user" => Speaker::User,
        "assistant" => Speaker::Assistant,
        "system" => Speaker::System,
        _ => return Err(role.unsupported("this role cannot be translated")),
    };
    message.only(match speaker {
        Speaker::System => &["role", "content", "output_config"],
        Speaker::User | Speaker::Assistant => &["role", "content"],
    })?;
    if let Some(output) = message.child("output_config") {
        output.only(&["effort"])?;
        output_config(to, &output)?;
    }
    Ok(Turn { speaker, blocks: content(speaker, message.get("content"), &mut to.omitted)? })
}

fn content<'a>(
    speaker: Speaker,
    node: Option<Node<'a, '_>>,
    omitted: &mut Omitted,
) -> Result<Vec<Block<'a>>, TranslateError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let mut blocks = Vec::new();
    for item in node.array()?.iter() {
        let item = item.object()?;
        match (kind(&item)?.as_ref(), speaker) {
            ("tool_use", Speaker::Assistant) => blocks.push(Block::Call(call(&item)?)),
            ("tool_result", Speaker::User) => blocks.push(Block::Result(result(&item, omitted)?)),
            // Bound to the backend that made it.
            ("thinking" | "redacted_thinking", Speaker::Assistant) => {
                omitted.add("messages.thinking");
            }
            _ => leaf(&item, &mut blocks, omitted)?,
        }
        cache_until(&item, &mut blocks);
    }
    Ok(blocks)
}

/// A block that holds no other blocks.
fn leaf<'a>(
    item: &Object<'a, '_>,
    blocks: &mut Vec<Block<'a>>,
    omitted: &mut Omitted,
) -> Result<(), TranslateError> {
    match kind(item)?.as_ref() {
        "text" => {
            item.only(&["type", "text", "cache_control", "citations"])?;
            leave_out(item, &["citations"], omitted);
            blocks.push(Block::Text(item.need("text")?.string()?));
        }
        "image" => blocks.push(Block::Image(image(item)?)),
        "document" => document(item, blocks)?,
        _ => return Err(unknown_kind(item)),
    }
    Ok(())
}

fn call<'a>(item: &Object<'a, '_>) -> Result<Call<'a>, TranslateError> {
    for (key, node) in item.iter() {
        match key {
            "type" | "id" | "name" | "input" | "cache_control" => {}
            "caller" => direct(&node.object()?)?,
            _ => return Err(node.unknown()),
        }
    }
    let input = item.need("input")?;
    if !input.is_object() {
        return Err(input.wrong("must be an object"));
    }
    Ok(Call {
        id: item.need("id")?.string()?,
        name: name(item)?,
        arguments: Cow::Borrowed(input.text),
        path: input.path.to_string(),
    })
}

/// Refuses a call that was made by a hosted tool.
fn direct(caller: &Object<'_, '_>) -> Result<(), TranslateError> {
    if kind(caller)? == "direct" { Ok(()) } else { Err(unknown_kind(caller)) }
}

fn result<'a>(
    item: &Object<'a, '_>,
    omitted: &mut Omitted,
) -> Result<ToolResult<'a>, TranslateError> {
    item.only(&["type", "tool_use_id", "content", "is_error", "cache_control"])?;
    let mut blocks = Vec::new();
    match item.get("content") {
        None => {}
        Some(text) if text.is_string() => blocks.push(Block::Text(text.string()?)),
        Some(list) => {
            for inner in list.array()?.iter() {
                let inner = inner.object()?;
                leaf(&inner, &mut blocks, omitted)?;
                cache_until(&inner, &mut blocks);
            }
        }
    }
    Ok(ToolResult {
        id: item.need("tool_use_id")?.string()?,
        blocks,
        failed: item.get("is_error").map(|node| node.bool()).transpose()?.unwrap_or(false),
    })
}

fn image<'a>(item: &Object<'a, '_>) -> Result<Media<'a>, TranslateError> {
    item.only(&["type", "source", "cache_control"])?;
    let source = item.need("source")?.object()?;
    Ok(Media { source: media(&source)?, name: None, detail: None, path: source.path.to_string() })
}

fn media<'a>(source: &Object<'a, '_>) -> Result<Source<'a>, TranslateError> {
    match kind(source)?.as_ref() {
        "base64" => Ok(Source::Inline {
            media_type: source.need("media_type")?.string()?,
            data: source.need("data")?.string()?,
        }),
        "url" => Ok(Source::Url(source.need("url")?.string()?)),
        _ => Err(unknown_kind(source)),
    }
}

/// A document; plain text becomes text, its title and context stand before it.
fn document<'a>(item: &Object<'a, '_>, blocks: &mut Vec<Block<'a>>) -> Result<(), TranslateError> {
    item.only(&["type", "source", "title", "context", "citations", "cache_control"])?;
    if let Some(citations) = item.child("citations")
        && let Some(enabled) = citations.get("enabled")
    {
        off(&enabled)?;
    }
    let source = item.need("source")?.object()?;
    let title = text(item, "title")?;
    if let Some(context) = text(item, "context")? {
        blocks.push(Block::Text(context));
    }
    if kind(&source)? == "text" {
        blocks.extend(title.map(Block::Text));
        blocks.push(Block::Text(source.need("data")?.string()?));
        return Ok(());
    }
    let path = source.path.to_string();
    blocks.push(Block::File(Media { source: media(&source)?, name: title, detail: None, path }));
    Ok(())
}
