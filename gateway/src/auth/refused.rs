//! Why a request goes no further than the door: a status, a code for programs, a sentence for people.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

/// A request that was refused before any of its body was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 400, 401, 403, 404, 405, 413, 429, 500 or 503.
    pub status: StatusCode,
    /// What tells this reason from others; stays the same over versions.
    pub code: &'static str,
    /// What was wrong and what would help. Never what was sent.
    pub detail: Cow<'static, str>,
    /// When to come again, for 429 and 503.
    pub retry_after: Option<Duration>,
    /// The methods that the route has, for 405.
    pub allow: Option<String>,
}

impl Refused {
    /// A refusal with this status, code and detail.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None, allow: None }
    }

    /// 401: who is asking is not known.
    pub fn unauthenticated(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// 403: who is asking may not.
    pub fn forbidden(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// The same, to be tried again after that time.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1: a 401 names a scheme that would do.
            let scheme = HeaderValue::from_static("Bearer realm=\"openshell\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_again_in_whole_seconds() {
        let wait = |millis| {
            let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "x", "y");
            let response = refused.after(Duration::from_millis(millis)).into_response();
            response.headers()[header::RETRY_AFTER].to_str().unwrap().to_owned()
        };
        assert_eq!([wait(0), wait(1), wait(1000), wait(1001)], ["1", "1", "1", "2"]);
    }
}
