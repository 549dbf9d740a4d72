//! Base64, base64url and hex in token runs.

use std::ops::Range;

use super::view::View;
use crate::classify::candidates::Candidates;

/// Shortest run that is decoded.
const RUN_MIN: usize = 20;
/// Source bytes per view: long runs are decoded in pieces. A multiple of four.
const PIECE: usize = 32 * 1024;

/// Calls `read` with the decoded form of every run that decodes to text.
pub(super) fn views(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    for run in candidates.tokens.iter().filter(|run| run.len() >= RUN_MIN) {
        let Some(token) = text.as_bytes().get(run.clone()) else { continue };
        let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
        let body = token.get(..token.len() - padding).unwrap_or_default();
        let mut from = 0;
        for end in memchr::memchr3_iter(b'=', b'.', b'~', body).chain([body.len()]) {
            decode_piece(body.get(from..end).unwrap_or_default(), run.start + from, read);
            from = end + 1;
        }
    }
}

/// Decodes one piece that begins at `start` in the source, if it decodes to text.
fn decode_piece(piece: &[u8], start: usize, read: &mut impl FnMut(View)) {
    if piece.len() < RUN_MIN
        || piece.len() <= PIECE && !begins_text(piece.get(..12).unwrap_or(piece)) && !is_hex(piece)
    {
        return;
    }
    for (at, part) in piece.chunks(PIECE).enumerate() {
        let from = start + at * PIECE;
        let head = part.get(..12).unwrap_or(part);
        if begins_text(head) {
            read_bytes(
                &base64(part),
                |at| at * 4 / 3..((at + 1) * 4).div_ceil(3),
                (from, part.len()),
                read,
            );
        }
        // Every second digit of text in hex is from 2 to 7, or it is a line end.
        let high = part.first().is_some_and(|byte| matches!(byte, b'0' | b'2'..=b'7'));
        if piece.len() >= 32
            && high
            && part.iter().all(u8::is_ascii_hexdigit)
            && printable(&hex(head))
        {
            read_bytes(&hex(part), |at| at * 2..at * 2 + 2, (from, part.len()), read);
        }
    }
}

/// Whether a piece may be text in hex.
#[inline]
fn is_hex(piece: &[u8]) -> bool {
    piece.len() >= 32
        && matches!(piece, [b'0' | b'2'..=b'7', ..])
        && piece.iter().all(u8::is_ascii_hexdigit)
}

/// Makes a view of decoded bytes when they are text; `place` gives the source bytes of each of them.
fn read_bytes(
    bytes: &[u8],
    place: impl Fn(usize) -> Range<usize>,
    (from, length): (usize, usize),
    read: &mut impl FnMut(View),
) {
    let Ok(decoded) = std::str::from_utf8(bytes) else { return };
    let odd = decoded
        .bytes()
        .filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
        .count();
    if odd > 0 || decoded.len() < 8 {
        return;
    }
    let mut view = View::at(from);
    for (at, c) in decoded.char_indices() {
        let (first, last) = (place(at), place(at + c.len_utf8() - 1));
        view.push(c, from + first.start..from + last.end.min(length));
    }
    read(view);
}

/// Whether base64 begins with three groups of ASCII text.
#[inline]
fn begins_text(head: &[u8]) -> bool {
    head.as_chunks::<4>().0.iter().all(|group| {
        let mut bits = 0_u32;
        for byte in group {
            let Some(value) = sextet(*byte) else { return false };
            bits = bits << 6 | u32::from(value);
        }
        let [_, first, second, third] = bits.to_be_bytes();
        [first, second, third]
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    })
}

/// Whether the first decoded bytes are ASCII text.
fn printable(bytes: &[u8]) -> bool {
    bytes.len() >= 5
        && bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// Decodes base64 in either alphabet up to the first byte that belongs to neither; a cut last group gives what it can.
pub(in crate::classify) fn base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text {
        let Some(value) = sextet(*byte) else { break };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.extend((bits >> held).to_le_bytes().first());
        }
    }
    out
}

/// The value of a base64 digit of either alphabet.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Decodes pairs of hex digits up to the first byte that is none.
fn hex(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    text.as_chunks::<2>()
        .0
        .iter()
        .map_while(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}
