//! Tool names and ids that the other side accepts.
//!
//! Both rewrites are functions of the text alone, so that a call and its result, or a tool and the call of an earlier
//! turn, still meet. A hash keeps different originals different.

use std::{borrow::Cow, mem};

use crate::translate::{
    CallerName, ToolNames,
    conversation::{Block, Choice, Conversation, Name},
};

/// Gives every tool one flat name of at most `bytes_max` bytes in `[a-zA-Z0-9_-]`, wherever it is named, and returns
/// the way back.
pub(crate) fn flatten(conversation: &mut Conversation<'_>, bytes_max: usize) -> ToolNames {
    let mut names = ToolNames::default();
    for tool in &mut conversation.tools {
        rename(&mut tool.name, bytes_max, &mut names);
    }
    if let Some(Choice::Tool(name)) = &mut conversation.choice {
        rename(name, bytes_max, &mut names);
    }
    for block in conversation.turns.iter_mut().flat_map(|turn| &mut turn.blocks) {
        if let Block::Call(call) = block {
            rename(&mut call.name, bytes_max, &mut names);
        }
    }
    names
}

/// Gives every call and its result an id in `[a-zA-Z0-9_-]`, as the Anthropic dialect wants (its API reference, 2026-11).
pub(crate) fn restrict_ids(conversation: &mut Conversation<'_>) {
    for block in conversation.turns.iter_mut().flat_map(|turn| &mut turn.blocks) {
        match block {
            Block::Call(call) => call.id = restricted(mem::take(&mut call.id), usize::MAX),
            Block::Result(result) => result.id = restricted(mem::take(&mut result.id), usize::MAX),
            _ => {}
        }
    }
}

fn rename(name: &mut Name<'_>, bytes_max: usize, names: &mut ToolNames) {
    let flat = match &name.namespace {
        Some(namespace) => Cow::Owned(format!("{namespace}__{}", name.name)),
        None => name.name.clone(),
    };
    let flat = restricted(flat, bytes_max);
    if name.namespace.is_none() && flat == name.name {
        return;
    }
    let caller = CallerName {
        namespace: name.namespace.take().map(Cow::into_owned),
        name: name.name.as_ref().to_owned(),
    };
    names.0.insert(flat.as_ref().to_owned(), caller);
    name.name = flat;
}

/// `text` if it is made of `[a-zA-Z0-9_-]` and fits; otherwise a likeness of it that ends in its hash.
pub(crate) fn restricted(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.len() <= bytes_max && text.bytes().all(legal) {
        return text;
    }
    let hash = format!("_{:08x}", fnv(text.as_bytes()));
    let kept = bytes_max.saturating_sub(hash.len());
    let mut likeness: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .take(kept.min(128))
        .collect();
    likeness.push_str(&hash);
    likeness.into()
}

/// FNV-1a, 32 bit: short, stable across releases, and not a secret.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_text_is_kept_and_any_other_text_becomes_legal_and_stays_distinct() {
        let cases = [
            ("call_1", 64, "call_1"),
            ("call.1", 64, "call_1_"),
            ("call:1", 64, "call_1_"),
            ("", 64, "_"),
            ("é", 64, "__"),
            ("mcp__server__a_tool_with_a_name", 20, "mcp__server_"),
        ];
        let mut seen = Vec::new();
        for (given, bytes_max, start) in cases {
            let made = restricted(given.into(), bytes_max);
            assert!(made.starts_with(start), "{given} became {made}");
            assert!(made.len() <= bytes_max, "{made} is too long");
            assert!(!seen.contains(&made), "{made} was made twice");
            seen.push(made);
        }
    }
}
