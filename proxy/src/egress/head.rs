//! The head of an HTTP/1 request, read strictly before anything else reads it.
//!
//! What two servers could read in two ways is refused: a line that does not end in CR LF, a folded line, a length that is
//! given twice or beside an encoding, an encoding that is not `chunked`. Not here: who may send it.
//! Invariant: bytes that pass have one reading, so that whoever parses them again finds the same request.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Largest head, bytes. Servers commonly take 8 to 32 KiB.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Most header lines.
const LINES_MAX: usize = 128;

/// Bytes read at once.
const PIECE: usize = 4 << 10;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It is no HTTP request.
    #[error("the request is no valid HTTP/1 request")]
    Malformed,
    /// A line ends without CR LF, or holds one of them, or NUL.
    #[error("lines of a request must end in CR LF and hold no control characters")]
    Line,
    /// A line begins with a blank.
    #[error("folded header lines are not taken")]
    Fold,
    /// The body's length is given in more than one way, or in a way that is not known.
    #[error(
        "the length of the body must be given once, as content-length or as transfer-encoding: chunked"
    )]
    Length,
    /// No host, more than one, or one that is none.
    #[error("a request needs exactly one host header")]
    Host,
    /// It is too large.
    #[error("the head of the request has more than {HEAD_BYTES_MAX} bytes or {LINES_MAX} lines")]
    Large,
    /// It did not come in time.
    #[error("the head of the request did not arrive in time")]
    Timeout,
    /// The connection ended before it did.
    #[error("the connection ended within the head of a request")]
    Ended,
}

impl HeadError {
    /// The status that tells it.
    pub fn status(self) -> u16 {
        match self {
            Self::Large => 431,
            Self::Timeout => 408,
            Self::Malformed | Self::Line | Self::Fold | Self::Length | Self::Host | Self::Ended => {
                400
            }
        }
    }

    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_request",
            Self::Line => "malformed_line",
            Self::Fold => "folded_header",
            Self::Length => "ambiguous_length",
            Self::Host => "malformed_host",
            Self::Large => "head_too_large",
            Self::Timeout => "head_timeout",
            Self::Ended => "head_incomplete",
        }
    }
}

/// Looks for the end of a head in bytes that grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    seen: usize,
}

impl End {
    /// The length of the head with its empty line; `None` while more bytes are needed.
    ///
    /// # Errors
    /// As soon as a byte is there that no head holds.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(byte) = bytes.get(self.seen) {
            let before = self.seen.checked_sub(1).and_then(|at| bytes.get(at));
            match (before, byte) {
                (_, 0) | (Some(b'\r'), 0..=9 | 11..) => return Err(HeadError::Line),
                (before, b'\n') if before != Some(&b'\r') => return Err(HeadError::Line),
                _ => {}
            }
            self.seen = self.seen.saturating_add(1);
            if bytes.get(..self.seen).is_some_and(|head| head.ends_with(b"\r\n\r\n")) {
                return if self.seen > HEAD_BYTES_MAX {
                    Err(HeadError::Large)
                } else {
                    Ok(Some(self.seen))
                };
            }
        }
        if self.seen > HEAD_BYTES_MAX { Err(HeadError::Large) } else { Ok(None) }
    }
}

/// Reads until `seen` begins with a whole head; gives its length. Zero stands for a connection that ended before a byte.
/// A drop loses nothing: what was read is in `seen`.
///
/// # Errors
/// When no head comes, or none that could be one.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    seen: &mut bytes::BytesMut,
) -> Result<usize, HeadError> {
    let mut end = End::default();
    loop {
        if let Some(length) = end.find(seen)? {
            return Ok(length);
        }
        seen.reserve(PIECE);
        match stream.read_buf(seen).await {
            Ok(0) if seen.is_empty() => return Ok(0),
            Ok(0) | Err(_) => return Err(HeadError::Ended),
            Ok(_) => {}
        }
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is no body.
    None,
    /// This many bytes.
    Bytes(u64),
    /// In chunks.
    Chunked,
}

/// What a head says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head<'h> {
    /// The method, as it was written.
    pub method: &'h str,
    /// The target, as it was written; visible ASCII.
    pub target: &'h str,
    /// Whether it is HTTP/1.1, else HTTP/1.0.
    pub is_1_1: bool,
    /// The host header.
    pub host: Option<&'h str>,
    /// The body's length.
    pub length: Length,
    /// What the connection header says about keeping it, if anything.
    keep: Option<bool>,
}

impl fmt::Debug for Head<'_> {
    /// Without the target, which may hold what is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("method", &self.method).finish_non_exhaustive()
    }
}

impl<'h> Head<'h> {
    /// Reads a whole head, its empty line included.
    ///
    /// # Errors
    /// What is no HTTP/1 request, or could be read in two ways.
    pub fn parse(raw: &'h [u8]) -> Result<Self, HeadError> {
        let text = raw.strip_suffix(b"\r\n\r\n").ok_or(HeadError::Malformed)?;
        let mut lines = split_lines(text);
        let (method, target, is_1_1) = request_line(lines.next().unwrap_or_default())?;
        let mut head =
            Self { method, target, is_1_1, host: None, length: Length::None, keep: None };
        let mut count = 0_usize;
        for line in lines {
            count = count.saturating_add(1);
            if count > LINES_MAX {
                return Err(HeadError::Large);
            }
            head.line(line)?;
        }
        match (head.is_1_1, head.host) {
            // A tunnel has its target; old clients say no more.
            (true, None) if head.method != "CONNECT" => Err(HeadError::Host),
            (false, _) if head.length == Length::Chunked => Err(HeadError::Length),
            _ => Ok(head),
        }
    }

    fn line(&mut self, line: &'h [u8]) -> Result<(), HeadError> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(HeadError::Fold);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(HeadError::Malformed)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(HeadError::Malformed);
        }
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(HeadError::Line);
        }
        if name.eq_ignore_ascii_case(b"host") {
            let host = std::str::from_utf8(value).map_err(|_| HeadError::Host)?;
            if self.host.replace(host).is_some() || host.is_empty() {
                return Err(HeadError::Host);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.once(Length::Bytes(number(value).ok_or(HeadError::Length)?))?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::Length);
            }
            self.once(Length::Chunked)?;
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    self.keep = Some(false);
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep.get_or_insert(true);
                } else if OWN.iter().any(|own| option.eq_ignore_ascii_case(own)) {
                    return Err(HeadError::Malformed);
                }
            }
        }
        Ok(())
    }

    /// The same head with `target` in place of its own; `None` where that is its own.
    pub fn in_origin_form(&self, raw: &[u8], target: &str) -> Option<Vec<u8>> {
        if self.target == target {
            return None;
        }
        let end = raw.iter().position(|byte| *byte == b'\r')?;
        let version = if self.is_1_1 { "HTTP/1.1" } else { "HTTP/1.0" };
        let mut head = format!("{} {target} {version}", self.method).into_bytes();
        head.extend_from_slice(raw.get(end..)?);
        Some(head)
    }

    /// Whether the caller's side keeps the connection for another request.
    pub fn keeps(&self) -> bool {
        self.keep.unwrap_or(self.is_1_1)
    }

    fn once(&mut self, length: Length) -> Result<(), HeadError> {
        if self.length != Length::None {
            return Err(HeadError::Length);
        }
        self.length = length;
        Ok(())
    }
}

/// Headers that say what a request is. Who could have them dropped on the way, as options of the connection, would have
/// something else judged than sent.
const OWN: [&[u8]; 8] = [
    b"host",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"transfer-encoding",
    b"authorization",
    b"expect",
    b"cookie",
];

/// Lines between CR LF; [`End`] saw that there is no other line end.
fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn request_line(line: &[u8]) -> Result<(&str, &str, bool), HeadError> {
    let line = std::str::from_utf8(line).map_err(|_| HeadError::Malformed)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadError::Malformed);
    };
    let is_1_1 = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(HeadError::Malformed),
    };
    let sound = !method.is_empty()
        && method.bytes().all(is_token)
        && !target.is_empty()
        && target.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok((method, target, is_1_1)) } else { Err(HeadError::Malformed) }
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// Characters of methods and header names (RFC 9110, section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Head<'_>, HeadError> {
        let end = End::default().find(text.as_bytes())?;
        assert_eq!(end, Some(text.len()), "{text:?}");
        Head::parse(text.as_bytes())
    }

    #[test]
    fn no_option_of_the_connection_takes_away_what_a_request_is() {
        for option in ["content-length", "keep-alive, Host", "transfer-encoding"] {
            let text = format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: {option}\r\n\r\n"
            );
            assert_eq!(parse(&text).unwrap_err(), HeadError::Malformed, "{option}");
        }
        assert!(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x-own\r\n\r\n").is_ok());
    }

    #[test]
    fn a_plain_head_says_what_it_says() {
        let text = "POST /a?b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nX:\r\n\r\n";
        let head = parse(text).unwrap();
        assert_eq!((head.method, head.target, head.is_1_1), ("POST", "/a?b", true));
        assert_eq!((head.host, head.length), (Some("a.example"), Length::Bytes(3)));
        let old = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!((old.is_1_1, old.host, old.length), (false, None, Length::None));
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let host = "GET / HTTP/1.1\r\nHost: a\r\n";
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", HeadError::Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", HeadError::Host),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", HeadError::Host),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::Malformed),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", HeadError::Malformed),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Malformed),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::Length),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        let lines = [
            ("X: a\r\n b: c", HeadError::Fold),
            ("X", HeadError::Malformed),
            ("X: \u{b}a", HeadError::Line),
            ("Content-Length: 3\r\nContent-Length: 3", HeadError::Length),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked", HeadError::Length),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HeadError::Length),
            ("Transfer-Encoding: xchunked", HeadError::Length),
            ("Transfer-Encoding: chunked, identity", HeadError::Length),
            ("Transfer-Encoding: identity", HeadError::Length),
            ("Content-Length: +3", HeadError::Length),
            ("Content-Length: 3, 3", HeadError::Length),
            ("Content-Length: 99999999999999999999", HeadError::Length),
        ];
        for (line, error) in lines {
            let text = format!("{host}{line}\r\n\r\n");
            assert_eq!(parse(&text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_no_head_holds_are_refused_at_once() {
        for bytes in [&b"GET / HTTP/1.1\n"[..], b"GET /\0", b"GET / HTTP/1.1\rX", b"\n", b"A\r\r\n"]
        {
            assert_eq!(End::default().find(bytes), Err(HeadError::Line), "{bytes:?}");
        }
        let large = vec![b'a'; HEAD_BYTES_MAX + 1];
        assert_eq!(End::default().find(&large), Err(HeadError::Large));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(LINES_MAX));
        assert_eq!(parse(&many), Err(HeadError::Large));
    }

    proptest! {
        #[test]
        fn any_cut_finds_the_same_end(text in "[ -~\r\n]{0,60}(\r\n\r\n)?[a-z]{0,4}", cut in 0_usize..70) {
            let bytes = text.as_bytes();
            let mut end = End::default();
            let early = end.find(&bytes[..cut.min(bytes.len())]);
            let cut = match early {
                Ok(None) => end.find(bytes),
                found => found,
            };
            prop_assert_eq!(cut, End::default().find(bytes));
        }

        #[test]
        fn what_passes_has_one_host_and_one_length(raw in "GET / HTTP/1.1\r\n((Host|Content-Length|Transfer-Encoding|X): ?[a-c0-9]{0,3}(chunked)?\r\n){0,4}\r\n") {
            if let Ok(head) = Head::parse(raw.as_bytes()) {
                let lower = raw.to_lowercase();
                prop_assert!(head.host.is_some());
                prop_assert_eq!(lower.matches("\nhost:").count(), 1);
                let lengths = lower.matches("\ncontent-length:").count() + lower.matches("\ntransfer-encoding:").count();
                prop_assert_eq!(lengths, usize::from(head.length != Length::None));
            }
        }
    }
}
