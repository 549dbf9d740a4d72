//! A [`Conversation`] as `POST /v1/responses`.

use crate::translate::{
    RequestOptions, TranslateError,
    conversation::{
        Block, Call, Choice, Conversation, Format, KnobKind, Media, Source, Speaker, Tool,
        ToolResult, Turn,
    },
    json::Writer,
    write::{
        NO_PARAMETERS, misplaced, openai_effort, result_text, split_system, strict::is_strict,
        system_text,
    },
};

/// Writes a request of the Responses dialect, without state at the provider.
///
/// # Errors
/// The first thing that this dialect cannot say.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    options: &RequestOptions<'_>,
) -> Result<Vec<u8>, TranslateError> {
    let (head, rest) = split_system(conversation);
    let instructions = system_text(head)?;
    let mut w = Writer::default();
    w.object(|w| {
        w.field("model", options.model);
        if !instructions.is_empty() {
            w.field("instructions", &instructions);
        }
        w.key("input").array(|w| rest.iter().try_for_each(|turn| items(w, turn)))?;
        w.key("store").bool(false);
        settings(w, conversation)?;
        if !conversation.tools.is_empty() {
            tools(w, conversation);
        }
        text(w, conversation);
        Ok(())
    })?;
    Ok(w.into_bytes())
}

/// The items of one turn, in order: runs of text and pictures are one message, calls and results stand alone.
fn items(w: &mut Writer, turn: &Turn<'_>) -> Result<(), TranslateError> {
    if turn.speaker == Speaker::System {
        let text = system_text(std::slice::from_ref(turn))?;
        if !text.is_empty() {
            w.object(|w| {
                w.field("type", "message");
                w.field("role", "developer");
                w.field("content", &text);
            });
        }
        return Ok(());
    }
    let stands_alone = |block: &Block<'_>| matches!(block, Block::Call(_) | Block::Result(_));
    for run in turn.blocks.chunk_by(|a, b| !stands_alone(a) && !stands_alone(b)) {
        match (run, turn.speaker) {
            ([Block::Call(call)], Speaker::Assistant) => function_call(w, call),
            ([Block::Result(result)], Speaker::User) => output(w, result)?,
            _ => message(w, turn.speaker, run)?,
        }
    }
    Ok(())
}

fn message(w: &mut Writer, speaker: Speaker, run: &[Block<'_>]) -> Result<(), TranslateError> {
    let is_empty = |block: &Block<'_>| matches!(block, Block::Text(text) | Block::Refusal(text) if text.is_empty());
    if run.iter().all(is_empty) {
        return Ok(());
    }
    w.object(|w| {
        w.field("type", "message");
        w.field("role", if speaker == Speaker::Assistant { "assistant" } else { "user" });
        // Without the id and status of an answer, the assistant's words are a string.
        if speaker == Speaker::Assistant && run.iter().all(|block| matches!(block, Block::Text(_)))
        {
            let texts = run.iter().map(|block| match block {
                Block::Text(text) => text.as_ref(),
                _ => "",
            });
            w.field("content", &texts.collect::<String>());
            return Ok(());
        }
        w.key("content").array(|w| {
            let mut parts = run.iter().filter(|block| !is_empty(block));
            parts.try_for_each(|block| part(w, speaker, block))
        })
    })
}

fn part(w: &mut Writer, speaker: Speaker, block: &Block<'_>) -> Result<(), TranslateError> {
    let is_user = speaker == Speaker::User;
    match block {
        Block::Text(text) => w.object(|w| {
            w.field("type", if is_user { "input_text" } else { "output_text" });
            w.field("text", text);
        }),
        Block::Refusal(text) if !is_user => w.object(|w| {
            w.field("type", "refusal");
            w.field("refusal", text);
        }),
        Block::Image(media) if is_user => w.object(|w| {
            w.field("type", "input_image");
            w.field("image_url", &media.source.url());
            w.field("detail", media.detail.as_deref().unwrap_or("auto"));
        }),
        Block::File(media) if is_user => file(w, media),
        other => return Err(misplaced(other)),
    }
    Ok(())
}

fn file(w: &mut Writer, media: &Media<'_>) {
    w.object(|w| {
        w.field("type", "input_file");
        match &media.source {
            Source::Url(url) => w.field("file_url", url),
            Source::Inline { .. } => {
                w.field("filename", media.name.as_deref().unwrap_or("document.pdf"));
                w.field("file_data", &media.source.url());
            }
        }
    });
}

fn function_call(w: &mut Writer, call: &Call<'_>) {
    w.object(|w| {
        w.field("type", "function_call");
        w.field("call_id", &call.id);
        w.field("name", &call.name.name);
        w.field("arguments", if call.arguments.is_empty() { "{}" } else { &call.arguments });
    });
}

fn output(w: &mut Writer, result: &ToolResult<'_>) -> Result<(), TranslateError> {
    let is_text = |block: &Block<'_>| matches!(block, Block::Text(_) | Block::Refusal(_));
    w.object(|w| {
        w.field("type", "function_call_output");
        w.field("call_id", &result.id);
        let text = result_text(result);
        if result.blocks.iter().all(is_text) {
            w.field("output", &text);
            return Ok(());
        }
        w.key("output").array(|w| {
            if !text.is_empty() {
                part(w, Speaker::User, &Block::Text(text.as_str().into()))?;
            }
            let mut media = result.blocks.iter().filter(|block| !is_text(block));
            media.try_for_each(|block| part(w, Speaker::User, block))
        })
    })
}

fn settings(w: &mut Writer, conversation: &Conversation<'_>) -> Result<(), TranslateError> {
    if conversation.stream {
        w.key("stream").bool(true);
    }
    if let Some(output_max) = conversation.output_max {
        w.key("max_output_tokens").number(output_max);
    }
    for (key, value) in [("temperature", conversation.temperature), ("top_p", conversation.top_p)] {
        if let Some(value) = value {
            w.key(key).raw(value);
        }
    }
    if !conversation.stop.is_empty() {
        let path = conversation.paths.stop;
        return Err(TranslateError::field(path, "this field cannot be translated"));
    }
    if let Some(effort) = conversation.effort {
        w.key("reasoning").object(|w| w.field("effort", openai_effort(effort)));
    }
    match conversation.knobs.iter().find(|knob| knob.kind != KnobKind::Verbosity) {
        Some(knob) => Err(TranslateError::field(knob.path, "this field cannot be translated")),
        None => Ok(()),
    }
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
            w.field("name", &name.name);
        }),
    }
    if let Some(parallel) = conversation.parallel {
        w.key("parallel_tool_calls").bool(parallel);
    }
}

fn definition(w: &mut Writer, tool: &Tool<'_>) {
    w.object(|w| {
        w.field("type", "function");
        w.field("name", &tool.name.name);
        if let Some(description) = &tool.description {
            w.field("description", description);
        }
        w.key("parameters").raw(tool.schema.unwrap_or(NO_PARAMETERS));
        // Here the default is true, in the other dialects it is false.
        w.key("strict").bool(tool.strict.unwrap_or(false));
    });
}

fn text(w: &mut Writer, conversation: &Conversation<'_>) {
    let verbosity = conversation.knobs.iter().find(|knob| knob.kind == KnobKind::Verbosity);
    if conversation.format.is_none() && verbosity.is_none() {
        return;
    }
    w.key("text").object(|w| {
        if let Some(format) = &conversation.format {
            w.key("format").object(|w| response_format(w, format));
        }
        if let Some(knob) = verbosity {
            w.key("verbosity").raw(knob.value);
        }
    });
}

fn response_format(w: &mut Writer, format: &Format<'_>) {
    match format {
        Format::Json { .. } => w.field("type", "json_object"),
        Format::Schema { name, schema, strict, description } => {
            w.field("type", "json_schema");
            w.field("name", name.as_deref().unwrap_or("answer"));
            if let Some(description) = description {
                w.field("description", description);
            }
            w.key("schema").raw(schema);
            w.key("strict").bool(strict.unwrap_or_else(|| is_strict(schema)));
        }
    }
}
