//! First answers to requests that may come twice, by the idempotency key that their caller gave them.
//!
//! A request is claimed before it is done and answered after; a second one with its key gets the first answer, or is told
//! to wait. A body may hold what only its caller may see, such as a new token, so it lies sealed among the secrets, under
//! the identity of the attempt.

use std::fmt;

use domain::limits::STORED_BODY_BYTES_MAX;
use sqlx::{Row as _, any::AnyRow};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Store, database::Change, error::StoreError, objects::named, secrets::Owner};

/// How long an answer is kept, milliseconds.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// When a request that was never answered may be done again: whoever did it has crashed.
const RUNNING_MS_MAX: i64 = 10 * 60 * 1000;
/// Most answers of one principal; the oldest go first.
const OF_PRINCIPAL_MAX: i64 = 1000;

/// A request with an idempotency key.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks. Keys of others are other keys.
    pub principal: &'a str,
    /// What is asked, such as `POST /v1/sandboxes`.
    pub route: &'a str,
    /// The key, as the caller made it up.
    pub key: &'a str,
    /// SHA-256 of the request's body: another one under the same key is a mistake.
    pub fingerprint: &'a [u8; 32],
}

/// The right to answer a request.
#[derive(Clone, Debug)]
#[must_use = "a claim that is neither answered nor abandoned blocks its request for ten minutes"]
pub struct Claim {
    attempt: String,
}

/// An answer that was given already. `Debug` prints the status alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its body.
    pub body: Zeroizing<Vec<u8>>,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Claimed {
    /// It is new: do it, then answer or abandon it.
    New(Claim),
    /// It is being done: ask later.
    Running,
    /// It was done: this was the answer.
    Answered(Answer),
    /// The key was used for another request.
    Conflict,
}

impl Store {
    /// Claims a request.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a key, route or principal that is empty, above 253 bytes, or holds control characters.
    pub async fn claim_request(
        &self,
        request: &Request<'_>,
        now_ms: i64,
    ) -> Result<Claimed, StoreError> {
        for part in [request.principal, request.route, request.key] {
            named(part)?;
        }
        let mut change = self.database().begin().await?;
        let find = "SELECT fingerprint, begun_ms, attempt, status FROM answers \
             WHERE principal = $1 AND route = $2 AND request_key = $3";
        let find = sqlx::query(find).bind(request.principal).bind(request.route).bind(request.key);
        if let Some(row) = find.fetch_optional(&mut *change).await? {
            let known = Known::of(&row)?;
            if !known.is_over(now_ms) {
                return self.known(&mut change, &known, request).await;
            }
            forget(&mut change, &known.attempt).await?;
        }
        let claim = Claim { attempt: Uuid::now_v7().to_string() };
        let insert = "INSERT INTO answers (principal, route, request_key, fingerprint, begun_ms, attempt) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (principal, route, request_key) DO NOTHING";
        let insert = sqlx::query(insert).bind(request.principal).bind(request.route);
        let insert = insert.bind(request.key).bind(hex::encode(request.fingerprint)).bind(now_ms);
        let inserted = insert.bind(&claim.attempt).execute(&mut *change).await?.rows_affected();
        if inserted == 0 {
            return Ok(Claimed::Running);
        }
        forget_oldest(&mut change, request.principal).await?;
        change.commit().await?;
        Ok(Claimed::New(claim))
    }

    /// Answers a claimed request; whether that was in time, which it is not once another has claimed it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a body above 1 MiB: then abandon it.
    pub async fn answer_request(
        &self,
        claim: &Claim,
        status: u16,
        body: &[u8],
    ) -> Result<bool, StoreError> {
        if body.len() > STORED_BODY_BYTES_MAX {
            return Err(StoreError::Invalid("an answer that is kept has at most 1 MiB"));
        }
        let mut change = self.database().begin().await?;
        let update = "UPDATE answers SET status = $1 WHERE attempt = $2 AND status IS NULL";
        let update = sqlx::query(update).bind(i64::from(status)).bind(&claim.attempt);
        if update.execute(&mut *change).await?.rows_affected() == 0 {
            return Ok(false);
        }
        self.put(&mut change, owner(&claim.attempt), BODY, body).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Gives a claim back: the request was not done, and may be tried again at once.
    ///
    /// # Errors
    /// When the database fails; then it may be tried again in ten minutes.
    pub async fn abandon_request(&self, claim: Claim) -> Result<(), StoreError> {
        let delete = "DELETE FROM answers WHERE attempt = $1 AND status IS NULL";
        self.database().execute(sqlx::query(delete).bind(&claim.attempt)).await?;
        Ok(())
    }

    /// Forgets answers that are older than a day; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_answers(&self, now_ms: i64) -> Result<u64, StoreError> {
        let before = now_ms.saturating_sub(KEPT_MS);
        let mut change = self.database().begin().await?;
        let bodies = "DELETE FROM secrets WHERE owner_kind = 'answer' AND owner_id IN \
             (SELECT attempt FROM answers WHERE begun_ms <= $1)";
        sqlx::query(bodies).bind(before).execute(&mut *change).await?;
        let answers = sqlx::query("DELETE FROM answers WHERE begun_ms <= $1").bind(before);
        let removed = answers.execute(&mut *change).await?.rows_affected();
        change.commit().await?;
        Ok(removed)
    }

    async fn known(
        &self,
        change: &mut Change,
        known: &Known,
        request: &Request<'_>,
    ) -> Result<Claimed, StoreError> {
        if known.fingerprint != hex::encode(request.fingerprint) {
            return Ok(Claimed::Conflict);
        }
        let Some(status) = known.status else { return Ok(Claimed::Running) };
        let body = self.unsealed(change, owner(&known.attempt), BODY).await?;
        let body = body.ok_or(StoreError::Damaged)?;
        Ok(Claimed::Answered(Answer { status, body }))
    }
}

/// What its answer's body is called.
const BODY: &str = "body";

fn owner(attempt: &str) -> Owner<'_> {
    Owner { kind: "answer", id: attempt }
}

/// A request that came before.
struct Known {
    fingerprint: String,
    begun_ms: i64,
    attempt: String,
    status: Option<u16>,
}

impl Known {
    fn of(row: &AnyRow) -> Result<Self, StoreError> {
        let status: Option<i64> = row.try_get(3)?;
        let status = status.map(u16::try_from).transpose().map_err(|_| StoreError::Damaged)?;
        Ok(Self {
            fingerprint: row.try_get(0)?,
            begun_ms: row.try_get(1)?,
            attempt: row.try_get(2)?,
            status,
        })
    }

    fn is_over(&self, now_ms: i64) -> bool {
        let most = if self.status.is_some() { KEPT_MS } else { RUNNING_MS_MAX };
        now_ms.saturating_sub(self.begun_ms) >= most
    }
}

async fn forget(change: &mut Change, attempt: &str) -> Result<(), StoreError> {
    let body = "DELETE FROM secrets WHERE owner_kind = 'answer' AND owner_id = $1";
    sqlx::query(body).bind(attempt).execute(&mut **change).await?;
    let answer = sqlx::query("DELETE FROM answers WHERE attempt = $1").bind(attempt);
    answer.execute(&mut **change).await?;
    Ok(())
}

async fn forget_oldest(change: &mut Change, principal: &str) -> Result<(), StoreError> {
    let oldest = "SELECT attempt FROM answers WHERE principal = $1 ORDER BY begun_ms DESC LIMIT 10 OFFSET $2";
    let oldest = sqlx::query_scalar(oldest).bind(principal).bind(OF_PRINCIPAL_MAX);
    let oldest: Vec<String> = oldest.fetch_all(&mut **change).await?;
    for attempt in oldest {
        forget(change, &attempt).await?;
    }
    Ok(())
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}
