//! A [`Conversation`] as `POST /v1/messages`.

use std::borrow::Cow;

use crate::translate::{
    ReasoningStyle, RequestOptions, TranslateError,
    conversation::{
        Block, Call, Choice, Conversation, Effort, Format, KnobKind, Media, Source, Speaker, Tool,
        ToolResult, Turn,
    },
    json::{Writer, as_object},
    write::{
        NO_PARAMETERS, cache_control, has_breakpoint, misplaced, split_system, system_blocks,
        system_text, text_block, with_breakpoints,
    },
};

/// Smallest budget for thinking (Anthropic API reference, extended thinking, 2026-11).
const BUDGET_MIN: u64 = 1024;

/// What the user says when the caller's conversation starts with the assistant, which this dialect refuses.
const OPENING: &str = "(the conversation starts)";

/// Writes a request of the Anthropic dialect.
///
/// # Errors
/// The first thing that this dialect cannot say.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    options: &RequestOptions<'_>,
) -> Result<Vec<u8>, TranslateError> {
    let (head, messages) = arrange(conversation);
    if messages.last().is_some_and(|message| message.speaker == Speaker::Assistant) {
        let text = "a conversation that ends with the assistant cannot be translated";
        return Err(TranslateError::field(conversation.paths.turns, text));
    }
    let reasoning = reasoning(conversation, &messages, options)?;
    let breakpoints = has_breakpoint(&conversation.turns)
        || conversation.tools.iter().any(|tool| tool.cache.is_some());
    let mut w = Writer::default();
    w.object(|w| {
        w.field("model", options.model);
        w.key("max_tokens").number(reasoning.output_max);
        system(w, head)?;
        w.key("messages").array(|w| messages.iter().try_for_each(|turn| message(w, turn)))?;
        tools(w, conversation);
        // The dialects of OpenAI cache unasked; here the caller must ask, once for the whole prompt or at each place.
        if conversation.cached.is_some() && !breakpoints {
            w.key("cache_control").object(|w| w.field("type", "ephemeral"));
        }
        settings(w, conversation, &reasoning)?;
        output_config(w, conversation, &reasoning)
    })?;
    Ok(w.into_bytes())
}

fn system(w: &mut Writer, turns: &[Turn<'_>]) -> Result<(), TranslateError> {
    let text = system_text(turns)?;
    if text.trim().is_empty() {
        return Ok(());
    }
    if has_breakpoint(turns) {
        return system_blocks(w.key("system"), turns);
    }
    w.field("system", &text);
    Ok(())
}

/// The turns of the system prompt, and the messages as this dialect wants them: the user first, no two of one role in a
/// row, no empty text, results before everything else.
fn arrange<'c, 'a>(conversation: &'c Conversation<'a>) -> (&'c [Turn<'a>], Vec<Turn<'a>>) {
    let (head, rest) = split_system(conversation);
    let mut messages: Vec<Turn<'a>> = Vec::new();
    for turn in rest {
        append(&mut messages, turn.speaker, turn.blocks.iter().cloned());
    }
    if messages.first().is_none_or(|turn| turn.speaker != Speaker::User) {
        let blocks = vec![Block::Text(OPENING.into())];
        messages.insert(0, Turn { speaker: Speaker::User, blocks });
    }
    for message in &mut messages {
        // Stable, so that the order within each kind stays.
        message.blocks.sort_by_key(|block| !matches!(block, Block::Result(_)));
    }
    (head, messages)
}

/// Adds what is not empty to the last message if it is of the same speaker, or else as a new one.
fn append<'a>(
    messages: &mut Vec<Turn<'a>>,
    speaker: Speaker,
    blocks: impl Iterator<Item = Block<'a>>,
) {
    let mut blocks = blocks.filter(|block| match block {
        Block::Text(text) | Block::Refusal(text) => !text.trim().is_empty(),
        _ => true,
    });
    match messages.last_mut() {
        Some(last) if last.speaker == speaker => last.blocks.extend(blocks),
        _ => {
            if let Some(first) = blocks.next() {
                let blocks = std::iter::once(first).chain(blocks).collect();
                messages.push(Turn { speaker, blocks });
            }
        }
    }
}

fn message(w: &mut Writer, turn: &Turn<'_>) -> Result<(), TranslateError> {
    w.object(|w| {
        w.field(
            "role",
            match turn.speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
                Speaker::System => "system",
            },
        );
        if let [Block::Text(text)] = turn.blocks.as_slice() {
            w.field("content", text);
            return Ok(());
        }
        w.key("content").array(|w| {
            let mut blocks = with_breakpoints(&turn.blocks);
            blocks.try_for_each(|(block, cache)| content(w, turn.speaker, block, cache))
        })
    })
}

fn content(
    w: &mut Writer,
    speaker: Speaker,
    block: &Block<'_>,
    cache: Option<&str>,
) -> Result<(), TranslateError> {
    match (block, speaker) {
        (Block::Text(text) | Block::Refusal(text), _) => {
            text_block(w, text, cache);
            Ok(())
        }
        (Block::Image(media), Speaker::User) => media_block(w, "image", media, cache),
        (Block::File(media), Speaker::User) => media_block(w, "document", media, cache),
        (Block::Result(result), Speaker::User) => tool_result(w, result, cache),
        (Block::Call(call), Speaker::Assistant) => tool_use(w, call, cache),
        (other, _) => Err(misplaced(other)),
    }
}

fn media_block(
    w: &mut Writer,
    kind: &str,
    media: &Media<'_>,
    cache: Option<&str>,
) -> Result<(), TranslateError> {
    if let Source::Url(url) = &media.source
        && !url.starts_with("https://")
        && !url.starts_with("http://")
    {
        return Err(TranslateError::field(&media.path, "must be a web address or base64 data"));
    }
    w.object(|w| {
        w.field("type", kind);
        w.key("source").object(|w| match &media.source {
            Source::Inline { media_type, data } => {
                w.field("type", "base64");
                w.field("media_type", media_type);
                w.field("data", data);
            }
            Source::Url(url) => {
                w.field("type", "url");
                w.field("url", url);
            }
        });
        if let Some(name) = &media.name {
            w.field("title", name);
        }
        cache_control(w, cache);
    });
    Ok(())
}

fn tool_result(
    w: &mut Writer,
    result: &ToolResult<'_>,
    cache: Option<&str>,
) -> Result<(), TranslateError> {
    w.object(|w| {
        w.field("type", "tool_result");
        w.field("tool_use_id", &result.id);
        if let [Block::Text(text)] = result.blocks.as_slice() {
            w.field("content", text);
        } else {
            let mut blocks = with_breakpoints(&result.blocks).filter(|(block, _)| match block {
                Block::Text(text) => !text.is_empty(),
                _ => true,
            });
            w.key("content").array(|w| {
                blocks.try_for_each(|(block, cache)| content(w, Speaker::User, block, cache))
            })?;
        }
        if result.failed {
            w.key("is_error").bool(true);
        }
        cache_control(w, cache);
        Ok(())
    })
}

fn tool_use(w: &mut Writer, call: &Call<'_>, cache: Option<&str>) -> Result<(), TranslateError> {
    let Some(input) = as_object(&call.arguments) else {
        return Err(TranslateError::field(&call.path, "must hold a JSON object"));
    };
    w.object(|w| {
        w.field("type", "tool_use");
        w.field("id", &call.id);
        w.field("name", &call.name.name);
        w.key("input").raw(input);
        cache_control(w, cache);
    });
    Ok(())
}

/// Tools; when only earlier turns have calls, their names are declared again, because this dialect wants them known.
fn tools(w: &mut Writer, conversation: &Conversation<'_>) {
    if !conversation.tools.is_empty() {
        w.key("tools").array(|w| conversation.tools.iter().for_each(|tool| definition(w, tool)));
        tool_choice(w, conversation);
        return;
    }
    let mut names: Vec<&Cow<'_, str>> = conversation
        .turns
        .iter()
        .flat_map(|turn| &turn.blocks)
        .filter_map(|block| match block {
            Block::Call(call) => Some(&call.name.name),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return;
    }
    w.key("tools").array(|w| {
        for name in names {
            w.object(|w| {
                w.field("name", name);
                w.key("input_schema").raw(NO_PARAMETERS);
            });
        }
    });
    w.key("tool_choice").object(|w| w.field("type", "none"));
}

fn definition(w: &mut Writer, tool: &Tool<'_>) {
    w.object(|w| {
        w.field("name", &tool.name.name);
        if let Some(description) = tool.description.as_ref().filter(|text| !text.is_empty()) {
            w.field("description", description);
        }
        w.key("input_schema").raw(tool.schema.unwrap_or(NO_PARAMETERS));
        if tool.strict == Some(true) {
            w.key("strict").bool(true);
        }
        cache_control(w, tool.cache);
    });
}

fn tool_choice(w: &mut Writer, conversation: &Conversation<'_>) {
    let one_at_a_time = conversation.parallel == Some(false);
    let (kind, name) = match &conversation.choice {
        None if !one_at_a_time => return,
        None | Some(Choice::Auto) => ("auto", None),
        Some(Choice::None) => ("none", None),
        Some(Choice::Required) => ("any", None),
        Some(Choice::Tool(name)) => ("tool", Some(&name.name)),
    };
    w.key("tool_choice").object(|w| {
        w.field("type", kind);
        if let Some(name) = name {
            w.field("name", name);
        }
        // Nothing to limit when no tool may be called.
        if one_at_a_time && kind != "none" {
            w.key("disable_parallel_tool_use").bool(true);
        }
    });
}

/// How reasoning is asked for, decided once.
struct Reasoning {
    output_max: u64,
    thinking: Option<Thinking>,
    effort: Option<&'static str>,
}

enum Thinking {
    Disabled,
    Adaptive,
    Budget(u64),
}

fn reasoning(
    conversation: &Conversation<'_>,
    messages: &[Turn<'_>],
    options: &RequestOptions<'_>,
) -> Result<Reasoning, TranslateError> {
    let output_max = conversation.output_max.unwrap_or(options.output_max_default);
    let plain = Reasoning { output_max, thinking: None, effort: None };
    let Some(effort) = conversation.effort else { return Ok(plain) };
    if effort == Effort::None {
        return Ok(Reasoning { thinking: Some(Thinking::Disabled), ..plain });
    }
    let forced = matches!(conversation.choice, Some(Choice::Required | Choice::Tool(_)));
    match options.reasoning {
        // A forced tool excludes thinking; the effort still counts.
        ReasoningStyle::Effort => Ok(Reasoning {
            thinking: (!forced).then_some(Thinking::Adaptive),
            effort: Some(anthropic_effort(effort)),
            ..plain
        }),
        ReasoningStyle::Budget if forced => Err(TranslateError::field(
            conversation.paths.effort,
            "cannot be combined with a tool that must be called",
        )),
        // Thinking must stand before the calls that are being answered, and theirs is gone.
        ReasoningStyle::Budget if answers_calls(messages) => Ok(plain),
        ReasoningStyle::Budget => budget(conversation, effort, &plain),
    }
}

fn budget(
    conversation: &Conversation<'_>,
    effort: Effort,
    plain: &Reasoning,
) -> Result<Reasoning, TranslateError> {
    let wanted: u64 = match effort {
        Effort::None | Effort::Minimal => BUDGET_MIN,
        Effort::Low => 2048,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::ExtraHigh | Effort::Max => 32_768,
    };
    let Some(limit) = conversation.output_max else {
        let output_max = plain.output_max.saturating_add(wanted);
        return Ok(Reasoning {
            output_max,
            thinking: Some(Thinking::Budget(wanted)),
            effort: None,
        });
    };
    // Half of the caller's limit is left for the answer.
    let given = wanted.min(limit / 2);
    if given < BUDGET_MIN {
        let text = "the limit of output tokens leaves no room to think";
        return Err(TranslateError::field(conversation.paths.effort, text));
    }
    Ok(Reasoning {
        output_max: plain.output_max,
        thinking: Some(Thinking::Budget(given)),
        effort: None,
    })
}

fn answers_calls(messages: &[Turn<'_>]) -> bool {
    let is_result = |block: &Block<'_>| matches!(block, Block::Result(_));
    messages.last().is_some_and(|turn| turn.blocks.iter().any(is_result))
}

fn anthropic_effort(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
        Effort::Max => "max",
    }
}

fn settings(
    w: &mut Writer,
    conversation: &Conversation<'_>,
    reasoning: &Reasoning,
) -> Result<(), TranslateError> {
    if conversation.stream {
        w.key("stream").bool(true);
    }
    if let Some(temperature) = conversation.temperature {
        temperature_within(w, temperature, reasoning)?;
    }
    if let Some(top_p) = conversation.top_p {
        w.key("top_p").raw(top_p);
    }
    if !conversation.stop.is_empty() {
        w.key("stop_sequences").array(|w| conversation.stop.iter().for_each(|stop| w.string(stop)));
    }
    for knob in &conversation.knobs {
        if knob.kind != KnobKind::TopK {
            return Err(TranslateError::field(knob.path, "this field cannot be translated"));
        }
        w.key("top_k").raw(knob.value);
    }
    match reasoning.thinking {
        None => {}
        Some(Thinking::Disabled) => w.key("thinking").object(|w| w.field("type", "disabled")),
        Some(Thinking::Adaptive) => w.key("thinking").object(|w| w.field("type", "adaptive")),
        Some(Thinking::Budget(tokens)) => w.key("thinking").object(|w| {
            w.field("type", "enabled");
            w.key("budget_tokens").number(tokens);
        }),
    }
    Ok(())
}

fn temperature_within(
    w: &mut Writer,
    temperature: &str,
    reasoning: &Reasoning,
) -> Result<(), TranslateError> {
    let value: f64 = temperature.parse().unwrap_or(1.0);
    // 1 is the default, and all that thinking allows.
    if value >= 1.0 {
        if (value - 1.0).abs() > f64::EPSILON || reasoning.thinking.is_none() {
            w.key("temperature").raw("1");
        }
        return Ok(());
    }
    if matches!(reasoning.thinking, Some(Thinking::Adaptive | Thinking::Budget(_))) {
        return Err(TranslateError::field("temperature", "cannot be combined with reasoning"));
    }
    w.key("temperature").raw(temperature);
    Ok(())
}

fn output_config(
    w: &mut Writer,
    conversation: &Conversation<'_>,
    reasoning: &Reasoning,
) -> Result<(), TranslateError> {
    let schema = match &conversation.format {
        None => None,
        Some(Format::Schema { schema, .. }) => Some(schema),
        Some(Format::Json { path }) => {
            return Err(TranslateError::field(path, "needs a JSON schema"));
        }
    };
    if schema.is_none() && reasoning.effort.is_none() {
        return Ok(());
    }
    w.key("output_config").object(|w| {
        if let Some(effort) = reasoning.effort {
            w.field("effort", effort);
        }
        if let Some(schema) = schema {
            w.key("format").object(|w| {
                w.field("type", "json_schema");
                w.key("schema").raw(schema);
            });
        }
    });
    Ok(())
}
