//! A request's path in the one form that is judged and forwarded.
//!
//! Escapes of plain characters are undone, the others written in capitals; dot segments are resolved, doubled
//! slashes collapsed, `;parameters` dropped. What servers read in different ways is refused instead: control
//! characters, backslashes, encoded slashes (unless an endpoint takes them) and what a second decoding would turn
//! into one of these.
//!
//! Invariant: the canonical form of a canonical path is itself, and no segment of it is `.` or `..`.

use std::{borrow::Cow, fmt};

use thiserror::Error;

/// Longest path, bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("the path has more than {PATH_BYTES_MAX} bytes")]
    Long,
    /// Does not begin with a slash.
    #[error("the path must begin with '/'")]
    Relative,
    /// A `%` without two hexadecimal digits.
    #[error("the path holds a '%' without two hexadecimal digits")]
    Escape,
    /// A control character, a character outside ASCII, or the begin of a query or fragment.
    #[error("the path holds a character that cannot stand in one")]
    Character,
    /// `%2F` where no endpoint takes it.
    #[error(
        "the path holds an encoded slash (%2F); set allow_encoded_slash on the endpoint to take it"
    )]
    EncodedSlash,
    /// Servers disagree about it: a backslash, an encoded semicolon, dots beside an encoded slash, double encoding.
    #[error("the path holds something that servers read in different ways")]
    Ambiguous,
    /// The escapes spell no UTF-8.
    #[error("the path is not UTF-8 once its escapes are undone")]
    Text,
    /// More `..` than there are segments.
    #[error("the path climbs above its root")]
    Escapes,
}

/// Whether `%2F` may stand in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// It is refused.
    #[default]
    Refuse,
    /// It is kept, as part of its segment.
    Keep,
}

/// A canonical path; ASCII. Borrowed where the path was canonical already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'r> {
    text: Cow<'r, str>,
    /// The path as it reads with `%2F` undone, where one was kept.
    decoded: Option<Box<str>>,
}

impl<'r> CanonicalPath<'r> {
    /// The canonical form of a path without query and fragment.
    ///
    /// # Errors
    /// What servers could read in different ways, and what is no path.
    pub fn new(raw: &'r str, slash: EncodedSlash) -> Result<Self, PathError> {
        if raw.len() > PATH_BYTES_MAX {
            return Err(PathError::Long);
        }
        if !raw.starts_with('/') {
            return Err(PathError::Relative);
        }
        if is_canonical(raw) {
            return Ok(Self { text: Cow::Borrowed(raw), decoded: None });
        }
        let spelled = respell(raw.as_bytes(), slash)?;
        let text = resolve(&spelled)?;
        let decoded = text.contains("%2F").then(|| text.replace("%2F", "/").into());
        Ok(Self { text: Cow::Owned(text), decoded })
    }

    /// The path that is judged and forwarded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path as a server that undoes `%2F` early would read it, where that differs.
    pub fn with_slashes(&self) -> Option<&str> {
        self.decoded.as_deref()
    }
}

impl fmt::Display for CanonicalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// What stands in a path as it is: unreserved characters and the delimiters without a meaning of their own
/// (RFC 3986, section 3.3), but `;`.
pub(crate) fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'&'..=b':' | b'_' | b'~' | b'!' | b'$' | b'=')
}

/// Whether nothing has to be done; the common case, decided without a copy.
fn is_canonical(raw: &str) -> bool {
    let dots = |segment: &str| matches!(segment, "." | "..");
    raw.bytes().all(is_plain) && !raw.contains("//") && !raw.split('/').any(dots)
}

/// Undoes the escapes that mean nothing, writes the others in capitals, drops parameters.
fn respell(raw: &[u8], slash: EncodedSlash) -> Result<String, PathError> {
    let mut out = String::with_capacity(raw.len().saturating_add(16));
    let mut meaning = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().enumerate();
    let mut parameter = false;
    while let Some((at, byte)) = bytes.next() {
        if byte == b'/' {
            parameter = false;
        }
        if byte.is_ascii_control() || !byte.is_ascii() || matches!(byte, b'?' | b'#') {
            return Err(PathError::Character);
        }
        if byte == b'\\' {
            return Err(PathError::Ambiguous);
        }
        if byte == b'%' {
            let value = escaped(raw, at).ok_or(PathError::Escape)?;
            let _skipped = bytes.nth(1);
            check_escape(value, slash)?;
            if !parameter {
                meaning.push(value);
                push(&mut out, value, is_plain(value) && value != b'/');
            }
        } else if byte == b';' {
            parameter = true;
        } else if !parameter {
            meaning.push(byte);
            push(&mut out, byte, is_plain(byte));
        }
    }
    check_meaning(&meaning)?;
    Ok(out)
}

/// Refuses what is no text, and escapes that only a second decoding would see, also where their digits were
/// escaped themselves.
fn check_meaning(meaning: &[u8]) -> Result<(), PathError> {
    let text = std::str::from_utf8(meaning).map_err(|_| PathError::Text)?;
    let hidden = |(at, _): (usize, &str)| escaped(meaning, at).is_some_and(is_hiding);
    if text.match_indices('%').any(hidden) { Err(PathError::Ambiguous) } else { Ok(()) }
}

/// Whether a byte that only a second decoding would see changes what the path means.
fn is_hiding(byte: u8) -> bool {
    matches!(byte, b'.' | b'/' | b'\\' | b'%' | b';') || byte.is_ascii_control()
}

/// Refuses escapes that some servers would not take for data.
fn check_escape(value: u8, slash: EncodedSlash) -> Result<(), PathError> {
    match value {
        b'/' if slash == EncodedSlash::Refuse => Err(PathError::EncodedSlash),
        b'\\' | b';' => Err(PathError::Ambiguous),
        _ if value.is_ascii_control() => Err(PathError::Character),
        _ => Ok(()),
    }
}

/// The byte that `%XX` at `at` stands for.
fn escaped(raw: &[u8], at: usize) -> Option<u8> {
    hex(raw.get(at.checked_add(1)?..)?)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Writes a byte as it is, or escaped.
pub(crate) fn push(out: &mut String, byte: u8, plain: bool) {
    if plain {
        out.push(char::from(byte));
    } else {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
        out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Resolves dot segments and collapses slashes.
fn resolve(spelled: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = true;
    for segment in spelled.split('/').skip(1) {
        folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop().ok_or(PathError::Escapes)?;
            }
            _ if segment.split("%2F").any(|part| matches!(part, "." | "..")) => {
                return Err(PathError::Ambiguous);
            }
            _ => kept.push(segment),
        }
    }
    let mut text = String::with_capacity(spelled.len());
    for segment in &kept {
        text.push('/');
        text.push_str(segment);
    }
    if folder || kept.is_empty() {
        text.push('/');
    }
    if text.len() > PATH_BYTES_MAX { Err(PathError::Long) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Result<String, PathError> {
        CanonicalPath::new(raw, EncodedSlash::Refuse).map(|path| path.to_string())
    }

    #[test]
    fn what_means_the_same_is_written_the_same() {
        let cases = [
            ("/", "/"),
            ("/v1/chat", "/v1/chat"),
            ("/v1/../admin", "/admin"),
            ("/v1/%2e%2E/admin", "/admin"),
            ("/v1/.%2e/admin", "/admin"),
            ("//admin", "/admin"),
            ("/a//b///c/", "/a/b/c/"),
            ("/v1/;x", "/v1/"),
            ("/v1;a=b;c/x", "/v1/x"),
            ("/a/..;x/b", "/b"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/%61%2D%7e", "/a-~"),
            ("/%40scope", "/@scope"),
            ("/a%20b", "/a%20b"),
            ("/%c3%bc", "/%C3%BC"),
            ("/a%3fb%23c", "/a%3Fb%23c"),
            ("/100%25", "/100%25"),
            ("/a|b", "/a%7Cb"),
            ("/...", "/..."),
        ];
        for (raw, expected) in cases {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
            assert_eq!(canonical(expected).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_refused() {
        let cases = [
            ("", PathError::Relative),
            ("*", PathError::Relative),
            ("http://a/b", PathError::Relative),
            ("/..", PathError::Escapes),
            ("/a/../../b", PathError::Escapes),
            ("/%2e%2e/%2e%2e/etc", PathError::Escapes),
            ("/a%2Fb", PathError::EncodedSlash),
            ("/a%2fb", PathError::EncodedSlash),
            ("/a\\b", PathError::Ambiguous),
            ("/a%5cb", PathError::Ambiguous),
            ("/a%3bb", PathError::Ambiguous),
            ("/a/%252e%252e/b", PathError::Ambiguous),
            ("/a%252fb", PathError::Ambiguous),
            ("/%252525", PathError::Ambiguous),
            ("/%252%352", PathError::Ambiguous),
            ("/%25%32%65", PathError::Ambiguous),
            ("/a%00", PathError::Character),
            ("/a%0d%0ab", PathError::Character),
            ("/a%7f", PathError::Character),
            ("/a\tb", PathError::Character),
            ("/ü", PathError::Character),
            ("/a?b", PathError::Character),
            ("/a#b", PathError::Character),
            ("/%", PathError::Escape),
            ("/%4", PathError::Escape),
            ("/%zz", PathError::Escape),
            ("/a;%2f", PathError::EncodedSlash),
            ("/%c0%ae%c0%ae/x", PathError::Text),
            ("/%ff", PathError::Text),
        ];
        for (raw, expected) in cases {
            assert_eq!(canonical(raw), Err(expected), "{raw}");
        }
        assert_eq!(canonical(&format!("/{}", "a".repeat(4096))), Err(PathError::Long));
        assert!(canonical(&format!("/{}", "a".repeat(4095))).is_ok());
        assert_eq!(canonical(&format!("/{}", "|".repeat(2000))), Err(PathError::Long));
    }

    #[test]
    fn an_encoded_slash_is_kept_where_it_may_be_and_hides_no_dots() {
        let keep = |raw| CanonicalPath::new(raw, EncodedSlash::Keep);
        let path = keep("/@scope%2fname/x").unwrap();
        assert_eq!(path.as_str(), "/@scope%2Fname/x");
        assert_eq!(path.with_slashes(), Some("/@scope/name/x"));
        assert_eq!(keep("/a/x%2F..%2Fb"), Err(PathError::Ambiguous));
        assert_eq!(keep("/a/%2e%2e%2fb"), Err(PathError::Ambiguous));
        assert_eq!(keep("/a/b").unwrap().with_slashes(), None);
    }

    #[test]
    fn a_canonical_path_is_not_copied() {
        let path = CanonicalPath::new("/v1/chat/completions", EncodedSlash::Refuse).unwrap();
        assert!(matches!(path.text, Cow::Borrowed(_)));
    }
}
