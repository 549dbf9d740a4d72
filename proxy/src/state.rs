//! What outlives this process: the key of its names and placeholders, and what has been spent.
//!
//! One folder, one router at a time. The books are written whole each second in which they changed, and at the end; a crash
//! forgets the spending of its last second at most, and counts what was reserved as spent.
//! Invariant: a file of books that cannot be read stops the start. To begin with nothing spent is the operator's decision.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::Cost;
use router::ledger::{Booked, Scope};
use serde::{Deserialize, Serialize};

use crate::{
    sandbox_token::key_file,
    service::{Router, now_ms},
};

/// How often changed books are written.
const EVERY: Duration = Duration::from_secs(1);

/// Largest file of books that is read, bytes: far above what the ledger's limit of accounts can fill.
const BOOKS_BYTES_MAX: u64 = 64 << 20;

/// The folder, held by this process.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    /// Names, hashes and placeholders are the same as in the last life.
    pub(crate) key: [u8; 32],
    _lock: File,
}

/// The file of books.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Books {
    version: u32,
    spent: Vec<Line>,
}

/// One account.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    scope: Word,
    owner: Option<Box<str>>,
    /// As in [`Booked`].
    period: i64,
    /// The smallest unit of [`Cost`], so that sums stay exact.
    pico_usd: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Sandbox,
    Workspace,
    Backend,
    Total,
}

impl State {
    /// Takes the folder, which is made where there is none.
    ///
    /// # Errors
    /// A folder that another router holds, and what the system refuses.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another router uses this folder; give each its own, or stop the other",
            ),
            TryLockError::Error(error) => error,
        })?;
        let key = key_file(&folder.join("key"))?;
        Ok(Self { folder: folder.to_owned(), key, _lock: lock })
    }

    /// What had been spent.
    ///
    /// # Errors
    /// A file that is not one of ours.
    pub(crate) fn books(&self) -> io::Result<Vec<Booked>> {
        let path = self.path();
        let wrong = |why: String| {
            let advice = "move it aside to begin with nothing spent";
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {why}; {advice}", path.display()),
            )
        };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Ok(found) if found.len() > BOOKS_BYTES_MAX => return Err(wrong("too large".into())),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let books: Books = serde_json::from_slice(&fs::read(&path)?)
            .map_err(|error| wrong(format!("no books: {error}")))?;
        if books.version != 1 {
            return Err(wrong(format!("version {} is not known here", books.version)));
        }
        Ok(books.spent.into_iter().map(Booked::from).collect())
    }

    /// Writes the books: whole, or not at all.
    ///
    /// # Errors
    /// What the system refuses; the old file is still there then.
    fn save(&self, books: Vec<Booked>) -> io::Result<()> {
        let books = Books { version: 1, spent: books.into_iter().map(Line::from).collect() };
        let draft = self.folder.join("spent.json.new");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(&books)?)?;
        file.sync_all()?;
        fs::rename(draft, self.path())
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self) -> PathBuf {
        self.folder.join("spent.json")
    }
}

impl From<Line> for Booked {
    fn from(line: Line) -> Self {
        let scope = match line.scope {
            Word::Sandbox => Scope::Sandbox,
            Word::Workspace => Scope::Workspace,
            Word::Backend => Scope::Backend,
            Word::Total => Scope::Total,
        };
        Self { scope, owner: line.owner, period: line.period, spent: Cost(line.pico_usd) }
    }
}

impl From<Booked> for Line {
    fn from(booked: Booked) -> Self {
        let scope = match booked.scope {
            Scope::Sandbox => Word::Sandbox,
            Scope::Workspace => Word::Workspace,
            Scope::Backend => Word::Backend,
            Scope::Total => Word::Total,
        };
        Self { scope, owner: booked.owner, period: booked.period, pico_usd: booked.spent.0 }
    }
}

/// Keeps the file of books up to date for as long as the server runs.
pub(crate) async fn run(router: Arc<Router>, state: Arc<State>) {
    let mut written = router.memory.ledger.changes();
    let mut failing = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let changes = router.memory.ledger.changes();
        if changes == written && !failing {
            continue;
        }
        let (router, state) = (Arc::clone(&router), Arc::clone(&state));
        let saved = tokio::task::spawn_blocking(move || save(&router, &state)).await;
        failing = !saved.unwrap_or(false);
        written = changes;
    }
}

/// Writes the books now; whether that worked. Blocks.
pub(crate) fn save(router: &Router, state: &State) -> bool {
    let saved = state.save(router.memory.ledger.books(now_ms()));
    if let Err(error) = &saved {
        tracing::error!(error = %error, "what was spent cannot be written down; it is tried again");
    }
    saved.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_keeps_its_key_and_its_books() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = State::open(&path).unwrap();
        assert!(State::open(&path).unwrap_err().to_string().contains("another router"));
        let booked = Booked {
            scope: Scope::Backend,
            owner: Some("cloud".into()),
            period: -24_322,
            spent: Cost(5),
        };
        assert_eq!(state.books().unwrap(), []);
        state.save(vec![booked.clone()]).unwrap();
        let key = state.key;
        drop(state);
        let state = State::open(&path).unwrap();
        assert_eq!((state.key, state.books().unwrap()), (key, vec![booked]));
    }

    #[test]
    fn books_that_cannot_be_read_stop_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        for text in ["", "{}", "{\"version\":2,\"spent\":[]}", "{\"version\":1,\"spent\":[1]}"] {
            fs::write(state.path(), text).unwrap();
            let error = state.books().unwrap_err().to_string();
            assert!(error.contains("move it aside"), "{error}");
        }
    }
}
