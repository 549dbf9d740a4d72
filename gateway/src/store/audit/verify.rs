//! Verifying the chain from its anchor to its end.

use sqlx::Row as _;

use super::{
    super::{Store, database::Change, error::StoreError},
    chain::{Ends, Link},
};

/// How many lines are read at once.
const ROWS: i64 = 200;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// How many lines were read.
    pub lines: u64,
    /// The position of the first line that is kept; those before went by age or size.
    pub first_position: i64,
    /// The position of the last line.
    pub last_position: i64,
    /// The hash of the last line, 64 hexadecimal digits. Written down elsewhere, it proves later that nothing was replaced.
    pub last_hash: String,
    /// What is wrong first; `None` when all is as it was stored.
    pub fault: Option<AuditFault>,
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// The line at this position was changed.
    Changed {
        /// In the one order of all events.
        position: i64,
    },
    /// The line at this position is missing.
    Missing {
        /// In the one order of all events.
        position: i64,
    },
    /// Lines stand behind the end, or the end was written by someone else.
    Ends,
}

impl Store {
    /// Reads the whole chain as it is now and holds every line against its hash. Others go on writing meanwhile.
    ///
    /// # Errors
    /// When the database fails. What is wrong with the chain is no error, but in the report.
    pub async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let mut snapshot = self.database().snapshot().await?;
        let stored = self.ends_seen(&mut snapshot).await?;
        let (ends, is_ours) =
            stored.map_or_else(|| (Ends::empty(), true), |stored| (stored.ends, stored.is_ours));
        let mut report = AuditReport {
            lines: 0,
            first_position: ends.anchor_position + 1,
            last_position: ends.last_position,
            last_hash: hex::encode(&ends.last),
            fault: None,
        };
        let walked = walk(&mut snapshot, &ends, &mut report).await?;
        report.fault = walked.or((!is_ours).then_some(AuditFault::Ends));
        Ok(report)
    }

    /// Begins anew behind what is there, after somebody else has written to the chain: what remains is kept as it is, and
    /// a line says so. The chain is whole again from that line on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn restart_audit(&self, line: &str) -> Result<(), StoreError> {
        let mut change = self.database().begin().await?;
        let stored = self.ends(&mut change).await?;
        let last = "SELECT position, hash FROM audit_events ORDER BY position DESC LIMIT 1";
        let mut ends = stored.map_or_else(Ends::empty, |stored| stored.ends);
        if let Some(row) = sqlx::query(last).fetch_optional(&mut *change).await? {
            ends.last_position = row.try_get(0)?;
            ends.last = row.try_get(1)?;
        }
        // The lines before are no longer vouched for.
        ends.anchor_position = ends.last_position;
        ends.anchor.clone_from(&ends.last);
        let size = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM audit_events";
        ends.size = sqlx::query_scalar(size).fetch_one(&mut *change).await?;
        self.set_ends(&mut change, &ends).await?;
        change.commit().await?;
        self.record_audit("restart", super::now_ms(), line).await
    }
}

/// The first fault on the way from the anchor to the end.
async fn walk(
    snapshot: &mut Change,
    ends: &Ends,
    report: &mut AuditReport,
) -> Result<Option<AuditFault>, StoreError> {
    let (mut position, mut previous) = (ends.anchor_position, ends.anchor.clone());
    loop {
        let next = "SELECT position, sandbox, instance, sequence, kind, at_ms, stored_ms, line, hash \
             FROM audit_events WHERE position > $1 ORDER BY position LIMIT $2";
        let rows = sqlx::query(next).bind(position).bind(ROWS).fetch_all(&mut **snapshot).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let link = Link::of(&row)?;
            position += 1;
            if link.position != position {
                return Ok(Some(AuditFault::Missing { position }));
            }
            let hash = link.hash(&previous);
            if row.try_get::<&[u8], _>(8)? != hash {
                return Ok(Some(AuditFault::Changed { position }));
            }
            previous = hash.to_vec();
            report.lines += 1;
        }
    }
    Ok(if position < ends.last_position {
        Some(AuditFault::Missing { position: position + 1 })
    } else if position > ends.last_position || previous != ends.last {
        Some(AuditFault::Ends)
    } else {
        None
    })
}
