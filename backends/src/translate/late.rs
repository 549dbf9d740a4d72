//! What the system says in the middle of a conversation, for models whose templates refuse it there, when caller and
//! backend speak the same dialect: then the body stays as it is, but for these edits.
//!
//! Not here: the same within a translation (`conversation`), which words it alike.

use router::wire::{Dialect, Edit};

use crate::translate::{
    TranslateError,
    json::{self, Node},
};

/// How such words begin in the user's turn. No character of it needs an escape but the line end.
pub(crate) const BEGIN: &str = "<system>\n";

/// How they end.
pub(crate) const END: &str = "\n</system>";

/// The edits that give the user, in tags that say who spoke, what the system says behind the start; none for other
/// dialects. A body without such a message costs one search.
///
/// The Anthropic dialect has a place of its own for what the system says at the start, so every system message counts as
/// late there.
///
/// # Errors
/// `invalid_json` or `invalid_value` for a body that is no request of its dialect.
pub fn late_system_edits(dialect: Dialect, body: &[u8]) -> Result<Vec<Edit>, TranslateError> {
    let mut late = match dialect {
        Dialect::OpenAiChat => false,
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => true,
        _ => return Ok(Vec::new()),
    };
    let text = std::str::from_utf8(body).unwrap_or_default();
    if !may_be_late(text, late) {
        return Ok(Vec::new());
    }
    let root = json::document(body)?.object()?;
    let messages = root.need("messages")?.array()?;
    let mut edits = Vec::new();
    for message in messages.iter() {
        let message = message.object()?;
        let Some(role) = message.get("role") else { continue };
        if !matches!(role.string()?.as_ref(), "system" | "developer") {
            late = true;
            continue;
        }
        if late {
            edits.push(Edit { span: span(text, &role), with: "\"user\"".to_owned() });
            if let Some(content) = message.get("content") {
                wrap(text, &content, &mut edits)?;
            }
        }
    }
    Ok(edits)
}

/// Whether a role of the system stands anywhere but in the first message, without reading the body: text cannot hold such
/// words, because its quotes are escaped.
fn may_be_late(body: &str, from_start: bool) -> bool {
    let mut places = ["\"system\"", "\"developer\""]
        .into_iter()
        .flat_map(|role| body.match_indices(role))
        .filter(|(at, role)| {
            // A member of that name is no role.
            let behind = body.get(at.saturating_add(role.len())..).unwrap_or_default();
            !behind.trim_start().starts_with(':')
        });
    let Some((first, _)) = places.next() else { return false };
    let before = body.get(..first).unwrap_or_default();
    from_start || places.next().is_some() || before.matches("\"role\"").nth(1).is_some()
}

/// Puts the tags into a string, or into the texts of a list of parts.
fn wrap(body: &str, content: &Node<'_, '_>, edits: &mut Vec<Edit>) -> Result<(), TranslateError> {
    if content.is_string() {
        let span = span(body, content);
        let (begin, end) = (span.start.saturating_add(1), span.end.saturating_sub(1));
        if begin < end {
            edits.push(Edit { span: begin..begin, with: escaped(BEGIN) });
            edits.push(Edit { span: end..end, with: escaped(END) });
        }
        return Ok(());
    }
    for part in content.array()?.iter() {
        if let Some(text) = part.object()?.get("text").filter(Node::is_string) {
            wrap(body, &text, edits)?;
        }
    }
    Ok(())
}

/// As it stands inside a JSON string.
fn escaped(tag: &str) -> String {
    tag.replace('\n', "\\n")
}

/// Where a node lies: it is a slice of the body, so the distance of their starts is its place.
fn span(body: &str, node: &Node<'_, '_>) -> std::ops::Range<usize> {
    let start = node.text.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start.saturating_add(node.text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, body: &str, expected: &str) {
        let mut edited = body.to_owned();
        let mut edits = late_system_edits(dialect, body.as_bytes()).unwrap();
        edits.sort_by_key(|edit| edit.span.start);
        for edit in edits.into_iter().rev() {
            edited.replace_range(edit.span, &edit.with);
        }
        assert_eq!(edited, expected);
    }

    #[test]
    fn only_what_the_system_says_behind_the_start_becomes_the_users() {
        check(
            Dialect::AnthropicMessages,
            r#"{"system":"a","messages":[{"role":"user","content":"b"},{"role": "system", "content":"c \"d\""},{"role":"assistant","content":"system"}]}"#,
            r#"{"system":"a","messages":[{"role":"user","content":"b"},{"role": "user", "content":"<system>\nc \"d\"\n</system>"},{"role":"assistant","content":"system"}]}"#,
        );
        check(
            Dialect::OpenAiChat,
            r#"{"messages":[{"role":"developer","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"},{"role":"developer","content":[{"type":"text","text":"d"},{"type":"text","text":""}]}]}"#,
            r#"{"messages":[{"role":"developer","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"},{"role":"user","content":[{"type":"text","text":"<system>\nd\n</system>"},{"type":"text","text":""}]}]}"#,
        );
        check(
            Dialect::OpenAiChat,
            r#"{"messages":[{"role":"user","content":"a"},{"content":"b","role":"system"}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},{"content":"<system>\nb\n</system>","role":"user"}]}"#,
        );
        for untouched in [
            r#"{"messages":[{"role":"system","content":"a"},{"role":"user","content":"\"system\""}]}"#,
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
        ] {
            check(Dialect::OpenAiChat, untouched, untouched);
        }
    }
}
