//! Letting the oldest lines go, by age and by size. Where the chain begins then is recorded as its anchor.

use sqlx::Row as _;

use super::{
    super::{Store, error::StoreError},
    chain::Ends,
};

/// How many lines one transaction lets go.
const ROWS: i64 = 500;

/// What is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditRetention {
    /// Lines that were stored before this time go, milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// The oldest lines go while all lines together have more bytes.
    pub bytes_max: Option<u64>,
}

impl Store {
    /// Lets the oldest lines go, some at a time; how many.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] when somebody else has written to the chain: then nothing goes.
    pub async fn retain_audit(&self, retention: AuditRetention) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            match self.let_some_go(retention).await? {
                0 => return Ok(removed),
                some => removed += some,
            }
        }
    }

    async fn let_some_go(&self, retention: AuditRetention) -> Result<u64, StoreError> {
        let mut change = self.database().begin().await?;
        let Some(stored) = self.ends(&mut change).await? else { return Ok(0) };
        if !stored.is_ours {
            return Err(StoreError::Tampered);
        }
        let (mut ends, mut last) = (stored.ends, 0);
        let oldest =
            "SELECT position, stored_ms, size, hash FROM audit_events ORDER BY position LIMIT $1";
        let rows = sqlx::query(oldest).bind(ROWS).fetch_all(&mut *change).await?;
        for row in rows {
            if !retention.is_over(&ends, row.try_get(1)?) {
                break;
            }
            last = row.try_get(0)?;
            ends.size = ends.size.saturating_sub(row.try_get(2)?);
            // After a restart there are lines that the chain no longer vouches for.
            if last > ends.anchor_position {
                ends.anchor_position = last;
                ends.anchor = row.try_get(3)?;
            }
        }
        let delete = sqlx::query("DELETE FROM audit_events WHERE position <= $1");
        let removed = delete.bind(last).execute(&mut *change).await?.rows_affected();
        self.set_ends(&mut change, &ends).await?;
        change.commit().await?;
        Ok(removed)
    }
}

impl AuditRetention {
    /// Whether the oldest line goes.
    fn is_over(&self, ends: &Ends, stored_ms: i64) -> bool {
        let is_old = self.before_ms.is_some_and(|before| stored_ms < before);
        let kept = ends.size.unsigned_abs();
        is_old || self.bytes_max.is_some_and(|most| kept > most)
    }
}
