//! Answers that come as one body.

use std::{borrow::Cow, str, sync::Arc};

use domain::limits::ANSWER_BYTES_MAX;

use crate::{
    answer::{
        AnswerError, Observed, chat, responses,
        rewrite::{Channels, Rewrite, Texts, splice},
        tape::{Tape, Unread, Value},
    },
    redact::Vault,
    restore::Escape,
    wire::Dialect,
};

/// The body for the caller, and what was seen in it. Borrowed if nothing changes; otherwise only the strings that
/// hold placeholders in use are exchanged, and lists of token probabilities are emptied.
///
/// Tool arguments that are JSON in a string are escaped once more; objects of arguments are restored string by
/// string, names of members included.
///
/// # Errors
/// [`AnswerError::NotJson`] for a body that is no JSON object, [`AnswerError::TooLong`] above
/// [`ANSWER_BYTES_MAX`], also if restoring would add more, [`AnswerError::TooComplex`] if it cannot be restored for its nesting or number of parts.
pub fn restore_buffered<'b>(
    dialect: Dialect,
    body: &'b [u8],
    vault: &Vault,
) -> Result<(Cow<'b, [u8]>, Observed), AnswerError> {
    restore_buffered_words(dialect, body, vault, Escape::None)
}

/// As [`restore_buffered`], where the model's own words are what `words` says: [`Escape::Json`] if the request
/// asked for JSON, so that a value with a quote in it does not break the document.
///
/// # Errors
/// As [`restore_buffered`].
pub fn restore_buffered_words<'b>(
    dialect: Dialect,
    body: &'b [u8],
    vault: &Vault,
    words: Escape,
) -> Result<(Cow<'b, [u8]>, Observed), AnswerError> {
    if body.len() > ANSWER_BYTES_MAX {
        return Err(AnswerError::TooLong);
    }
    let text = str::from_utf8(body).map_err(|_| AnswerError::NotJson)?;
    let mut observed = Observed::default();
    let mut tape = Tape::default();
    let root = match tape.read(text.trim_start_matches('\u{feff}')) {
        Ok(root) if root.is_object() => root,
        Err(Unread::TooComplex) if vault.is_empty() => return Ok((body.into(), observed)),
        Ok(_) => return Err(AnswerError::NotJson),
        Err(unread) => return Err(unread.into()),
    };
    observe(dialect, root, &mut observed);
    if vault.is_empty() {
        return Ok((body.into(), observed));
    }
    let mut channels = Channels::new(Arc::default());
    let mut rewrite = Rewrite::new(&mut channels, vault, Texts { dialect, words });
    rewrite.whole(root)?;
    let edits = rewrite.into_edits();
    if edits.is_empty() {
        return Ok((body.into(), observed));
    }
    let mut out = Vec::with_capacity(body.len());
    splice(text.trim_start_matches('\u{feff}').as_bytes(), &edits, &mut out);
    Ok((out.into(), observed))
}

fn observe(dialect: Dialect, root: Value<'_>, observed: &mut Observed) {
    observed.id(root.get("id"));
    match dialect {
        Dialect::AnthropicMessages => {
            observed.anthropic_usage(root.get("usage"));
            observed.finishes.note(0, root.get("stop_reason"));
            let blocks = root.get("content").into_iter().flat_map(Value::children);
            for member in blocks.flat_map(Value::children) {
                match member.key() {
                    "text" | "thinking" => observed.text(member),
                    "input" => member.descendants().for_each(|leaf| observed.text(leaf)),
                    _ => {}
                }
            }
        }
        Dialect::AnthropicCountTokens => {}
        Dialect::OpenAiResponses => {
            observed.openai_usage(root.get("usage"));
            observed.finishes.note_response(root);
            responses::observe_output(root, observed);
        }
        Dialect::OpenAiChat | Dialect::OpenAiCompletions | Dialect::OpenAiEmbeddings => {
            chat::observe(root, &mut chat::Choices::default(), observed);
        }
    }
    observed.terminal = true;
    observed.content = true;
    if let Some(error) = chat::error_of(root) {
        observed.content = observed.output_text_bytes > 0;
        observed.fail(error);
    }
}
