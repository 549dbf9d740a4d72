//! Replacing the master key while everything runs.
//!
//! Only the data keys are sealed anew; no value is opened. See `store::secrets` for who waits for whom.

use super::{
    super::{
        Store,
        database::{Change, Engine},
        error::StoreError,
    },
    At, sealed,
};
use crate::secrets::{KeyId, KeySource, Keys, KeysError, Sealed};

/// How many values one transaction seals anew.
const RESEAL_ROWS: i64 = 100;

const OTHERWISE_SEALED: &str = "SELECT owner_kind, owner_id, name, key_id, wrapped, sealed FROM secrets \
     WHERE key_id <> $1 AND (owner_kind, owner_id, name) > ($2, $3, $4) \
     ORDER BY owner_kind, owner_id, name LIMIT $5";

/// Why a rotation stopped.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The keys could not be read or replaced.
    #[error("the master key was not replaced")]
    Source(#[from] KeysError),
    /// The values could not be sealed anew; the older keys are kept.
    #[error("not everything is sealed under the new master key yet; the older one is kept")]
    Store(#[from] StoreError),
    /// Another process has sealed under an older key, or put it in force again; the older keys are kept.
    #[error("another process uses an older master key, so it is kept: rotate again")]
    Meanwhile,
}

impl Store {
    /// Replaces the master key without a restart: a new one is put in front in the file, everything is sealed under it,
    /// and the older ones leave the file. Gives how many values were sealed anew. Stopped at any point, nothing is lost, and another call
    /// goes on with the key that was put in front then.
    ///
    /// # Errors
    /// [`RotateError::Source`] while another rotation is under way, and for keys that come from a command: print the new key there before the old one, then
    /// [`Store::adopt`] and [`Store::reseal`]. [`RotateError::Meanwhile`] when another process uses an older key again.
    pub async fn rotate(&self, source: &KeySource) -> Result<u64, RotateError> {
        let held = source.hold()?;
        // Only a source whose keys open everything is changed.
        let mut new = source.load().await?;
        self.adopt(new.clone()).await?;
        // Older keys are in the file as long as a rotation is unfinished: more of them would help nobody.
        if new.ids().nth(1).is_none() {
            new = source.add()?;
            self.adopt(new.clone()).await?;
        }
        let resealed = self.reseal().await?;
        let mut change = self.database().begin().await?;
        if !self.is_all_under(&mut change, new.current()).await? {
            return Err(RotateError::Meanwhile);
        }
        // Still held: nobody takes an older key until they have left the file.
        *self.inner.keys.write() = source.retire(new.current())?;
        drop((change, held));
        Ok(resealed)
    }

    /// Whether this key seals, and nothing is sealed under another. So it stays until `change` ends.
    async fn is_all_under(&self, change: &mut Change, key: &KeyId) -> Result<bool, StoreError> {
        let in_force = self.hold_keyring(change).await?;
        let others = "SELECT COUNT(*) FROM secrets WHERE key_id <> $1";
        let others: i64 =
            sqlx::query_scalar(others).bind(key.as_str()).fetch_one(&mut **change).await?;
        Ok(others == 0 && in_force == key.as_str())
    }

    /// The key in force, which nobody replaces or seals under until `change` ends.
    async fn hold_keyring(&self, change: &mut Change) -> Result<String, StoreError> {
        let current = match self.database().engine() {
            Engine::Sqlite => "SELECT key_id FROM keyring WHERE one = 1", // one writer at a time
            Engine::Postgres => "SELECT key_id FROM keyring WHERE one = 1 FOR UPDATE",
        };
        Ok(sqlx::query_scalar(current).fetch_one(&mut **change).await?)
    }

    /// Takes these keys from now on, and seals under the first of them. What is sealed already stays under its key until
    /// [`Store::reseal`]. Also what to do about [`StoreError::Key`] after another process has rotated: load the source again.
    ///
    /// # Errors
    /// [`StoreError::Key`] when something is sealed under a key that is not among these; then nothing changes.
    pub async fn adopt(&self, keys: Keys) -> Result<(), StoreError> {
        let mut change = self.database().begin().await?;
        let begin = "INSERT INTO keyring (one, key_id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
        sqlx::query(begin).bind(keys.current().as_str()).execute(&mut *change).await?;
        // Whoever seals or adopts holds this row until that is stored: what they did is seen here and below.
        let current = self.hold_keyring(&mut change).await?;
        let take = "UPDATE keyring SET key_id = $1 WHERE one = 1";
        sqlx::query(take).bind(keys.current().as_str()).execute(&mut *change).await?;
        let used: Vec<String> = sqlx::query_scalar("SELECT DISTINCT key_id FROM secrets")
            .fetch_all(&mut *change)
            .await?;
        for id in used.into_iter().chain([current]) {
            if !keys.ids().any(|known| known.as_str() == id) {
                return Err(StoreError::Key(id));
            }
        }
        // Before the commit: from then on the database names a key that these have. They open everything that is sealed,
        // so they are right even if the commit fails.
        *self.inner.keys.write() = keys;
        Ok(change.commit().await?)
    }

    /// Seals everything under the key in force, some at a time; how many values it were.
    ///
    /// # Errors
    /// [`StoreError::Unopened`] names a value that does not open; those before it are done.
    pub async fn reseal(&self) -> Result<u64, StoreError> {
        let (mut last, mut resealed) =
            (At { owner_kind: String::new(), owner_id: String::new(), name: String::new() }, 0);
        loop {
            let mut change = self.database().begin().await?;
            let keys = self.sealing_keys(&mut change).await?;
            let next = sqlx::query(OTHERWISE_SEALED).bind(keys.current().as_str());
            let next = next.bind(&last.owner_kind).bind(&last.owner_id).bind(&last.name);
            let rows = next.bind(RESEAL_ROWS).fetch_all(&mut *change).await?;
            if rows.is_empty() {
                return Ok(resealed);
            }
            for row in &rows {
                let (at, sealed) = sealed(row)?;
                resealed += reseal_one(&mut change, &keys, &at, &sealed).await?;
                last = at;
            }
            change.commit().await?;
        }
    }
}

async fn reseal_one(
    change: &mut Change,
    keys: &Keys,
    at: &At,
    sealed: &Sealed,
) -> Result<u64, StoreError> {
    let again = keys.rewrap(&at.binding(), sealed).map_err(|source| StoreError::Unopened {
        owner: format!("{} {}", at.owner_kind, at.owner_id),
        name: at.name.clone(),
        source,
    })?;
    // A value that was replaced meanwhile is sealed under the key in force already.
    let update = "UPDATE secrets SET key_id = $1, wrapped = $2 \
         WHERE owner_kind = $3 AND owner_id = $4 AND name = $5 AND wrapped = $6";
    let update = sqlx::query(update).bind(again.key_id).bind(again.wrapped);
    let update = update.bind(&at.owner_kind).bind(&at.owner_id).bind(&at.name);
    Ok(update.bind(&sealed.wrapped).execute(&mut **change).await?.rows_affected())
}
