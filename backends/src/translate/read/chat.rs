//! `POST /v1/chat/completions` to a [`Conversation`].

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
        cache, cache_until, effort, empty, hosted, kind, knob, leave_out, nonzero, number, off,
        openai_hint, strict, text, unknown_kind,
    },
};

/// Reads a request of the chat dialect.
///
/// # Errors
/// The first field without a counterpart in the other dialects.
pub(crate) fn read<'a>(root: &Object<'a, '_>) -> Result<Conversation<'a>, TranslateError> {
    let paths = Paths { turns: "messages", stop: "stop", effort: "reasoning_effort" };
    let mut conversation = Conversation { paths, ..Conversation::default() };
    root.need("model")?;
    for (key, node) in root.iter() {
        if key == "tools" {
            tools(&mut conversation, &node)?;
        } else {
            setting(&mut conversation, key, &node)?;
        }
    }
    for message in root.need("messages")?.array()?.iter() {
        conversation.turns.push(turn(&message, &mut conversation.omitted)?);
    }
    Ok(conversation)
}

fn setting<'a>(
    to: &mut Conversation<'a>,
    key: &str,
    node: &Node<'a, '_>,
) -> Result<(), TranslateError> {
    match key {
        "model" | "messages" => {}
        "stream" => to.stream = node.bool()?,
        "stream_options" => {
            let options = node.object()?;
            options.only(&["include_usage", "include_obfuscation"])?;
            if options.get("include_obfuscation").is_some() {
                to.omitted.add("stream_options.include_obfuscation");
            }
        }
        "max_completion_tokens" => to.output_max = Some(node.u64()?),
        "max_tokens" => to.output_max = to.output_max.or(Some(node.u64()?)),
        "stop" => to.stop = stops(node)?,
        "temperature" => to.temperature = Some(number(node)?),
        "top_p" => to.top_p = Some(number(node)?),
        "tool_choice" => to.choice = Some(choice(node)?),
        "parallel_tool_calls" => to.parallel = Some(node.bool()?),
        "response_format" => to.format = format(node)?,
        "reasoning_effort" => to.effort = Some(effort(node)?),
        "verbosity" if node.text == r#""medium""# => {}
        "verbosity" => knob(to, KnobKind::Verbosity, "verbosity", node),
        "seed" => knob(to, KnobKind::Seed, "seed", node),
        "logit_bias" => knob(to, KnobKind::LogitBias, "logit_bias", node),
        "frequency_penalty" if nonzero(node)? => {
            knob(to, KnobKind::FrequencyPenalty, "frequency_penalty", node);
        }
        "presence_penalty" if nonzero(node)? => {
            knob(to, KnobKind::PresencePenalty, "presence_penalty", node);
        }
        "frequency_penalty" | "presence_penalty" => {}
        "n" if node.text == "1" => {}
        "n" => return Err(node.unsupported("only one answer can be translated")),
        "logprobs" => off(node)?,
        "top_logprobs" if node.text == "0" => {}
        "modalities" => only_text(node)?,
        "functions" => empty(node)?,
        _ => openai_hint(to, key, node, &["prediction"])?,
    }
    Ok(())
}

fn stops<'a>(node: &Node<'a, '_>) -> Result<Vec<Cow<'a, str>>, TranslateError> {
    if node.is_string() {
        return Ok(vec![node.string()?]);
    }
    node.array()?.iter().map(|item| item.string()).collect()
}

fn only_text(node: &Node<'_, '_>) -> Result<(), TranslateError> {
    for item in node.array()?.iter() {
        if item.string()? != "text" {
            return Err(item.unsupported("only text can be translated"));
        }
    }
    Ok(())
}

fn tools<'a>(to: &mut Conversation<'a>, node: &Node<'a, '_>) -> Result<(), TranslateError> {
    for item in node.array()?.iter() {
        let item = item.object()?;
        // Mistral's clients leave the type out.
        match text(&item, "type")?.as_deref().unwrap_or("function") {
            "function" => {
                item.only(&["type", "function", "cache_control", "eager_input_streaming"])?;
                leave_out(&item, &["eager_input_streaming"], &mut to.omitted);
                let tool = function(&item.need("function")?.object()?)?;
                to.tools.push(Tool { cache: cache(&item), ..tool });
            }
            "custom" => return Err(unknown_kind(&item)),
            _ => hosted(to, &item)?,
        }
    }
    Ok(())
}

fn function<'a>(object: &Object<'a, '_>) -> Result<Tool<'a>, TranslateError> {
    object.only(&["name", "description", "parameters", "strict"])?;
    Ok(Tool {
        name: name(object)?,
        description: text(object, "description")?,
        schema: object.get("parameters").map(|node| node.text),
        strict: object.get("strict").map(|node| node.bool()).transpose()?,
        cache: None,
    })
}

fn name<'a>(object: &Object<'a, '_>) -> Result<Name<'a>, TranslateError> {
    Ok(Name { namespace: None, name: object.need("name")?.string()? })
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
    let function = object.need("function")?.object()?;
    Ok(Choice::Tool(name(&function)?))
}

fn format<'a>(node: &Node<'a, '_>) -> Result<Option<Format<'a>>, TranslateError> {
    let object = node.object()?;
    match kind(&object)?.as_ref() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::Json { path: "response_format.type".to_owned() })),
        "json_schema" => {
            let schema = object.need("json_schema")?.object()?;
            schema.only(&["name", "schema", "strict", "description"])?;
            Ok(Some(Format::Schema {
                name: text(&schema, "name")?,
                schema: schema.need("schema")?.text,
                strict: Some(strict(&schema)?),
                description: text(&schema, "description")?,
            }))
        }
        _ => Err(unknown_kind(&object)),
    }
}

fn turn<'a>(node: &Node<'a, '_>, omitted: &mut Omitted) -> Result<Turn<'a>, TranslateError> {
    let message = node.object()?;
    let role = message.need("role")?;
    let (speaker, mut blocks) = match role.string()?.as_ref() {
        "system" | "developer" => (Speaker::System, plain(&message, omitted)?),
        "user" => (Speaker::User, plain(&message, omitted)?),
        "assistant" => (Speaker::Assistant, assistant(&message, omitted)?),
        "tool" => (Speaker::User, vec![result(&message, omitted)?]),
        _ => return Err(role.unsupported("this role cannot be translated")),
    };
    cache_until(&message, &mut blocks);
    Ok(Turn { speaker, blocks })
}

/// The content of a message that has nothing else.
fn plain<'a>(
    message: &Object<'a, '_>,
    omitted: &mut Omitted,
) -> Result<Vec<Block<'a>>, TranslateError> {
    for (key, node) in message.iter() {
        match key {
            "role" | "content" | "cache_control" => {}
            "tool_calls" => empty(&node)?,
            _ => return Err(node.unknown()),
        }
    }
    content(message.get("content"), omitted)
}

fn assistant<'a>(
    message: &Object<'a, '_>,
    omitted: &mut Omitted,
) -> Result<Vec<Block<'a>>, TranslateError> {
    for (key, node) in message.iter() {
        match key {
            "role" | "content" | "refusal" | "tool_calls" | "annotations" | "cache_control" => {}
            // Bound to the backend that made it.
            "reasoning" | "reasoning_content" | "reasoning_details" => {
                omitted.add("messages.reasoning");
            }
            // Repeats the role; LangChain for JavaScript always sends one.
            "name" => {}
            "prefix" => off(&node)?,
            _ => return Err(node.unknown()),
        }
    }
    let mut blocks = content(message.get("content"), omitted)?;
    if let Some(refusal) = message.get("refusal") {
        blocks.push(Block::Refusal(refusal.string()?));
    }
    if let Some(calls) = message.get("tool_calls") {
        for item in calls.array()?.iter() {
            blocks.push(Block::Call(call(&item)?));
        }
    }
    Ok(blocks)
}

fn call<'a>(node: &Node<'a, '_>) -> Result<Call<'a>, TranslateError> {
    let object = node.object()?;
    object.only(&["id", "type", "function", "index", "cache_control"])?;
    if object.get("type").is_some() && kind(&object)? != "function" {
        return Err(unknown_kind(&object));
    }
    let function = object.need("function")?.object()?;
    function.only(&["name", "arguments"])?;
    Ok(Call {
        id: object.need("id")?.string()?,
        name: name(&function)?,
        arguments: text(&function, "arguments")?.unwrap_or_default(),
        path: format!("{}.arguments", function.path),
    })
}

fn result<'a>(
    message: &Object<'a, '_>,
    omitted: &mut Omitted,
) -> Result<Block<'a>, TranslateError> {
    // `name` repeats the function's name.
    message.only(&["role", "content", "tool_call_id", "name", "cache_control"])?;
    Ok(Block::Result(ToolResult {
        id: message.need("tool_call_id")?.string()?,
        blocks: content(message.get("content"), omitted)?,
        failed: false,
    }))
}

fn content<'a>(
    node: Option<Node<'a, '_>>,
    omitted: &mut Omitted,
) -> Result<Vec<Block<'a>>, TranslateError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let mut blocks = Vec::new();
    for item in node.array()?.iter() {
        let part = item.object()?;
        match kind(&part)?.as_ref() {
            "text" => {
                part.only(&["type", "text", "cache_control", "prompt_cache_breakpoint"])?;
                blocks.push(Block::Text(part.need("text")?.string()?));
            }
            "refusal" => blocks.push(Block::Refusal(part.need("refusal")?.string()?)),
            "image_url" => blocks.push(Block::Image(image(&part)?)),
            "file" => blocks.push(Block::File(file(&part)?)),
            // Mistral's reasoning; bound to the backend that made it.
            "thinking" => omitted.add("messages.reasoning"),
            _ => return Err(unknown_kind(&part)),
        }
        leave_out(&part, &["prompt_cache_breakpoint"], omitted);
        cache_until(&part, &mut blocks);
    }
    Ok(blocks)
}

fn image<'a>(part: &Object<'a, '_>) -> Result<Media<'a>, TranslateError> {
    part.only(&["type", "image_url", "cache_control", "prompt_cache_breakpoint"])?;
    let image = part.need("image_url")?.object()?;
    image.only(&["url", "detail"])?;
    Ok(Media {
        source: Source::of_url(image.need("url")?.string()?),
        name: None,
        detail: text(&image, "detail")?,
        path: image.need("url")?.path.to_string(),
    })
}

fn file<'a>(part: &Object<'a, '_>) -> Result<Media<'a>, TranslateError> {
    part.only(&["type", "file", "cache_control", "prompt_cache_breakpoint"])?;
    let file = part.need("file")?.object()?;
    file.only(&["file_data", "filename"])?;
    Ok(Media {
        source: Source::of_url(file.need("file_data")?.string()?),
        name: text(&file, "filename")?,
        detail: None,
        path: file.need("file_data")?.path.to_string(),
    })
}
