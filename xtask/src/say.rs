//! What a person reads: headings, lines, errors. The only place that writes to the terminal.
//!
//! A closed pipe is no error: whoever stopped reading does not want the rest.

use std::io::{self, Write};

/// Writes `text` to standard output as it is.
pub(crate) fn plain(text: &str) {
    ignore_closed_pipe(write!(io::stdout().lock(), "{text}"));
}

/// Writes one line to standard output.
pub(crate) fn line(text: &str) {
    ignore_closed_pipe(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes the heading of a section.
pub(crate) fn heading(text: &str) {
    line(&format!("\n=== {text}"));
}

/// Writes one line to standard error.
pub(crate) fn error(text: &str) {
    ignore_closed_pipe(writeln!(io::stderr().lock(), "error: {text}"));
}

fn ignore_closed_pipe(written: io::Result<()>) {
    drop(written);
}
