//! How a refusal is told: a status and a JSON body that says what, why and what to do about it.
//!
//! Invariant: nothing of a request but its method, host and path is told back.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The status of the answer.
    pub(super) status: u16,
    /// What it is about, as users know it: `policy_denied`, `ssrf_denied`, ….
    pub(super) error: &'static str,
    /// The sentence for people.
    pub(super) detail: String,
    /// The stable word for the reason.
    pub(super) reason: &'static str,
    /// The block of the policy.
    pub(super) policy: Option<String>,
    /// The rule, as `METHOD /path`.
    pub(super) rule: Option<String>,
    /// What may be done about it.
    pub(super) next_steps: Vec<Cow<'static, str>>,
}

#[derive(Serialize)]
struct Body<'r> {
    error: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'r str>,
    detail: &'r str,
    reason: &'r str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    next_steps: &'r [Cow<'static, str>],
}

/// Names the block of the policy that refused.
const POLICY: HeaderName = HeaderName::from_static("x-openshell-policy");

impl Refusal {
    /// A refusal without a policy.
    pub(super) fn new(
        status: u16,
        error: &'static str,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { status, error, detail, reason, policy: None, rule: None, next_steps: Vec::new() }
    }

    /// The body.
    pub(super) fn body(&self) -> Bytes {
        let body = Body {
            error: self.error,
            policy: self.policy.as_deref(),
            rule: self.rule.as_deref(),
            detail: &self.detail,
            reason: self.reason,
            next_steps: &self.next_steps,
        };
        // Strings and lists of strings: this cannot fail.
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    /// The headers, without those of the connection.
    pub(super) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let json = HeaderValue::from_static("application/json");
        let mut headers = vec![(header::CONTENT_TYPE, json)];
        let policy = self.policy.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(policy)) = policy {
            headers.push((POLICY, policy));
        }
        headers
    }

    /// The whole answer for a connection that speaks HTTP/1 and ends with it.
    pub(super) fn http1(&self) -> Vec<u8> {
        let status = http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::FORBIDDEN);
        let reason = status.canonical_reason().unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
        for (name, value) in self.headers() {
            answer.extend_from_slice(name.as_str().as_bytes());
            answer.extend_from_slice(b": ");
            answer.extend_from_slice(value.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
        let body = self.body();
        let end = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
        answer.extend_from_slice(end.as_bytes());
        answer.extend_from_slice(&body);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_json_with_an_exact_length() {
        let mut refusal = Refusal::new(403, "policy_denied", "no_rule", "GET /\"x\" not permitted");
        refusal.policy = Some("github".into());
        refusal.next_steps = vec!["ask".into()];
        let answer = String::from_utf8(refusal.http1()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
        assert!(head.contains("x-openshell-policy: github"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "policy_denied");
        assert_eq!(body["detail"], "GET /\"x\" not permitted");
        assert_eq!(body["next_steps"][0], "ask");
        assert!(body.get("rule").is_none());
    }
}
