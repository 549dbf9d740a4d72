//! What a backend's status means for the request: answer it, try the next backend, or give it back.
//!
//! Not here: connect errors and time limits, which have no status; circuit breaking.
//! Invariant: a status that this table does not name is never an answer, and never sends a request to a
//! backend that the plan does not hold.

use std::time::Duration;

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

/// What a status means. `retry_after` is the header of that name, `now_unix` the time in seconds since 1970.
///
/// Statuses as documented by OpenAI and Anthropic (2026-11): 529 is Anthropic's "overloaded"; 429 covers
/// `insufficient_quota` as well, which no waiting helps but another backend does; 402 is an account without
/// credit. A redirect is a failure: following it would carry the prompt and the credential elsewhere.
pub fn judge(status: u16, retry_after: Option<&str>, now_unix: u64) -> Verdict {
    let retry = |blame| {
        let after = retry_after.and_then(|text| wait(text, now_unix));
        Verdict::Retry { after, blame }
    };
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

/// Looks again at a verdict of [`judge`] once the error's own code or type is known: a model or deployment that the
/// backend does not have is a fault of the router file, not of the caller, so another backend is asked.
pub fn reconsider(verdict: Verdict, code: &str) -> Verdict {
    const OURS: [&str; 4] =
        ["model_not_found", "DeploymentNotFound", "OperationNotSupported", "billing_error"];
    match verdict {
        Verdict::Final if OURS.contains(&code) => {
            Verdict::Retry { after: None, blame: Blame::ServerError }
        }
        other => other,
    }
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
            assert_eq!(judge(status, None, 0), verdict, "{status}");
        }
    }

    #[test]
    fn a_model_that_the_backend_lacks_is_no_fault_of_the_caller() {
        let again = Verdict::Retry { after: None, blame: Blame::ServerError };
        assert_eq!(reconsider(judge(404, None, 0), "model_not_found"), again);
        assert_eq!(reconsider(judge(400, None, 0), "invalid_request_error"), Verdict::Final);
        assert_eq!(reconsider(judge(200, None, 0), "model_not_found"), Verdict::Answer);
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
        assert_eq!(judge(429, Some("7"), now), expected);
    }
}
