//! Files as archives: what goes into a sandbox and what comes out of it.
//!
//! Below: making archives (`pack`) and taking them apart (`unpack`). Both run on either side of the walls, and neither trusts
//! the other: an archive names nothing outside the folder that it is unpacked in, and no link leads out of there.

mod pack;
mod unpack;

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

pub use pack::{Filter, Packed, begins_with_folder, pack};
pub use unpack::{Place, unpack};

use crate::{policy_spec::WORKSPACE, wire::Transfer};

/// The most entries of an archive.
pub(crate) const ENTRIES_MAX: u64 = 1 << 20;
/// The most things that were left out and are named.
const NAMED_MAX: usize = 10;

/// Why files were not moved.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or folder answered with an error.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be read or written.
    #[error("cannot move the archive")]
    Archive(#[source] io::Error),
    /// The archive names something outside the folder, or something that is no file, folder or link.
    #[error("the archive holds {path}, which {why}")]
    Refused {
        /// What it names.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A folder lies where a file should go.
    #[error("{0} is a folder and is not overwritten by a file")]
    IsFolder(String),
    /// There are too many entries.
    #[error("the archive holds more than {ENTRIES_MAX} entries")]
    TooMany,
}

impl FilesError {
    fn file(what: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File { what, path: path.display().to_string(), source: source.into() }
    }

    fn refused(path: &Path, why: &'static str) -> Self {
        Self::Refused { path: path.display().to_string(), why }
    }

    /// The error with its cause, in one line.
    pub fn whole(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// Moves files inside a sandbox, between its tree and the standard descriptors. False when it failed; why is on standard
/// error.
pub(crate) fn within(transfer: &Transfer) -> bool {
    let moved = match transfer {
        Transfer::Unpack { to, file } => {
            let to = Path::new(WORKSPACE).join(to);
            let place = match file {
                Some(name) => Place::of_file(&to, name),
                None => Place::Folder(to),
            };
            unpack(&place, io::stdin().lock())
        }
        Transfer::Pack { from } => {
            let from = Path::new(WORKSPACE).join(from);
            pack(&from, Filter::Everything, io::stdout().lock()).map(|packed| {
                for line in packed.notes() {
                    say(&line);
                }
            })
        }
    };
    match moved {
        Ok(()) => true,
        Err(error) => {
            say(&error.whole());
            false
        }
    }
}

fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// A path below a folder, as an archive names it. `None` for one that leads out.
fn below(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Whether a link at `at`, a path below a folder, stays in that folder when it points to `target`. It climbs only before it
/// names anything: behind a name that is itself a link, `..` leads anywhere.
fn stays(at: &Path, target: &Path) -> bool {
    let mut depth = at.components().count().saturating_sub(1);
    let mut named = false;
    for part in target.components() {
        match part {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if named => return false,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// The name of a path's last part; a path such as `..` or `/` has none.
fn name(path: &Path) -> Result<&OsStr, FilesError> {
    path.file_name().ok_or_else(|| FilesError::refused(path, "has no name"))
}

/// Copies exactly `length` bytes, with zeros for those that a file has lost meanwhile.
fn exactly(file: impl Read, length: u64) -> impl Read {
    file.take(length).chain(io::repeat(0)).take(length)
}

#[cfg(test)]
mod tests;
