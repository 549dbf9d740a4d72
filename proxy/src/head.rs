//! What must hold for the head of a request before anything believes it.
//!
//! Pingora already refuses folded lines, conflicting lengths, `transfer-encoding` that does not end in `chunked`, and
//! more than one `host`. Here is what it lets pass and two servers could read in two ways.
//! Invariant: the end of a request's body is named in exactly one way.

use http::{HeaderMap, Version, header};

/// Largest head, bytes; Pingora alone would take a mebibyte.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Most header lines.
const HEADERS_MAX: usize = 128;

/// Why a head is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    /// It is no HTTP request.
    #[error("the request is no valid HTTP")]
    Malformed,
    /// It is too large.
    #[error("the head of the request has more than {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} lines")]
    Large,
    /// Both `content-length` and `transfer-encoding`, or one of them twice.
    #[error("the length of the body is given more than once")]
    Length,
    /// No `host`, or one that is no host.
    #[error("the host header is missing or is no host")]
    Host,
    /// It did not arrive in time.
    #[error("the head of the request did not arrive in time")]
    Timeout,
}

/// Refuses an ambiguous head. `raw` is the text of an HTTP/1 head, empty for HTTP/2.
///
/// # Errors
/// See [`HeadError`].
pub(crate) fn check(version: Version, headers: &HeaderMap, raw: &[u8]) -> Result<(), HeadError> {
    if raw.len() > HEAD_BYTES_MAX || headers.len() > HEADERS_MAX {
        return Err(HeadError::Large);
    }
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let encodings = headers.get_all(header::TRANSFER_ENCODING).iter().count();
    // Pingora removes the length when there is an encoding: only the raw text still tells.
    let both = encodings > 0 && names(raw).any(|name| name.eq_ignore_ascii_case(b"content-length"));
    if lengths > 1 || encodings > 1 || both {
        return Err(HeadError::Length);
    }
    match headers.get(header::HOST) {
        Some(host) if host.to_str().is_ok_and(is_host) => Ok(()),
        Some(_) => Err(HeadError::Host),
        None if version == Version::HTTP_11 => Err(HeadError::Host),
        None => Ok(()),
    }
}

fn is_host(text: &str) -> bool {
    // Nearly all are a name or an address with a port, which are no question for a parser that copies.
    let (name, port) = text.split_once(':').unwrap_or((text, "80"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if number && !name.is_empty() && name.bytes().all(plain) {
        return true;
    }
    !text.is_empty() && text.parse::<http::uri::Authority>().is_ok()
}

fn names(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = raw.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(|line| line.split(|byte| *byte == b':').next()).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_lines(lines: &[(&'static str, &'static str)], raw: &str) -> Result<(), HeadError> {
        let value = |text| http::HeaderValue::from_static(text);
        let mut headers = HeaderMap::new();
        for (name, text) in lines {
            headers.append(*name, value(text));
        }
        check(Version::HTTP_11, &headers, raw.as_bytes())
    }

    #[test]
    fn one_host_and_one_length_pass() {
        for host in ["a.example", "127.0.0.1:80", "[::1]:80"] {
            assert_eq!(check_lines(&[("host", host), ("content-length", "3")], ""), Ok(()));
        }
    }

    #[test]
    fn ambiguous_lengths_are_refused() {
        let both = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length : 3\r\n\r\n";
        let chunked = [("host", "a"), ("transfer-encoding", "chunked")];
        assert_eq!(check_lines(&chunked, both), Err(HeadError::Length));
        assert_eq!(check_lines(&chunked, "POST / HTTP/1.1\r\nhost: a\r\n\r\n"), Ok(()));
        let twice = [("host", "a"), ("content-length", "3"), ("content-length", "3")];
        assert_eq!(check_lines(&twice, ""), Err(HeadError::Length));
    }

    #[test]
    fn a_missing_or_odd_host_is_refused() {
        assert_eq!(check_lines(&[], ""), Err(HeadError::Host));
        for host in ["", "a b", "a/b"] {
            assert_eq!(check_lines(&[("host", host)], ""), Err(HeadError::Host), "{host:?}");
        }
    }

    #[test]
    fn large_heads_are_refused() {
        let raw = "x".repeat(HEAD_BYTES_MAX + 1);
        assert_eq!(check_lines(&[("host", "a")], &raw), Err(HeadError::Large));
    }
}
