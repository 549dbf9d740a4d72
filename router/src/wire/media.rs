//! Tells payloads that no text detector can read from text that only stands where a payload should.
//!
//! A payload leaves the segments, so this must not believe the field's name: what is no base64, or is short, or is
//! declared as text, stays a segment.

/// A payload without a known file signature that is shorter than this stays a segment: it could be a secret.
const PAYLOAD_BYTES_MIN: usize = 256;
/// The same for encrypted reasoning, whose shortest real ones have about 200 bytes.
const SEALED_BYTES_MIN: usize = 96;

/// How the base64 text of common files begins: PNG, JPEG, GIF, RIFF (WebP, WAV), PDF, ZIP, MP3 with ID3, Ogg, FLAC.
const SIGNATURES: [&str; 9] =
    ["iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "JVBERi0", "UEsDB", "SUQz", "T2dnUw", "ZkxhQ"];

/// Signatures of at least this many characters are believed on short payloads.
const SIGNED_BYTES_MIN: usize = 48;

/// Whether this is a `data:` URL (RFC 2397).
pub(super) fn is_data_url(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// The longest header of a `data:` URL that is taken for one, bytes.
const HEADER_BYTES_MAX: usize = 128;

/// Length of the part before the payload of a base64 `data:` URL whose payload cannot be read: everything up to and
/// with the comma. `None` if it is another URL or its payload is text.
pub(super) fn data_url_header(url: &str) -> Option<usize> {
    if !is_data_url(url) {
        return None;
    }
    let start = url.as_bytes().get(..HEADER_BYTES_MAX).unwrap_or(url.as_bytes());
    let comma = memchr::memchr(b',', start)?;
    let (header, payload) = (url.get(5..comma)?, url.get(comma.checked_add(1)?..)?);
    let (kind, encoding) = header.rsplit_once(';')?;
    let sealed =
        encoding.trim().eq_ignore_ascii_case("base64") && !is_textual(kind) && is_payload(payload);
    sealed.then_some(comma.saturating_add(1))
}

/// Whether files of this type are text, which belongs to the detectors even when it is encoded.
pub(super) fn is_textual(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name.is_empty()
        || name.starts_with("text/")
        || ["json", "xml", "yaml", "javascript", "csv", "x-sh", "markdown", "toml"]
            .iter()
            .any(|word| name.ends_with(word))
}

/// Whether this is base64 of something that is no text.
pub(super) fn is_payload(text: &str) -> bool {
    let signed = || SIGNATURES.iter().any(|sign| text.starts_with(sign));
    let binary = text.len() >= SIGNED_BYTES_MIN && signed()
        || text.len() >= PAYLOAD_BYTES_MIN && !starts_as_text(text);
    binary && is_base64(text, |byte| matches!(byte, b'+' | b'/'))
}

/// Whether the base64 begins with text: its first 48 bytes are printable. Of binary files almost none does, and one
/// that does costs no more than a look.
fn starts_as_text(base64: &str) -> bool {
    base64.as_bytes().chunks_exact(4).take(16).all(|four| {
        let word = four.iter().fold(0_u32, |word, byte| word << 6 | sextet(*byte));
        let [_, bytes @ ..] = word.to_be_bytes();
        bytes.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
    })
}

/// The value of a base64 character (RFC 4648 sections 4 and 5); 0 for others.
fn sextet(byte: u8) -> u32 {
    let (first, value) = match byte {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'+' | b'-' => return 62,
        b'/' | b'_' => return 63,
        _ => return 0,
    };
    u32::from(byte.wrapping_sub(first)).wrapping_add(value)
}

/// Whether this looks like encrypted data: base64 of either alphabet, long, and neither text nor a credential.
pub(super) fn is_sealed(text: &str) -> bool {
    text.len() >= SEALED_BYTES_MIN
        && !starts_as_text(text)
        && !CREDENTIAL_STARTS.iter().any(|start| text.starts_with(start))
        && is_base64(text, |byte| matches!(byte, b'+' | b'/' | b'-' | b'_'))
}

/// How long credentials begin that are written in the alphabet of base64. One in 260,000 blobs begins so, too, and
/// is searched for nothing.
const CREDENTIAL_STARTS: [&str; 8] =
    ["sk-", "sk_", "nvapi-", "github_pat_", "glpat-", "xox", "pypi-", "AIza"];

fn is_base64(text: &str, extra: impl Fn(u8) -> bool) -> bool {
    let body = text.trim_end_matches('=');
    text.len().saturating_sub(body.len()) <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_or_signed_base64_is_a_payload() {
        let long = "AAEC".repeat(80);
        let short = "AAEC".repeat(50);
        let cases = [
            (long.as_str(), true),
            (short.as_str(), false),
            ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg", true),
            ("iVBORw0KGgo=", false),
            ("my password is hunter2", false),
        ];
        for (text, payload) in cases {
            assert_eq!(is_payload(text), payload, "{text}");
        }
        assert!(!is_payload(&format!("{long} secret")));
        assert!(!is_payload(&"bXkgc2VjcmV0".repeat(30)), "base64 of text");
    }

    #[test]
    fn only_long_base64_of_no_text_is_sealed() {
        let cases = [
            ("gAAAAABpQk-_".repeat(20), true),
            ("EqQBCkYIBRgC".repeat(20), true),
            ("EqQBCkYIBRgC".repeat(5), false),
            ("bXkgc2VjcmV0".repeat(20), false),
            (format!("sk-ant-api03-{}", "gAAAAABpQk-_".repeat(20)), false),
            ("my secret ".repeat(20), false),
        ];
        for (text, sealed) in cases {
            assert_eq!(is_sealed(&text), sealed, "{text}");
        }
    }

    #[test]
    fn text_in_a_data_url_is_not_a_payload() {
        let payload = "AAEC".repeat(80);
        let cases = [
            (format!("data:image/png;base64,{payload}"), Some(22)),
            (format!("DATA:image/png;charset=x;BASE64,{payload}"), Some(32)),
            (format!("data:text/plain;base64,{payload}"), None),
            (format!("data:;base64,{payload}"), None),
            (format!("data:image/png,{payload}"), None),
            ("data:image/png;base64,hunter2".to_owned(), None),
            (format!("https://example.com/{payload}"), None),
        ];
        for (url, header) in cases {
            assert_eq!(data_url_header(&url), header, "{url}");
        }
    }
}
