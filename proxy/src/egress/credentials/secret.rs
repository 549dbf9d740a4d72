//! A secret of a provider, and the ways in which it is written into a request. The only file of egress that opens one.
//!
//! Invariant: no byte of a secret is printed; what leaves this file goes into a request to an endpoint that is bound
//! to it, into the search for reflected secrets, or into the key of a signature.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use secrecy::{ExposeSecret, SecretString};

/// Longest secret, bytes.
pub const SECRET_BYTES_MAX: usize = 8192;

/// Why a text cannot be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing remains.
    #[error("it is empty")]
    Empty,
    /// Longer than [`SECRET_BYTES_MAX`].
    #[error("it has more than {SECRET_BYTES_MAX} bytes")]
    Long,
    /// A line end or another control character, which could begin a header of its own.
    #[error("it holds a line end or another control character")]
    Control,
}

/// A secret; zeroed on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes over a text; line ends behind it (of a file) are dropped.
    ///
    /// # Errors
    /// What could not stand in a header.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(SecretError::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::Control);
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }

    /// The secret in the clear.
    pub(in crate::egress) fn open(&self) -> &str {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one exposure of egress: into a request to a bound endpoint"
        )]
        self.0.expose_secret()
    }

    /// Whether it can stand in a path: no part of it could be taken for a segment of its own.
    pub(super) fn fits_path(&self) -> bool {
        !self.open().contains(['/', '\\']) && !self.open().contains("..") && self.open() != "."
    }

    /// Every spelling in which an answer could repeat it, each once.
    pub(in crate::egress) fn spellings(&self) -> Vec<Vec<u8>> {
        let text = self.open();
        let reserved = |byte: u8| b":/?#[]@!$&'()*+,;=".contains(&byte);
        let mut all = vec![
            text.as_bytes().to_vec(),
            percent(text, Hex::Upper, |_| false),
            percent(text, Hex::Lower, |_| false),
            percent(text, Hex::Upper, reserved),
            percent(text, Hex::Upper, |byte| byte == b' '),
            json(text, |_| false, "\\/"),
            json(text, |_| false, "/"),
            json(text, |byte| !byte.is_ascii_alphanumeric(), "/"),
            html(text),
            hex(text, Hex::Lower),
            hex(text, Hex::Upper),
        ];
        let upper: Vec<u8> = unicode_upper(text);
        all.push(upper);
        if let Some(plus) = all.get(4).map(|spelled| replace(spelled, b' ', b'+')) {
            all.push(plus);
        }
        for skip in 0..3 {
            all.extend(inside_base64(text, skip));
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The digits of a hexadecimal number above nine.
#[derive(Clone, Copy)]
enum Hex {
    Upper,
    Lower,
}

fn digit(value: u8, hex: Hex) -> u8 {
    let digits = match hex {
        Hex::Upper => b"0123456789ABCDEF",
        Hex::Lower => b"0123456789abcdef",
    };
    digits.get(usize::from(value & 15)).copied().unwrap_or(b'0')
}

/// `text` as it stands in a path segment or the value of a parameter (RFC 3986, section 2.3).
pub(super) fn encoded(text: &str) -> Vec<u8> {
    percent(text, Hex::Upper, |_| false)
}

/// `text` with escapes for all but unreserved characters and those that `kept` names.
fn percent(text: &str, hex: Hex, kept: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || kept(byte) {
            out.push(byte);
        } else {
            out.extend([b'%', digit(byte >> 4, hex), digit(byte, hex)]);
        }
    }
    out
}

/// `text` within a JSON string; `\uXXXX` for what `escaped` names, and `slash` for a slash.
fn json(text: &str, escaped: impl Fn(u8) -> bool, slash: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(b'/') => out.push_str(slash),
            Ok(byte) if byte.is_ascii() && escaped(byte) => unicode(&mut out, byte, Hex::Lower),
            _ => router::json::escape_into(&mut out, character.encode_utf8(&mut [0; 4])),
        }
    }
    out.into_bytes()
}

/// `\u00XX`
fn unicode(out: &mut String, byte: u8, hex: Hex) {
    out.push_str("\\u00");
    out.extend([digit(byte >> 4, hex), digit(byte, hex)].map(char::from));
}

/// The same with capitals, as some runtimes write `+`, `&` and quotes.
fn unicode_upper(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && "\"&'+<>`".contains(character) {
            unicode(&mut out, u8::try_from(character).unwrap_or_default(), Hex::Upper);
        } else {
            router::json::escape_into(&mut out, character.encode_utf8(&mut [0; 4]));
        }
    }
    out.into_bytes()
}

fn html(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out.into_bytes()
}

fn hex(text: &str, hex: Hex) -> Vec<u8> {
    text.bytes().flat_map(|byte| [digit(byte >> 4, hex), digit(byte, hex)]).collect()
}

fn replace(bytes: &[u8], from: u8, to: u8) -> Vec<u8> {
    bytes.iter().map(|byte| if *byte == from { to } else { *byte }).collect()
}

/// The characters of base64 that only the secret decides when `skip` bytes of a group stand before it, in both
/// alphabets (RFC 4648, sections 4 and 5).
fn inside_base64(text: &str, skip: usize) -> [Vec<u8>; 2] {
    let mut bytes = vec![0; skip];
    bytes.extend_from_slice(text.as_bytes());
    // Of n bytes the first ⌊8n/6⌋ characters are decided; those that the skipped bytes touch are not.
    let decided = bytes.len().saturating_mul(8) / 6;
    let first = skip.saturating_mul(8).div_ceil(6);
    let inside = |text: String| text.as_bytes().get(first..decided).unwrap_or_default().to_vec();
    [inside(STANDARD.encode(&bytes)), inside(URL_SAFE.encode(&bytes))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_printed_and_what_breaks_a_header_is_refused() {
        assert_eq!(format!("{:?}", Secret::new("sk-very-secret\n").unwrap()), "Secret(…)");
        let cases = [
            ("", SecretError::Empty),
            (" \r\n", SecretError::Empty),
            ("a\r\nX-Evil: b", SecretError::Control),
            ("a\0b", SecretError::Control),
            ("a\tb", SecretError::Control),
        ];
        for (text, error) in cases {
            assert_eq!(Secret::new(text).unwrap_err(), error, "{text:?}");
        }
        assert_eq!(Secret::new(&"a".repeat(8193)).unwrap_err(), SecretError::Long);
        assert_eq!(Secret::new("pässword ").unwrap().open(), "pässword ");
    }

    #[test]
    fn a_secret_is_known_in_base64_wherever_it_begins() {
        let secret = Secret::new("sk-0123+/=?\"x").unwrap();
        let spellings = secret.spellings();
        for (before, after) in [("", ""), ("a", "b"), ("ab:", "cd"), ("user:", "x"), ("  ", "zz")] {
            for engine in [&STANDARD, &URL_SAFE] {
                let text = engine.encode(format!("{before}{}{after}", secret.open()));
                let known = spellings.iter().any(|one| text.contains(str::from_utf8(one).unwrap()));
                assert!(known, "{before}…{after}");
            }
        }
    }

    #[test]
    fn the_spellings_of_servers_are_known() {
        let spellings = Secret::new("a+b/c\"d&e f").unwrap().spellings();
        let cases = [
            "a+b/c\"d&e f",
            "a%2Bb%2Fc%22d%26e%20f",
            "a%2bb%2fc%22d%26e%20f",
            "a%2Bb%2Fc%22d%26e+f",
            r#"a+b/c\"d&e f"#,
            r#"a+b\/c\"d&e f"#,
            r"a\u002Bb/c\u0022d\u0026e f",
            "a+b/c&quot;d&amp;e f",
            "612b622f632264266520 66",
        ];
        for case in cases {
            let case = case.replace("20 66", "2066");
            assert!(spellings.contains(&case.clone().into_bytes()), "{case}");
        }
    }
}
