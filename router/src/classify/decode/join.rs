//! Values in pieces: string concatenation, wrapped lines, letters with spaces between them, addresses in words, halves
//! that are announced as such.

use super::{line_around, view::View};
use crate::classify::candidates::Candidates;

/// Bytes before and after a trigger that are joined with it.
const BEFORE: usize = 256;
const AFTER: usize = 1024;
/// Most pieces of a wrapped value.
const LINES_MAX: usize = 64;

/// Calls `read` with every window in which pieces are joined.
pub(super) fn views(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    let mut done = 0;
    for &hit in &candidates.joints {
        if hit < done {
            continue;
        }
        if hit_is_word(text, hit) {
            let window = line_around(text, hit, 80, 80);
            done = window.end.max(hit + 1);
            words(text, window.start, window.end, read);
        } else if joint(text, hit).is_some() {
            let start = line_around(text, hit, BEFORE, 0).start;
            let end = text.floor_char_boundary((hit + AFTER).min(text.len()));
            done = end.max(hit + 1);
            pieces(text, start, end, read);
        }
    }
}

/// Whether the trigger is a spelled-out dot.
fn hit_is_word(text: &str, at: usize) -> bool {
    matches!(text.as_bytes().get(at), Some(b' ' | b'[' | b'(' | b'{'))
}

/// Copies a window without its joints; stops at the first line that has none after one that had.
fn pieces(text: &str, start: usize, end: usize, read: &mut impl FnMut(View)) {
    let mut view = View::at(start);
    let mut at = start;
    let mut joints = 0;
    let mut since = 0;
    while at < end {
        let Some(c) = text.get(at..end).and_then(|rest| rest.chars().next()) else { break };
        if matches!(c, '"' | '\'' | '`' | '\\')
            && let Some(length) = joint(text, at)
        {
            at += length;
            joints += 1;
            since = 0;
            continue;
        }
        since += usize::from(c == '\n');
        if joints > 0 && since > 0 {
            break;
        }
        view.push(c, at..at + c.len_utf8());
        at += c.len_utf8();
    }
    if joints > 0 {
        read(view);
    }
}

/// The length of the joint at `at`: closing quote, operator, opening quote; or a line continuation inside a word.
fn joint(text: &str, at: usize) -> Option<usize> {
    let rest = text.as_bytes().get(at..)?;
    let quote = *rest.first()?;
    if quote == b'\\' {
        let before = at.checked_sub(1).and_then(|at| text.as_bytes().get(at))?;
        let blank = rest.iter().skip(2).take(32).take_while(|b| matches!(b, b' ' | b'\t')).count();
        let after = rest.get(2 + blank)?;
        let inside = before.is_ascii_alphanumeric() && after.is_ascii_alphanumeric() && blank == 0;
        return (rest.get(1) == Some(&b'\n') && inside).then_some(2);
    }
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let blanks = |from: usize| {
        rest.iter()
            .skip(from)
            .take(40)
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'\\'))
            .count()
    };
    let mut end = 1 + blanks(1);
    let operator = matches!(rest.get(end), Some(b'+' | b'.' | b'&'));
    if operator {
        end += 1;
        end += blanks(end);
    } else if end == 1 {
        return None;
    }
    (rest.get(end) == Some(&quote)).then_some(end + 1)
}

/// Joins the last word before the line of an announcement such as `second half:` to the first word after it.
pub(super) fn halves(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    let in_half = |c: char| c.is_ascii_graphic() && !"\"'`,;()<>".contains(c);
    for &op in &candidates.halves {
        let line = line_around(text, op, 80, 0).start;
        let low = text.floor_char_boundary(line.saturating_sub(BEFORE));
        let before = text.get(low..line).unwrap_or_default().trim_end_matches(|c| !in_half(c));
        let first = before.rsplit(|c| !in_half(c)).next().unwrap_or_default();
        let high = text.ceil_char_boundary((op + BEFORE).min(text.len()));
        let after = text.get(op..high).unwrap_or_default();
        let rest = after.trim_start_matches(|c: char| c.is_whitespace() || ":=\"'`".contains(c));
        let second = rest.split(|c| !in_half(c)).next().unwrap_or_default();
        if first.len() < 4 || second.len() < 4 {
            continue;
        }
        let from = low + before.len() - first.len();
        let mut view = View::at(from);
        view.copy(first, from);
        view.copy(second, op + after.len() - rest.len());
        read(view);
    }
}

/// Writes `name [at] host dot com` as an address.
fn words(text: &str, start: usize, end: usize, read: &mut impl FnMut(View)) {
    const WORDS: [(&str, char); 14] = [
        (" [at] ", '@'),
        (" (at) ", '@'),
        ("[at]", '@'),
        ("(at)", '@'),
        (" {at} ", '@'),
        (" AT ", '@'),
        (" at ", '@'),
        (" [dot] ", '.'),
        (" (dot) ", '.'),
        ("[dot]", '.'),
        ("(dot)", '.'),
        (" dot ", '.'),
        (" DOT ", '.'),
        (" {dot} ", '.'),
    ];
    let mut view = View::at(start);
    let mut at = start;
    while let Some(rest) = text.get(at..end) {
        let Some(c) = rest.chars().next() else { break };
        let word = WORDS.iter().find(|(word, _)| rest.starts_with(word));
        let (c, length) = word.map_or((c, c.len_utf8()), |(word, c)| (*c, word.len()));
        view.push(c, at..at + length);
        at += length;
    }
    if view.text().contains('@') {
        read(view);
    }
}

/// Joins token runs on neighbouring lines of the same length (the last may be shorter).
pub(super) fn wrapped(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    let bytes = text.as_bytes();
    let mut rest = candidates.tokens.as_slice();
    while let Some(first) = rest.first() {
        let mut count = 1;
        while let (Some(last), Some(next)) = (rest.get(count - 1), rest.get(count)) {
            if next.start - last.end >= 40
                || next.len() > first.len()
                || count >= LINES_MAX
                || !breaks_line(bytes, last.end, next.start)
            {
                break;
            }
            count += 1;
            if next.len() < first.len() {
                break;
            }
        }
        let (lines, more) = rest.split_at_checked(count).unwrap_or_default();
        rest = more;
        if lines.len() < 2 || first.len() > 100 {
            continue;
        }
        let from = lines.first().map_or(0, |line| line.start);
        let start = text.floor_char_boundary(from.saturating_sub(48));
        let mut view = View::at(start);
        view.copy(text.get(start..from).unwrap_or_default().trim_end_matches('\n'), start);
        for line in lines {
            view.copy(text.get(line.clone()).unwrap_or_default(), line.start);
        }
        let last = lines.last().map_or(0, |line| line.end);
        let tail = bytes.get(last..).unwrap_or_default();
        let blank = tail.iter().take(20).take_while(|b| b.is_ascii_whitespace()).count();
        let more = tail
            .iter()
            .skip(blank)
            .take(first.len())
            .take_while(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'+' | b'/')
            })
            .count();
        if blank > 0 && more > 0 {
            let from = last + blank;
            view.copy(text.get(from..from + more).unwrap_or_default(), from);
        }
        read(view);
    }
}

/// Whether nothing but blanks stands between two offsets, and a line end among them.
fn breaks_line(bytes: &[u8], from: usize, to: usize) -> bool {
    let gap = bytes.get(from..to).unwrap_or_default();
    gap.iter().all(u8::is_ascii_whitespace) && gap.contains(&b'\n')
}

/// Removes the spaces between single characters.
pub(super) fn spaced(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    for run in &candidates.spaced {
        let start = text.floor_char_boundary(run.start.saturating_sub(48));
        let mut view = View::at(start);
        view.copy(text.get(start..run.start).unwrap_or_default(), start);
        for (at, c) in
            text.get(run.clone()).unwrap_or_default().char_indices().filter(|(_, c)| *c != ' ')
        {
            view.push(c, run.start + at..run.start + at + 1);
        }
        read(view);
    }
}
