//! The answer of `POST /v1/chat/completions`.

use crate::translate::{
    AnswerContext, TranslateError,
    answer::{Answer, Kind, Part, Stop, prefixed},
    json::{Node, Object, Writer},
    usage::Usage,
};

/// Reads an answer; only its first choice, since a request for more is refused.
///
/// # Errors
/// The field that does not follow the dialect.
pub(crate) fn read(root: &Object<'_, '_>) -> Result<Answer, TranslateError> {
    let choices = root.need("choices")?;
    let choices = choices.array()?;
    let Some(choice) = choices.iter().next() else {
        return Err(root.need("choices")?.wrong("has no choice"));
    };
    let choice = choice.object()?;
    let message = choice.need("message")?.object()?;
    let mut parts = Vec::new();
    if let Some(text) = reasoning(&message) {
        push(&mut parts, Kind::Reasoning, text);
    }
    if let Some(content) = message.get("content") {
        for (kind, text) in content_texts(&content)? {
            push(&mut parts, kind, text);
        }
    }
    if let Some(refusal) = message.text("refusal") {
        push(&mut parts, Kind::Refusal, refusal.into_owned());
    }
    if let Some(calls) = message.get("tool_calls") {
        for call in calls.array()?.iter() {
            parts.push(read_call(&call.object()?)?);
        }
    }
    let stop = choice.text("finish_reason").map(|reason| stop(&reason)).unwrap_or_default();
    let usage = root.child("usage").map(|usage| Usage::of_chat(&usage));
    Ok(Answer { parts, stop, usage })
}

fn push(parts: &mut Vec<Part>, kind: Kind, text: String) {
    if !text.is_empty() {
        parts.push(Part { kind, text });
    }
}

/// The reasoning of a message or delta, under either of its names. Some servers send both with the same text.
pub(crate) fn reasoning(message: &Object<'_, '_>) -> Option<String> {
    ["reasoning_content", "reasoning"]
        .into_iter()
        .find_map(|key| message.text(key).filter(|text| !text.is_empty()))
        .map(std::borrow::Cow::into_owned)
}

/// The pieces of `content`: a string, or the parts of Mistral with its reasoning among them.
pub(crate) fn content_texts(node: &Node<'_, '_>) -> Result<Vec<(Kind, String)>, TranslateError> {
    if node.is_string() {
        return Ok(vec![(Kind::Text, node.string()?.into_owned())]);
    }
    let mut texts = Vec::new();
    for part in node.array()?.iter() {
        let part = part.object()?;
        match part.kind().as_ref() {
            "text" => texts.push((Kind::Text, part.need("text")?.string()?.into_owned())),
            "thinking" => {
                for inner in part.need("thinking")?.array()?.iter() {
                    let text = inner.object()?.text("text").unwrap_or_default().into_owned();
                    texts.push((Kind::Reasoning, text));
                }
            }
            _ => {}
        }
    }
    Ok(texts)
}

fn read_call(call: &Object<'_, '_>) -> Result<Part, TranslateError> {
    let function = call.need("function")?.object()?;
    let kind = Kind::Call {
        id: call.text("id").unwrap_or_default().into_owned(),
        name: function.need("name")?.string()?.into_owned(),
    };
    Ok(Part { kind, text: arguments(&function)? })
}

/// The arguments of a call; some servers send the object instead of its text.
pub(crate) fn arguments(function: &Object<'_, '_>) -> Result<String, TranslateError> {
    match function.get("arguments") {
        None => Ok(String::new()),
        Some(node) if node.is_object() => Ok(node.text.to_owned()),
        Some(node) => Ok(node.string()?.into_owned()),
    }
}

/// Reads `finish_reason`.
pub(crate) fn stop(reason: &str) -> Stop {
    match reason {
        "length" => Stop::Length,
        "tool_calls" | "function_call" => Stop::Calls,
        "content_filter" => Stop::Filter,
        _ => Stop::End,
    }
}

/// The value of `finish_reason`.
pub(crate) fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) => "stop",
        Stop::Length => "length",
        Stop::Calls => "tool_calls",
        Stop::Filter => "content_filter",
    }
}

/// Writes an answer.
pub(crate) fn write(answer: &Answer, context: &AnswerContext) -> Vec<u8> {
    let mut w = Writer::default();
    w.object(|w| {
        w.field("id", &prefixed("chatcmpl-", &context.id));
        w.field("object", "chat.completion");
        w.key("created").number(context.created);
        w.field("model", &context.model);
        w.key("choices").array(|w| {
            w.object(|w| {
                w.key("index").number(0);
                w.key("message").object(|w| message(w, answer, context));
                w.key("logprobs").null();
                w.field("finish_reason", finish_reason(&answer.stop));
            });
        });
        if let Some(usage) = &answer.usage {
            usage.write_chat(w.key("usage"));
        }
    });
    w.into_bytes()
}

fn message(w: &mut Writer, answer: &Answer, context: &AnswerContext) {
    let text = |wanted: &Kind| {
        let parts = answer.parts.iter().filter(|part| part.kind == *wanted);
        let texts: Vec<&str> = parts.map(|part| part.text.as_str()).collect();
        // As in a stream: pieces of an answer join, pieces of reasoning are paragraphs.
        let border = if *wanted == Kind::Reasoning { "\n\n" } else { "" };
        (!texts.is_empty()).then(|| texts.join(border))
    };
    w.field("role", "assistant");
    match text(&Kind::Text) {
        Some(text) => w.field("content", &text),
        None => w.key("content").null(),
    }
    match text(&Kind::Refusal) {
        Some(text) => w.field("refusal", &text),
        None => w.key("refusal").null(),
    }
    if let Some(text) = text(&Kind::Reasoning) {
        w.field("reasoning_content", &text);
    }
    let calls: Vec<(&str, &str, &str)> = answer
        .parts
        .iter()
        .filter_map(|part| match &part.kind {
            Kind::Call { id, name } => Some((id.as_str(), name.as_str(), part.text.as_str())),
            _ => None,
        })
        .collect();
    if calls.is_empty() {
        return;
    }
    w.key("tool_calls").array(|w| {
        for (id, name, arguments) in calls {
            w.object(|w| {
                w.field("id", id);
                w.field("type", "function");
                w.key("function").object(|w| {
                    w.field("name", context.tool_names.name(name));
                    w.field("arguments", arguments);
                });
            });
        }
    });
}
