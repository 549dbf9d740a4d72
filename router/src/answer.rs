//! What passes back to the caller: answers in the caller's dialect, hidden values restored, usage observed.
//!
//! Here: event streams ([`StreamPass`]) and whole bodies ([`restore_buffered`]). Not here: answers in a foreign
//! dialect, which are translated before (`backends`); the error that the proxy appends to a stream that was cut;
//! headers, sockets, clocks.
//!
//! Invariants: where nothing was hidden and nothing is dropped, the bytes are those of the backend. Elsewhere
//! only strings that change are exchanged. The order of events stays, and how the bytes were cut never shows.
//! Nothing of an answer is in an error.
//!
//! Known limits: character offsets of annotations count the backend's text, not the restored one. Token
//! probabilities are dropped where something was hidden, since their tokens are pieces of placeholders.

use domain::Tokens;
use thiserror::Error;

use crate::sse::SseError;

mod anthropic;
mod buffered;
mod chat;
mod finish;
mod observe;
mod responses;
mod rewrite;
mod stream;
mod tape;

pub use buffered::{restore_buffered, restore_buffered_words};
pub use finish::{Finish, Finishes};
pub use stream::{StreamOptions, StreamPass};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// With the dialect's last event, or with an error event.
    Complete,
    /// Without: the caller has not got the whole answer and must be told.
    Truncated,
}

/// Tokens as the backend counted them, in one meaning for all dialects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    /// Prompt tokens that no cache provided and that were not written to one.
    pub input_uncached: Tokens,
    /// Prompt tokens that came from the provider's cache.
    pub cache_read: Tokens,
    /// Prompt tokens that were written to the provider's cache.
    pub cache_write: Tokens,
    /// Tokens of the answer, reasoning included.
    pub output: Tokens,
    /// The part of `output` that was reasoning, where the provider says so.
    pub reasoning: Tokens,
}

/// An error that a backend reported inside an answer of status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorSeen {
    /// The provider's code or type, such as `overloaded_error`; `unknown` if it has none that is an identifier.
    /// Its message is not kept: it may quote the prompt.
    pub code: String,
}

/// What was seen of an answer so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The last usage reported.
    pub usage: Option<Usage>,
    /// Whether a part of the model's answer has passed: from then on another backend cannot take over.
    pub content: bool,
    /// Whether the dialect's last event, or an error event, has passed.
    pub terminal: bool,
    /// The first error reported inside the answer.
    pub error: Option<ErrorSeen>,
    /// The provider's name for the answer.
    pub response_id: Option<String>,
    /// Why the model stopped.
    pub finishes: Finishes,
    /// Bytes of text, reasoning and tool arguments before restoring, to estimate tokens if no usage is reported.
    pub output_text_bytes: u64,
}

/// Why an answer cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The bytes are no event stream: HTML, bare JSON, binary.
    #[error("the answer is no event stream")]
    NotAStream,
    /// An event or a body is no JSON.
    #[error("the answer is no JSON")]
    NotJson,
    /// JSON is nested too deeply or has too many parts to restore what it holds.
    #[error("the answer is nested too deeply or has too many parts")]
    TooComplex,
    /// One event exceeds the limit, or the body does.
    #[error("the answer exceeds a size limit")]
    TooLong,
    /// Too many texts are open at the same time.
    #[error("the answer has too many texts under way at once")]
    TooManyChannels,
}

impl AnswerError {
    /// The error's stable name in records and error bodies.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAStream => "upstream_not_a_stream",
            Self::NotJson => "upstream_not_json",
            Self::TooComplex => "upstream_too_complex",
            Self::TooLong => "upstream_too_long",
            Self::TooManyChannels => "upstream_too_many_channels",
        }
    }
}

impl From<SseError> for AnswerError {
    fn from(error: SseError) -> Self {
        match error {
            SseError::TooLong { .. } => Self::TooLong,
        }
    }
}

impl From<tape::Unread> for AnswerError {
    fn from(unread: tape::Unread) -> Self {
        match unread {
            tape::Unread::Malformed => Self::NotJson,
            tape::Unread::TooComplex => Self::TooComplex,
        }
    }
}

#[cfg(test)]
mod tests;
