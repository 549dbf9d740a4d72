//! The answer of `POST /v1/responses`.

use crate::translate::{
    AnswerContext, TranslateError, UNSTORED,
    answer::{Answer, Kind, Part, Stop, prefixed},
    json::{Object, Writer},
    usage::Usage,
};

/// Reads an answer.
///
/// # Errors
/// The field that does not follow the dialect, or a response that failed.
pub(crate) fn read(root: &Object<'_, '_>) -> Result<Answer, TranslateError> {
    let status = root.text("status").unwrap_or_default();
    if status == "failed" || status == "cancelled" {
        return Err(root.need("status")?.wrong("the backend did not answer"));
    }
    let mut parts = Vec::new();
    for item in root.need("output")?.array()?.iter() {
        read_item(&item.object()?, &mut parts)?;
    }
    let usage = root.child("usage").map(|usage| Usage::of_responses(&usage));
    Ok(Answer { parts, stop: stop(root), usage })
}

/// Why a response object ended.
pub(crate) fn stop(response: &Object<'_, '_>) -> Stop {
    if response.text("status").unwrap_or_default() != "incomplete" {
        return Stop::End;
    }
    let reason = response.child("incomplete_details").and_then(|details| details.text("reason"));
    match reason.as_deref() {
        Some("content_filter") => Stop::Filter,
        _ => Stop::Length,
    }
}

/// Adds the parts of one output item.
pub(crate) fn read_item(
    item: &Object<'_, '_>,
    parts: &mut Vec<Part>,
) -> Result<(), TranslateError> {
    match item.kind().as_ref() {
        "message" => read_texts(item, "content", parts),
        "reasoning" => {
            read_texts(item, "summary", parts)?;
            read_texts(item, "content", parts)
        }
        "function_call" => {
            let text = item.text("arguments").unwrap_or_default().into_owned();
            parts.push(Part { kind: call_kind(item)?, text });
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The call that an item of type `function_call` is.
pub(crate) fn call_kind(item: &Object<'_, '_>) -> Result<Kind, TranslateError> {
    let id = item.text("call_id").or_else(|| item.text("id")).unwrap_or_default();
    Ok(Kind::Call { id: id.into_owned(), name: item.need("name")?.string()?.into_owned() })
}

fn read_texts(
    item: &Object<'_, '_>,
    key: &str,
    parts: &mut Vec<Part>,
) -> Result<(), TranslateError> {
    let Some(list) = item.get(key) else { return Ok(()) };
    for part in list.array()?.iter() {
        let part = part.object()?;
        let (kind, key) = match part.kind().as_ref() {
            "output_text" => (Kind::Text, "text"),
            "refusal" => (Kind::Refusal, "refusal"),
            "summary_text" | "reasoning_text" => (Kind::Reasoning, "text"),
            _ => continue,
        };
        let text = part.text(key).unwrap_or_default().into_owned();
        if !text.is_empty() {
            parts.push(Part { kind, text });
        }
    }
    Ok(())
}

/// Writes an answer.
pub(crate) fn write(answer: &Answer, context: &AnswerContext) -> Vec<u8> {
    let mut w = Writer::default();
    w.object(|w| response(w, context, Status::Ended(answer)));
    w.into_bytes()
}

/// How far a response is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Status<'a> {
    InProgress,
    Ended(&'a Answer),
    /// Code and message of the failure.
    Failed(&'a str, &'a str),
}

/// The members of a response object. What the caller asked for is not repeated; the members that clients read have their
/// defaults.
pub(crate) fn response(w: &mut Writer, context: &AnswerContext, status: Status<'_>) {
    let incomplete = match status {
        Status::Ended(Answer { stop: Stop::Length, .. }) => Some("max_output_tokens"),
        Status::Ended(Answer { stop: Stop::Filter, .. }) => Some("content_filter"),
        _ => None,
    };
    w.field("id", &prefixed("resp_", &context.id));
    w.field("object", "response");
    w.key("created_at").number(context.created);
    w.field(
        "status",
        match status {
            Status::InProgress => "in_progress",
            Status::Ended(_) if incomplete.is_some() => "incomplete",
            Status::Ended(_) => "completed",
            Status::Failed(..) => "failed",
        },
    );
    w.key("background").bool(false);
    if let Status::Failed(code, message) = status {
        w.key("error").object(|w| {
            w.field("code", code);
            w.field("message", message);
        });
    } else {
        w.key("error").null();
    }
    match incomplete {
        Some(reason) => w.key("incomplete_details").object(|w| w.field("reason", reason)),
        None => w.key("incomplete_details").null(),
    }
    w.key("instructions").null();
    w.key("max_output_tokens").null();
    w.field("model", &context.model);
    w.key("output").array(|w| {
        if let Status::Ended(answer) = status {
            for (index, part) in answer.parts.iter().enumerate() {
                w.object(|w| item(w, context, index, Some(&part.text), &part.kind));
            }
        }
    });
    defaults(w);
    match status {
        Status::Ended(Answer { usage: Some(usage), .. }) => usage.write_responses(w.key("usage")),
        _ => w.key("usage").null(),
    }
}

fn defaults(w: &mut Writer) {
    w.key("parallel_tool_calls").bool(true);
    w.key("previous_response_id").null();
    w.key("reasoning").raw(r#"{"effort":null,"summary":null}"#);
    w.key("store").bool(false);
    w.key("temperature").null();
    w.key("text").raw(r#"{"format":{"type":"text"}}"#);
    w.field("tool_choice", "auto");
    w.key("tools").raw("[]");
    w.key("top_p").null();
    w.field("truncation", "disabled");
    w.key("metadata").raw("{}");
}

/// The id of the output item at `index`.
pub(crate) fn item_id(context: &AnswerContext, index: usize, kind: &Kind) -> String {
    let prefix = match kind {
        Kind::Text | Kind::Refusal => "msg_",
        Kind::Reasoning => UNSTORED,
        Kind::Call { .. } => "fc_",
    };
    format!("{prefix}{}_{index}", context.id)
}

/// The members of an output item: whole with its text, or as it is added to a stream without.
pub(crate) fn item(
    w: &mut Writer,
    context: &AnswerContext,
    index: usize,
    text: Option<&str>,
    kind: &Kind,
) {
    w.field("id", &item_id(context, index, kind));
    let status = if text.is_some() { "completed" } else { "in_progress" };
    match kind {
        Kind::Text | Kind::Refusal => {
            w.field("type", "message");
            w.field("status", status);
            w.field("role", "assistant");
        }
        Kind::Reasoning => {
            w.field("type", "reasoning");
            w.field("status", status);
            w.key("summary").raw("[]");
        }
        Kind::Call { id, name } => {
            w.field("type", "function_call");
            w.field("status", status);
            w.field("arguments", text.unwrap_or_default());
            w.field("call_id", id);
            w.field("name", context.tool_names.name(name));
            if let Some(namespace) = context.tool_names.namespace(name) {
                w.field("namespace", namespace);
            }
            return;
        }
    }
    w.key("content").array(|w| {
        if let Some(text) = text {
            w.object(|w| content_part(w, kind, text));
        }
    });
}

/// The members of a content part.
pub(crate) fn content_part(w: &mut Writer, kind: &Kind, text: &str) {
    match kind {
        Kind::Refusal => {
            w.field("type", "refusal");
            w.field("refusal", text);
        }
        Kind::Reasoning => {
            w.field("type", "reasoning_text");
            w.field("text", text);
        }
        Kind::Text | Kind::Call { .. } => {
            w.field("type", "output_text");
            w.field("text", text);
            w.key("annotations").raw("[]");
            w.key("logprobs").raw("[]");
        }
    }
}
