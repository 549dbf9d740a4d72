//! How a refusal is told to the program that was refused: a status and a JSON body that says what, why and what would
//! help. The words of `error` and `detail` are those that users of policies know.
//!
//! Not here: what is refused (`policy`, `dial`, `caller`). Invariant: nothing of a request is told back but its method,
//! host and canonical path.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt::{self, Write as _};

use bytes::Bytes;
use domain::Destination;
use http::{HeaderName, HeaderValue, StatusCode, header};
use policy::{Deny, DenyCode, RefusalCode, address::Blocked};
use serde::Serialize;

use super::{caller::Unidentified, dial::DialError, steps};

/// Names the block of the policy that refused.
const POLICY: HeaderName = HeaderName::from_static("x-openshell-policy");

/// What was asked for, by whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The sandbox, for the commands that would help.
    pub sandbox: &'a str,
    /// The executable, where the caller is known.
    pub binary: Option<&'a str>,
    /// Where to.
    pub to: &'a Destination,
    /// Method and canonical path, where a request was read; a tunnel else.
    pub request: Option<(&'a str, &'a str)>,
}

impl fmt::Display for Asked<'_> {
    /// `CONNECT host:443` or `GET host:80/path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            Some((method, path)) => write!(f, "{method} {}{path}", self.to),
            None => write!(f, "CONNECT {}", self.to),
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// HTTP status of the answer.
    #[serde(skip)]
    pub status: u16,
    /// The kind, as users know it: `policy_denied`, `ssrf_denied`, `upstream_unreachable`, ….
    pub error: &'static str,
    /// The block of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<str>>,
    /// The request, as `METHOD /path`, where rules of requests decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Box<str>>,
    /// A sentence for people.
    pub detail: String,
    /// The reason as a stable word, the same as on record.
    pub reason: &'static str,
    /// What would help, commands for whoever runs the sandbox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next_steps: Vec<String>,
}

impl Refusal {
    /// A refusal that no policy is behind: a malformed request, a credential that cannot be put in, ….
    pub fn new(
        status: u16,
        error: &'static str,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { status, error, policy: None, rule: None, detail, reason, next_steps: Vec::new() }
    }

    /// A connection that the policy does not open.
    pub fn connection(deny: &Deny<'_>, asked: &Asked<'_>) -> Self {
        let code = deny.code();
        let next_steps = match code {
            DenyCode::NoPolicies | DenyCode::Endpoint | DenyCode::Binary => steps::open(asked),
            DenyCode::Address(blocked) => return Self::address(blocked, asked),
        };
        let policy = deny.nearest().map(|place| place.name().into());
        let detail = format!("{asked} not permitted by policy");
        Self { policy, next_steps, ..Self::new(403, "policy_denied", code.as_str(), detail) }
    }

    /// A request that the policy does not allow on a connection that it opens.
    pub fn request(refusal: &policy::Refusal<'_>, asked: &Asked<'_>) -> Self {
        let next_steps = match refusal.code {
            RefusalCode::NoRule => steps::allow(asked),
            RefusalCode::DenyRule(_) | RefusalCode::NoEndpoint | RefusalCode::Ambiguous => {
                vec![steps::show(asked)]
            }
            RefusalCode::Unreadable | RefusalCode::ToolName => Vec::new(),
        };
        Self {
            policy: Some(refusal.place.name().into()),
            rule: asked.request.map(|(method, path)| format!("{method} {path}").into()),
            next_steps,
            ..Self::new(403, "policy_denied", refusal.code.as_str(), refusal.to_string())
        }
    }

    /// A granted connection that cannot be opened.
    pub fn undialled(error: &DialError, asked: &Asked<'_>) -> Self {
        let unreachable = |status| {
            let detail = format!("{asked} cannot be connected: {error}");
            Self::new(status, "upstream_unreachable", error.as_str(), detail)
        };
        match error {
            DialError::Blocked(blocked) => Self::address(*blocked, asked),
            DialError::Unlisted => {
                let detail = format!("{asked} not permitted by policy: {error}");
                let next_steps = steps::open(asked);
                Self { next_steps, ..Self::new(403, "policy_denied", error.as_str(), detail) }
            }
            DialError::Timeout => unreachable(504),
            DialError::Resolve(_)
            | DialError::Connect(_)
            | DialError::UpstreamProxy(_)
            | DialError::UpstreamRefused(_) => unreachable(502),
        }
    }

    /// A caller that cannot be told for sure.
    pub fn unidentified(error: &Unidentified, asked: &Asked<'_>) -> Self {
        let detail = format!("{asked} not permitted by policy: {error}");
        let next_steps = steps::identity(error);
        Self { next_steps, ..Self::new(403, "policy_denied", error.as_str(), detail) }
    }

    /// A request that cannot be believed; `detail` says what is wrong without repeating it.
    pub fn malformed(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", reason, detail)
    }

    fn address(blocked: Blocked, asked: &Asked<'_>) -> Self {
        let next_steps = steps::address(blocked, asked);
        let detail = format!("{asked} blocked: {blocked}");
        Self { next_steps, ..Self::new(403, "ssrf_denied", "ssrf_denied", detail) }
    }

    /// The body.
    pub fn body(&self) -> Bytes {
        // Texts and lists of texts: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// The headers of its own; length and `Connection` belong to the connection.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers =
            vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        // A name that is no header value is in the body all the same.
        if let Some(Ok(policy)) = self.policy.as_deref().map(HeaderValue::from_str) {
            headers.push((POLICY, policy));
        }
        headers
    }

    /// The whole answer for a connection that speaks HTTP/1.1 and ends with it.
    pub fn http1(&self) -> Vec<u8> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::FORBIDDEN);
        let body = self.body();
        let mut head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
        if let Some(policy) =
            self.policy.as_deref().filter(|name| HeaderValue::from_str(name).is_ok())
        {
            // Writing to a text cannot fail.
            write!(head, "X-OpenShell-Policy: {policy}\r\n").unwrap_or_default();
        }
        write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())
            .unwrap_or_default();
        let mut answer = head.into_bytes();
        answer.extend_from_slice(&body);
        answer
    }
}

#[cfg(test)]
mod tests;
