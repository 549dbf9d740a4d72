//! Policy revisions of each scope: numbered without gaps, and each with what became of it.
//!
//! A revision is `pending` until whoever enforces it says `loaded` or `failed`. Loading one supersedes those before it; a
//! failed one leaves the loaded one in force.

use domain::limits::STORED_BODY_BYTES_MAX;
use sha2::{Digest, Sha256};
use sqlx::{Row as _, any::AnyRow};

use super::{
    Store,
    database::Change,
    error::StoreError,
    now_ms,
    objects::named,
    page::{Listed, Page},
};

/// How many revisions of a scope are kept: older ones go when new ones come, unless one is in force.
const KEPT: i64 = 200;
/// Longest error of a revision that is kept, bytes.
const ERROR_BYTES_MAX: usize = 4096;

/// The scope of the policy that every sandbox gets.
pub const GLOBAL_SCOPE: &str = "global";

/// What became of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyStatus {
    /// Nobody has said yet that it is in force.
    Pending,
    /// It is in force.
    Loaded,
    /// It was refused; the one before it stays in force.
    Failed,
    /// A later one is in force.
    Superseded,
}

/// One policy that a scope was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRevision {
    /// The sandbox's identity, or [`GLOBAL_SCOPE`].
    pub scope: String,
    /// From 1, one more each time.
    pub version: i64,
    /// SHA-256 of the text, 64 hexadecimal digits.
    pub hash: String,
    /// The policy as it was given.
    pub text: String,
    /// What became of it.
    pub status: PolicyStatus,
    /// Why it was refused.
    pub error: Option<String>,
    /// When it was given, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was loaded or refused.
    pub decided_ms: Option<i64>,
}

/// What giving a policy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAdded {
    /// It is a new revision.
    New(PolicyRevision),
    /// The newest revision has the same text.
    Unchanged(PolicyRevision),
}

const NEWEST: &str = "SELECT scope, version, hash, body, status, error, created_ms, decided_ms \
     FROM policy_revisions WHERE scope = $1 ORDER BY version DESC LIMIT 1";
const ONE: &str = "SELECT scope, version, hash, body, status, error, created_ms, decided_ms \
     FROM policy_revisions WHERE scope = $1 AND version = $2";
const LOADED: &str = "SELECT scope, version, hash, body, status, error, created_ms, decided_ms \
     FROM policy_revisions WHERE scope = $1 AND status = 'loaded' ORDER BY version DESC LIMIT 1";
const NEWEST_FIRST: &str = "SELECT scope, version, hash, body, status, error, created_ms, decided_ms \
     FROM policy_revisions WHERE scope = $1 AND version < $2 ORDER BY version DESC LIMIT $3";

impl Store {
    /// Gives a scope a policy, in place of revision `base` if one is named; 0 is none at all.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the newest is another one, or another one was given at the same moment;
    /// [`StoreError::Invalid`] for a text above 1 MiB.
    pub async fn add_policy(
        &self,
        scope: &str,
        text: &str,
        base: Option<i64>,
    ) -> Result<PolicyAdded, StoreError> {
        named(scope)?;
        if text.len() > STORED_BODY_BYTES_MAX || text.contains('\0') {
            return Err(StoreError::Invalid("a policy has at most 1 MiB, without the character 0"));
        }
        let hash = hex::encode(Sha256::digest(text));
        let mut change = self.database().begin().await?;
        let newest = sqlx::query(NEWEST).bind(scope).fetch_optional(&mut *change).await?;
        let newest = newest.as_ref().map(revision).transpose()?;
        let version = newest.as_ref().map_or(1, |newest| newest.version + 1);
        if base.is_some_and(|base| base != version - 1) {
            return Err(StoreError::Stale);
        }
        if let Some(newest) = newest.filter(|newest| newest.hash == hash) {
            return Ok(PolicyAdded::Unchanged(newest));
        }
        let now = now_ms();
        let insert = "INSERT INTO policy_revisions (scope, version, hash, body, status, created_ms) \
             VALUES ($1, $2, $3, $4, 'pending', $5) ON CONFLICT (scope, version) DO NOTHING";
        let insert = sqlx::query(insert).bind(scope).bind(version).bind(&hash).bind(text).bind(now);
        if insert.execute(&mut *change).await?.rows_affected() == 0 {
            return Err(StoreError::Stale);
        }
        let forget = "DELETE FROM policy_revisions WHERE scope = $1 AND version <= $2 AND status <> 'loaded'";
        sqlx::query(forget).bind(scope).bind(version - KEPT).execute(&mut *change).await?;
        change.commit().await?;
        Ok(PolicyAdded::New(PolicyRevision {
            scope: scope.to_owned(),
            version,
            hash,
            text: text.to_owned(),
            status: PolicyStatus::Pending,
            error: None,
            created_ms: now,
            decided_ms: None,
        }))
    }

    /// Notes that a revision is in force; those before it no longer are. Whether that was news: a report that comes twice,
    /// or after a later revision was loaded, changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn policy_loaded(&self, scope: &str, version: i64) -> Result<bool, StoreError> {
        let mut change = self.database().begin().await?;
        let is_news = decide(&mut change, scope, version, PolicyStatus::Loaded, None).await?;
        if is_news {
            let supersede = "UPDATE policy_revisions SET status = 'superseded' \
                 WHERE scope = $1 AND version < $2 AND status IN ('pending', 'loaded')";
            sqlx::query(supersede).bind(scope).bind(version).execute(&mut *change).await?;
        }
        change.commit().await?;
        Ok(is_news)
    }

    /// Notes that a revision was refused, and why; whether that was news. One that was loaded stays so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn policy_failed(
        &self,
        scope: &str,
        version: i64,
        error: &str,
    ) -> Result<bool, StoreError> {
        let end = error.floor_char_boundary(ERROR_BYTES_MAX);
        let error = error.get(..end).unwrap_or_default().replace('\0', "");
        let mut change = self.database().begin().await?;
        let failed = PolicyStatus::Failed;
        let is_news = decide(&mut change, scope, version, failed, Some(error)).await?;
        change.commit().await?;
        Ok(is_news)
    }

    /// One revision.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn policy(
        &self,
        scope: &str,
        version: i64,
    ) -> Result<Option<PolicyRevision>, StoreError> {
        let one = sqlx::query(ONE).bind(scope).bind(version);
        let row = one.fetch_optional(self.database().reader()).await?;
        row.as_ref().map(revision).transpose()
    }

    /// The newest revision, whatever became of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_policy(&self, scope: &str) -> Result<Option<PolicyRevision>, StoreError> {
        let newest = sqlx::query(NEWEST).bind(scope);
        let row = newest.fetch_optional(self.database().reader()).await?;
        row.as_ref().map(revision).transpose()
    }

    /// The newest revision that is in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_good_policy(
        &self,
        scope: &str,
    ) -> Result<Option<PolicyRevision>, StoreError> {
        let loaded = sqlx::query(LOADED).bind(scope);
        let row = loaded.fetch_optional(self.database().reader()).await?;
        row.as_ref().map(revision).transpose()
    }

    /// Revisions, newest first.
    ///
    /// # Errors
    /// When the database fails; [`StoreError::Invalid`] for a page that did not come from here.
    pub async fn policies(
        &self,
        scope: &str,
        page: &Page,
    ) -> Result<Listed<PolicyRevision>, StoreError> {
        let before = page.position::<i64>()?.unwrap_or(i64::MAX);
        let list = sqlx::query(NEWEST_FIRST).bind(scope).bind(before).bind(page.rows());
        let read = |row: &AnyRow| {
            let one = revision(row)?;
            let bytes = one.text.len();
            Ok((one, bytes))
        };
        page.fetch(list, self.database().reader(), read, |one| one.version).await
    }

    /// Forgets every revision of a scope, whose sandbox is gone; how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_policies(&self, scope: &str) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM policy_revisions WHERE scope = $1").bind(scope);
        self.database().execute(delete).await
    }
}

/// Notes what became of a revision that nobody has decided on, or that was refused and is now in force.
async fn decide(
    change: &mut Change,
    scope: &str,
    version: i64,
    status: PolicyStatus,
    error: Option<String>,
) -> Result<bool, StoreError> {
    let update = "UPDATE policy_revisions SET status = $1, error = $2, decided_ms = $3 \
         WHERE scope = $4 AND version = $5 AND status IN ('pending', 'failed') AND status <> $1 AND NOT EXISTS \
         (SELECT 1 FROM policy_revisions WHERE scope = $4 AND version > $5 AND status = 'loaded')";
    let update = sqlx::query(update).bind(status.word()).bind(error).bind(now_ms());
    let update = update.bind(scope).bind(version).execute(&mut **change).await?;
    Ok(update.rows_affected() > 0)
}

impl PolicyStatus {
    /// The word for people and the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    fn of(word: &str) -> Result<Self, StoreError> {
        let all = [Self::Pending, Self::Loaded, Self::Failed, Self::Superseded];
        all.into_iter().find(|status| status.word() == word).ok_or(StoreError::Damaged)
    }
}

fn revision(row: &AnyRow) -> Result<PolicyRevision, StoreError> {
    Ok(PolicyRevision {
        scope: row.try_get(0)?,
        version: row.try_get(1)?,
        hash: row.try_get(2)?,
        text: row.try_get(3)?,
        status: PolicyStatus::of(row.try_get(4)?)?,
        error: row.try_get(5)?,
        created_ms: row.try_get(6)?,
        decided_ms: row.try_get(7)?,
    })
}
