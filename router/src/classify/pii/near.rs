//! What the words around a value say about it: on its line, in the keys before it, in the header of its column.

use memchr::{memchr_iter, memrchr};

use super::{
    cue::{self, Cue},
    lex::{Hit, Lexed},
};

/// A cue this near counts whatever stands between.
pub(crate) const NEAR: usize = 44;
/// A cue this near counts for a quoted value when no other identifier's cue is nearer.
const QUOTED: usize = 150;
/// Most cues that are kept for a value.
const CUES_MAX: usize = 8;
/// Bytes between two words that may mean more together.
const PAIR_GAP_MAX: usize = 5;
/// How far up a header is looked for.
const HEADER_BYTES_MAX: usize = 2_048;

/// The cues for one value, nearest first, with their distance in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Near {
    cues: [Option<(Cue, usize)>; CUES_MAX],
}

/// How far before a value a cue counts.
pub(crate) fn reach(quoted: bool) -> usize {
    if quoted { QUOTED } else { NEAR }
}

impl Near {
    fn collect(hits: impl Iterator<Item = Hit>, distance: impl Fn(&Hit) -> usize) -> Self {
        let mut near = Self::default();
        let mut hits = hits.peekable();
        if hits.peek().is_none() {
            return near;
        }
        let mut slots = near.cues.iter_mut();
        while let Some(hit) = hits.next() {
            let both = hits.peek().and_then(|first| {
                let adjacent = hit.start.saturating_sub(first.end) <= PAIR_GAP_MAX;
                adjacent.then(|| cue::pair(first.cue, hit.cue)).flatten()
            });
            if both.is_some() {
                hits.next();
            }
            let Some(slot) = slots.next() else { break };
            *slot = Some((both.unwrap_or(hit.cue), distance(&hit)));
        }
        near
    }

    /// The cues before the value at `start`; farther ones only when the value is `quoted`.
    pub(crate) fn before(lexed: &Lexed, start: usize, quoted: bool) -> Self {
        Self::collect(lexed.before(start, reach(quoted)).copied(), |hit| {
            start.saturating_sub(hit.end)
        })
    }

    /// The cues, nearest first.
    pub(crate) fn cues(&self) -> impl Iterator<Item = (Cue, usize)> {
        self.cues.iter().copied().map_while(|cue| cue)
    }

    /// Whether `cue` stands not more than `reach` bytes away.
    pub(crate) fn has(&self, cue: Cue, reach: usize) -> bool {
        self.cues().any(|(found, distance)| found == cue && distance <= reach)
    }

    /// Whether there is no cue.
    pub(crate) fn is_empty(&self) -> bool {
        self.cues.first().is_none_or(Option::is_none)
    }
}

/// The header of the table that the scan is in, remembered from row to row.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    header: Option<Header>,
    /// Rows that begin before this offset belong to the remembered answer.
    valid_to: usize,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    start: usize,
    end: usize,
    delimiter: u8,
}

impl Columns {
    /// The cues in the header cell above the value at `at`, when the value stands in a delimited row.
    pub(crate) fn cues(&mut self, lexed: &Lexed, text: &[u8], at: usize) -> Near {
        if lexed.hits.is_empty() {
            return Near::default();
        }
        let window = at.saturating_sub(HEADER_BYTES_MAX);
        let head = text.get(window..at).unwrap_or_default();
        let Some(line) = memrchr(b'\n', head).map(|found| window + found + 1) else {
            return Near::default();
        };
        if line > self.valid_to || self.valid_to == 0 {
            self.header = find_header(lexed, text, line, at);
        }
        let ahead = text.get(at..text.len().min(at + HEADER_BYTES_MAX)).unwrap_or_default();
        let end = memchr::memchr(b'\n', ahead).map_or(at + ahead.len(), |found| at + found + 1);
        self.valid_to = end;
        let Some(header) = self.header else { return Near::default() };
        let row = text.get(line..at).unwrap_or_default();
        let column = memchr_iter(header.delimiter, row).count();
        cell(lexed, text, header, column)
    }
}

/// The line above that names the columns: with the row's delimiter, as many cells, and a cue.
fn find_header(lexed: &Lexed, text: &[u8], line: usize, at: usize) -> Option<Header> {
    let ahead = text.get(at..text.len().min(at + HEADER_BYTES_MAX)).unwrap_or_default();
    let end = memchr::memchr(b'\n', ahead).map_or(at + ahead.len(), |n| at + n);
    let row = text.get(line..end.min(line + HEADER_BYTES_MAX)).unwrap_or_default();
    let delimiter =
        *b",\t;|".iter().find(|delimiter| memchr_iter(**delimiter, row).take(2).count() == 2)?;
    let cells = memchr_iter(delimiter, row).count();
    let floor = line.saturating_sub(HEADER_BYTES_MAX);
    let mut end = line.checked_sub(1)?;
    let mut best = None;
    for _ in 0..12 {
        let above = text.get(floor..end).unwrap_or_default();
        let start = memrchr(b'\n', above).map_or(floor, |found| floor + found + 1);
        let count = memchr_iter(delimiter, text.get(start..end).unwrap_or_default()).count();
        let named = text
            .get(start..end)
            .is_some_and(|line| line.iter().filter(|b| b.is_ascii_digit()).take(4).count() < 4);
        if named && count.abs_diff(cells) <= 1 && lexed.after(start, end - start).next().is_some() {
            best = Some(Header { start, end, delimiter });
        }
        if start == floor || count == 0 {
            break;
        }
        end = start - 1;
    }
    best
}

/// The cues inside one cell of the header.
fn cell(lexed: &Lexed, text: &[u8], header: Header, column: usize) -> Near {
    let line = text.get(header.start..header.end).unwrap_or_default();
    let mut bounds = memchr_iter(header.delimiter, line);
    let from = match column.checked_sub(1) {
        None => header.start,
        Some(skip) => match bounds.nth(skip) {
            Some(at) => header.start + at + 1,
            None => return Near::default(),
        },
    };
    let to = bounds.next().map_or(header.end, |at| header.start + at);
    Near::collect(lexed.before(to, to - from).copied().filter(|hit| hit.start >= from), |_| 1)
}
