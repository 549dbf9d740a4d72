//! Which headers pass from the caller to a backend, and from a backend to the caller. Both are allow-lists.
//!
//! Not here: the headers that the router sets itself (`prepare`), moving the bytes.
//! Invariant: nothing that authenticates or identifies the caller passes outward, and nothing that identifies the
//! operator's account passes back. Names are compared without regard to case.

use std::borrow::Cow;

use router::wire::Dialect;

/// Longest value of a feature header that is looked at, bytes.
const FEATURES_BYTES_MAX: usize = 4096;

/// Request headers of the caller that a backend may see. `traceparent` is not among them: it links requests of a
/// caller with each other.
const FORWARDED: [&str; 6] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "idempotency-key",
    "openai-beta",
];

/// Response headers of a backend that the caller may see, by name.
const RETURNED: [&str; 9] = [
    "cache-control",
    "content-encoding",
    "content-type",
    "openai-processing-ms",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "x-should-retry",
];

/// Response headers of a backend that the caller may see, by the start of their name.
const RETURNED_FAMILIES: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// Beta features of Anthropic that only make sense with the caller's own login, or only say who is calling.
const BETAS_DROPPED: [&str; 2] = ["oauth-", "claude-code-"];

/// Whether a request header of the caller may go to a backend at all; its value must pass [`forward`].
pub fn forwarded(name: &str) -> bool {
    FORWARDED.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
}

/// What of a caller's header goes to a backend that is spoken to in dialect `to`; `None` drops the header.
///
/// `anthropic-*` goes to Anthropic's dialects only and `openai-beta` to OpenAI's only. Of the two lists of beta
/// features, entries that belong to the caller's own login (`oauth-…`) or name its program are taken out.
pub fn forward<'v>(name: &str, value: &'v str, to: Dialect) -> Option<Cow<'v, str>> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let anthropic = matches!(to, Dialect::AnthropicMessages | Dialect::AnthropicCountTokens);
    let in_line = |byte: u8| (b' '..0x7f).contains(&byte) || byte == b'\t';
    if !forwarded(name) || value.len() > FEATURES_BYTES_MAX || !value.bytes().all(in_line) {
        return None;
    }
    if is("anthropic-beta") {
        return if anthropic { features(value) } else { None };
    }
    if is("openai-beta") {
        return if anthropic { None } else { features(value) };
    }
    if is("anthropic-version") && !anthropic {
        return None;
    }
    Some(Cow::Borrowed(value))
}

/// The entries of a list of beta features that may pass; borrowed when that is all of them.
fn features(value: &str) -> Option<Cow<'_, str>> {
    let safe = |entry: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
        (1..=80).contains(&entry.len())
            && entry.bytes().all(plain)
            && !BETAS_DROPPED.iter().any(|dropped| entry.starts_with(dropped))
    };
    let entries = || value.split(',').map(str::trim);
    if entries().all(|entry| safe(&entry)) {
        return Some(Cow::Borrowed(value));
    }
    let kept: Vec<&str> = entries().filter(safe).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join(",")))
}

/// Whether a response header of a backend may go to the caller. Cookies, server banners and the names of the
/// operator's organisation or project do not.
pub fn returned(name: &str) -> bool {
    let family = |start: &str| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    RETURNED.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
        || RETURNED_FAMILIES.iter().any(|start| family(start))
}

/// Headers that the operator must not fix in the router file: they frame the request, hold a credential, or are
/// set by the router. `name` is in lower case.
pub fn reserved(name: &str) -> bool {
    const EXACT: [&str; 19] = [
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-api-key",
        "x-goog-api-key",
    ];
    EXACT.contains(&name)
        || ["proxy-", "x-amz-", "x-forwarded-", "x-openshell-"].iter().any(|s| name.starts_with(s))
        || ["token", "secret", "password", "apikey", "api_key"]
            .iter()
            .any(|part| name.contains(part))
}

/// Whether this is a header name: an RFC 9110 token, in lower case, at most 64 bytes.
pub fn is_name(name: &str) -> bool {
    let token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    (1..=64).contains(&name.len()) && name.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_ends_a_line_never_passes() {
        for value in ["\n..PP", "a\r\nauthorization: b", "a\0", "é"] {
            for name in FORWARDED {
                assert_eq!(forward(name, value, Dialect::AnthropicMessages), None, "{name}");
            }
        }
    }

    #[test]
    fn credentials_and_identifiers_of_the_caller_never_pass() {
        let names = [
            "authorization",
            "Authorization",
            "proxy-authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "x-goog-user-project",
            "x-amz-date",
            "x-amz-security-token",
            "amz-sdk-request",
            "cookie",
            "openai-organization",
            "openai-project",
            "anthropic-workspace-id",
            "chatgpt-account-id",
            "x-forwarded-for",
            "forwarded",
            "via",
            "x-real-ip",
            "connection",
            "te",
            "x-claude-code-session-id",
            "x-codex-turn-metadata",
            "session-id",
            "x-client-request-id",
            "originator",
            "x-app",
            "x-stainless-os",
            "user-agent",
            "http-referer",
            "x-title",
            "accept-language",
            "traceparent",
            "host",
            "content-length",
        ];
        for name in names {
            assert!(!forwarded(name), "{name}");
            assert_eq!(forward(name, "x", Dialect::OpenAiChat), None, "{name}");
        }
    }

    #[test]
    fn features_pass_to_their_own_dialect_without_logins() {
        use Dialect::{
            AnthropicMessages as Messages, OpenAiChat as Chat, OpenAiResponses as Responses,
        };
        let cases = [
            ("Anthropic-Beta", "context-1m-2025-08-07", Messages, Some("context-1m-2025-08-07")),
            ("anthropic-beta", "oauth-2025-04-20", Messages, None),
            (
                "anthropic-beta",
                "claude-code-20250219, oauth-2025-04-20,interleaved-thinking-2025-05-14, context-1m-2025-08-07",
                Messages,
                Some("interleaved-thinking-2025-05-14,context-1m-2025-08-07"),
            ),
            ("anthropic-beta", "context-1m-2025-08-07", Chat, None),
            ("anthropic-beta", "a b", Messages, None),
            ("anthropic-version", "2023-06-01", Messages, Some("2023-06-01")),
            ("anthropic-version", "2023-06-01", Chat, None),
            ("openai-beta", "responses=experimental", Responses, Some("responses=experimental")),
            ("openai-beta", "responses=experimental", Messages, None),
            ("content-type", "application/json", Chat, Some("application/json")),
        ];
        for (name, value, to, expected) in cases {
            assert_eq!(forward(name, value, to).as_deref(), expected, "{name}: {value}");
        }
        assert_eq!(forward("anthropic-beta", &"a,".repeat(4000), Messages), None);
    }

    #[test]
    fn answers_lose_what_names_the_account_and_keep_what_clients_act_upon() {
        let kept = ["Content-Type", "Retry-After", "x-should-retry", "X-RateLimit-Limit-Requests"];
        for name in kept {
            assert!(returned(name), "{name}");
        }
        let dropped = [
            "set-cookie",
            "server",
            "cf-ray",
            "alt-svc",
            "openai-organization",
            "openai-project",
            "anthropic-organization-id",
            "x-amzn-requestid",
            "strict-transport-security",
            "transfer-encoding",
            "x-ratelimit",
            "é",
        ];
        for name in dropped {
            assert!(!returned(name), "{name}");
        }
    }

    #[test]
    fn fixed_headers_cannot_hold_credentials_or_frame_the_request() {
        for name in ["authorization", "host", "x-auth-token", "x-amz-date", "proxy-connection"] {
            assert!(reserved(name), "{name}");
        }
        assert!(!reserved("openai-organization"));
        assert!(is_name("x-title") && !is_name("X-Title") && !is_name("a b") && !is_name(""));
    }
}
