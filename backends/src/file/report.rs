//! Collects faults and notices while a file is read.
//!
//! Invariant: messages name fields, words and numbers; the value of a credential field is never among them,
//! and nothing from the file is shown beyond [`SHOWN_CHARS_MAX`] characters.

use super::{Fault, Notice, yaml::Mark};

/// Most faults, and most notices, that are kept; a file that is wrong everywhere needs no longer list.
const ENTRIES_MAX: usize = 100;

/// Most characters of a word from the file that a message repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<Fault>,
    notices: Vec<Notice>,
    left_out: usize,
}

impl Report {
    /// Adds a fault.
    pub(super) fn fault(
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
    pub(super) fn notice(&mut self, mark: Mark, path: &str, message: impl Into<String>) {
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
    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= ENTRIES_MAX
    }

    /// Whether nothing makes the file unusable so far.
    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// The notices of a sound file, or all its faults, each in the order of the file.
    pub(super) fn close(mut self) -> Result<Vec<Notice>, Vec<Fault>> {
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

/// `path.key`, quoted where the key is no plain word.
pub(super) fn joined(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = if !key.is_empty() && key.chars().all(plain) {
        shown(key)
    } else {
        format!("\"{}\"", shown(key))
    };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A word from the file, shortened and without control characters.
pub(super) fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).map(clean).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
