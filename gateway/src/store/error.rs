//! Why the store did not do something, told by what follows from it.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::secrets::SealError;

/// Why the store did not do something. Nothing was changed then, unless the variant says otherwise.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is one of that name already.
    #[error("there is one of that name already")]
    Exists,
    /// It was changed or removed by someone else meanwhile: read it again.
    #[error("it was changed meanwhile")]
    Stale,
    /// Another gateway has the place.
    #[error("another gateway uses this database")]
    Claimed,
    /// There are as many already as there may be.
    #[error("there are as many already as there may be")]
    TooMany,
    /// The caller gave something that no store takes.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database was written by a newer version of this program.
    #[error(
        "the database has schema {found}, this program knows {known}: use the version that wrote it, or a newer one"
    )]
    Newer {
        /// What the database has.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The database has tables that are not as this program makes them.
    #[error("the schema of the database is not ours: {0}")]
    Schema(String),
    /// Values are sealed under a master key that is not among ours.
    #[error(
        "secrets are sealed under the master key {0}, which is not there: give the key that this database was used with"
    )]
    Key(String),
    /// A sealed value was changed, or moved from another place.
    #[error("a stored secret cannot be opened")]
    Seal(#[source] SealError),
    /// A value that cannot be sealed anew, because it does not open.
    #[error("the secret {name} of {owner} cannot be opened: put it again or remove it")]
    Unopened {
        /// The kind of its owner, and which one.
        owner: String,
        /// What its owner calls it.
        name: String,
        /// Why not.
        source: SealError,
    },
    /// A backup is restored into an empty place alone.
    #[error("there is something already: restore into an empty place")]
    NotEmpty,
    /// Somebody else has written to the chain of the audit.
    #[error("the audit was changed by someone else: verify it, keep a copy, and restart it")]
    Tampered,
    /// The disk of the database is full. What was stored before is kept.
    #[error("the disk of the database is full: make room, what was stored is kept")]
    Full,
    /// The database may not be written.
    #[error(
        "the database cannot be written: its disk or server is read-only, or it belongs to someone else"
    )]
    ReadOnly,
    /// The database cannot be reached, or is too busy. A write that was on its way may or may not be in force.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// The file is no database, or was damaged.
    #[error("the database is damaged: restore a backup")]
    Damaged,
    /// What is stored cannot be read as what it should be.
    #[error("a stored {kind} cannot be read (line {line}, column {column})")]
    Body {
        /// The kind of object.
        kind: &'static str,
        /// In its JSON, from 1.
        line: usize,
        /// In its JSON, from 1.
        column: usize,
    },
    /// A file could not be made, read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database refused for another reason.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// A stored body that is not what it should be. The text of `error` stays out: it may repeat content.
    pub(super) fn body(kind: &'static str, error: &serde_json::Error) -> Self {
        Self::Body { kind, line: error.line(), column: error.column() }
    }

    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::File { action, path: path.into(), source },
        }
    }
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Key(id) => Self::Key(id),
            error => Self::Seal(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(told) => match told.code().as_deref().map(Refusal::of) {
                Some(Refusal::Exists) => Self::Exists,
                Some(Refusal::Full) => Self::Full,
                Some(Refusal::ReadOnly) => Self::ReadOnly,
                Some(Refusal::Busy) => Self::Unavailable(error),
                Some(Refusal::Damaged) => Self::Damaged,
                Some(Refusal::Text) => {
                    Self::Invalid("a text holds a character that cannot be stored")
                }
                Some(Refusal::Other) | None => Self::Database(error),
            },
            // A configuration's error repeats the URL.
            sqlx::Error::Configuration(_) => {
                Self::Invalid("the place of the database is not understood")
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Database(error),
        }
    }
}

/// What a code of either database means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Exists,
    Full,
    ReadOnly,
    Busy,
    Damaged,
    Text,
    Other,
}

impl Refusal {
    fn of(code: &str) -> Self {
        // Postgres says five characters (its manual, appendix A), SQLite a number whose low byte is the kind
        // (sqlite.org/rescode.html).
        match code.parse::<u32>() {
            Ok(number) if code.len() < 5 => Self::of_sqlite(number),
            _ => Self::of_postgres(code),
        }
    }

    fn of_sqlite(number: u32) -> Self {
        const UNIQUE: [u32; 2] = [1555, 2067];
        const SHARED_MEMORY_SIZE: u32 = 4874; // the index of the log does not fit on the disk
        match number & 0xff {
            _ if UNIQUE.contains(&number) => Self::Exists,
            _ if number == SHARED_MEMORY_SIZE => Self::Full,
            5 | 6 => Self::Busy,
            8 => Self::ReadOnly,
            11 | 26 => Self::Damaged,
            13 => Self::Full,
            _ => Self::Other,
        }
    }

    fn of_postgres(code: &str) -> Self {
        match code {
            "23505" => Self::Exists,
            "53100" => Self::Full,
            "25006" => Self::ReadOnly,
            "22021" => Self::Text,
            "XX001" | "XX002" => Self::Damaged,
            // serialization, deadlock, statement and lock time limits
            "40001" | "40P01" | "57014" | "55P03" => Self::Busy,
            // connections (08), resources (53), and a server that starts, stops or was told to (57P)
            _ if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => Self::Busy,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_mean_the_same() {
        for (code, refusal) in [
            ("2067", Refusal::Exists),
            ("23505", Refusal::Exists),
            ("13", Refusal::Full),
            ("4874", Refusal::Full),
            ("778", Refusal::Other),
            ("53100", Refusal::Full),
            ("1544", Refusal::ReadOnly),
            ("25006", Refusal::ReadOnly),
            ("517", Refusal::Busy),
            ("57P01", Refusal::Busy),
            ("40P01", Refusal::Busy),
            ("26", Refusal::Damaged),
            ("22021", Refusal::Text),
            ("19", Refusal::Other),
            ("42P01", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(code), refusal, "{code}");
        }
    }
}
