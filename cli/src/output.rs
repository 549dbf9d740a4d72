//! Writes results: data on standard output, everything else on standard error; a closed pipe is no error.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{Failure, ReaderGone};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Writes `value` in the format asked for; `table` writes it for people.
pub(crate) fn emit<T: Serialize>(
    format: Format,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = match format {
        Format::Table => table(value),
        Format::Json => serde_json::to_string_pretty(value)?,
        Format::Yaml => serde_saphyr::to_string(value)?,
    };
    line(text.trim_end())
}

/// Writes one line, or several, to standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are to standard output.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = results();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Standard output, whose errors tell a reader that has gone from every other pipe that broke.
pub(crate) fn results() -> impl io::Write {
    Results(io::stdout().lock())
}

struct Results(io::StdoutLock<'static>);

impl io::Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told)
    }
}

fn told(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::BrokenPipe => io::Error::new(kind, ReaderGone),
        _ => error,
    }
}

/// Says that standard input is read, where a person would otherwise wonder why nothing happens.
pub(crate) fn awaits(what: &str) {
    if io::stdin().is_terminal() {
        complain(&format!("reading {what} from standard input; end it with Ctrl-D"));
    }
}

/// Writes a message to standard error. There is nobody left to tell if that fails.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    if writeln!(out, "{}", printable(text, true)).is_err() {
        drop(out);
    }
}

/// `text` without characters that a terminal obeys: names that an agent chose are in it. Lines may be kept as they are.
pub(crate) fn printable(text: &str, lines: bool) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !(lines && matches!(c, '\n' | '\t'));
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if obeyed(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// A point in time for tables, of seconds since 1970: `2026-11-25 22:10:03`, in UTC.
pub(crate) fn point(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A table with a head, columns as wide as their widest cell, two blanks between them.
pub(crate) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    let printed = |row: &Vec<String>| {
        row.iter().map(|cell| printable(cell, false).into_owned()).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(printed).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let lines = std::iter::once(&head).chain(&rows).map(|row| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_terminal_obeys_a_name() {
        let name = "a\x1b]0;x\x07\nb";
        assert_eq!(printable(name, false), "a\\u{1b}]0;x\\u{7}\\nb");
        assert_eq!(printable("two\nlines", true), "two\nlines");
        assert_eq!(columns(&["K"], &[vec![name.into()]]).lines().count(), 2);
    }

    #[test]
    fn a_point_in_time_is_told_in_utc() {
        assert_eq!(point(86_399), "1970-01-01 23:59:59");
        assert_eq!(point(u64::MAX), "-");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "long cell".into()], vec!["bbbb".into(), "x".into()]];
        assert_eq!(columns(&["K", "VALUE"], &rows), "K     VALUE\na     long cell\nbbbb  x");
    }
}
