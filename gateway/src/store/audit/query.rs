//! Reading the audit: by sandbox, kind and time, in either direction.

use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::super::{
    Store,
    error::StoreError,
    page::{Listed, Page},
};
use super::chain::Link;

/// How far the clock of a sender may be ahead of ours.
const CLOCK_MS: i64 = 5 * 60 * 1000;

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Of this sandbox alone.
    pub sandbox: Option<String>,
    /// Of this kind alone.
    pub kind: Option<String>,
    /// That happened at this time or later, milliseconds since 1970. A sender's clock counts as right to 5 minutes.
    pub since_ms: Option<i64>,
    /// That happened before this time.
    pub until_ms: Option<i64>,
    /// In which direction.
    pub order: AuditOrder,
}

/// The direction of a list of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// As they were stored; a page that ends here can be asked for again when more has come.
    #[default]
    OldestFirst,
    /// Backwards from the newest.
    NewestFirst,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place in the one order of all events, from 1.
    pub position: i64,
    /// Whose it is.
    pub sandbox: String,
    /// Which run of that sandbox sent it.
    pub instance: String,
    /// Its number in that run; of a gap, the last that is missing.
    pub sequence: i64,
    /// What kind of event it is; [`super::GAP_KIND`] where some are missing.
    pub kind: String,
    /// When it happened, by the sender's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// When it was stored.
    pub stored_ms: i64,
    /// The event as one line of JSON.
    pub line: String,
    /// Its hash in the chain, 64 hexadecimal digits.
    pub hash: String,
}

const SELECT: &str = "SELECT position, sandbox, instance, sequence, kind, at_ms, stored_ms, line, hash \
     FROM audit_events WHERE position > $1 AND position < $2 AND at_ms >= $3 AND at_ms < $4";

impl Store {
    /// Events, a page at a time. Oldest first, [`Listed::next`] is always there: it is where to ask for what comes later.
    ///
    /// # Errors
    /// When the database fails; [`StoreError::Invalid`] for a page that did not come from here.
    pub async fn audit(
        &self,
        query: &AuditQuery,
        page: &Page,
    ) -> Result<Listed<AuditRecord>, StoreError> {
        let position = page.position::<i64>()?;
        let first = match query.since_ms {
            Some(since) => self.first_stored_since(since.saturating_sub(CLOCK_MS)).await?,
            None => 0,
        };
        let (after, before, direction) = match query.order {
            AuditOrder::OldestFirst => (position.unwrap_or(0).max(first), i64::MAX, "ASC"),
            AuditOrder::NewestFirst => (first, position.unwrap_or(i64::MAX), "DESC"),
        };
        let filter = match (&query.sandbox, &query.kind) {
            (None, None) => "",
            (Some(_), None) => " AND sandbox = $6",
            (None, Some(_)) => " AND kind = $6",
            (Some(_), Some(_)) => " AND sandbox = $6 AND kind = $7",
        };
        // Made of the words above alone; what a caller says is bound.
        let text =
            AssertSqlSafe(format!("{SELECT}{filter} ORDER BY position {direction} LIMIT $5"));
        let mut select = sqlx::query(text).bind(after).bind(before);
        select = select
            .bind(query.since_ms.unwrap_or(i64::MIN))
            .bind(query.until_ms.unwrap_or(i64::MAX));
        select = select.bind(page.rows());
        for word in [&query.sandbox, &query.kind].into_iter().flatten() {
            select = select.bind(word);
        }
        let read = |row: &AnyRow| {
            let one = record(row)?;
            let bytes = one.line.len();
            Ok((one, bytes))
        };
        let mut listed =
            page.fetch(select, self.database().reader(), read, |one| one.position).await?;
        let newest = listed.items.last().map_or(after, |last| last.position);
        if query.order == AuditOrder::OldestFirst && listed.next.is_none() {
            listed.next = Page::cursor(&newest);
        }
        Ok(listed)
    }

    /// The position of the last line; 0 before the first one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_audit_position(&self) -> Result<i64, StoreError> {
        let last = "SELECT COALESCE(MAX(position), 0) FROM audit_events";
        Ok(sqlx::query_scalar(last).fetch_one(self.database().reader()).await?)
    }

    /// The position before the first line that was stored at that time or later. Time never goes back in the chain.
    async fn first_stored_since(&self, since_ms: i64) -> Result<i64, StoreError> {
        let find = "SELECT position FROM audit_events WHERE stored_ms >= $1 ORDER BY stored_ms, position LIMIT 1";
        let find = sqlx::query_scalar(find).bind(since_ms);
        let first: Option<i64> = find.fetch_optional(self.database().reader()).await?;
        Ok(match first {
            Some(first) => first - 1,
            None => self.last_audit_position().await?,
        })
    }
}

fn record(row: &AnyRow) -> Result<AuditRecord, StoreError> {
    let link = Link::of(row)?;
    Ok(AuditRecord {
        position: link.position,
        sandbox: link.sandbox,
        instance: link.instance,
        sequence: link.sequence,
        kind: link.kind,
        at_ms: link.at_ms,
        stored_ms: link.stored_ms,
        line: link.line,
        hash: hex::encode(row.try_get::<&[u8], _>(8)?),
    })
}
