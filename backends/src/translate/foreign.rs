//! Taking out what this router put into an answer and the provider of the same dialect would refuse.
//!
//! A caller of the Anthropic or Responses dialect repeats the reasoning of earlier answers. Reasoning that came from
//! another dialect has no signature and no state at the provider; it must go before the request is spliced through. Not
//! here: reasoning that a provider signed, which only that provider takes.

use router::wire::{Dialect, Edit};

use crate::translate::{
    TranslateError, UNSIGNED, UNSTORED,
    json::{self, Node, Object, Writer},
};

/// The edits that remove this router's own reasoning from a request; none for other dialects. A body without its marks
/// costs one search.
///
/// # Errors
/// `invalid_json` or `invalid_value` for a body that is no request of its dialect.
pub fn strip_foreign(dialect: Dialect, body: &[u8]) -> Result<Vec<Edit>, TranslateError> {
    let (mark, member) = match dialect {
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => (UNSIGNED, "messages"),
        Dialect::OpenAiResponses => (UNSTORED, "input"),
        _ => return Ok(Vec::new()),
    };
    let text = std::str::from_utf8(body).unwrap_or_default();
    if !text.contains(mark) {
        return Ok(Vec::new());
    }
    let root = json::document(body)?.object()?;
    let list = root.need(member)?;
    if !list.is_array() {
        return Ok(Vec::new());
    }
    let mut edits = Vec::new();
    if dialect == Dialect::OpenAiResponses {
        edits.extend(without(text, &list, is_unstored, "[]")?);
        return Ok(edits);
    }
    for message in list.array()?.iter() {
        let message = message.object()?;
        if let Some(content) = message.get("content").filter(Node::is_array) {
            edits.extend(without(text, &content, is_unsigned, ONLY_REASONING)?);
        }
    }
    Ok(edits)
}

/// What a message becomes that was only reasoning: the provider refuses one without content.
const ONLY_REASONING: &str = r#"[{"type":"text","text":"(reasoning)"}]"#;

fn is_unsigned(block: &Object<'_, '_>) -> bool {
    block.kind() == "thinking" && block.text("signature").as_deref() == Some(UNSIGNED)
}

fn is_unstored(item: &Object<'_, '_>) -> bool {
    item.kind() == "reasoning" && item.text("id").is_some_and(|id| id.starts_with(UNSTORED))
}

/// The edit that leaves out the items which are `foreign`; `None` if there are none. `nothing` stands for an empty rest.
fn without(
    body: &str,
    list: &Node<'_, '_>,
    foreign: impl Fn(&Object<'_, '_>) -> bool,
    nothing: &str,
) -> Result<Option<Edit>, TranslateError> {
    let mut w = Writer::default();
    let mut removed = false;
    w.array(|w| {
        for item in list.array()?.iter() {
            if item.is_object() && foreign(&item.object()?) {
                removed = true;
            } else {
                w.raw(item.text);
            }
        }
        Ok(())
    })?;
    // The list is a slice of the body, so the distance of their starts is its place.
    let start = list.text.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    let end = start.saturating_add(list.text.len());
    let kept = Some(w.into_string()).filter(|kept| kept != "[]");
    let with = kept.unwrap_or_else(|| nothing.to_owned());
    Ok(removed.then_some(Edit { span: start..end, with }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, body: &str, expected: &str) {
        let mut edited = body.to_owned();
        for edit in strip_foreign(dialect, body.as_bytes()).unwrap().into_iter().rev() {
            edited.replace_range(edit.span, &edit.with);
        }
        assert_eq!(edited, expected);
    }

    #[test]
    fn only_this_routers_own_reasoning_is_removed() {
        check(
            Dialect::AnthropicMessages,
            r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"openshell-unsigned"}, {"type":"thinking","thinking":"b","signature":"s"},{"type":"text","text":"y"}]}],"n":1}"#,
            r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"b","signature":"s"},{"type":"text","text":"y"}]}],"n":1}"#,
        );
        check(
            Dialect::OpenAiResponses,
            r#"{"input":[{"type":"reasoning","id":"rs_openshell_1_0","summary":[]},{"type":"reasoning","id":"rs_1"}, {"role":"user","content":"x"}]}"#,
            r#"{"input":[{"type":"reasoning","id":"rs_1"},{"role":"user","content":"x"}]}"#,
        );
        check(
            Dialect::AnthropicMessages,
            r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","signature":"openshell-unsigned"}]}]}"#,
            r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"(reasoning)"}]}]}"#,
        );
        for untouched in [r#"{"input":"rs_openshell_"}"#, r#"{"input":[{"id":"rs_openshell_"}]}"#] {
            check(Dialect::OpenAiResponses, untouched, untouched);
        }
    }
}
