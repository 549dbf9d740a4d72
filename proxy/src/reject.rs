//! What a caller is told when its call fails: one table from failures to status, code and public text.
//!
//! Texts name what would help and never hold content, addresses or credentials.
//! Invariant: every failure has a row; there is no row for "anything else".
#![deny(clippy::wildcard_enum_match_arm)]

use std::{borrow::Cow, time::Duration};

use router::{decide::Refusal, wire::ReadError};

use crate::{body::BodyError, head::HeadError, sandbox_token::TokenError};

/// Why a call gets no answer of a model.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Its head is not believed.
    Head(HeadError),
    /// The token of its sandbox is not believed.
    Token(TokenError),
    /// Nothing is at this path.
    Path,
    /// Something is at this path, but not for this method.
    Method {
        /// Value of the `allow` header.
        allow: &'static str,
    },
    /// It asks for a WebSocket. Agents that know both ways take HTTP when they are told so, and only then.
    Upgrade,
    /// No model of this name is offered.
    Model,
    /// Its body could not be taken.
    Body(BodyError),
    /// Its body is not understood.
    Read(ReadError),
    /// No backend may or can answer it.
    Refused(Refusal),
    /// It cannot be said in the dialect of any backend that may answer.
    Untranslatable {
        /// Path of the field, or empty.
        param: String,
        /// What is wrong, without content.
        message: String,
        /// A stable word.
        code: &'static str,
    },
    /// The backend found fault with the request itself.
    Provider {
        /// Its status.
        status: u16,
        /// Its code, if it gave one.
        code: Option<String>,
        /// Its text.
        message: String,
        /// The field that it blames.
        param: Option<String>,
    },
    /// Every backend that may answer has too much to do.
    Busy {
        /// When to ask again.
        after: Option<Duration>,
    },
    /// Every backend that may answer failed.
    Backends,
    /// Every backend that may answer took too long.
    Timeout,
    /// Every backend that may answer refuses our credential.
    Credential,
    /// The answer of the backend broke off or is damaged.
    Answer,
    /// The whole call took longer than it may.
    Total,
    /// What it would cost cannot be booked.
    Books,
    /// The server stops.
    Stopping,
    /// There is no room for its body now.
    Full,
    /// A mistake of ours.
    Internal,
}

/// A failure as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection<'a> {
    /// HTTP status.
    pub(crate) status: u16,
    /// A stable word for programs.
    pub(crate) code: Cow<'a, str>,
    /// The same word for audit and metrics, from a closed set.
    pub(crate) word: &'static str,
    /// A sentence for people.
    pub(crate) message: Cow<'a, str>,
    /// The field that is to blame.
    pub(crate) param: Option<&'a str>,
    /// Value of `retry-after`, seconds.
    pub(crate) retry_after: Option<u64>,
    /// Value of `allow`.
    pub(crate) allow: Option<&'static str>,
}

impl<'a> Rejection<'a> {
    fn new(status: u16, word: &'static str, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            status,
            code: Cow::Borrowed(word),
            word,
            message: message.into(),
            param: None,
            retry_after: None,
            allow: None,
        }
    }

    fn retry(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

/// The row of the table for a failure.
pub(crate) fn rejection(failure: &Failure) -> Rejection<'_> {
    match failure {
        Failure::Head(error) => head(*error),
        Failure::Token(error) => Rejection::new(401, "sandbox_token", error.to_string()),
        Failure::Path => Rejection::new(404, "not_found", "nothing is at this path"),
        Failure::Method { allow } => Rejection {
            allow: Some(allow),
            ..Rejection::new(405, "method_not_allowed", format!("this path takes {allow} only"))
        },
        Failure::Upgrade => Rejection::new(
            426,
            "websocket_not_spoken",
            "answers are streamed over HTTP here; send this call as a POST",
        ),
        Failure::Model => {
            Rejection::new(404, "model_not_found", "no model of this name is offered")
        }
        Failure::Body(error) => body(error),
        Failure::Read(error) => Rejection {
            param: error.param(),
            ..Rejection::new(error.status(), error.code(), error.to_string())
        },
        Failure::Refused(refusal) => refused(refusal),
        Failure::Untranslatable { param, message, code } => Rejection {
            param: (!param.is_empty()).then_some(param),
            ..Rejection::new(400, code, message.as_str())
        },
        Failure::Provider { status, code, message, param } => Rejection {
            code: code.as_deref().map_or(Cow::Borrowed("provider_error"), Cow::Borrowed),
            param: param.as_deref(),
            ..Rejection::new(*status, "provider_error", message.as_str())
        },
        Failure::Busy { after } => {
            // Rounded up: who asks again too early only makes it worse.
            let millis = after.map_or(1, |after| crate::call::millis(after).max(1));
            Rejection::new(
                429,
                "backends_busy",
                "every backend that may answer has too much to do; try again later",
            )
            .retry(millis.div_ceil(1000))
        }
        Failure::Backends => Rejection::new(
            502,
            "backends_failed",
            "every backend that may answer failed; try again",
        )
        .retry(1),
        Failure::Timeout => {
            Rejection::new(504, "backends_timeout", "no backend that may answer did so in time")
        }
        Failure::Credential => Rejection::new(
            502,
            "backend_credential",
            "the backend refuses this router's credential; its operator must renew it",
        ),
        Failure::Answer => {
            Rejection::new(502, "backend_answer", "the answer of the backend broke off")
        }
        Failure::Total => {
            Rejection::new(504, "total_timeout", "the call took longer than this router allows")
        }
        Failure::Books => unavailable(
            "books_unavailable",
            "what the call would cost cannot be booked now; try again",
        ),
        Failure::Full => unavailable("overloaded", "too many large prompts at once; try again"),
        Failure::Internal => {
            Rejection::new(500, "internal", "this router made a mistake; it is recorded")
        }
        Failure::Stopping => unavailable("stopping", "this router stops; try again"),
    }
}

/// What may go in a moment.
fn unavailable(word: &'static str, message: &'static str) -> Rejection<'static> {
    Rejection::new(503, word, message).retry(1)
}

fn head(error: HeadError) -> Rejection<'static> {
    let (status, word) = match error {
        HeadError::Malformed => (400, "malformed_http"),
        HeadError::Large => (431, "head_too_large"),
        HeadError::Length => (400, "ambiguous_length"),
        HeadError::Host => (400, "invalid_host"),
        HeadError::Timeout => (408, "head_timeout"),
    };
    Rejection::new(status, word, error.to_string())
}

fn body(error: &BodyError) -> Rejection<'static> {
    let (status, word) = match error {
        BodyError::Large(_) => (413, "body_too_large"),
        BodyError::Timeout => (408, "body_timeout"),
        BodyError::Encoding => (415, "content_encoding"),
        BodyError::Damaged | BodyError::Gone => (400, "body_damaged"),
        BodyError::Full => return rejection(&Failure::Full),
    };
    Rejection::new(status, word, error.to_string())
}

fn refused(refusal: &Refusal) -> Rejection<'_> {
    match refusal {
        Refusal::Blocked { .. } => Rejection::new(403, "content_blocked", refusal.to_string()),
        Refusal::NoBackend { status, code, message } => {
            let rejection = Rejection::new(*status, code, message.as_str());
            if matches!(status, 503 | 429) { rejection.retry(5) } else { rejection }
        }
        Refusal::UnknownModel { .. } => Rejection::new(404, "model_not_found", refusal.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_status_and_code() {
        let busy = Failure::Busy { after: Some(Duration::from_millis(2_500)) };
        let provider = Failure::Provider {
            status: 400,
            code: Some("context_length_exceeded".into()),
            message: "too long".into(),
            param: Some("messages".into()),
        };
        let no_backend = Failure::Refused(Refusal::NoBackend {
            status: 403,
            code: "ceiling",
            message: "may not leave".into(),
        });
        let cases = [
            (Failure::Head(HeadError::Malformed), 400, "malformed_http", None),
            (Failure::Head(HeadError::Large), 431, "head_too_large", None),
            (Failure::Path, 404, "not_found", None),
            (Failure::Method { allow: "POST" }, 405, "method_not_allowed", None),
            (Failure::Upgrade, 426, "websocket_not_spoken", None),
            (Failure::Model, 404, "model_not_found", None),
            (Failure::Body(BodyError::Large(5)), 413, "body_too_large", None),
            (Failure::Body(BodyError::Timeout), 408, "body_timeout", None),
            (Failure::Body(BodyError::Encoding), 415, "content_encoding", None),
            (Failure::Read(ReadError::NotObject), 400, "invalid_type", None),
            (no_backend, 403, "ceiling", None),
            (provider, 400, "context_length_exceeded", None),
            (busy, 429, "backends_busy", Some(3)),
            (Failure::Token(TokenError::Expired), 401, "sandbox_token", None),
            (Failure::Backends, 502, "backends_failed", Some(1)),
            (Failure::Timeout, 504, "backends_timeout", None),
            (Failure::Credential, 502, "backend_credential", None),
            (Failure::Answer, 502, "backend_answer", None),
            (Failure::Total, 504, "total_timeout", None),
            (Failure::Books, 503, "books_unavailable", Some(1)),
            (Failure::Stopping, 503, "stopping", Some(1)),
            (Failure::Full, 503, "overloaded", Some(1)),
            (Failure::Internal, 500, "internal", None),
        ];
        for (failure, status, code, retry_after) in cases {
            let told = rejection(&failure);
            assert_eq!((told.status, &*told.code, told.retry_after), (status, code, retry_after));
            assert!(!told.message.is_empty() && !told.message.ends_with('.'));
        }
    }
}
