//! Sealed values, by owner and name; the rotation of the master key above them is in `rotation`.
//!
//! Which master key seals stands in the database (`keyring`). Whoever seals reads it in the transaction that stores the
//! value, and whoever replaces it waits for these: so no value is sealed under a key that has been given up, by no process.

use domain::limits::{PAGE_ITEMS_MAX, STORED_SECRET_BYTES_MAX};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    Any, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use zeroize::Zeroizing;

use super::{
    Store,
    database::{Change, Engine},
    error::StoreError,
    now_ms,
    objects::named,
};
use crate::secrets::{Binding, Keys, SealError, Sealed};

mod rotation;

pub use rotation::RotateError;

/// Who a secret belongs to, such as one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// What it is, such as `provider`. Never changed: values are bound to it.
    pub kind: &'a str,
    /// Which one: an identity that no other gets later.
    pub id: &'a str,
}

/// Where an owner's value is kept.
#[derive(Clone, Debug)]
struct At {
    owner_kind: String,
    owner_id: String,
    name: String,
}

const PUT: &str = "INSERT INTO secrets (owner_kind, owner_id, name, key_id, wrapped, sealed, updated_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (owner_kind, owner_id, name) \
     DO UPDATE SET key_id = excluded.key_id, wrapped = excluded.wrapped, sealed = excluded.sealed, updated_ms = excluded.updated_ms";
const ONE: &str = "SELECT owner_kind, owner_id, name, key_id, wrapped, sealed FROM secrets \
     WHERE owner_kind = $1 AND owner_id = $2 AND name = $3";
const ALL: &str = "SELECT owner_kind, owner_id, name, key_id, wrapped, sealed FROM secrets \
     WHERE owner_kind = $1 AND owner_id = $2 ORDER BY name LIMIT $3";

impl Store {
    /// Stores a value in place of the one that was there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none or a value above 64 KiB.
    pub async fn put_secret(
        &self,
        owner: Owner<'_>,
        name: &str,
        value: &SecretString,
    ) -> Result<(), StoreError> {
        self.put_secrets(owner, &[(name, value)]).await
    }

    /// Stores several values of one owner, all or none.
    ///
    /// # Errors
    /// As [`Store::put_secret`].
    pub async fn put_secrets(
        &self,
        owner: Owner<'_>,
        values: &[(&str, &SecretString)],
    ) -> Result<(), StoreError> {
        let mut change = self.database().begin().await?;
        self.put_all(&mut change, owner, values).await?;
        Ok(change.commit().await?)
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Seal`] when the row was changed or moved.
    pub async fn secret(
        &self,
        owner: Owner<'_>,
        name: &str,
    ) -> Result<Option<SecretString>, StoreError> {
        let one = sqlx::query(ONE).bind(owner.kind).bind(owner.id).bind(name);
        let row = one.fetch_optional(self.database().reader()).await?;
        Ok(row.as_ref().map(|row| self.opened(row)).transpose()?.map(|(_, value)| value))
    }

    /// All values of an owner with their names, at most 1000, sorted by name.
    ///
    /// # Errors
    /// As [`Store::secret`].
    pub async fn secrets(
        &self,
        owner: Owner<'_>,
    ) -> Result<Vec<(String, SecretString)>, StoreError> {
        let all = sqlx::query(ALL).bind(owner.kind).bind(owner.id).bind(i64::from(PAGE_ITEMS_MAX));
        let rows = all.fetch_all(self.database().reader()).await?;
        rows.iter().map(|row| self.opened(row)).collect()
    }

    /// The names of an owner's values, at most 1000, sorted. Nothing is opened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn secret_names(&self, owner: Owner<'_>) -> Result<Vec<String>, StoreError> {
        let names = "SELECT name FROM secrets WHERE owner_kind = $1 AND owner_id = $2 ORDER BY name LIMIT $3";
        let names = sqlx::query_scalar(names).bind(owner.kind).bind(owner.id);
        Ok(names.bind(i64::from(PAGE_ITEMS_MAX)).fetch_all(self.database().reader()).await?)
    }

    /// Removes one value; whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_secret(&self, owner: Owner<'_>, name: &str) -> Result<bool, StoreError> {
        Ok(self.database().execute(delete_one(owner, name)).await? > 0)
    }

    /// Removes all values of an owner; how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_secrets(&self, owner: Owner<'_>) -> Result<u64, StoreError> {
        self.database().execute(delete_all(owner)).await
    }

    /// Seals and stores several values of one owner.
    pub(super) async fn put_all(
        &self,
        change: &mut Change,
        owner: Owner<'_>,
        values: &[(&str, &SecretString)],
    ) -> Result<(), StoreError> {
        for (name, value) in values {
            #[expect(clippy::disallowed_methods, reason = "what is sealed has to be seen once")]
            let plain = value.expose_secret().as_bytes();
            if plain.len() > STORED_SECRET_BYTES_MAX {
                return Err(StoreError::Invalid("a secret has at most 64 KiB"));
            }
            self.put(change, owner, name, plain).await?;
        }
        Ok(())
    }

    /// Seals and stores one value.
    pub(super) async fn put(
        &self,
        change: &mut Change,
        owner: Owner<'_>,
        name: &str,
        plain: &[u8],
    ) -> Result<(), StoreError> {
        for part in [owner.kind, owner.id, name] {
            named(part)?;
        }
        let binding = Binding { owner_kind: owner.kind, owner_id: owner.id, name };
        let sealed = self.sealing_keys(change).await?.seal(&binding, plain)?;
        let put = sqlx::query(PUT).bind(owner.kind).bind(owner.id).bind(name);
        let put = put.bind(sealed.key_id).bind(sealed.wrapped).bind(sealed.sealed).bind(now_ms());
        put.execute(&mut **change).await?;
        Ok(())
    }

    /// One value as bytes, if there is one.
    pub(super) async fn unsealed(
        &self,
        change: &mut Change,
        owner: Owner<'_>,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let one = sqlx::query(ONE).bind(owner.kind).bind(owner.id).bind(name);
        let Some(row) = one.fetch_optional(&mut **change).await? else { return Ok(None) };
        let (at, sealed) = sealed(&row)?;
        Ok(Some(self.keys().unseal(&at.binding(), &sealed)?))
    }

    /// Our keys with the one in force that the database names; it stays so until `change` ends.
    async fn sealing_keys(&self, change: &mut Change) -> Result<Keys, StoreError> {
        let current = match self.database().engine() {
            Engine::Sqlite => "SELECT key_id FROM keyring WHERE one = 1", // one writer at a time
            Engine::Postgres => "SELECT key_id FROM keyring WHERE one = 1 FOR SHARE",
        };
        let id: String = sqlx::query_scalar(current).fetch_one(&mut **change).await?;
        self.keys().led_by(&id).ok_or(StoreError::Key(id))
    }

    fn opened(&self, row: &AnyRow) -> Result<(String, SecretString), StoreError> {
        let (at, sealed) = sealed(row)?;
        let mut plain = self.keys().unseal(&at.binding(), &sealed)?;
        let text = String::from_utf8(std::mem::take(&mut *plain))
            .map_err(|_| StoreError::Seal(SealError::Refused))?;
        Ok((at.name, SecretString::from(text)))
    }
}

/// Removes one value.
pub(super) fn delete_one<'q>(owner: Owner<'q>, name: &'q str) -> Query<'q, Any, AnyArguments> {
    let delete = "DELETE FROM secrets WHERE owner_kind = $1 AND owner_id = $2 AND name = $3";
    sqlx::query(delete).bind(owner.kind).bind(owner.id).bind(name)
}

/// Removes all values of an owner.
pub(super) fn delete_all(owner: Owner<'_>) -> Query<'_, Any, AnyArguments> {
    let delete = "DELETE FROM secrets WHERE owner_kind = $1 AND owner_id = $2";
    sqlx::query(delete).bind(owner.kind).bind(owner.id)
}

impl At {
    fn binding(&self) -> Binding<'_> {
        Binding { owner_kind: &self.owner_kind, owner_id: &self.owner_id, name: &self.name }
    }
}

/// The columns that every query of values gives.
fn sealed(row: &AnyRow) -> Result<(At, Sealed), StoreError> {
    let at = At { owner_kind: row.try_get(0)?, owner_id: row.try_get(1)?, name: row.try_get(2)? };
    let sealed =
        Sealed { key_id: row.try_get(3)?, wrapped: row.try_get(4)?, sealed: row.try_get(5)? };
    Ok((at, sealed))
}
