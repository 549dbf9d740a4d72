//! Copies of everything: one file of SQLite, whatever the state is kept in, and back into either.
//!
//! A backup is the state at one moment, taken while others write. Secrets are sealed in it as they are in the database; the
//! master key is not in it and has to be kept elsewhere. A backup of an older version is brought to the newest form, in a
//! copy of its own.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sqlx::Connection as _;
use uuid::Uuid;

use super::{
    Store,
    database::{Database, Engine, look_into},
    error::StoreError,
    place::Place,
};
use crate::secrets::Keys;

mod copy;

impl Store {
    /// Writes everything as it is now to a new file of mode 0600. What fails or is stopped leaves nothing there.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is such a file; [`StoreError::Full`] when it does not fit.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(StoreError::Exists);
        }
        let workshop = Workshop::beside(to)?;
        let file = workshop.file();
        match self.database().engine() {
            Engine::Sqlite => {
                let options =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
                drop(options.map_err(|error| StoreError::file("make", &file, error))?);
                let vacuum = sqlx::query("VACUUM INTO $1").bind(text_of(&file)?);
                vacuum.execute(self.database().reader()).await?;
            }
            Engine::Postgres => {
                let copy = Database::open(&Place::Sqlite(file.clone())).await?;
                let mut snapshot = self.database().snapshot().await?;
                let copied = copy::everything(&mut snapshot, &copy, &copy).await;
                copy.close().await; // with the last connection its log goes into the file
                copied?;
            }
        }
        keep(&file, to)
    }

    /// Fills an empty place with a backup, and opens it.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] when something is there; [`StoreError::Key`] without the master key that the backup was
    /// made under; [`StoreError::Newer`] for a backup of a newer version; [`StoreError::Damaged`] for what is no backup.
    pub async fn restore(place: &Place, keys: Keys, from: &Path) -> Result<Self, StoreError> {
        let workshop = Workshop::beside(&std::env::temp_dir().join("openshell-restore"))?;
        let file = workshop.file();
        copied(from, &file)?;
        check(&file).await?;
        // Opened as a state of its own: brought to the newest form, and all its secrets have their key.
        let source = Self::open(&Place::Sqlite(file), keys.clone()).await?;
        let filled = source.fill(place).await;
        source.close().await;
        filled?;
        Self::open(place, keys).await
    }

    async fn fill(&self, place: &Place) -> Result<(), StoreError> {
        let target = Database::open(place).await?;
        let filled = async {
            if !copy::is_empty(self.database(), &target).await? {
                return Err(StoreError::NotEmpty);
            }
            let mut snapshot = self.database().snapshot().await?;
            copy::everything(&mut snapshot, self.database(), &target).await
        };
        let filled = filled.await;
        target.close().await;
        filled
    }
}

/// A folder for files that are not finished, gone when dropped.
struct Workshop(PathBuf);

impl Workshop {
    fn beside(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", Uuid::new_v4().simple()));
        let folder = path.with_file_name(name);
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| StoreError::file("make", &folder, error))?;
        Ok(Self(folder))
    }

    fn file(&self) -> PathBuf {
        self.0.join("openshell.db")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0)); // its name says that it is not finished
    }
}

/// Gives a finished file its name, once it is on the disk.
fn keep(file: &Path, to: &Path) -> Result<(), StoreError> {
    let sync = |path: &Path| File::open(path)?.sync_all();
    sync(file).map_err(|error| StoreError::file("write", file, error))?;
    // A link never replaces what is there, unlike a rename.
    fs::hard_link(file, to).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => StoreError::Exists,
        _ => StoreError::file("make", to, error),
    })?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    sync(folder).map_err(|error| StoreError::file("write", folder, error))
}

fn copied(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(|error| StoreError::file("read", from, error))?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.map_err(|error| StoreError::file("make", to, error))?;
    let length = std::io::copy(&mut source, &mut target)
        .map_err(|error| StoreError::file("copy", from, error))?;
    // An empty file would pass as an empty state.
    if length == 0 { Err(StoreError::Damaged) } else { Ok(()) }
}

/// Whether every page of a file is as SQLite wrote it, and there is a state in it.
async fn check(file: &Path) -> Result<(), StoreError> {
    let mut connection = look_into(file).await?;
    let check = sqlx::query_scalar("PRAGMA integrity_check(1)");
    let said: String = check.fetch_one(&mut connection).await?;
    let find = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('_sqlx_migrations', 'objects')";
    let tables: i64 = sqlx::query_scalar(find).fetch_one(&mut connection).await?;
    connection.close().await?;
    if said == "ok" && tables == 2 { Ok(()) } else { Err(StoreError::Damaged) }
}

fn text_of(path: &Path) -> Result<&str, StoreError> {
    path.to_str().ok_or(StoreError::Invalid("the path of the backup is no text"))
}
