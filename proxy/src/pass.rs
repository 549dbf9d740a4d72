//! What an answer goes through on its way: decoding, translation into the caller's dialect, restoring what was hidden.
//!
//! Not here: where the bytes come from and go to (`answer`). Invariant: how an answer was cut never shows.

use std::sync::Arc;

use backends::translate::{self, StreamTranslator, TranslateError};
use bytes::Bytes;
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
        let decoder = Decoder::new(encoding, STREAM_BYTES_MAX)?;
        Ok(Self { decoder, translator, restore: StreamPass::new(options) })
    }

    /// Appends to `out` what `piece` becomes.
    ///
    /// # Errors
    /// When the answer cannot be passed on; what is in `out` may be.
    pub(crate) fn push(&mut self, piece: Bytes, out: &mut Vec<u8>) -> Result<(), PassError> {
        let text = self.decoder.push(piece)?;
        self.read(&text, out)
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
        let whole = match self.decoder.finish() {
            Ok(rest) => self.read(&rest, out).is_ok() && self.close(out),
            Err(_) => false,
        };
        let ended = self.restore.finish(out);
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
