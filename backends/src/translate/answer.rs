//! An answer without a dialect: its parts, why it ended and what it cost.
//!
//! Parts that no caller of another dialect can use (results of hosted tools, citations, encrypted reasoning) are left
//! out. Not here: streams; those are `stream`.

pub(crate) mod chat;
pub(crate) mod messages;
pub(crate) mod responses;

use crate::translate::{AnswerContext, TranslateError, json::as_object, usage::Usage};

/// Everything that the backend said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) parts: Vec<Part>,
    pub(crate) stop: Stop,
    pub(crate) usage: Option<Usage>,
}

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    /// The words; of a call, its arguments as JSON text.
    pub(crate) text: String,
}

/// What a piece of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Refusal,
    Reasoning,
    Call { id: String, name: String },
}

/// Why the answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    End,
    Length,
    Calls,
    Filter,
    /// One of the caller's stop sequences, if the backend says which.
    Sequence(Option<String>),
}

impl Stop {
    /// What the calls of the answer make of it: some backends say `stop` after a call, which no client expects.
    pub(crate) fn with_calls(self, calls: bool) -> Self {
        match (self, calls) {
            (Self::End, true) => Self::Calls,
            (Self::Calls, false) => Self::End,
            (other, _) => other,
        }
    }
}

impl Answer {
    /// The answer with a fitting end, whole arguments and an id for every call.
    pub(crate) fn completed(mut self, context: &AnswerContext) -> Self {
        let mut calls: usize = 0;
        for part in &mut self.parts {
            let Kind::Call { id, .. } = &mut part.kind else { continue };
            calls = calls.saturating_add(1);
            if id.is_empty() {
                *id = format!("call_{}_{calls}", context.id);
            }
            if part.text.trim().is_empty() {
                "{}".clone_into(&mut part.text);
            }
        }
        if self.stop == Stop::Length {
            // The limit cut these arguments, so nobody can run the call.
            self.parts.retain(|part| !part.is_broken_call());
        }
        self.stop = self.stop.with_calls(calls > 0);
        self
    }
}

impl Part {
    fn is_broken_call(&self) -> bool {
        matches!(self.kind, Kind::Call { .. }) && as_object(&self.text).is_none()
    }
}

/// `id` with the prefix of its kind, unless it has it.
pub(crate) fn prefixed(prefix: &str, id: &str) -> String {
    if id.starts_with(prefix) { id.to_owned() } else { format!("{prefix}{id}") }
}

/// The error for an answer that does not follow its dialect.
pub(crate) fn invalid(error: TranslateError) -> TranslateError {
    TranslateError { code: TranslateError::INVALID_ANSWER, ..error }
}
