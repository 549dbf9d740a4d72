//! Addresses that hold a password: `scheme://user:password@host`, and `https://token@host`.

use super::{finding, is_dummy, looks_random};
use crate::classify::{
    Finding,
    candidates::{Candidates, slice},
    generic::placeholder,
};

/// Longest part before the host that is read.
const AUTHORITY_MAX: usize = 400;

/// Adds the password of every address.
pub(super) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for &colon in &candidates.schemes {
        let start = colon + "://".len();
        // Most addresses name no user: their host ends before any `@`.
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        let telling = |byte: &&u8| {
            matches!(byte, b'/' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'?' | b'#' | b'\\' | b'@')
                || **byte <= b' '
                || **byte >= 0x80
        };
        if rest
            .iter()
            .take(AUTHORITY_MAX)
            .find(telling)
            .is_some_and(|b| matches!(b, b'\n' | b' '..=b'?' | b'\\' | b'`'))
        {
            continue;
        }
        let window = slice(text, start..start.saturating_add(AUTHORITY_MAX));
        let end = window
            .find(|c: char| {
                c.is_whitespace()
                    || matches!(c, '/' | '"' | '\'' | '`' | '<' | '>' | '?' | '#' | '\\')
            })
            .unwrap_or(window.len());
        let Some(at) = window.get(..end).and_then(|authority| authority.rfind('@')) else {
            continue;
        };
        let Some(user) = window.get(..at) else { continue };
        match user.split_once(':') {
            Some((name, password)) if is_password(name, password) => {
                let from = start + name.len() + 1;
                let label = scheme_label(text, colon);
                out.push(finding(label, from..start + at, 85, "context"));
            }
            None if user.len() >= 20 && looks_random(user.as_bytes()) => {
                out.push(finding("credential/url-token", start..start + at, 80, "context"));
            }
            _ => {}
        }
    }
}

/// Whether what stands before the `@` is a password and not a stand-in for one.
fn is_password(name: &str, password: &str) -> bool {
    const WORDS: [&str; 9] =
        ["pass", "password", "pwd", "pw", "passwd", "secret", "token", "user", "p"];
    const NAMES: [&str; 6] = ["user", "username", "u", "usr", "login", "name"];
    let (name, word) = (name.to_ascii_lowercase(), password.to_ascii_lowercase());
    let stand_in = WORDS.contains(&word.as_str()) && NAMES.contains(&name.as_str());
    password.len() >= 3 && !placeholder(password) && !is_dummy(password.as_bytes()) && !stand_in
}

/// Addresses of databases and brokers are connection strings; others carry basic authentication.
fn scheme_label(text: &str, colon: usize) -> &'static str {
    let before = slice(text, colon.saturating_sub(8)..colon);
    if before.ends_with("http")
        || before.ends_with("https")
        || before.ends_with("ftp")
        || before.ends_with("git")
        || before.ends_with("ssh")
    {
        "credential/basic-auth"
    } else {
        "credential/connection-string"
    }
}
