//! Objects that own secrets: both change together or not at all.
//!
//! The owner of a secret is the identity of its object, so that one which is made again under that name has none of them.

use secrecy::SecretString;

use super::{
    super::{
        Store,
        database::Change,
        error::StoreError,
        secrets::{Owner, delete_all, delete_one},
    },
    Object, Stored, delete, insert, update,
};

/// What becomes of the secrets of an object that is made or changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecretChanges<'a> {
    /// The kind of [`Owner`] that the object is to its secrets.
    pub owner_kind: &'a str,
    /// Names with the values that are put in place of those that were there.
    pub put: &'a [(&'a str, &'a SecretString)],
    /// Names of those that go. One that is not there is none to remove.
    pub remove: &'a [&'a str],
}

impl Store {
    /// Makes an object with its secrets.
    ///
    /// # Errors
    /// As [`Store::create`] and [`Store::put_secret`]; then there is neither.
    pub async fn create_with_secrets<T: Object>(
        &self,
        workspace: &str,
        name: &str,
        body: &T,
        secrets: &SecretChanges<'_>,
    ) -> Result<Stored<T>, StoreError> {
        let mut change = self.database().begin().await?;
        let made = insert(&mut change, workspace, name, body).await?;
        self.change_secrets(&mut change, &made, secrets).await?;
        change.commit().await?;
        Ok(made)
    }

    /// Gives an object another body, and changes its secrets with it.
    ///
    /// # Errors
    /// As [`Store::replace`] and [`Store::put_secret`]; then both are as they were.
    pub async fn replace_with_secrets<T: Object>(
        &self,
        old: &Stored<T>,
        body: &T,
        secrets: &SecretChanges<'_>,
    ) -> Result<Stored<T>, StoreError> {
        let mut change = self.database().begin().await?;
        // First: whoever is late waits here, and changes no secret.
        let new = update(&mut change, old, body).await?;
        self.change_secrets(&mut change, &new, secrets).await?;
        change.commit().await?;
        Ok(new)
    }

    /// Removes an object, of that version if one is named, with all its secrets; whether there was one.
    ///
    /// # Errors
    /// As [`Store::remove`]; then both are as they were.
    pub async fn remove_with_secrets<T: Object>(
        &self,
        workspace: &str,
        name: &str,
        version: Option<i64>,
        owner_kind: &str,
    ) -> Result<bool, StoreError> {
        let mut change = self.database().begin().await?;
        let Some(id) = delete::<T>(&mut change, workspace, name, version).await? else {
            return Ok(false);
        };
        let owner = Owner { kind: owner_kind, id: &id.to_string() };
        delete_all(owner).execute(&mut *change).await?;
        change.commit().await?;
        Ok(true)
    }

    async fn change_secrets<T>(
        &self,
        change: &mut Change,
        stored: &Stored<T>,
        secrets: &SecretChanges<'_>,
    ) -> Result<(), StoreError> {
        let owner = Owner { kind: secrets.owner_kind, id: &stored.id.to_string() };
        self.put_all(change, owner, secrets.put).await?;
        for name in secrets.remove {
            delete_one(owner, name).execute(&mut **change).await?;
        }
        Ok(())
    }
}
