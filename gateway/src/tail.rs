//! Lines of a file that others append to and move aside when it is large, from one place on.
//!
//! A file is known by its first line, wherever it was moved to: names change, and numbers of files come again. Not here: what the
//! lines mean. Invariants: a line is given once it is whole; what is read at once is bounded; everything here blocks.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use domain::limits::AUDIT_LINE_BYTES_MAX;
use sha2::{Digest as _, Sha256};

/// How much of its first line a file is known by, bytes.
const FIRST_BYTES_MAX: usize = 4096;

/// A place in one of the files: behind a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Which file: a part of the hash of its first line.
    file: u64,
    /// How many bytes are before it.
    at: u64,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.file, self.at)
    }
}

impl FromStr for Spot {
    type Err = NoSpot;

    fn from_str(text: &str) -> Result<Self, NoSpot> {
        let (file, at) = text.split_once('-').ok_or(NoSpot)?;
        let file = u64::from_str_radix(file, 16).map_err(|_| NoSpot)?;
        Ok(Self { file, at: at.parse().map_err(|_| NoSpot)? })
    }
}

/// A text that is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no place in a file")]
pub(crate) struct NoSpot;

/// A line and the place behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line without its end; cut where it is longer than 64 KiB.
    pub(crate) text: String,
    /// Where to go on.
    pub(crate) spot: Spot,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whole lines, in order.
    pub(crate) lines: Vec<Line>,
    /// Where to go on; none where there is no line yet.
    pub(crate) spot: Option<Spot>,
    /// Whether what came after the place asked for is no longer there as a whole.
    pub(crate) lost: bool,
    /// Whether more is there already.
    pub(crate) more: bool,
}

/// The files of a name: itself, then those moved aside as `name.1`, `name.2`…
pub(crate) fn numbered(path: &Path, most: usize) -> Vec<PathBuf> {
    let aside = (1..=most).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    std::iter::once(path.to_owned()).chain(aside).collect()
}

/// Lines after `from`, at most about `bytes_max` of them, or from the oldest that is there. `files` are the newest first.
///
/// # Errors
/// When one that is there cannot be read.
pub(crate) fn read(files: &[PathBuf], from: Option<Spot>, bytes_max: usize) -> io::Result<Piece> {
    let mut opened: Vec<(u64, File)> = Vec::new();
    let mut found = false;
    for path in files {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let Some(known) = first(&file)? else { continue };
        // It may have been moved between two looks.
        if opened.iter().all(|(other, _)| *other != known) {
            opened.push((known, file));
        }
        if from.is_some_and(|from| from.file == known) {
            found = true;
            break;
        }
    }
    let lost = from.is_some() && !found && !opened.is_empty();
    let mut piece = Piece { spot: from, lost, ..Piece::default() };
    let mut room = bytes_max;
    while let Some((known, file)) = opened.pop() {
        let mut at = from.filter(|from| found && from.file == known).map_or(0, |from| from.at);
        found = false;
        if at > file.metadata()?.len() {
            (at, piece.lost) = (0, true);
        }
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(at))?;
        loop {
            if room == 0 {
                piece.more = true;
                return Ok(piece);
            }
            let Some((text, length)) = line(&mut reader)? else { break };
            at += length;
            room = room.saturating_sub(usize::try_from(length).unwrap_or(usize::MAX));
            let spot = Spot { file: known, at };
            piece.lines.push(Line { text, spot });
            piece.spot = Some(spot);
        }
    }
    Ok(piece)
}

/// What a file is known by; none for one without a whole line.
fn first(file: &File) -> io::Result<Option<u64>> {
    let mut bytes = [0; FIRST_BYTES_MAX];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    let read = bytes.get(..length).unwrap_or_default();
    let end = read.iter().position(|byte| *byte == b'\n');
    let line = match end {
        Some(end) => read.get(..end).unwrap_or_default(),
        None if length == FIRST_BYTES_MAX => read,
        None => return Ok(None),
    };
    let digest = Sha256::digest(line);
    let beginning = digest.first_chunk::<8>().copied().unwrap_or_default();
    Ok(Some(u64::from_be_bytes(beginning)))
}

/// A whole line and its length with its end.
fn line(reader: &mut BufReader<File>) -> io::Result<Option<(String, u64)>> {
    let most = u64::try_from(AUDIT_LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut length = 0_u64;
    reader.by_ref().take(most + 1).read_until(b'\n', &mut bytes)?;
    length += bytes.len() as u64;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), length)));
    }
    // The rest of a line that is too long is passed over, and never held whole.
    loop {
        let rest = reader.fill_buf()?;
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(rest.len(), |end| end + 1);
        length += used as u64;
        reader.consume(used);
        if end.is_some() {
            bytes.truncate(AUDIT_LINE_BYTES_MAX);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), length)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn texts(piece: &Piece) -> Vec<&str> {
        piece.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_come_once_also_when_the_file_was_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let files = numbered(&folder.path().join("a"), 2);
        assert_eq!(read(&files, None, 100).unwrap(), Piece::default());
        fs::write(&files[0], "one\ntwo\nthr").unwrap();
        let first = read(&files, None, 100).unwrap();
        assert_eq!((texts(&first), first.more, first.lost), (vec!["one", "two"], false, false));
        fs::write(&files[0], "one\ntwo\nthree\n").unwrap();
        fs::rename(&files[0], &files[1]).unwrap();
        // The next file may be there without a line.
        fs::write(&files[0], "").unwrap();
        let second = read(&files, first.spot, 100).unwrap();
        assert_eq!(texts(&second), ["three"]);
        assert_eq!(texts(&read(&files, second.spot, 100).unwrap()), [""; 0]);
        fs::write(&files[0], "four\nfive\n").unwrap();
        let third = read(&files, second.spot, 100).unwrap();
        assert_eq!((texts(&third), third.lost), (vec!["four", "five"], false));
        assert_eq!(third.spot.unwrap().to_string().parse(), Ok(third.spot.unwrap()));
        // Somebody who was away for too long is told so, and begins with the oldest.
        let none = "0000000000000007-3".parse().unwrap();
        let lost = read(&files, Some(none), 100).unwrap();
        assert_eq!((texts(&lost).len(), lost.lost), (5, true));
    }

    #[test]
    fn what_is_read_at_once_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let files = numbered(&folder.path().join("a"), 0);
        let long = "x".repeat(3 * AUDIT_LINE_BYTES_MAX);
        fs::write(&files[0], format!("one\n{long}\nthree\n")).unwrap();
        let first = read(&files, None, 2).unwrap();
        assert_eq!((texts(&first), first.more), (vec!["one"], true));
        let second = read(&files, first.spot, 2).unwrap();
        assert_eq!((second.lines[0].text.len(), second.lines.len()), (AUDIT_LINE_BYTES_MAX, 1));
        let third = read(&files, second.spot, 100).unwrap();
        assert_eq!((texts(&third), third.more), (vec!["three"], false));
    }
}
