//! The chain: what each line is hashed with, and the code over its two ends.
//!
//! The hash of a line is SHA-256 over the hash before it and the line with everything that is stored beside it, so that a
//! line can be neither changed, moved nor taken out. The two ends are under a code (HMAC-SHA-256) with a key that lies
//! sealed among the secrets: whoever can write to the database but has no master key cannot shorten the chain either.

use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use sha2::{Digest, Sha256};
use sqlx::{Row as _, any::AnyRow};
use zeroize::Zeroizing;

use super::super::{
    Store,
    database::{Change, Engine},
    error::StoreError,
    secrets::Owner,
};
use crate::secrets::SealError;

/// Bytes of a hash.
pub(super) const HASH_BYTES: usize = 32;

/// Where the key of the code lies.
const KEY_OWNER: Owner<'_> = Owner { kind: "store", id: "audit" };
const KEY_NAME: &str = "code";

/// A line with everything that its hash covers.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) position: i64,
    pub(super) sandbox: String,
    pub(super) instance: String,
    pub(super) sequence: i64,
    pub(super) kind: String,
    pub(super) at_ms: i64,
    pub(super) stored_ms: i64,
    pub(super) line: String,
}

impl Link {
    /// The line in the first eight columns of a row: position, sandbox, instance, sequence, kind, at, stored, line.
    pub(super) fn of(row: &AnyRow) -> Result<Self, StoreError> {
        Ok(Self {
            position: row.try_get(0)?,
            sandbox: row.try_get(1)?,
            instance: row.try_get(2)?,
            sequence: row.try_get(3)?,
            kind: row.try_get(4)?,
            at_ms: row.try_get(5)?,
            stored_ms: row.try_get(6)?,
            line: row.try_get(7)?,
        })
    }

    /// The hash of this line behind the line with hash `previous`.
    ///
    /// SHA-256 over: `previous`; position, sequence, time of the event and time of storage as 8 bytes each, the high byte
    /// first; then sandbox, instance, kind and line, each behind its length in bytes as 8 bytes.
    pub(super) fn hash(&self, previous: &[u8]) -> [u8; HASH_BYTES] {
        let mut hash = Sha256::new_with_prefix(previous);
        for number in [self.position, self.sequence, self.at_ms, self.stored_ms] {
            hash.update(number.to_be_bytes());
        }
        for text in [&self.sandbox, &self.instance, &self.kind, &self.line] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

/// The two ends of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The last position that is no longer kept, 0 at first.
    pub(super) anchor_position: i64,
    /// Its hash, zeros at first.
    pub(super) anchor: Vec<u8>,
    /// The position of the last line.
    pub(super) last_position: i64,
    /// Its hash.
    pub(super) last: Vec<u8>,
    /// When it was stored. Time in the chain never goes back.
    pub(super) stored_ms: i64,
    /// Bytes of all lines that are kept.
    pub(super) size: i64,
}

impl Ends {
    /// Of a chain without lines.
    pub(super) fn empty() -> Self {
        let nothing = vec![0; HASH_BYTES];
        Self {
            anchor_position: 0,
            anchor: nothing.clone(),
            last_position: 0,
            last: nothing,
            stored_ms: 0,
            size: 0,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 * 8 + 2 * HASH_BYTES);
        for number in [self.anchor_position, self.last_position, self.stored_ms, self.size] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.anchor);
        bytes.extend_from_slice(&self.last);
        bytes
    }
}

/// The ends as they are stored, and whether nobody else has written them.
pub(super) struct StoredEnds {
    pub(super) ends: Ends,
    pub(super) is_ours: bool,
}

const ENDS: &str = "SELECT anchor_position, anchor, last_position, last, stored_ms, size, code \
     FROM audit_chain WHERE one = 1";
const ENDS_LOCKED: &str = "SELECT anchor_position, anchor, last_position, last, stored_ms, size, code \
     FROM audit_chain WHERE one = 1 FOR UPDATE";
const SET_ENDS: &str = "INSERT INTO audit_chain (one, anchor_position, anchor, last_position, last, stored_ms, size, code) \
     VALUES (1, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT (one) DO UPDATE SET \
     anchor_position = excluded.anchor_position, anchor = excluded.anchor, last_position = excluded.last_position, \
     last = excluded.last, stored_ms = excluded.stored_ms, size = excluded.size, code = excluded.code";

impl Store {
    /// The ends, held still until `change` ends. `None` for a chain that was never begun.
    pub(super) async fn ends(&self, change: &mut Change) -> Result<Option<StoredEnds>, StoreError> {
        let find = match self.database().engine() {
            Engine::Sqlite => ENDS, // one writer at a time
            Engine::Postgres => ENDS_LOCKED,
        };
        self.read_ends(change, find).await
    }

    /// The ends as a reader sees them.
    pub(super) async fn ends_seen(
        &self,
        snapshot: &mut Change,
    ) -> Result<Option<StoredEnds>, StoreError> {
        self.read_ends(snapshot, ENDS).await
    }

    /// Begins the chain if nobody has; only one of two who do it at once does.
    pub(super) async fn begin_chain(&self) -> Result<(), StoreError> {
        let mut change = self.database().begin().await?;
        let ends = Ends::empty();
        let insert = "INSERT INTO audit_chain (one, anchor_position, anchor, last_position, last, stored_ms, size, code) \
             VALUES (1, 0, $1, 0, $1, 0, 0, $1) ON CONFLICT (one) DO NOTHING";
        let insert = sqlx::query(insert).bind(ends.anchor.as_slice());
        if insert.execute(&mut *change).await?.rows_affected() > 0 {
            self.set_ends(&mut change, &ends).await?;
            change.commit().await?;
        }
        Ok(())
    }

    /// Stores the ends under a new code.
    pub(super) async fn set_ends(
        &self,
        change: &mut Change,
        ends: &Ends,
    ) -> Result<(), StoreError> {
        let key = match self.code_key(change).await? {
            Some(key) => key,
            None => self.new_code_key(change).await?,
        };
        let code = hmac::sign(&key, &ends.bytes());
        let set = sqlx::query(SET_ENDS).bind(ends.anchor_position).bind(ends.anchor.as_slice());
        let set = set.bind(ends.last_position).bind(ends.last.as_slice()).bind(ends.stored_ms);
        set.bind(ends.size).bind(code.as_ref()).execute(&mut **change).await?;
        Ok(())
    }

    async fn read_ends(
        &self,
        change: &mut Change,
        find: &'static str,
    ) -> Result<Option<StoredEnds>, StoreError> {
        let mut row = sqlx::query(find).fetch_optional(&mut **change).await?;
        let key = self.code_key(change).await?;
        if row.is_none() && key.is_some() {
            // Another may have begun the chain between these two; both came at once, so now it is seen.
            row = sqlx::query(find).fetch_optional(&mut **change).await?;
        }
        let Some(row) = row else {
            // With a key there was a chain.
            return Ok(key.map(|_| StoredEnds { ends: Ends::empty(), is_ours: false }));
        };
        let ends = Ends {
            anchor_position: row.try_get(0)?,
            anchor: row.try_get(1)?,
            last_position: row.try_get(2)?,
            last: row.try_get(3)?,
            stored_ms: row.try_get(4)?,
            size: row.try_get(5)?,
        };
        let code: &[u8] = row.try_get(6)?;
        let is_ours = key.is_some_and(|key| hmac::verify(&key, &ends.bytes(), code).is_ok());
        Ok(Some(StoredEnds { ends, is_ours }))
    }

    async fn new_code_key(&self, change: &mut Change) -> Result<hmac::Key, StoreError> {
        let mut secret = Zeroizing::new([0; HASH_BYTES]);
        SystemRandom::new()
            .fill(&mut *secret)
            .map_err(|_| StoreError::Seal(SealError::Randomness))?;
        self.put(change, KEY_OWNER, KEY_NAME, &*secret).await?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &*secret))
    }

    async fn code_key(&self, change: &mut Change) -> Result<Option<hmac::Key>, StoreError> {
        let secret = self.unsealed(change, KEY_OWNER, KEY_NAME).await?;
        Ok(secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }
}
