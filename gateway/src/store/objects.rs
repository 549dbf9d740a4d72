//! Objects of any kind: a name in a workspace, a JSON body, and a version that tells whether someone else was faster.

use domain::limits::{STORED_BODY_BYTES_MAX, STORED_NAME_BYTES_MAX};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row as _, any::AnyRow};
use uuid::Uuid;

use super::{
    Store,
    database::Change,
    error::StoreError,
    now_ms,
    page::{Listed, Page},
};

mod owning;

pub use owning::SecretChanges;

/// What is stored as an object. Its JSON must go on being readable: objects of older versions are read with it.
pub trait Object: Serialize + DeserializeOwned + Send + Sync {
    /// The word that tells this kind from others. Never changed.
    const KIND: &'static str;
}

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Its own for ever, also among those of the same name that come after it; ordered by when it was made.
    pub id: Uuid,
    /// The workspace it is in.
    pub workspace: String,
    /// Unique among its kind in its workspace.
    pub name: String,
    /// 1 at first, one more with each change.
    pub version: i64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last changed, milliseconds since 1970.
    pub updated_ms: i64,
    /// What it is.
    pub body: T,
}

const FIND: &str = "SELECT id, workspace, name, version, created_ms, updated_ms, body FROM objects \
     WHERE kind = $1 AND workspace = $2 AND name = $3";
const FIND_BY_ID: &str = "SELECT id, workspace, name, version, created_ms, updated_ms, body \
     FROM objects WHERE id = $1 AND kind = $2";
const LIST: &str = "SELECT id, workspace, name, version, created_ms, updated_ms, body FROM objects \
     WHERE kind = $1 AND workspace = $2 AND name > $3 ORDER BY name LIMIT $4";
const LIST_EVERYWHERE: &str = "SELECT id, workspace, name, version, created_ms, updated_ms, body \
     FROM objects WHERE kind = $1 AND (name, workspace) > ($2, $3) ORDER BY name, workspace LIMIT $4";

impl Store {
    /// Makes an object.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when its kind has one of that name in that workspace; [`StoreError::Invalid`] for a name that
    /// is empty, longer than 253 bytes or holds a control character, and for a body above 1 MiB.
    pub async fn create<T: Object>(
        &self,
        workspace: &str,
        name: &str,
        body: &T,
    ) -> Result<Stored<T>, StoreError> {
        let mut change = self.database().begin().await?;
        let made = insert(&mut change, workspace, name, body).await?;
        change.commit().await?;
        Ok(made)
    }

    /// The object of that name.
    ///
    /// # Errors
    /// When the database fails, or what is stored cannot be read.
    pub async fn find<T: Object>(
        &self,
        workspace: &str,
        name: &str,
    ) -> Result<Option<Stored<T>>, StoreError> {
        let find = sqlx::query(FIND).bind(T::KIND).bind(workspace).bind(name);
        let row = find.fetch_optional(self.database().reader()).await?;
        row.as_ref().map(stored).transpose()
    }

    /// The object with that identity.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub async fn find_by_id<T: Object>(&self, id: Uuid) -> Result<Option<Stored<T>>, StoreError> {
        let find = sqlx::query(FIND_BY_ID).bind(id.to_string()).bind(T::KIND);
        let row = find.fetch_optional(self.database().reader()).await?;
        row.as_ref().map(stored).transpose()
    }

    /// Objects of one workspace or of all, by name. Every object that is there from the first page to the last is
    /// listed once, whatever is made or removed meanwhile.
    ///
    /// # Errors
    /// As [`Store::find`]; [`StoreError::Invalid`] for a page that did not come from here.
    pub async fn list<T: Object>(
        &self,
        workspace: Option<&str>,
        page: &Page,
    ) -> Result<Listed<Stored<T>>, StoreError> {
        let (name, within) = page.position::<(String, String)>()?.unwrap_or_default();
        let list = match workspace {
            Some(workspace) => sqlx::query(LIST).bind(T::KIND).bind(workspace).bind(name),
            None => sqlx::query(LIST_EVERYWHERE).bind(T::KIND).bind(name).bind(within),
        };
        let list = list.bind(page.rows());
        let read = |row: &AnyRow| Ok((stored(row)?, row.try_get::<&str, _>(6)?.len()));
        let position = |one: &Stored<T>| (one.name.clone(), one.workspace.clone());
        page.fetch(list, self.database().reader(), read, position).await
    }

    /// Gives an object another body.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it was changed or removed since `old` was read; [`StoreError::Invalid`] for a body above 1 MiB.
    pub async fn replace<T: Object>(
        &self,
        old: &Stored<T>,
        body: &T,
    ) -> Result<Stored<T>, StoreError> {
        let mut change = self.database().begin().await?;
        let new = update(&mut change, old, body).await?;
        change.commit().await?;
        Ok(new)
    }

    /// Removes an object, of that version if one is named; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it has another version than the one named.
    pub async fn remove<T: Object>(
        &self,
        workspace: &str,
        name: &str,
        version: Option<i64>,
    ) -> Result<bool, StoreError> {
        let mut change = self.database().begin().await?;
        let removed = delete::<T>(&mut change, workspace, name, version).await?;
        change.commit().await?;
        Ok(removed.is_some())
    }
}

async fn insert<T: Object>(
    change: &mut Change,
    workspace: &str,
    name: &str,
    body: &T,
) -> Result<Stored<T>, StoreError> {
    named(workspace)?;
    named(name)?;
    let text = written(body)?;
    let (id, now) = (Uuid::now_v7(), now_ms());
    let insert = "INSERT INTO objects (id, kind, workspace, name, version, body, created_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, 1, $5, $6, $6) ON CONFLICT (kind, workspace, name) DO NOTHING";
    let insert = sqlx::query(insert).bind(id.to_string()).bind(T::KIND).bind(workspace);
    let insert = insert.bind(name).bind(&text).bind(now);
    if insert.execute(&mut **change).await?.rows_affected() == 0 {
        return Err(StoreError::Exists);
    }
    let (workspace, name) = (workspace.to_owned(), name.to_owned());
    let body = read(&text)?;
    Ok(Stored { id, workspace, name, version: 1, created_ms: now, updated_ms: now, body })
}

async fn update<T: Object>(
    change: &mut Change,
    old: &Stored<T>,
    body: &T,
) -> Result<Stored<T>, StoreError> {
    let text = written(body)?;
    let now = now_ms();
    let update = "UPDATE objects SET body = $1, version = version + 1, updated_ms = $2 \
         WHERE id = $3 AND kind = $4 AND version = $5";
    let update = sqlx::query(update).bind(&text).bind(now).bind(old.id.to_string());
    let update = update.bind(T::KIND).bind(old.version);
    if update.execute(&mut **change).await?.rows_affected() == 0 {
        return Err(StoreError::Stale);
    }
    Ok(Stored {
        id: old.id,
        workspace: old.workspace.clone(),
        name: old.name.clone(),
        version: old.version + 1,
        created_ms: old.created_ms,
        updated_ms: now,
        body: read(&text)?,
    })
}

/// The identity of what was removed, if there was one of that name.
async fn delete<T: Object>(
    change: &mut Change,
    workspace: &str,
    name: &str,
    version: Option<i64>,
) -> Result<Option<Uuid>, StoreError> {
    let delete = "DELETE FROM objects WHERE kind = $1 AND workspace = $2 AND name = $3 \
         AND version = COALESCE($4, version) RETURNING id";
    let delete = sqlx::query(delete).bind(T::KIND).bind(workspace).bind(name).bind(version);
    if let Some(row) = delete.fetch_optional(&mut **change).await? {
        return Ok(Some(uuid_in(&row, 0)?));
    }
    let find = sqlx::query(FIND).bind(T::KIND).bind(workspace).bind(name);
    match find.fetch_optional(&mut **change).await? {
        Some(_) => Err(StoreError::Stale),
        None => Ok(None),
    }
}

/// A name that every table takes and every terminal shows.
pub(super) fn named(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > STORED_NAME_BYTES_MAX {
        return Err(StoreError::Invalid("a name has 1 to 253 bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(StoreError::Invalid("a name holds no control characters"));
    }
    Ok(())
}

fn written<T: Object>(body: &T) -> Result<String, StoreError> {
    let text = serde_json::to_string(body).map_err(|error| StoreError::body(T::KIND, &error))?;
    if text.len() > STORED_BODY_BYTES_MAX {
        return Err(StoreError::Invalid("what is to be stored has more than 1 MiB"));
    }
    Ok(text)
}

fn read<T: Object>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::body(T::KIND, &error))
}

fn stored<T: Object>(row: &AnyRow) -> Result<Stored<T>, StoreError> {
    Ok(Stored {
        id: uuid_in(row, 0)?,
        workspace: row.try_get(1)?,
        name: row.try_get(2)?,
        version: row.try_get(3)?,
        created_ms: row.try_get(4)?,
        updated_ms: row.try_get(5)?,
        body: read(row.try_get(6)?)?,
    })
}

/// The identity in a column.
pub(super) fn uuid_in(row: &AnyRow, column: usize) -> Result<Uuid, StoreError> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| StoreError::Damaged)
}
