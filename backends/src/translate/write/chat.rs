//! A [`Conversation`] as `POST /v1/chat/completions`.

use crate::translate::{
    OutputLimit, RequestOptions, TranslateError,
    conversation::{
        Block, Call, Choice, Conversation, Format, KnobKind, Media, Source, Speaker, Tool,
        ToolResult, Turn,
    },
    json::Writer,
    write::{
        NO_PARAMETERS, has_breakpoint, misplaced, openai_effort, result_text, split_system,
        strict::is_strict, system_blocks, system_text, text_block, with_breakpoints,
    },
};

/// Writes a request of the chat dialect.
///
/// # Errors
/// The first thing that this dialect cannot say.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    options: &RequestOptions<'_>,
) -> Result<Vec<u8>, TranslateError> {
    let mut w = Writer::default();
    w.object(|w| {
        w.field("model", options.model);
        w.key("messages").array(|w| messages(w, conversation))?;
        settings(w, conversation, options)?;
        if !conversation.tools.is_empty() {
            tools(w, conversation);
        }
        if let Some(format) = &conversation.format {
            w.key("response_format").object(|w| response_format(w, format));
        }
        Ok(())
    })?;
    Ok(w.into_bytes())
}

fn messages(w: &mut Writer, conversation: &Conversation<'_>) -> Result<(), TranslateError> {
    let (head, rest) = split_system(conversation);
    // One message, because templates of open models take a single one at the start.
    system(w, head)?;
    for turn in rest {
        match turn.speaker {
            Speaker::System => system(w, std::slice::from_ref(turn))?,
            Speaker::User => user(w, turn)?,
            Speaker::Assistant => assistant(w, turn)?,
        }
    }
    Ok(())
}

fn system(w: &mut Writer, turns: &[Turn<'_>]) -> Result<(), TranslateError> {
    let text = system_text(turns)?;
    if !text.is_empty() && has_breakpoint(turns) {
        return w.object(|w| {
            w.field("role", "system");
            system_blocks(w.key("content"), turns)
        });
    }
    if !text.is_empty() {
        w.object(|w| {
            w.field("role", "system");
            w.field("content", &text);
        });
    }
    Ok(())
}

/// Results first, because they must follow the calls; then everything else, with the pictures of the results.
fn user(w: &mut Writer, turn: &Turn<'_>) -> Result<(), TranslateError> {
    let mut parts: Vec<(&Block<'_>, Option<&str>)> = Vec::new();
    for block in &turn.blocks {
        if let Block::Result(result) = block {
            tool(w, result);
            let media = result.blocks.iter().filter(|block| is_media(block));
            parts.extend(media.map(|block| (block, None)));
        }
    }
    let is_part = |(block, _): &(&Block<'_>, _)| match block {
        Block::Result(_) => false,
        Block::Text(text) => !text.is_empty(),
        _ => true,
    };
    parts.extend(with_breakpoints(&turn.blocks).filter(is_part));
    if parts.is_empty() {
        return Ok(());
    }
    w.object(|w| {
        w.field("role", "user");
        if let [(Block::Text(text), None)] = parts.as_slice() {
            w.field("content", text);
            return Ok(());
        }
        w.key("content")
            .array(|w| parts.iter().try_for_each(|(block, cache)| part(w, block, *cache)))
    })
}

fn is_media(block: &Block<'_>) -> bool {
    matches!(block, Block::Image(_) | Block::File(_))
}

fn tool(w: &mut Writer, result: &ToolResult<'_>) {
    let mut text = result_text(result);
    if result.blocks.iter().any(is_media) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str("[attachment in the next message]");
    }
    w.object(|w| {
        w.field("role", "tool");
        w.field("tool_call_id", &result.id);
        w.field("content", &text);
    });
}

fn part(w: &mut Writer, block: &Block<'_>, cache: Option<&str>) -> Result<(), TranslateError> {
    match block {
        Block::Text(text) => {
            text_block(w, text, cache);
            Ok(())
        }
        Block::Image(image) => w.object(|w| {
            w.field("type", "image_url");
            w.key("image_url").object(|w| {
                w.field("url", &image.source.url());
                if let Some(detail) = &image.detail {
                    w.field("detail", detail);
                }
            });
            Ok(())
        }),
        Block::File(media) => file(w, media),
        other => Err(misplaced(other)),
    }
}

fn file(w: &mut Writer, media: &Media<'_>) -> Result<(), TranslateError> {
    if let Source::Url(_) = media.source {
        return Err(TranslateError::field(&media.path, "a document must be inline"));
    }
    w.object(|w| {
        w.field("type", "file");
        w.key("file").object(|w| {
            w.field("filename", media.name.as_deref().unwrap_or("document.pdf"));
            w.field("file_data", &media.source.url());
        });
    });
    Ok(())
}

fn assistant(w: &mut Writer, turn: &Turn<'_>) -> Result<(), TranslateError> {
    let (mut text, mut refusal, mut calls) = (String::new(), String::new(), Vec::new());
    for block in &turn.blocks {
        match block {
            Block::Text(part) => text.push_str(part),
            Block::Refusal(part) => refusal.push_str(part),
            Block::Call(call) => calls.push(call),
            other => return Err(misplaced(other)),
        }
    }
    if text.is_empty() && refusal.is_empty() && calls.is_empty() {
        return Ok(());
    }
    w.object(|w| {
        w.field("role", "assistant");
        if text.is_empty() {
            w.key("content").null();
        } else {
            w.field("content", &text);
        }
        if !refusal.is_empty() {
            w.field("refusal", &refusal);
        }
        if !calls.is_empty() {
            w.key("tool_calls").array(|w| calls.iter().for_each(|call| tool_call(w, call)));
        }
    });
    Ok(())
}

fn tool_call(w: &mut Writer, call: &Call<'_>) {
    w.object(|w| {
        w.field("id", &call.id);
        w.field("type", "function");
        w.key("function").object(|w| {
            w.field("name", &call.name.name);
            w.field("arguments", if call.arguments.is_empty() { "{}" } else { &call.arguments });
        });
    });
}

fn settings(
    w: &mut Writer,
    conversation: &Conversation<'_>,
    options: &RequestOptions<'_>,
) -> Result<(), TranslateError> {
    if conversation.stream {
        w.key("stream").bool(true);
        // Without it most backends report no usage, and the cost would be a guess.
        w.key("stream_options").object(|w| w.key("include_usage").bool(true));
    }
    if let Some(output_max) = conversation.output_max {
        let key = match options.output_limit {
            OutputLimit::MaxCompletionTokens => "max_completion_tokens",
            OutputLimit::MaxTokens => "max_tokens",
        };
        w.key(key).number(output_max);
    }
    for (key, value) in [("temperature", conversation.temperature), ("top_p", conversation.top_p)] {
        if let Some(value) = value {
            w.key(key).raw(value);
        }
    }
    if conversation.stop.len() > 4 {
        return Err(TranslateError::field(conversation.paths.stop, "at most four are possible"));
    }
    if !conversation.stop.is_empty() {
        w.key("stop").array(|w| conversation.stop.iter().for_each(|stop| w.string(stop)));
    }
    if let Some(effort) = conversation.effort {
        w.field("reasoning_effort", openai_effort(effort));
    }
    for knob in &conversation.knobs {
        if knob.kind == KnobKind::TopK {
            return Err(TranslateError::field(knob.path, "this field cannot be translated"));
        }
        w.key(knob.kind.field()).raw(knob.value);
    }
    Ok(())
}

fn tools(w: &mut Writer, conversation: &Conversation<'_>) {
    w.key("tools").array(|w| conversation.tools.iter().for_each(|tool| definition(w, tool)));
    match &conversation.choice {
        None => {}
        Some(Choice::Auto) => w.field("tool_choice", "auto"),
        Some(Choice::None) => w.field("tool_choice", "none"),
        Some(Choice::Required) => w.field("tool_choice", "required"),
        Some(Choice::Tool(name)) => w.key("tool_choice").object(|w| {
            w.field("type", "function");
            w.key("function").object(|w| w.field("name", &name.name));
        }),
    }
    if let Some(parallel) = conversation.parallel {
        w.key("parallel_tool_calls").bool(parallel);
    }
}

fn definition(w: &mut Writer, tool: &Tool<'_>) {
    w.object(|w| {
        w.field("type", "function");
        w.key("function").object(|w| {
            w.field("name", &tool.name.name);
            if let Some(description) = &tool.description {
                w.field("description", description);
            }
            w.key("parameters").raw(tool.schema.unwrap_or(NO_PARAMETERS));
            if let Some(strict) = tool.strict {
                w.key("strict").bool(strict);
            }
        });
    });
}

fn response_format(w: &mut Writer, format: &Format<'_>) {
    match format {
        Format::Json { .. } => w.field("type", "json_object"),
        Format::Schema { name, schema, strict, description } => {
            w.field("type", "json_schema");
            w.key("json_schema").object(|w| {
                w.field("name", name.as_deref().unwrap_or("answer"));
                if let Some(description) = description {
                    w.field("description", description);
                }
                w.key("schema").raw(schema);
                w.key("strict").bool(strict.unwrap_or_else(|| is_strict(schema)));
            });
        }
    }
}
