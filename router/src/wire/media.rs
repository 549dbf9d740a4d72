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

/// Length of the part before the payload of a base64 `data:` URL whose payload cannot be read: everything up to and
/// with the comma. `None` if it is another URL or its payload is text.
pub(super) fn data_url_header(url: &str) -> Option<usize> {
    let rest = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:"))?;
    let comma = memchr::memchr(b',', url.get(..128.min(url.len())).unwrap_or(url).as_bytes())?;
    let header = url.get(rest.len()..comma)?;
    let payload = url.get(comma.checked_add(1)?..)?;
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
    let long = text.len() >= PAYLOAD_BYTES_MIN
        || text.len() >= SIGNED_BYTES_MIN && SIGNATURES.iter().any(|sign| text.starts_with(sign));
    long && is_base64(text, |byte| matches!(byte, b'+' | b'/'))
}

/// Whether this looks like encrypted data: base64 of either alphabet, long.
pub(super) fn is_sealed(text: &str) -> bool {
    text.len() >= SEALED_BYTES_MIN
        && is_base64(text, |byte| matches!(byte, b'+' | b'/' | b'-' | b'_'))
}

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
        let long = "QUJD".repeat(80);
        let short = "QUJD".repeat(50);
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
    }

    #[test]
    fn text_in_a_data_url_is_not_a_payload() {
        let payload = "QUJD".repeat(80);
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
