//! What is wrong with a router file, and what is only odd, each with its place.
//!
//! Not here: finding it (`file`). Invariant: messages name fields, words and numbers, never a credential.

use std::{error, fmt};

/// Something that makes a router file unusable.
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
