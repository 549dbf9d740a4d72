//! What a backend's status means for the request: answer it, try the next backend, or give it back.
//!
//! Not here: connect errors and time limits, which have no status; circuit breaking.
//! Invariant: a status that this table does not name is never an answer, and never sends a request to a
//! backend that the plan does not hold.

use std::time::Duration;

use crate::translate::ErrorFacts;

mod date;

/// Longest wait that is believed; a backend that says more is asked again after this.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// What follows from a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body is the answer.
    Answer,
    /// Another backend may do better.
    Retry {
        /// When this backend wants to be asked again.
        after: Option<Duration>,
        /// Why it did not answer.
        blame: Blame,
    },
    /// The request itself is at fault: the caller gets it back, no other backend is asked.
    Final,
    /// The backend does not have this model, or nothing is at its path: another backend may.
    ModelMissing,
    /// The backend refuses our credential. The caller gets 502, never this status, unless another backend answers.
    CredentialRejected,
}

/// Why a backend did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Too many requests or tokens for this account, or no credit left on it.
    RateLimit,
    /// It has too much to do.
    Overloaded,
    /// It failed.
    ServerError,
    /// It, or something in front of it, waited too long.
    Timeout,
}

/// What a status means. `after` is how long the answer asks to wait ([`asked_wait`]).
///
/// Statuses as documented by OpenAI and Anthropic (2026-11): 529 is Anthropic's "overloaded"; 429 covers
/// `insufficient_quota` as well, which no waiting helps but another backend does; 402 is an account without
/// credit. A redirect is a failure: following it would carry the prompt and the credential elsewhere.
pub fn judge(status: u16, after: Option<Duration>) -> Verdict {
    let retry = |blame| Verdict::Retry { after, blame };
    match status {
        200..=299 => Verdict::Answer,
        401 | 403 => Verdict::CredentialRejected,
        402 | 429 => retry(Blame::RateLimit),
        408 | 504 => retry(Blame::Timeout),
        503 | 529 => retry(Blame::Overloaded),
        409 | 424 | 425 => retry(Blame::ServerError),
        400..=499 => Verdict::Final,
        _ => retry(Blame::ServerError),
    }
}

/// Looks again at a request that was refused once the error itself is known: a model, deployment or path that the
/// backend does not have is a fault of the router file, not of the caller, so another backend is asked.
///
/// A caller can write into the middle of a provider's words (the name of a file that is not there), so only their
/// beginning counts. Words of OpenAI, Azure, Anthropic, vLLM, Ollama, `OpenRouter` and NIM, 2026-11.
pub fn reconsider(status: u16, facts: &ErrorFacts) -> Verdict {
    const CODES: [&str; 3] = ["model_not_found", "DeploymentNotFound", "OperationNotSupported"];
    const STARTS: [&str; 6] =
        ["model:", "model ", "model '", "The model ", "No endpoints found", "No such model"];
    let code = facts.code.as_deref().unwrap_or(&facts.kind);
    let named = CODES.contains(&code) || CODES.contains(&facts.kind.as_str());
    let said = || STARTS.iter().any(|start| facts.message.starts_with(start));
    // Frameworks say this where no route is.
    let nothing = || matches!(facts.message.as_str(), "Not Found" | "404 page not found");
    if named || (status == 404 && (said() || nothing())) {
        Verdict::ModelMissing
    } else {
        Verdict::Final
    }
}

/// How long an answer asks to wait, by its headers `retry-after` and `retry-after-ms`; the latter is more exact.
/// `now_unix` is the time in seconds since 1970.
pub fn asked_wait(
    retry_after: Option<&str>,
    retry_after_ms: Option<&str>,
    now_unix: u64,
) -> Option<Duration> {
    retry_after_ms.and_then(wait_ms).or_else(|| retry_after.and_then(|text| wait(text, now_unix)))
}

/// How long a `retry-after` header asks to wait: seconds, or a date (RFC 9110, section 10.2.3). At most a day;
/// `None` for anything else.
pub fn wait(retry_after: &str, now_unix: u64) -> Option<Duration> {
    let text = retry_after.trim();
    let wait = match number(text) {
        Some(seconds) => seconds,
        None => Duration::from_secs(date::unix(text)?.saturating_sub(now_unix)),
    };
    Some(wait.min(WAIT_MAX))
}

/// How long a `retry-after-ms` header asks to wait; it is more exact than `retry-after` where both are given.
pub fn wait_ms(retry_after_ms: &str) -> Option<Duration> {
    let seconds = number(retry_after_ms.trim())?;
    Some((seconds / 1000).min(WAIT_MAX))
}

/// Digits with an optional fraction (some gateways send `1.5`), as seconds.
fn number(text: &str) -> Option<Duration> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = Duration::from_secs(whole.parse().unwrap_or(u64::MAX).min(u64::from(u32::MAX)));
    let nanos = fraction.bytes().chain([b'0'; 9]).take(9).fold(0_u32, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u32::from(digit.saturating_sub(b'0')))
    });
    Some(whole.saturating_add(Duration::from_nanos(u64::from(nanos))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_whether_another_backend_is_asked() {
        use Blame::{Overloaded, RateLimit, ServerError, Timeout};
        let retry = |blame| Verdict::Retry { after: None, blame };
        let cases = [
            (200, Verdict::Answer),
            (206, Verdict::Answer),
            (301, retry(ServerError)),
            (400, Verdict::Final),
            (401, Verdict::CredentialRejected),
            (402, retry(RateLimit)),
            (403, Verdict::CredentialRejected),
            (404, Verdict::Final),
            (408, retry(Timeout)),
            (409, retry(ServerError)),
            (413, Verdict::Final),
            (422, Verdict::Final),
            (425, retry(ServerError)),
            (429, retry(RateLimit)),
            (500, retry(ServerError)),
            (502, retry(ServerError)),
            (503, retry(Overloaded)),
            (504, retry(Timeout)),
            (529, retry(Overloaded)),
            (0, retry(ServerError)),
            (999, retry(ServerError)),
        ];
        for (status, verdict) in cases {
            assert_eq!(judge(status, None), verdict, "{status}");
        }
    }

    #[test]
    fn a_model_that_the_backend_lacks_is_no_fault_of_the_caller() {
        let cases = [
            (
                404,
                r#"{"error":{"message":"x","type":"invalid_request_error","code":"model_not_found"}}"#,
                true,
            ),
            (400, r#"{"error":{"message":"x","code":"model_not_found"}}"#, true),
            (404, r#"{"error":{"code":"DeploymentNotFound","message":"x"}}"#, true),
            (
                404,
                r#"{"type":"error","error":{"type":"not_found_error","message":"model: m"}}"#,
                true,
            ),
            (
                404,
                r#"{"object":"error","message":"The model `m` does not exist.","type":"NotFoundError","code":404}"#,
                true,
            ),
            (
                404,
                r#"{"error":{"message":"model \"m\" not found, try pulling it first","type":"api_error"}}"#,
                true,
            ),
            (404, r#"{"error":{"message":"No endpoints found for m.","code":404}}"#, true),
            (404, r#"{"detail":"Not Found"}"#, true),
            (
                404,
                r#"{"error":{"message":"No such File object: The model ","type":"invalid_request_error"}}"#,
                false,
            ),
            (
                400,
                r#"{"error":{"message":"model m takes no pictures","type":"invalid_request_error"}}"#,
                false,
            ),
            (422, "", false),
        ];
        for (status, body, missing) in cases {
            let facts = crate::translate::read_error(status, body.as_bytes());
            let verdict = if missing { Verdict::ModelMissing } else { Verdict::Final };
            assert_eq!(reconsider(status, &facts), verdict, "{body}");
        }
    }

    #[test]
    fn waits_are_seconds_or_dates_and_bounded() {
        let now = 1_735_689_600; // 2025-01-01T00:00:00Z
        let cases = [
            ("0", Some(0)),
            (" 2 ", Some(2_000)),
            ("1.5", Some(1_500)),
            ("99999999999999999999", Some(86_400_000)),
            ("Wed, 01 Jan 2025 00:00:30 GMT", Some(30_000)),
            ("Tue, 31 Dec 2024 23:59:59 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("1.", None),
            ("", None),
        ];
        for (text, millis) in cases {
            assert_eq!(wait(text, now), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(wait_ms("250"), Some(Duration::from_millis(250)));
        assert_eq!(wait_ms("x"), None);
        let expected =
            Verdict::Retry { after: Some(Duration::from_secs(7)), blame: Blame::RateLimit };
        assert_eq!(judge(429, asked_wait(Some("7"), None, now)), expected);
        let more_exact = asked_wait(Some("7"), Some("6500"), now);
        assert_eq!(more_exact, Some(Duration::from_millis(6_500)));
        assert_eq!(asked_wait(Some("7"), Some("soon"), now), Some(Duration::from_secs(7)));
    }
}
