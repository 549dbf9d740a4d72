//! One gateway at a time: sandboxes that two would keep at once would run twice.
//!
//! A claim is a lock that goes with whoever holds it, however that ends: one beside the file of SQLite, or an advisory one of a
//! session of Postgres. A session may be lost while its gateway lives, when the server restarts; then it is taken again, unless
//! another gateway was faster.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AnyConnection, Connection as _, any::AnyConnectOptions};
use tokio::time::{sleep, timeout};

use super::{Place, database::NOT_UNDERSTOOD, error::StoreError};

/// The number of the lock in Postgres: `openshll` in ASCII. Each database has its own.
const NUMBER: i64 = 0x6f70_656e_7368_6c6c;
/// Between two looks at whether the session is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often a place that is taken is tried again, and the pause before that: who was killed a moment ago still has its session.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// A place that this process has for itself until it is dropped.
#[derive(Debug)]
pub struct Claim(Held);

#[derive(Debug)]
enum Held {
    /// Dropped, it is free.
    File(#[expect(dead_code, reason = "held for its drop")] File),
    Session(Option<AnyConnection>, AnyConnectOptions),
}

impl Claim {
    /// Takes a place.
    ///
    /// # Errors
    /// [`StoreError::Claimed`] when another process has it; [`StoreError::Unavailable`] when the server does not answer.
    pub async fn take(place: &Place) -> Result<Self, StoreError> {
        let mut tries = 0;
        loop {
            let taken = match place {
                Place::Sqlite(path) => lock(path).map(Held::File),
                Place::Postgres(url) => {
                    let options = url.options().map_err(|_| NOT_UNDERSTOOD)?;
                    let session = session(&options).await;
                    session.map(|session| Held::Session(Some(session), options))
                }
            };
            match taken {
                Err(StoreError::Claimed) if tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                taken => return taken.map(Self),
            }
        }
    }

    /// Waits until another process has the place. Never returns while this one has it; a server that does not answer lets
    /// nobody else have it either.
    pub async fn lost(&mut self) {
        let Held::Session(session, options) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            sleep(LOOK_EVERY).await;
            let alive = match session {
                Some(session) => matches!(timeout(ANSWER_MAX, session.ping()).await, Ok(Ok(()))),
                None => false,
            };
            if alive {
                continue;
            }
            *session = None;
            match self::session(options).await {
                Ok(new) => *session = Some(new),
                Err(StoreError::Claimed) => return,
                Err(error) => {
                    tracing::warn!(%error, "the claim on the database cannot be renewed yet");
                }
            }
        }
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".claim");
    let name = PathBuf::from(name);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| StoreError::file("make", folder, error))?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&name);
    let file = file.map_err(|error| StoreError::file("lock", &name, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Claimed),
        Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &name, error)),
    }
}

/// A session that holds the lock.
async fn session(options: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    let late = |_| StoreError::Unavailable(sqlx::Error::PoolTimedOut);
    let taken = async {
        let mut session = AnyConnection::connect_with(options).await?;
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(NUMBER);
        let has: bool = lock.fetch_one(&mut session).await?;
        // One that has it not is closed when dropped.
        Ok::<_, sqlx::Error>(has.then_some(session))
    };
    timeout(ANSWER_MAX, taken).await.map_err(late)??.ok_or(StoreError::Claimed)
}
