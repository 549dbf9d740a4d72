//! Events of `POST /v1/messages`.
//!
//! A channel is one kind of delta of one content block; it ends with `content_block_stop`. Thinking is restored
//! like text: when the caller sends it back, the same placeholders take the place of the same values, so its
//! signature still fits.

use crate::answer::{
    AnswerError, Observed,
    rewrite::{Rewrite, Skeleton},
    tape::Value,
};
use crate::restore::Escape;

/// Notes usage, identifier, error, text and end of one event.
pub(super) fn observe(root: Value<'_>, observed: &mut Observed) {
    match kind(root) {
        "message_start" => {
            let message = root.get("message");
            observed.id(message.and_then(|message| message.get("id")));
            observed.anthropic_usage(message.and_then(|message| message.get("usage")));
        }
        "content_block_start" => {
            observed.content = true;
            if let Some(block) = root.get("content_block") {
                texts(block).for_each(|text| observed.text(text));
            }
        }
        "content_block_delta" => {
            if let Some(delta) = root.get("delta") {
                texts(delta).for_each(|text| observed.text(text));
            }
        }
        "message_delta" => {
            observed.anthropic_usage(root.get("usage"));
            let reason = root.get("delta").and_then(|delta| delta.get("stop_reason"));
            observed.finishes.note(0, reason);
        }
        "message_stop" => observed.terminal = true,
        "error" => observed.fail(root.get("error").unwrap_or(root)),
        _ => {}
    }
}

/// Restores one event.
pub(super) fn rewrite(root: Value<'_>, rewrite: &mut Rewrite<'_>) -> Result<(), AnswerError> {
    let index = root.get("index").and_then(Value::number).unwrap_or_default();
    let fragments = match kind(root) {
        "content_block_start" => root.get("content_block"),
        "content_block_delta" => root.get("delta"),
        "content_block_stop" => {
            rewrite.end(format!("{index}/"));
            None
        }
        "message_delta" | "message_stop" | "error" => {
            rewrite.end(String::new());
            None
        }
        _ => None,
    };
    let Some(fragments) = fragments else {
        return rewrite.whole(root);
    };
    for member in fragments.children() {
        let (delta, escape) = match member.key() {
            "text" => ("text_delta", rewrite.texts().words),
            "thinking" => ("thinking_delta", Escape::None),
            "partial_json" => ("input_json_delta", Escape::Json),
            _ => {
                rewrite.whole(member)?;
                continue;
            }
        };
        if member.is_text() && rewrite.may_touch(member) {
            let name = format!("{index}/{delta}");
            rewrite.channel(&name, member, escape, || skeleton(index, delta, member.key()))?;
        }
    }
    Ok(())
}

fn skeleton(index: u64, delta: &str, member: &str) -> Skeleton {
    Skeleton {
        event: Some("content_block_delta".to_owned()),
        before: format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{delta}","{member}":""#
        ),
        after: "\"}".to_owned(),
    }
}

fn texts(block: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    block.children().filter(|member| matches!(member.key(), "text" | "thinking" | "partial_json"))
}

fn kind(root: Value<'_>) -> &str {
    root.get("type").map_or("", Value::raw)
}
