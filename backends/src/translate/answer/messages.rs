//! The answer of `POST /v1/messages`.

use crate::translate::{
    AnswerContext, TranslateError, UNSIGNED,
    answer::{Answer, Kind, Part, Stop, prefixed},
    json::{Object, Writer, as_object},
    usage::Usage,
};

/// Reads an answer.
///
/// # Errors
/// The field that does not follow the dialect.
pub(crate) fn read(root: &Object<'_, '_>) -> Result<Answer, TranslateError> {
    let mut parts = Vec::new();
    for block in root.need("content")?.array()?.iter() {
        parts.extend(part(&block.object()?)?);
    }
    let sequence = root.text("stop_sequence").map(std::borrow::Cow::into_owned);
    let reason = root.text("stop_reason").unwrap_or_default();
    let usage = root.child("usage").map(|reported| {
        let mut usage = Usage::default();
        usage.update_from_messages(&reported);
        usage
    });
    Ok(Answer { parts, stop: stop(&reason, sequence), usage })
}

fn part(block: &Object<'_, '_>) -> Result<Option<Part>, TranslateError> {
    let text = |key: &str| block.text(key).unwrap_or_default().into_owned();
    let part = match block.kind().as_ref() {
        "text" => Part { kind: Kind::Text, text: text("text") },
        "thinking" => Part { kind: Kind::Reasoning, text: text("thinking") },
        "tool_use" => Part {
            kind: Kind::Call { id: text("id"), name: block.need("name")?.string()?.into_owned() },
            text: block.need("input")?.text.to_owned(),
        },
        _ => return Ok(None),
    };
    Ok((!part.text.is_empty()).then_some(part))
}

/// Reads `stop_reason`.
pub(crate) fn stop(reason: &str, sequence: Option<String>) -> Stop {
    match reason {
        "max_tokens" | "pause_turn" | "model_context_window_exceeded" => Stop::Length,
        "stop_sequence" => Stop::Sequence(sequence),
        "tool_use" => Stop::Calls,
        "refusal" => Stop::Filter,
        _ => Stop::End,
    }
}

/// `"stop_reason":…,"stop_sequence":…`
pub(crate) fn write_stop(w: &mut Writer, stop: &Stop) {
    w.field(
        "stop_reason",
        match stop {
            Stop::End | Stop::Sequence(None) => "end_turn",
            Stop::Length => "max_tokens",
            Stop::Calls => "tool_use",
            Stop::Filter => "refusal",
            Stop::Sequence(Some(_)) => "stop_sequence",
        },
    );
    match stop {
        Stop::Sequence(Some(sequence)) => w.field("stop_sequence", sequence),
        _ => w.key("stop_sequence").null(),
    }
}

/// Writes an answer.
///
/// # Errors
/// A call whose arguments are no JSON object.
pub(crate) fn write(answer: &Answer, context: &AnswerContext) -> Result<Vec<u8>, TranslateError> {
    let mut w = Writer::default();
    w.object(|w| {
        w.field("id", &prefixed("msg_", &context.id));
        w.field("type", "message");
        w.field("role", "assistant");
        w.field("model", &context.model);
        w.key("content")
            .array(|w| answer.parts.iter().try_for_each(|part| block(w, part, context)))?;
        write_stop(w, &answer.stop);
        answer.usage.unwrap_or_default().write_messages(w.key("usage"));
        Ok(())
    })?;
    Ok(w.into_bytes())
}

fn block(w: &mut Writer, part: &Part, context: &AnswerContext) -> Result<(), TranslateError> {
    w.object(|w| match &part.kind {
        Kind::Text | Kind::Refusal => {
            w.field("type", "text");
            w.field("text", &part.text);
            Ok(())
        }
        Kind::Reasoning => {
            w.field("type", "thinking");
            w.field("thinking", &part.text);
            w.field("signature", UNSIGNED);
            Ok(())
        }
        Kind::Call { id, name } => {
            let Some(input) = as_object(&part.text) else {
                return Err(TranslateError {
                    param: "arguments".to_owned(),
                    message: "the model's arguments are no JSON object".to_owned(),
                    code: TranslateError::INVALID_ANSWER,
                });
            };
            w.field("type", "tool_use");
            w.field("id", id);
            w.field("name", context.tool_names.name(name));
            w.key("input").raw(input);
            Ok(())
        }
    })
}
