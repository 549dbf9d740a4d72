//! What is kept: the state of the control plane, in SQLite or Postgres.
//!
//! | module | what it keeps |
//! |---|---|
//! | `objects` | what users make: a name, a version, a JSON body |
//! | `secrets` | sealed values of owners, and the rotation of the key above them |
//! | `tokens` | bearer tokens of users, as hashes |
//! | `policies` | the policies that each scope was given, and what became of them |
//! | `answers` | first answers to requests with an idempotency key |
//! | `audit` | what happened, in one order, chained, with what was lost counted |
//! | `ledger` | what was spent, and what is set aside for calls under way |
//!
//! Beside them: where it is kept (`place`), by one gateway at a time (`claim`), connections (`database`), tables (`schema`), pages (`page`), copies of everything
//! (`backup`) and why something failed (`error`). Not here: who may ask (`auth`), and what follows from what is stored.
//!
//! Invariant: what was answered is on the disk; what was not answered is there as a whole or not at all. No secret is in
//! the bytes of the database, its logs or its backups. Every future may be dropped: the write is undone, unless its commit
//! was already on its way.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::RwLock;

use crate::secrets::Keys;

mod answers;
mod audit;
mod backup;
mod claim;
mod database;
mod error;
mod ledger;
mod objects;
mod page;
mod place;
mod policies;
mod schema;
mod secrets;
mod tokens;

pub use answers::{Answer, Claim, Claimed, Request};
pub use audit::{
    AuditAppended, AuditEvent, AuditFault, AuditOrder, AuditProgress, AuditQuery, AuditRecord,
    AuditReport, AuditRetention, AuditStream, GAP_KIND, OWN_STREAM,
};
pub use claim::Claim as PlaceClaim;
pub use error::StoreError;
pub use ledger::{Account, AnsweredCall, Balance, Booking, EndedCall, Reserved, Settled, Spending};
pub use objects::{Object, SecretChanges, Stored};
pub use page::{Listed, Page};
pub use place::{DatabaseUrl, Place, PlaceError};
pub use policies::{GLOBAL_SCOPE, PolicyAdded, PolicyRevision, PolicyStatus};
pub use secrets::{Owner, RotateError};
pub use tokens::{NewToken, Token};

/// The state of the control plane. Cheap to clone; `Debug` prints nothing of it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: database::Database,
    keys: RwLock<Keys>,
}

impl Store {
    /// Opens the state, and brings it to the newest form. A file of SQLite is made with mode 0600, in a folder with mode
    /// 0700 if that has to be made too.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for what a newer version wrote; [`StoreError::Key`] without the master key that it was used
    /// with; [`StoreError::Unavailable`] when a server does not answer within 5 seconds.
    pub async fn open(place: &Place, keys: Keys) -> Result<Self, StoreError> {
        let database = database::Database::open(place).await?;
        let store = Self { inner: Arc::new(Inner { database, keys: RwLock::new(keys.clone()) }) };
        store.adopt(keys).await?;
        Ok(store)
    }

    /// Closes every connection; calls from now on fail. Waits for those that are under way.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    /// Whether the database answers, for the check of readiness.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(self.database().reader()).await?;
        Ok(())
    }

    fn database(&self) -> &database::Database {
        &self.inner.database
    }

    fn keys(&self) -> Keys {
        self.inner.keys.read().clone()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Milliseconds since 1970, for stamps. What depends on time is told the time by its caller.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
