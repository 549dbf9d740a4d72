//! Collects faults and notices while a file is read.
//!
//! Invariant: messages name fields, words and numbers; the value of a credential field is never among them,
//! and nothing from the file is shown beyond [`SHOWN_CHARS_MAX`] characters.

use std::{error, fmt};

use crate::yaml::Mark;

/// Most faults, and most notices, that are kept; a file that is wrong everywhere needs no longer list.
const ENTRIES_MAX: usize = 100;

/// Most characters of a word from the file that a message repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// Something that makes a file unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, as `backends[0].zone`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
}

/// Something that an operator should know of a file that is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, as `backends[0].zone`.
    pub path: String,
    /// What is odd, lower case, without a full stop.
    pub message: String,
}

impl fmt::Display for Fault {
    /// `12:7: backends[0].zoen: unknown field; did you mean `zone`?`; the caller puts the file's name before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        entry(f, (self.line, self.column), &self.path, &self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl error::Error for Fault {}

impl fmt::Display for Notice {
    /// As a [`Fault`] is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        entry(f, (self.line, self.column), &self.path, &self.message)
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub struct Report {
    faults: Vec<Fault>,
    notices: Vec<Notice>,
    left_out: usize,
}

impl Report {
    /// Adds a fault.
    pub fn fault(
        &mut self,
        mark: Mark,
        path: &str,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        if self.is_full() {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.faults.push(Fault {
            line: mark.line,
            column: mark.column,
            path: path.to_owned(),
            message: message.into(),
            help: help.map(str::to_owned),
        });
    }

    /// Adds a notice.
    pub fn notice(&mut self, mark: Mark, path: &str, message: impl Into<String>) {
        if self.notices.len() < ENTRIES_MAX {
            self.notices.push(Notice {
                line: mark.line,
                column: mark.column,
                path: path.to_owned(),
                message: message.into(),
            });
        }
    }

    /// Whether further faults are only counted, so that finding words for them is lost work.
    pub fn is_full(&self) -> bool {
        self.faults.len() >= ENTRIES_MAX
    }

    /// Whether nothing makes the file unusable so far.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// What was read from the file, with its notices, each in the order of the file.
    ///
    /// # Errors
    /// All faults, in the order of the file, never empty; beyond a hundred they are only counted.
    pub fn give<T>(self, read: Option<T>) -> Result<(T, Vec<Notice>), Vec<Fault>> {
        let notices = self.close()?;
        let unusable = || {
            let message = "the file cannot be used".to_owned();
            vec![Fault { line: 1, column: 1, path: String::new(), message, help: None }]
        };
        read.map(|read| (read, notices)).ok_or_else(unusable)
    }

    /// The notices of a sound file, each in the order of the file.
    ///
    /// # Errors
    /// All faults, in the order of the file; beyond a hundred they are only counted.
    fn close(mut self) -> Result<Vec<Notice>, Vec<Fault>> {
        if self.faults.is_empty() {
            self.notices.sort_by_key(|notice| (notice.line, notice.column));
            return Ok(self.notices);
        }
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        if self.left_out > 0 {
            let (line, column) = self.faults.last().map_or((1, 1), |last| (last.line, last.column));
            self.faults.push(Fault {
                line,
                column,
                path: String::new(),
                message: format!("{} more faults are not shown", self.left_out),
                help: None,
            });
        }
        Err(self.faults)
    }
}

/// `line:column: path: message`, the path left out where it is the whole file.
fn entry(
    f: &mut fmt::Formatter<'_>,
    (line, column): (usize, usize),
    path: &str,
    message: &str,
) -> fmt::Result {
    write!(f, "{line}:{column}: ")?;
    if !path.is_empty() {
        write!(f, "{path}: ")?;
    }
    f.write_str(message)
}

/// `path.key`, quoted where the key is no plain word.
pub fn joined(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = if !key.is_empty() && key.chars().all(plain) {
        shown(key)
    } else {
        format!("\"{}\"", shown(key))
    };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A word from the file, shortened and without control characters.
pub fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).map(clean).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
