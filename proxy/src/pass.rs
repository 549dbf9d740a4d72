//! What an answer goes through on its way: decoding, translation into the caller's dialect, restoring what was hidden.
//!
//! Not here: where the bytes come from and go to (`answer`). Invariant: how an answer was cut never shows.

use std::sync::Arc;

use backends::translate::{self, StreamTranslator, TranslateError};
use bytes::Bytes;
use memchr::memmem;
use router::{
    answer::{AnswerError, Ended, Observed, StreamOptions, StreamPass, restore_buffered},
    wire::Dialect,
};

use crate::{
    decode::{DecodeError, Decoder, Encoding},
    exchange::Asked,
    failover::request::Translation,
};

/// Most that a stream may decode to, bytes. Reasoning models stream for half an hour; none gets near it.
const STREAM_BYTES_MAX: usize = 1 << 30;

/// Most that one piece of a stream may decode to, bytes. A piece is read in some kilobytes, and text that a model wrote
/// compresses to a tenth.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// Why an answer cannot be passed on. What came out before it may be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// Its encoding.
    #[error("the answer cannot be decoded")]
    Decode(#[from] DecodeError),
    /// Its content.
    #[error("the answer cannot be read")]
    Answer(#[from] AnswerError),
    /// Its translation.
    #[error("the answer cannot be translated")]
    Translate(#[from] TranslateError),
}

/// One stream on its way.
#[derive(Debug)]
pub(crate) struct Pass {
    decoder: Decoder,
    translator: Option<StreamTranslator>,
    restore: StreamPass,
    /// The caller's dialect.
    dialect: Dialect,
    /// Whether the mark of the end has passed; nothing passes behind it.
    closed: bool,
}

impl Pass {
    /// A pass for an answer in dialect `from` that comes in this encoding.
    ///
    /// # Errors
    /// When there is no decoder or no translator.
    pub(crate) fn new(
        asked: &Asked,
        from: Dialect,
        encoding: Encoding,
        translation: Translation,
    ) -> Result<Self, PassError> {
        let translator = translation
            .map(|context| StreamTranslator::new(from, asked.dialect, context))
            .transpose()?;
        let options = StreamOptions {
            dialect: asked.dialect,
            vault: Arc::clone(&asked.vault),
            hide_usage: asked.usage_edit.is_some(),
            model_alias: None,
        };
        let decoder = Decoder::in_pieces(encoding, STREAM_BYTES_MAX, PIECE_BYTES_MAX)?;
        let (restore, dialect) = (StreamPass::new(options), asked.dialect);
        Ok(Self { decoder, translator, restore, dialect, closed: false })
    }

    /// Appends to `out` what `piece` becomes.
    ///
    /// # Errors
    /// When the answer cannot be passed on; what is in `out` may be.
    pub(crate) fn push(&mut self, piece: Bytes, out: &mut Vec<u8>) -> Result<(), PassError> {
        if self.closed {
            return Ok(());
        }
        let text = self.decoder.push(piece)?;
        let from = out.len();
        let read = self.read(&text, out);
        if let Some(end) = end_mark(self.dialect, out.get(from..).unwrap_or_default()) {
            out.truncate(from.saturating_add(end));
            self.closed = true;
        }
        read
    }

    fn read(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), PassError> {
        let Some(translator) = &mut self.translator else {
            return Ok(self.restore.push(text, out)?);
        };
        let mut translated = Vec::with_capacity(text.len());
        let read = translator.push(text, &mut translated);
        self.restore.push(&translated, out)?;
        Ok(read?)
    }

    /// Appends what was held back, and says whether the answer is whole.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Ended {
        if self.closed {
            return Ended::Complete;
        }
        let whole = match self.decoder.finish() {
            Ok(rest) => self.read(&rest, out).is_ok() && self.close(out),
            Err(_) => false,
        };
        let from = out.len();
        let ended = self.restore.finish(out);
        let marked = end_mark(self.dialect, out.get(from..).unwrap_or_default()).is_some();
        let complete = whole && ended == Ended::Complete;
        if complete && !marked && has_done(self.dialect) && self.observed().error.is_none() {
            // Some servers forget it; clients of this dialect may wait for it.
            out.extend_from_slice(DONE);
        }
        if whole { ended } else { Ended::Truncated }
    }

    /// Ends the translation; false if the backend had not ended its answer.
    fn close(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(translator) = &mut self.translator else { return true };
        let mut translated = Vec::new();
        let ended = translator.finish(&mut translated).is_ok();
        self.restore.push(&translated, out).is_ok() && ended
    }

    /// What was seen so far.
    pub(crate) fn observed(&self) -> &Observed {
        self.restore.observed()
    }
}

/// The last event of a stream in the chat dialect.
const DONE: &[u8] = b"data: [DONE]\n\n";

fn has_done(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions)
}

/// Where the last event of a stream ends, if it is among these whole events.
fn end_mark(dialect: Dialect, events: &[u8]) -> Option<usize> {
    let marks: &[&[u8]] = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiCompletions => &[b"data: [DONE]", b"data:[DONE]"],
        Dialect::AnthropicMessages => &[b"event: message_stop"],
        Dialect::OpenAiResponses => &[
            b"event: response.completed",
            b"event: response.incomplete",
            b"event: response.failed",
        ],
        Dialect::OpenAiEmbeddings | Dialect::AnthropicCountTokens => &[],
    };
    let begins = |at: &usize| {
        at.checked_sub(1).is_none_or(|before| {
            events.get(before).is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        })
    };
    let found =
        marks.iter().filter_map(|mark| memmem::find_iter(events, mark).find(begins)).min()?;
    let rest = events.get(found..).unwrap_or_default();
    let ends: [&[u8]; 2] = [b"\n\n", b"\r\n\r\n"];
    let end = |blank: &&[u8]| Some(memmem::find(rest, blank)?.saturating_add(blank.len()));
    let length = ends.iter().filter_map(end).min().unwrap_or(rest.len());
    Some(found.saturating_add(length))
}

/// A whole answer as the caller gets it, and what was seen in it.
///
/// # Errors
/// When it does not follow its dialect.
pub(crate) fn whole(
    asked: &Asked,
    from: Dialect,
    body: Bytes,
    translation: &Translation,
) -> Result<(Bytes, Observed), PassError> {
    let body = match translation {
        Some(context) => translate::answer(from, asked.dialect, &body, context)?.into(),
        None => body,
    };
    let (restored, observed) = restore_buffered(asked.dialect, &body, &asked.vault)?;
    match restored {
        std::borrow::Cow::Borrowed(_) => Ok((body, observed)),
        std::borrow::Cow::Owned(restored) => Ok((restored.into(), observed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_mark_is_found_at_the_start_of_a_line_only() {
        let chat = Dialect::OpenAiChat;
        let messages = Dialect::AnthropicMessages;
        let cases: [(Dialect, &str, Option<&str>); 6] = [
            (
                chat,
                "data: {}\n\ndata: [DONE]\n\ndata: {}\n\n",
                Some("data: {}\n\ndata: [DONE]\n\n"),
            ),
            (chat, "data: [DONE]\r\n\r\ndata: x\n\n", Some("data: [DONE]\r\n\r\n")),
            (chat, "data: {\"content\":\"data: [DONE]\"}\n\n", None),
            (
                messages,
                "event: message_stop\ndata: {}\n\nevent: ping\n\n",
                Some("event: message_stop\ndata: {}\n\n"),
            ),
            (messages, "data: [DONE]\n\n", None),
            (
                Dialect::OpenAiResponses,
                "event: response.completed\ndata: {}",
                Some("event: response.completed\ndata: {}"),
            ),
        ];
        for (dialect, events, kept) in cases {
            let end = end_mark(dialect, events.as_bytes());
            assert_eq!(
                end.map(|end| &events.as_bytes()[..end]),
                kept.map(str::as_bytes),
                "{events}"
            );
        }
    }
}
