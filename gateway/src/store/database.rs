//! Connections to either database.
//!
//! SQLite has one connection that writes and a few that read beside it (write-ahead log), so that writers wait for one
//! another in a queue and not by trying again. In Postgres both are one pool. Every write is a transaction with an explicit
//! commit: only its answer says that something is kept.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, access};
use sqlx::{
    Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _,
    SqlSafeStr as _, SqlStr, Transaction,
    any::{AnyArguments, AnyConnectOptions, AnyPoolOptions},
    query::Query,
};
use tokio::time::timeout;

use super::{Place, error::StoreError, schema};

/// Connections that read beside the one that writes.
const SQLITE_READERS: u32 = 4;
/// Connections to Postgres; a server has 100 for everyone by default.
const POSTGRES_CONNECTIONS: u32 = 10;
/// Longest wait for a free connection, or for a server to accept one.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What every connection to SQLite is told. A commit is on the disk when it is answered (`synchronous`).
const SQLITE_BEGIN: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864;";
/// What every connection to Postgres is told: nothing waits forever.
const POSTGRES_BEGIN: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = 'warning';";

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

/// The connections.
pub(super) struct Database {
    engine: Engine,
    read: AnyPool,
    write: AnyPool,
}

pub(super) const NOT_UNDERSTOOD: StoreError =
    StoreError::Invalid("the place of the database is not understood");

/// A write that is kept when it is committed, and undone when dropped.
pub(super) type Change = Transaction<'static, Any>;

impl Database {
    /// Connects, and brings the tables to the newest form.
    pub(super) async fn open(place: &Place) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        match place {
            Place::Sqlite(path) => {
                prepare_file(path)?;
                let _lock = lock_beside(path).await?;
                let url = url_of(path)?;
                prepare(Engine::Sqlite, &url).await?;
                let read = pool(Engine::Sqlite, SQLITE_READERS, url.clone());
                let write = pool(Engine::Sqlite, 1, url);
                Ok(Self { engine: Engine::Sqlite, read, write })
            }
            Place::Postgres(url) => {
                let url = url.options().map_err(|_| NOT_UNDERSTOOD)?;
                prepare(Engine::Postgres, &url).await?;
                let pool = pool(Engine::Postgres, POSTGRES_CONNECTIONS, url);
                Ok(Self { engine: Engine::Postgres, read: pool.clone(), write: pool })
            }
        }
    }

    /// Which database it is.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Where to read.
    pub(super) fn reader(&self) -> &AnyPool {
        &self.read
    }

    /// Begins a write.
    pub(super) async fn begin(&self) -> Result<Change, StoreError> {
        // A lock from the start: one that is taken later can only fail.
        let begin = match self.engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        };
        Ok(self.write.begin_with(SqlStr::from_static(begin)).await?)
    }

    /// One statement that writes, kept when it returns; how many rows it has changed.
    pub(super) async fn execute(
        &self,
        statement: Query<'_, Any, AnyArguments>,
    ) -> Result<u64, StoreError> {
        let mut change = self.begin().await?;
        let done = statement.execute(&mut *change).await?;
        change.commit().await?;
        Ok(done.rows_affected())
    }

    /// Begins to read everything as it is now, whatever is written meanwhile. Reading may take as long as it takes.
    pub(super) async fn snapshot(&self) -> Result<Change, StoreError> {
        let begin = match self.engine {
            Engine::Sqlite => "BEGIN",
            Engine::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        };
        let mut snapshot = self.read.begin_with(SqlStr::from_static(begin)).await?;
        if self.engine == Engine::Postgres {
            snapshot.execute("SET LOCAL statement_timeout = 0").await?;
        }
        Ok(snapshot)
    }

    /// Closes every connection once it is idle.
    pub(super) async fn close(&self) {
        self.read.close().await;
        self.write.close().await; // the last one empties the write-ahead log
    }
}

/// One connection to a file of SQLite that is there. Nothing is written to it.
pub(super) async fn look_into(path: &Path) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    Ok(AnyConnection::connect_with(&url_of(path)?).await?)
}

/// Brings the tables to the newest form over a connection of its own: a pool would try again and again, and never say
/// what the database said.
async fn prepare(engine: Engine, to: &AnyConnectOptions) -> Result<(), StoreError> {
    let connect = timeout(CONNECT_MAX, AnyConnection::connect_with(to));
    let late = |_| StoreError::Unavailable(sqlx::Error::PoolTimedOut);
    let mut connection = connect.await.map_err(late)??;
    connection.execute(engine.first_words().into_sql_str()).await?;
    // Dropped after an error it is closed, and with it goes the lock of all who migrate.
    schema::migrate(engine, &mut connection).await?;
    Ok(connection.close().await?)
}

fn pool(engine: Engine, most: u32, to: AnyConnectOptions) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(CONNECT_MAX)
        .test_before_acquire(false) // in the next step
        .before_acquire(|connection, _| {
            Box::pin(async move {
                // A server may have gone away since. And SQLite ends a transaction by itself when the disk is full, which
                // leaves a connection that believes to be in one: another takes its place.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .after_connect(move |connection, _| {
            let words = engine.first_words().into_sql_str();
            Box::pin(async move { connection.execute(words).await.map(|_| ()) })
        })
        .connect_lazy_with(to.disable_statement_logging())
}

impl Engine {
    /// What every connection is told.
    fn first_words(self) -> &'static str {
        match self {
            Self::Sqlite => SQLITE_BEGIN,
            Self::Postgres => POSTGRES_BEGIN,
        }
    }
}

/// A file of mode 0600, in a folder of mode 0700 if it has to be made.
///
/// A file that is there is never opened here: closing it would end the locks that SQLite holds on it in this process.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| StoreError::file("make", folder, error))?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            access(path, Access::READ_OK | Access::WRITE_OK)
                .map_err(|error| StoreError::file("write", path, error.into()))?;
            let found =
                std::fs::metadata(path).map_err(|error| StoreError::file("read", path, error))?;
            if found.permissions().mode() & 0o077 != 0 {
                std::fs::set_permissions(path, Permissions::from_mode(0o600))
                    .map_err(|error| StoreError::file("protect", path, error))?;
            }
            Ok(())
        }
        made => made.map(drop).map_err(|error| StoreError::file("make", path, error)),
    }
}

/// Held while the tables are brought to the newest form, which two processes must not do at once.
async fn lock_beside(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let beside = name.clone();
    let lock = move || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&beside)?;
        file.lock()?;
        Ok(file)
    };
    // Another process may hold it for as long as it takes; that must not hold up a worker.
    let locked = tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| Err(error.into()));
    locked.map_err(|error: io::Error| StoreError::file("lock", &name, error))
}

/// The file as a URL, with every byte that means something in one spelled out.
fn url_of(path: &Path) -> Result<AnyConnectOptions, StoreError> {
    let no_text = || StoreError::Invalid("the path of the database is no text");
    let path = std::path::absolute(path).map_err(|error| StoreError::file("find", path, error))?;
    let mut url = String::from("sqlite://");
    for byte in path.to_str().ok_or_else(no_text)?.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push_str(&hex::encode_upper([byte]));
        }
    }
    url.push_str("?mode=rw");
    Ok(url.parse()?)
}
