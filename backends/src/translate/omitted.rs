//! What a translation leaves out, by the names of the fields.
//!
//! Hints whose absence does not change what the answer says, and tools that only another provider runs. Everything else
//! that cannot be said is an error. Invariant: the names are words of this program, so no text of a caller is among them.

use std::{collections::BTreeSet, fmt};

use router::wire::Dialect;

use crate::translate::{
    RequestOptions, TranslateError,
    conversation::{Block, Choice, Conversation, KnobKind, Media, Speaker, Turn},
};

/// The fields of a request that its translation has no words for, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Omitted(BTreeSet<&'static str>);

impl Omitted {
    /// Whether everything was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, such as `cache_control` or `tools.web_search`.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Adds a name.
    pub(crate) fn add(&mut self, name: &'static str) {
        self.0.insert(name);
    }
}

/// The names with commas between them, as `x-openshell-omitted` lists them.
impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// How the types of hosted tools begin, with the name under which they are reported. Versions follow in some dialects
/// (`web_search_20250305`). From the references of OpenAI and Anthropic, 2026-11.
const HOSTED: [(&str, &str); 16] = [
    ("web_search", "tools.web_search"),
    ("web_fetch", "tools.web_fetch"),
    ("file_search", "tools.file_search"),
    ("code_interpreter", "tools.code_interpreter"),
    ("code_execution", "tools.code_execution"),
    ("image_generation", "tools.image_generation"),
    ("computer", "tools.computer"),
    ("mcp", "tools.mcp"),
    ("local_shell", "tools.local_shell"),
    ("shell", "tools.shell"),
    ("bash_", "tools.bash"),
    ("text_editor_", "tools.text_editor"),
    ("memory_", "tools.memory"),
    ("tool_search", "tools.tool_search"),
    ("apply_patch", "tools.apply_patch"),
    ("advisor", "tools.advisor"),
];

/// The name under which a hosted tool of this type is reported.
pub(crate) fn hosted(kind: &str) -> &'static str {
    let known = HOSTED.iter().find(|(start, _)| kind.starts_with(start));
    known.map_or("tools.hosted", |(_, name)| name)
}

/// Takes out of a conversation the hints that the dialect `to` has no words for, or the model no use, and notes them.
///
/// # Errors
/// When a tool must be called that was left out.
pub(crate) fn settle(
    conversation: &mut Conversation<'_>,
    to: Dialect,
    options: &RequestOptions<'_>,
) -> Result<(), TranslateError> {
    forced(conversation)?;
    if !options.reasons && conversation.effort.take().is_some() {
        conversation.omitted.add(conversation.paths.effort);
    }
    conversation.output_max = match (conversation.output_max, options.output_max) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, _) => asked,
    };
    breakpoints(conversation, to, options);
    if to == Dialect::AnthropicMessages {
        let before = conversation.knobs.len();
        conversation.knobs.retain(|knob| knob.kind != KnobKind::Verbosity);
        if conversation.knobs.len() < before {
            conversation.omitted.add("verbosity");
        }
        if conversation.turns.iter().flat_map(|turn| &turn.blocks).any(is_detailed) {
            conversation.omitted.add("detail");
        }
    }
    Ok(())
}

fn is_detailed(block: &Block<'_>) -> bool {
    let Block::Image(Media { detail: Some(detail), .. }) = block else { return false };
    detail != "auto"
}

/// Leaves `cache_control` where the backend knows it, and takes it out everywhere else.
fn breakpoints(conversation: &mut Conversation<'_>, to: Dialect, options: &RequestOptions<'_>) {
    let carries = |turn: Speaker| match to {
        Dialect::AnthropicMessages => true,
        Dialect::OpenAiChat => options.cache_control && turn != Speaker::Assistant,
        _ => false,
    };
    let mut seen = false;
    for turn in &mut conversation.turns {
        seen |= without_breakpoints(turn, carries(turn.speaker), to);
    }
    if to != Dialect::AnthropicMessages {
        for tool in &mut conversation.tools {
            seen |= tool.cache.take().is_some();
        }
        conversation.cached.into_iter().for_each(|name| conversation.omitted.add(name));
    }
    if seen {
        conversation.omitted.add("cache_control");
    }
}

/// Removes the breakpoints that cannot stay where they are; whether there were any.
fn without_breakpoints(turn: &mut Turn<'_>, carried: bool, to: Dialect) -> bool {
    let is_breakpoint = |block: &Block<'_>| matches!(block, Block::CacheUntil(_));
    let mut removed = false;
    // Chat dialects that know breakpoints know them on parts of text only.
    let mut after_text = false;
    turn.blocks.retain_mut(|block| {
        if let Block::Result(result) = block
            && to != Dialect::AnthropicMessages
        {
            let before = result.blocks.len();
            result.blocks.retain(|block| !is_breakpoint(block));
            removed |= result.blocks.len() < before;
        }
        let stays =
            !is_breakpoint(block) || (carried && (after_text || to == Dialect::AnthropicMessages));
        removed |= !stays;
        after_text = matches!(block, Block::Text(_));
        stays
    });
    removed
}

/// Refuses a choice that only a tool could satisfy that was left out.
fn forced(conversation: &Conversation<'_>) -> Result<(), TranslateError> {
    let hosted = &conversation.hosted;
    let message = "forces a tool that runs at another provider";
    match &conversation.choice {
        Some(Choice::Required) if conversation.tools.is_empty() && !hosted.is_empty() => {
            Err(TranslateError::field("tool_choice", message))
        }
        Some(Choice::Tool(name))
            if hosted.contains(&name.name)
                && conversation.tools.iter().all(|tool| tool.name != *name) =>
        {
            Err(TranslateError::field("tool_choice.name", message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosted_tool_is_named_by_a_word_of_ours() {
        let cases = [
            ("web_search", "tools.web_search"),
            ("web_search_20250305", "tools.web_search"),
            ("web_search_preview", "tools.web_search"),
            ("mcp_toolset", "tools.mcp"),
            ("bash_20250124", "tools.bash"),
            ("computer_use_preview", "tools.computer"),
            ("my secret tool", "tools.hosted"),
        ];
        for (kind, name) in cases {
            assert_eq!(hosted(kind), name);
        }
    }
}
