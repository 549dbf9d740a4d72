//! Writing a [`Conversation`] as a request; one file a dialect.

mod chat;
mod messages;
mod responses;
mod strict;

use crate::translate::{
    TranslateError,
    conversation::{Block, Conversation, Effort, ToolResult, Turn},
    json::{Object, Writer},
};

pub(crate) use chat::write as chat;
pub(crate) use messages::write as messages;
pub(crate) use responses::write as responses;

/// A tool without parameters.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// The request as it came, with another model.
pub(crate) fn with_model(root: &Object<'_, '_>, model: &str) -> Vec<u8> {
    let mut w = Writer::default();
    w.object(|w| {
        for (key, value) in root.members() {
            match key {
                "model" => w.field(key, model),
                _ => w.key(key).raw(value),
            }
        }
    });
    w.into_bytes()
}

/// The texts of system turns, one under the other. A picture among them is an error.
fn system_text(turns: &[Turn<'_>]) -> Result<String, TranslateError> {
    let mut text = String::new();
    for block in turns.iter().flat_map(|turn| &turn.blocks) {
        match block {
            Block::Text(part) | Block::Refusal(part) if part.is_empty() => {}
            Block::Text(part) | Block::Refusal(part) => {
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(part);
            }
            Block::CacheUntil(_) => {}
            other => return Err(misplaced(other)),
        }
    }
    Ok(text)
}

/// The error for a block that its speaker cannot have in the dialect that is written.
fn misplaced(block: &Block<'_>) -> TranslateError {
    let path = match block {
        Block::Image(media) | Block::File(media) => media.path.as_str(),
        Block::Call(call) => call.path.as_str(),
        Block::Text(_) | Block::Refusal(_) | Block::Result(_) | Block::CacheUntil(_) => "",
    };
    TranslateError::field(path, "has no place in this speaker's messages")
}

/// Blocks, each with the breakpoint behind it.
fn with_breakpoints<'b, 'a>(
    blocks: &'b [Block<'a>],
) -> impl Iterator<Item = (&'b Block<'a>, Option<&'a str>)> {
    let next = blocks.iter().skip(1).map(Some).chain(std::iter::once(None));
    let pairs = blocks.iter().zip(next).map(|(block, next)| match next {
        Some(Block::CacheUntil(cache)) => (block, Some(*cache)),
        _ => (block, None),
    });
    pairs.filter(|(block, _)| !matches!(block, Block::CacheUntil(_)))
}

/// Whether a prompt says up to where it may be cached.
fn has_breakpoint(turns: &[Turn<'_>]) -> bool {
    let is_breakpoint = |block: &Block<'_>| matches!(block, Block::CacheUntil(_));
    turns.iter().flat_map(|turn| &turn.blocks).any(is_breakpoint)
}

/// The texts of system turns as blocks of their own, with their breakpoints; chat and Anthropic write them alike.
fn system_blocks(w: &mut Writer, turns: &[Turn<'_>]) -> Result<(), TranslateError> {
    w.array(|w| {
        for (block, cache) in turns.iter().flat_map(|turn| with_breakpoints(&turn.blocks)) {
            match block {
                Block::Text(text) | Block::Refusal(text) if text.trim().is_empty() => {}
                Block::Text(text) | Block::Refusal(text) => text_block(w, text, cache),
                other => return Err(misplaced(other)),
            }
        }
        Ok(())
    })
}

/// A block of text of the chat and Anthropic dialects.
fn text_block(w: &mut Writer, text: &str, cache: Option<&str>) {
    w.object(|w| {
        w.field("type", "text");
        w.field("text", text);
        cache_control(w, cache);
    });
}

fn cache_control(w: &mut Writer, cache: Option<&str>) {
    if let Some(cache) = cache {
        w.key("cache_control").raw(cache);
    }
}

/// Splits the system turns at the start from the rest.
fn split_system<'c, 'a>(conversation: &'c Conversation<'a>) -> (&'c [Turn<'a>], &'c [Turn<'a>]) {
    conversation.turns.split_at(conversation.system_turns())
}

/// The words of a tool's result. A dialect without a flag for failure reads it here.
fn result_text(result: &ToolResult<'_>) -> String {
    let mut text = String::new();
    if result.failed {
        text.push_str("[tool error] ");
    }
    let mut first = true;
    for block in &result.blocks {
        if let Block::Text(part) | Block::Refusal(part) = block {
            if !first {
                text.push('\n');
            }
            first = false;
            text.push_str(part);
        }
    }
    text
}

/// The name that models of OpenAI know for an effort.
fn openai_effort(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh | Effort::Max => "xhigh",
    }
}
