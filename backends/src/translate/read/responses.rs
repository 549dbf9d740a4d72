//! `POST /v1/responses` to a [`Conversation`].

use std::borrow::Cow;

use crate::translate::{
    TranslateError,
    conversation::{
        Block, Call, Choice, Conversation, Format, KnobKind, Media, Name, Paths, Source, Speaker,
        Tool, ToolResult, Turn,
    },
    json::{Node, Object},
    omitted::Omitted,
    read::{
        effort, hosted, kind, knob, leave_out, number, off, openai_hint, strict, text, unknown_kind,
    },
};

/// Reads a request of the Responses dialect.
///
/// # Errors
/// The first field without a counterpart in the other dialects; everything that needs state at the provider is one.
pub(crate) fn read<'a>(root: &Object<'a, '_>) -> Result<Conversation<'a>, TranslateError> {
    let paths = Paths { turns: "input", stop: "stop", effort: "reasoning.effort" };
    let mut conversation = Conversation { paths, ..Conversation::default() };
    root.need("model")?;
    if let Some(instructions) = text(root, "instructions")? {
        let blocks = vec![Block::Text(instructions)];
        conversation.turns.push(Turn { speaker: Speaker::System, blocks });
    }
    for (key, node) in root.iter() {
        if key == "tools" {
            tools(&mut conversation, &node)?;
        } else {
            setting(&mut conversation, key, &node)?;
        }
    }
    input(&mut conversation, &root.need("input")?)?;
    Ok(conversation)
}

fn setting<'a>(
    to: &mut Conversation<'a>,
    key: &str,
    node: &Node<'a, '_>,
) -> Result<(), TranslateError> {
    match key {
        "model" | "input" | "instructions" => {}
        "stream" => to.stream = node.bool()?,
        "max_output_tokens" => to.output_max = Some(node.u64()?),
        "temperature" => to.temperature = Some(number(node)?),
        "top_p" => to.top_p = Some(number(node)?),
        "tool_choice" => to.choice = Some(choice(node)?),
        "parallel_tool_calls" => to.parallel = Some(node.bool()?),
        "text" => output(to, &node.object()?)?,
        "reasoning" => reasoning(to, &node.object()?)?,
        "include" => include(to, node)?,
        "background" => off(node)?,
        "top_logprobs" if node.text == "0" => {}
        "truncation" if node.string()? == "disabled" => {}
        _ => openai_hint(to, key, node, &HINTS)?,
    }
    Ok(())
}

/// Hints that only this dialect has.
const HINTS: [&str; 5] =
    ["client_metadata", "stream_options", "max_tool_calls", "context_management", "truncation"];

fn include(to: &mut Conversation<'_>, node: &Node<'_, '_>) -> Result<(), TranslateError> {
    // What hosted tools found; they are left out themselves.
    const OF_TOOLS: [&str; 4] =
        ["web_search_call.", "file_search_call.", "code_interpreter_call.", "computer_call_"];
    for item in node.array()?.iter() {
        let name = item.string()?;
        let of_tool = OF_TOOLS.iter().any(|start| name.starts_with(start));
        if name != "reasoning.encrypted_content" && !of_tool {
            return Err(item.unknown());
        }
        to.omitted.add("include");
    }
    Ok(())
}

fn output<'a>(to: &mut Conversation<'a>, object: &Object<'a, '_>) -> Result<(), TranslateError> {
    object.only(&["format", "verbosity"])?;
    if let Some(node) = object.get("verbosity").filter(|node| node.text != r#""medium""#) {
        knob(to, KnobKind::Verbosity, "text.verbosity", &node);
    }
    if let Some(node) = object.get("format") {
        to.format = format(&node.object()?)?;
    }
    Ok(())
}

fn format<'a>(object: &Object<'a, '_>) -> Result<Option<Format<'a>>, TranslateError> {
    match kind(object)?.as_ref() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::Json { path: "text.format.type".to_owned() })),
        "json_schema" => {
            object.only(&["type", "name", "schema", "strict", "description"])?;
            Ok(Some(Format::Schema {
                name: text(object, "name")?,
                schema: object.need("schema")?.text,
                strict: Some(strict(object)?),
                description: text(object, "description")?,
            }))
        }
        _ => Err(unknown_kind(object)),
    }
}

fn reasoning(to: &mut Conversation<'_>, object: &Object<'_, '_>) -> Result<(), TranslateError> {
    object.only(&["effort", "summary", "generate_summary", "context"])?;
    for (name, path) in [
        ("summary", "reasoning.summary"),
        ("generate_summary", "reasoning.summary"),
        ("context", "reasoning.context"),
    ] {
        if object.get(name).is_some() {
            to.omitted.add(path);
        }
    }
    if let Some(node) = object.get("effort") {
        to.effort = Some(effort(&node)?);
    }
    Ok(())
}

fn tools<'a>(to: &mut Conversation<'a>, node: &Node<'a, '_>) -> Result<(), TranslateError> {
    for item in node.array()?.iter() {
        let item = item.object()?;
        match kind(&item)?.as_ref() {
            "function" => to.tools.push(function(&item, None, &mut to.omitted)?),
            "namespace" => namespace(to, &item)?,
            "custom" => return Err(unknown_kind(&item)),
            _ => hosted(to, &item)?,
        }
    }
    Ok(())
}

/// The tools of a namespace; its description only introduces theirs, so it stands before each.
fn namespace<'a>(to: &mut Conversation<'a>, item: &Object<'a, '_>) -> Result<(), TranslateError> {
    item.only(&["type", "name", "description", "tools"])?;
    let namespace = item.need("name")?.string()?;
    let introduction = text(item, "description")?.unwrap_or_default();
    for inner in item.need("tools")?.array()?.iter() {
        let inner = inner.object()?;
        if kind(&inner)? != "function" {
            return Err(unknown_kind(&inner));
        }
        let mut tool = function(&inner, Some(namespace.clone()), &mut to.omitted)?;
        tool.description = match tool.description {
            Some(own) if introduction.is_empty() || own == introduction => Some(own),
            Some(own) => Some(format!("{introduction}\n\n{own}").into()),
            None => Some(introduction.clone()),
        };
        to.tools.push(tool);
    }
    Ok(())
}

fn function<'a>(
    item: &Object<'a, '_>,
    namespace: Option<Cow<'a, str>>,
    omitted: &mut Omitted,
) -> Result<Tool<'a>, TranslateError> {
    item.only(&["type", "name", "description", "parameters", "strict", "defer_loading"])?;
    if item.get("defer_loading").is_some() {
        omitted.add("tools.defer_loading");
    }
    Ok(Tool {
        name: Name { namespace, name: item.need("name")?.string()? },
        description: text(item, "description")?,
        schema: item.get("parameters").map(|node| node.text),
        strict: item.get("strict").map(|node| node.bool()).transpose()?,
        cache: None,
    })
}

fn name<'a>(item: &Object<'a, '_>) -> Result<Name<'a>, TranslateError> {
    Ok(Name { namespace: text(item, "namespace")?, name: item.need("name")?.string()? })
}

fn choice<'a>(node: &Node<'a, '_>) -> Result<Choice<'a>, TranslateError> {
    if node.is_string() {
        return match node.string()?.as_ref() {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "required" => Ok(Choice::Required),
            _ => Err(node.wrong("must be auto, none, required or a tool")),
        };
    }
    let object = node.object()?;
    if kind(&object)? != "function" {
        return Err(unknown_kind(&object));
    }
    Ok(Choice::Tool(name(&object)?))
}

fn input<'a>(to: &mut Conversation<'a>, node: &Node<'a, '_>) -> Result<(), TranslateError> {
    if node.is_string() {
        let blocks = vec![Block::Text(node.string()?)];
        to.turns.push(Turn { speaker: Speaker::User, blocks });
        return Ok(());
    }
    for item in node.array()?.iter() {
        to.turns.extend(turn(&item.object()?, &mut to.omitted)?);
    }
    Ok(())
}

/// One input item; `None` for reasoning, which is bound to the backend that made it.
fn turn<'a>(
    item: &Object<'a, '_>,
    omitted: &mut Omitted,
) -> Result<Option<Turn<'a>>, TranslateError> {
    let kind = match item.get("type") {
        Some(node) => node.string()?,
        None => "message".into(),
    };
    Ok(Some(match kind.as_ref() {
        "message" => message(item, omitted)?,
        "function_call" => Turn { speaker: Speaker::Assistant, blocks: vec![call(item)?] },
        "function_call_output" => {
            Turn { speaker: Speaker::User, blocks: vec![result(item, omitted)?] }
        }
        "reasoning" => {
            omitted.add("input.reasoning");
            return Ok(None);
        }
        _ => return Err(unknown_kind(item)),
    }))
}

fn message<'a>(item: &Object<'a, '_>, omitted: &mut Omitted) -> Result<Turn<'a>, TranslateError> {
    // Ids pair with reasoning that another backend does not have.
    item.only(&["type", "role", "content", "id", "status", "phase", PASSTHROUGH])?;
    let role = item.need("role")?;
    let speaker = match role.string()?.as_ref() {
        "system" | "developer" => Speaker::System,
        "user" => Speaker::User,
        "assistant" => Speaker::Assistant,
        _ => return Err(role.unsupported("this role cannot be translated")),
    };
    Ok(Turn { speaker, blocks: content(&item.need("content")?, omitted)? })
}

/// What Codex notes about a message for its own use (seen in its requests, 2026-11).
const PASSTHROUGH: &str = "internal_chat_message_metadata_passthrough";

fn call<'a>(item: &Object<'a, '_>) -> Result<Block<'a>, TranslateError> {
    item.only(&["type", "id", "call_id", "name", "namespace", "arguments", "status", PASSTHROUGH])?;
    Ok(Block::Call(Call {
        id: item.need("call_id")?.string()?,
        name: name(item)?,
        arguments: text(item, "arguments")?.unwrap_or_default(),
        path: format!("{}.arguments", item.path),
    }))
}

fn result<'a>(item: &Object<'a, '_>, omitted: &mut Omitted) -> Result<Block<'a>, TranslateError> {
    item.only(&["type", "id", "call_id", "output", "status", PASSTHROUGH])?;
    Ok(Block::Result(ToolResult {
        id: item.need("call_id")?.string()?,
        blocks: content(&item.need("output")?, omitted)?,
        failed: false,
    }))
}

fn content<'a>(
    node: &Node<'a, '_>,
    omitted: &mut Omitted,
) -> Result<Vec<Block<'a>>, TranslateError> {
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let mut blocks = Vec::new();
    for item in node.array()?.iter() {
        let part = item.object()?;
        match kind(&part)?.as_ref() {
            "input_text" | "output_text" | "text" => {
                part.only(&["type", "text", "annotations", "logprobs", "prompt_cache_breakpoint"])?;
                blocks.push(Block::Text(part.need("text")?.string()?));
            }
            "refusal" => blocks.push(Block::Refusal(part.need("refusal")?.string()?)),
            "input_image" => blocks.push(Block::Image(image(&part)?)),
            "input_file" => blocks.push(Block::File(file(&part)?)),
            _ => return Err(unknown_kind(&part)),
        }
        leave_out(&part, &["prompt_cache_breakpoint"], omitted);
    }
    Ok(blocks)
}

fn image<'a>(part: &Object<'a, '_>) -> Result<Media<'a>, TranslateError> {
    part.only(&["type", "image_url", "detail", "prompt_cache_breakpoint"])?;
    let url = part.need("image_url")?;
    Ok(Media {
        source: Source::of_url(url.string()?),
        name: None,
        detail: text(part, "detail")?,
        path: url.path.to_string(),
    })
}

fn file<'a>(part: &Object<'a, '_>) -> Result<Media<'a>, TranslateError> {
    part.only(&["type", "file_data", "file_url", "filename", "detail", "prompt_cache_breakpoint"])?;
    let data = match part.get("file_url") {
        Some(url) => url,
        None => part.need("file_data")?,
    };
    Ok(Media {
        source: Source::of_url(data.string()?),
        name: text(part, "filename")?,
        detail: None,
        path: data.path.to_string(),
    })
}
