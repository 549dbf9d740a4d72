//! Events of `POST /v1/responses`.
//!
//! A channel is what the `*.delta` events of one type say of one part of one output item. Its end is the `*.done`
//! event of that type, which repeats the whole text, or the end of the item or of the response.

use crate::answer::{
    AnswerError, Observed,
    rewrite::{Rewrite, Skeleton, member},
    tape::Value,
};
use crate::restore::Escape;

/// Members that say which part an event is about.
const PLACE: [&str; 5] = ["item_id", "output_index", "content_index", "summary_index", "call_id"];

/// Notes usage, identifier, error, text and end of one event.
pub(super) fn observe(root: Value<'_>, observed: &mut Observed) {
    let kind = kind(root);
    let response = root.get("response");
    observed.id(response.and_then(|response| response.get("id")));
    match kind {
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            observed.terminal = true;
            observed.openai_usage(response.and_then(|response| response.get("usage")));
            if let Some(response) = response {
                observed.finishes.note_response(response);
            }
            let error =
                response.and_then(|response| response.get("error")).filter(|e| e.is_object());
            match error {
                Some(error) => observed.fail(error),
                None if kind == "response.failed" => observed.fail(root),
                None => {}
            }
        }
        "error" => observed.fail(root.get("error").filter(|e| e.is_object()).unwrap_or(root)),
        "response.output_item.added" | "response.output_item.done" => observed.content = true,
        _ if kind.strip_suffix(".delta").is_some() => {
            if let Some(delta) = root.get("delta") {
                observed.text(delta);
            }
        }
        _ => {}
    }
}

/// Notes the text of a whole response.
pub(super) fn observe_output(response: Value<'_>, observed: &mut Observed) {
    let output = response.get("output").into_iter().flat_map(Value::descendants);
    let texts = ["text", "arguments", "input", "refusal", "code"];
    output.filter(|leaf| texts.contains(&leaf.key())).for_each(|leaf| observed.text(leaf));
}

/// Restores one event.
pub(super) fn rewrite(root: Value<'_>, rewrite: &mut Rewrite<'_>) -> Result<(), AnswerError> {
    let kind = kind(root);
    match kind {
        "response.output_item.done" | "response.content_part.done" => rewrite.end(item(root)),
        "response.completed"
        | "response.incomplete"
        | "response.failed"
        | "response.cancelled"
        | "error" => {
            rewrite.end(String::new());
        }
        _ => {
            if let Some(stem) = kind.strip_suffix(".done") {
                rewrite.end(name(root, stem));
            }
        }
    }
    let stem = kind.strip_suffix(".delta");
    for member in root.children() {
        match stem {
            Some(stem) if member.key() == "delta" && member.is_text() => {
                if rewrite.may_touch(member) {
                    let name = name(root, stem);
                    let escape = match stem {
                        "response.output_text" => rewrite.texts().words,
                        _ if stem.contains("arguments") => Escape::Json,
                        _ => Escape::None,
                    };
                    rewrite.channel(&name, member, escape, || skeleton(root, kind))?;
                }
            }
            _ if rewrite.drop_logprobs(member) => {}
            _ if kind == "response.output_text.done" && member.key() == "text" => {
                rewrite.string(member, rewrite.texts().words)?;
            }
            _ => rewrite.whole(member)?,
        }
    }
    Ok(())
}

/// The prefix of all channels of an output item. Some servers leave out its number, others its identifier.
fn item(root: Value<'_>) -> String {
    let number = root.get("output_index").filter(|value| value.number().is_some());
    let nested = || root.get("item").and_then(|item| item.get("id"));
    let place = number.or_else(|| root.get("item_id")).or_else(nested);
    format!("{}/", place.map_or("", Value::raw))
}

fn name(root: Value<'_>, stem: &str) -> String {
    let mut name = item(root);
    name.push_str(stem);
    for place in ["content_index", "summary_index"] {
        name.push('/');
        name.push_str(root.get(place).map_or("", Value::raw));
    }
    name.push('/');
    name
}

fn skeleton(root: Value<'_>, kind: &str) -> Skeleton {
    let mut before = format!("{{\"type\":\"{kind}\",");
    for place in PLACE {
        if let Some(value) = root.get(place) {
            member(place, value.source(), &mut before);
        }
    }
    before.push_str("\"delta\":\"");
    Skeleton { event: Some(kind.to_owned()), before, after: "\"".to_owned() }
}

fn kind(root: Value<'_>) -> &str {
    root.get("type").map_or("", Value::raw)
}
