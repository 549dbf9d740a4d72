//! The canonical request: the one spelling of a request that both sides of a signature agree on.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, header};

use super::{Plan, Unsigned};

/// Longest name of a service or region, bytes.
const WORD_BYTES_MAX: usize = 64;

/// Headers that proxies change on the way; a signature over them would break.
const CHANGED: [HeaderName; 9] = [
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
    header::VIA,
];

/// The names of the headers that are signed, and the canonical request over them. `added` come with the signature.
pub(super) fn request(
    plan: &Plan,
    request: &Unsigned<'_>,
    added: &[(HeaderName, HeaderValue)],
    payload: &str,
) -> (String, String) {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let headers = headers(plan, request, added);
    let names = headers.keys().copied().collect::<Vec<_>>().join(";");
    let mut text = format!("{}\n{}\n{}\n", request.method, uri(plan, path), parameters(query));
    for (name, value) in &headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&names);
    text.push('\n');
    text.push_str(payload);
    (names, text)
}

/// The signed headers by name: `host`, the content's type and hash, all of `x-amz-`, and what the caller signed.
fn headers<'r>(
    plan: &'r Plan,
    request: &'r Unsigned<'_>,
    added: &'r [(HeaderName, HeaderValue)],
) -> BTreeMap<&'r str, String> {
    let mut all = BTreeMap::from([("host", trimmed(request.authority.as_bytes()))]);
    for name in request.headers.keys() {
        let wanted = name.as_str().starts_with("x-amz-")
            || *name == header::CONTENT_TYPE
            || plan.signed.contains(name);
        if wanted && !CHANGED.contains(name) && *name != header::HOST {
            let values = request.headers.get_all(name).iter();
            let values: Vec<_> = values.map(|value| trimmed(value.as_bytes())).collect();
            all.insert(name.as_str(), values.join(","));
        }
    }
    for (name, value) in added {
        all.insert(name.as_str(), trimmed(value.as_bytes()));
    }
    all
}

/// A header's value without outer blanks, and with one blank for several.
fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The path: S3 takes each segment escaped once, every other service what is sent escaped again.
fn uri(plan: &Plan, path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        if plan.service == "s3" {
            escape(&decoded(segment), &mut out);
        } else {
            escape(segment.as_bytes(), &mut out);
        }
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

/// The parameters, escaped and in order.
fn parameters(query: &str) -> String {
    let normal = |text: &str| {
        let mut out = String::with_capacity(text.len());
        escape(&decoded(text), &mut out);
        out
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    let mut pairs: Vec<(String, String)> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (normal(name), normal(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Escapes all but unreserved characters, with capitals.
fn escape(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([*byte]));
        }
    }
}

/// Undoes `%XX`; what is no escape stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let value =
            digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        if let Some(value) = value.filter(|_| *first == b'%') {
            out.push(value);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// Whether a text can be the name of a service or region.
pub(super) fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}
