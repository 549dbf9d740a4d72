//! Bearer tokens of users: only the hash of a token is here.

use sqlx::{Row as _, any::AnyRow};
use uuid::Uuid;

use super::{
    Store,
    database::{Change, Engine},
    error::StoreError,
    now_ms,
    objects::{named, uuid_in},
    page::{Listed, Page},
};

/// How exact the last use of a token is. A busy token costs one write in this time.
const USE_MS: i64 = 60_000;

/// A token that is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// SHA-256 of the token, which is random and long: a hash of it cannot be tried out.
    pub hash: &'a [u8; 32],
    /// Whose it is.
    pub holder: &'a str,
    /// What the holder calls it; may be empty.
    pub label: &'a str,
    /// What it may be used for.
    pub scopes: &'a [String],
    /// From when on it is void, milliseconds since 1970; `None` for never.
    pub expires_ms: Option<i64>,
}

/// A token as it is stored. Neither the token nor its hash is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is revoked by; ordered by when it was made.
    pub id: Uuid,
    /// Whose it is.
    pub holder: String,
    /// What the holder calls it.
    pub label: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it is void.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// When it was last used, to a minute.
    pub used_ms: Option<i64>,
}

impl Token {
    /// Whether it opens anything at this time.
    pub fn is_valid(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires| now_ms < expires)
    }
}

const BY_HASH: &str = "SELECT id, holder, label, scopes, created_ms, expires_ms, revoked_ms, used_ms \
     FROM tokens WHERE hash = $1";
const ALL: &str = "SELECT id, holder, label, scopes, created_ms, expires_ms, revoked_ms, used_ms \
     FROM tokens WHERE id > $1 ORDER BY id LIMIT $2";
const OF_HOLDER: &str = "SELECT id, holder, label, scopes, created_ms, expires_ms, revoked_ms, used_ms \
     FROM tokens WHERE id > $1 AND holder = $3 ORDER BY id LIMIT $2";

impl Store {
    /// Stores a token.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a token that is there already; [`StoreError::Invalid`] for a holder that is no name.
    pub async fn create_token(&self, new: &NewToken<'_>) -> Result<Token, StoreError> {
        let mut change = self.database().begin().await?;
        let made = insert(&mut change, new).await?;
        change.commit().await?;
        Ok(made)
    }

    /// Stores a token of a holder who has fewer than `most` that are in force at this time. Those that were revoked or have
    /// expired do not count.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] for one too many; else as [`Store::create_token`].
    pub async fn create_token_within(
        &self,
        new: &NewToken<'_>,
        most: u32,
        now_ms: i64,
    ) -> Result<Token, StoreError> {
        let mut change = self.database().begin().await?;
        if self.database().engine() == Engine::Postgres {
            // Of two at once the later counts the one before it. In SQLite there is one writer.
            let lock = "LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE";
            sqlx::query(lock).execute(&mut *change).await?;
        }
        let live = "SELECT COUNT(*) FROM tokens \
             WHERE holder = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)";
        let live = sqlx::query_scalar(live).bind(new.holder).bind(now_ms);
        let live: i64 = live.fetch_one(&mut *change).await?;
        if live >= i64::from(most) {
            return Err(StoreError::TooMany);
        }
        let made = insert(&mut change, new).await?;
        change.commit().await?;
        Ok(made)
    }

    /// The token with this hash, valid or not: ask [`Token::is_valid`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, hash: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        let find = sqlx::query(BY_HASH).bind(hex::encode(hash));
        let row = find.fetch_optional(self.database().reader()).await?;
        row.as_ref().map(token).transpose()
    }

    /// Notes that a token was used; whether that was written, which is so at most once a minute. A clock that was set back
    /// does not take a use back.
    ///
    /// # Errors
    /// When the database fails. The use of a token does not depend on it.
    pub async fn note_token_use(&self, token: &Token, now_ms: i64) -> Result<bool, StoreError> {
        let due = |used: i64| now_ms.saturating_sub(used) >= USE_MS;
        if !token.used_ms.is_none_or(due) {
            return Ok(false);
        }
        let update =
            "UPDATE tokens SET used_ms = $1 WHERE id = $2 AND (used_ms IS NULL OR used_ms <= $3)";
        let update = sqlx::query(update).bind(now_ms).bind(token.id.to_string());
        let update = update.bind(now_ms.saturating_sub(USE_MS));
        Ok(self.database().execute(update).await? > 0)
    }

    /// Tokens of one holder or of all, oldest first, void ones too.
    ///
    /// # Errors
    /// When the database fails; [`StoreError::Invalid`] for a page that did not come from here.
    pub async fn tokens(
        &self,
        holder: Option<&str>,
        page: &Page,
    ) -> Result<Listed<Token>, StoreError> {
        let after = page.position::<String>()?.unwrap_or_default();
        let list = match holder {
            Some(holder) => sqlx::query(OF_HOLDER).bind(after).bind(page.rows()).bind(holder),
            None => sqlx::query(ALL).bind(after).bind(page.rows()),
        };
        let read = |row: &AnyRow| Ok((token(row)?, row.try_get::<&str, _>(3)?.len()));
        page.fetch(list, self.database().reader(), read, |one| one.id.to_string()).await
    }

    /// Revokes a token, of that holder if one is named; whether it was there and in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_token(
        &self,
        id: Uuid,
        holder: Option<&str>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        Ok(self.end_token(id, holder, now_ms).await?.is_some())
    }

    /// Revokes a token, of that holder if one is named, and gives its hash, by which what it has open is ended; `None` when it
    /// was not there or not in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_token(
        &self,
        id: Uuid,
        holder: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let update = "UPDATE tokens SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL \
             AND holder = COALESCE($3, holder) RETURNING hash";
        let update = sqlx::query(update).bind(now_ms).bind(id.to_string()).bind(holder);
        let mut change = self.database().begin().await?;
        let row = update.fetch_optional(&mut *change).await?;
        change.commit().await?;
        row.as_ref().map(hash).transpose()
    }

    /// Revokes every token of a holder; the hashes of those that were not revoked before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_tokens_of(
        &self,
        holder: &str,
        now_ms: i64,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let update = "UPDATE tokens SET revoked_ms = $1 WHERE holder = $2 AND revoked_ms IS NULL RETURNING hash";
        let mut change = self.database().begin().await?;
        let update = sqlx::query(update).bind(now_ms).bind(holder);
        let rows = update.fetch_all(&mut *change).await?;
        change.commit().await?;
        rows.iter().map(hash).collect()
    }

    /// Forgets tokens that have been void since before that time; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_void_tokens(&self, before_ms: i64) -> Result<u64, StoreError> {
        let delete = "DELETE FROM tokens WHERE revoked_ms < $1 OR expires_ms < $1";
        self.database().execute(sqlx::query(delete).bind(before_ms)).await
    }
}

async fn insert(change: &mut Change, new: &NewToken<'_>) -> Result<Token, StoreError> {
    named(new.holder)?;
    if !new.label.is_empty() {
        named(new.label)?;
    }
    let scopes =
        serde_json::to_string(new.scopes).map_err(|error| StoreError::body("token", &error))?;
    let (id, now) = (Uuid::now_v7(), now_ms());
    let insert = "INSERT INTO tokens (hash, id, holder, label, scopes, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let insert = sqlx::query(insert).bind(hex::encode(new.hash)).bind(id.to_string());
    let insert = insert.bind(new.holder).bind(new.label).bind(scopes);
    insert.bind(now).bind(new.expires_ms).execute(&mut **change).await?;
    Ok(Token {
        id,
        holder: new.holder.to_owned(),
        label: new.label.to_owned(),
        scopes: new.scopes.to_vec(),
        created_ms: now,
        expires_ms: new.expires_ms,
        revoked_ms: None,
        used_ms: None,
    })
}

/// The first column, as 32 bytes.
fn hash(row: &AnyRow) -> Result<[u8; 32], StoreError> {
    let mut hash = [0; 32];
    let decoded = hex::decode_to_slice(row.try_get::<&str, _>(0)?, &mut hash);
    decoded.map(|()| hash).map_err(|_| StoreError::Damaged)
}

fn token(row: &AnyRow) -> Result<Token, StoreError> {
    let scopes = serde_json::from_str(row.try_get(3)?);
    Ok(Token {
        id: uuid_in(row, 0)?,
        holder: row.try_get(1)?,
        label: row.try_get(2)?,
        scopes: scopes.map_err(|error| StoreError::body("token", &error))?,
        created_ms: row.try_get(4)?,
        expires_ms: row.try_get(5)?,
        revoked_ms: row.try_get(6)?,
        used_ms: row.try_get(7)?,
    })
}
