//! JSON web tokens: three parts with dots, of which the first decodes to a JSON header.

use std::ops::Range;

use memchr::memmem;

use super::finding;
use crate::classify::{Finding, decode, examples};

/// Longest header that is decoded, in encoded bytes.
const HEADER_MAX: usize = 1024;
/// Fewest bytes of a payload or a signature.
const PART_MIN: usize = 8;
/// Names that only a token's header has.
const NAMES: [&[u8]; 6] = [b"\"alg\"", b"\"typ\"", b"\"kid\"", b"\"enc\"", b"\"jku\"", b"\"cty\""];

/// Adds the tokens in one token run. Every part between two dots is decoded at most once.
pub(super) fn scan(text: &str, run: &Range<usize>, out: &mut Vec<Finding>) {
    let Some(token) = text.get(run.clone()) else { return };
    let mut from = 0;
    while let Some(found) = token.get(from..).and_then(|rest| rest.find("eyJ")) {
        let start = from + found;
        let rest = token.get(start..).unwrap_or_default();
        let Some(dot) = memchr::memchr(b'.', rest.as_bytes()) else { return };
        let header = rest.get(..dot).unwrap_or_default();
        from = start + dot + 1;
        if header.len() > HEADER_MAX || !is_header(header) {
            continue;
        }
        if let Some(length) = token_length(rest, dot) {
            let span = run.start + start..run.start + start + length;
            let example = examples::is_documented(text.get(span.clone()).unwrap_or_default());
            out.push(Finding { example, ..finding("credential/jwt", span, 95, "prefix") });
            from = start + length;
        }
    }
}

/// The length of the token at the beginning of `text`, whose header ends at `dot`: header, payload and, unless it is
/// cut, what follows (one part when signed, three when encrypted).
fn token_length(text: &str, dot: usize) -> Option<usize> {
    let mut parts = text.get(dot + 1..)?.split(['.', '~']);
    let payload = parts.next()?;
    if payload.len() < PART_MIN {
        return None;
    }
    let mut length = dot + 1 + payload.len();
    for part in parts.take(3) {
        if part.len() < PART_MIN && !part.is_empty() {
            break;
        }
        length += 1 + part.len();
    }
    Some(length.min(text.len()))
}

/// Whether the part decodes to something that begins like a JSON header and names an algorithm or a type.
fn is_header(part: &str) -> bool {
    let decoded = decode::base64(part.as_bytes());
    decoded.starts_with(b"{\"") && NAMES.iter().any(|name| memmem::find(&decoded, name).is_some())
}
