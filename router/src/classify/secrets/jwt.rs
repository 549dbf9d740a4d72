//! JSON web tokens: three parts with dots, of which the first decodes to a JSON header.

use memchr::memmem;

use super::finding;
use crate::classify::{Finding, decode, examples};

/// Longest header that is decoded, in encoded bytes.
const HEADER_MAX: usize = 1024;
/// Fewest bytes of a payload or a signature.
const PART_MIN: usize = 8;
/// Names that only a token's header has.
const NAMES: [&[u8]; 6] = [b"\"alg\"", b"\"typ\"", b"\"kid\"", b"\"enc\"", b"\"jku\"", b"\"cty\""];

/// Reads the token that begins at `start` (with `eyJ`) in a run that ends at `end`. Gives the place from which the next
/// token may begin: parts that were decoded are not decoded again.
pub(super) fn at(text: &str, start: usize, end: usize, out: &mut Vec<Finding>) -> usize {
    let rest = text.get(start..end).unwrap_or_default();
    let head = rest.get(..=HEADER_MAX).unwrap_or(rest);
    let Some(dot) = memchr::memchr(b'.', head.as_bytes()) else { return start + head.len() / 2 };
    let header = rest.get(..dot).unwrap_or_default();
    if !is_header(header) {
        return start + dot + 1;
    }
    let Some(length) = token_length(rest, dot) else { return start + dot + 1 };
    let span = start..start + length;
    let example = examples::is_documented(text.get(span.clone()).unwrap_or_default());
    out.push(Finding { example, ..finding("credential/jwt", span, 95, "prefix") });
    start + length
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
