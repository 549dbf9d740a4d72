//! The audit: events of all sandboxes in one order, chained, with what was lost counted.
//!
//! A sender numbers its events from 1 and sends each until it is told that it is stored. What comes twice is ignored; what
//! never came is a line of kind `gap` where it would have been. Every line is chained to the one before it (`chain`), so
//! that one that was changed or taken out is found (`verify`); the oldest go by age and size (`retain`).

use domain::limits::{AUDIT_BATCH_EVENTS_MAX, AUDIT_LINE_BYTES_MAX};
use sqlx::Row as _;

use super::{Store, database::Change, error::StoreError, now_ms, objects::named};

mod chain;
mod query;
mod retain;
mod verify;

use chain::{Ends, Link};
pub use query::{AuditOrder, AuditQuery, AuditRecord};
pub use retain::AuditRetention;
pub use verify::{AuditFault, AuditReport};

/// The kind of the line that stands where events were lost.
pub const GAP_KIND: &str = "gap";
/// The sandbox and the instance that the gateway's own events have. Sandboxes go by identities, which never look so.
pub const OWN_STREAM: AuditStream<'static> =
    AuditStream { sandbox: "gateway", instance: "gateway" };

/// Who sends: one run of the proxy of one sandbox. Another run numbers anew, so it has another instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditStream<'a> {
    /// The sandbox's identity.
    pub sandbox: &'a str,
    /// What tells this run from others, such as a random identity.
    pub instance: &'a str,
}

/// One event of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// From 1, one more each time.
    pub sequence: i64,
    /// What kind of event it is, such as `network` or `http`.
    pub kind: String,
    /// When it happened, by the sender's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// The event as one line of JSON, at most 64 KiB.
    pub line: String,
}

/// What became of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditAppended {
    /// The number that is expected next: everything below is stored or counted as lost.
    pub next_sequence: i64,
    /// How many were stored.
    pub stored: u64,
    /// How many were there already.
    pub repeated: u64,
    /// How many are missing before or between them.
    pub lost: u64,
}

/// How far a sender has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditProgress {
    /// Which run it is.
    pub instance: String,
    /// The number that is expected next.
    pub next_sequence: i64,
    /// How many of its events never arrived.
    pub lost: u64,
}

impl Store {
    /// Stores events of one sender, in their order. What it answers is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for events that are not in order, too many, too long, or no single line;
    /// [`StoreError::Tampered`] when somebody else has written to the chain.
    pub async fn append_audit(
        &self,
        stream: AuditStream<'_>,
        events: &[AuditEvent],
    ) -> Result<AuditAppended, StoreError> {
        check(stream, events)?;
        let mut appending = self.appending(stream).await?;
        let mut appended =
            AuditAppended { next_sequence: appending.next, stored: 0, repeated: 0, lost: 0 };
        for event in events {
            if event.sequence < appending.next {
                appended.repeated += 1;
                continue;
            }
            appended.lost += appending.gap_before(event).await?;
            appending.push(event.sequence, &event.kind, event.at_ms, &event.line).await?;
            appended.stored += 1;
        }
        appended.next_sequence = appending.next;
        self.finish(appending).await?;
        Ok(appended)
    }

    /// Stores an event of the gateway itself, such as what a user changed.
    ///
    /// # Errors
    /// As [`Store::append_audit`].
    pub async fn record_audit(&self, kind: &str, at_ms: i64, line: &str) -> Result<(), StoreError> {
        let (kind, line) = (kind.to_owned(), line.to_owned());
        let event = AuditEvent { sequence: 1, kind, at_ms, line };
        check(OWN_STREAM, std::slice::from_ref(&event))?;
        let mut appending = self.appending(OWN_STREAM).await?;
        appending.push(appending.next, &event.kind, at_ms, &event.line).await?;
        self.finish(appending).await
    }

    /// How far the senders of a sandbox have come, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_progress(&self, sandbox: &str) -> Result<Vec<AuditProgress>, StoreError> {
        let find = "SELECT instance, next_sequence, lost FROM audit_streams WHERE sandbox = $1 ORDER BY instance";
        let rows = sqlx::query(find).bind(sandbox).fetch_all(self.database().reader()).await?;
        let progress = |row: &sqlx::any::AnyRow| {
            let lost: i64 = row.try_get(2)?;
            Ok(AuditProgress {
                instance: row.try_get(0)?,
                next_sequence: row.try_get(1)?,
                lost: lost.unsigned_abs(),
            })
        };
        rows.iter().map(progress).collect()
    }

    /// Forgets how far the senders of a sandbox had come, which is gone. Its events stay.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_audit_progress(&self, sandbox: &str) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM audit_streams WHERE sandbox = $1").bind(sandbox);
        self.database().execute(delete).await
    }

    async fn appending<'a>(&self, stream: AuditStream<'a>) -> Result<Appending<'a>, StoreError> {
        let mut change = self.database().begin().await?;
        let mut stored = self.ends(&mut change).await?;
        if stored.is_none() {
            drop(change); // there is one writer in SQLite
            self.begin_chain().await?;
            change = self.database().begin().await?;
            stored = self.ends(&mut change).await?;
        }
        let stored = stored.ok_or(StoreError::Damaged)?;
        if !stored.is_ours {
            return Err(StoreError::Tampered);
        }
        let find =
            "SELECT next_sequence, lost FROM audit_streams WHERE sandbox = $1 AND instance = $2";
        let find = sqlx::query(find).bind(stream.sandbox).bind(stream.instance);
        let (next, lost) = match find.fetch_optional(&mut *change).await? {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (1, 0),
        };
        // Time in the chain never goes back, whatever the clock does.
        let stored_ms = now_ms().max(stored.ends.stored_ms);
        let ends = Ends { stored_ms, ..stored.ends };
        Ok(Appending { change, stream, ends, next, lost })
    }

    async fn finish(&self, mut appending: Appending<'_>) -> Result<(), StoreError> {
        let set = "INSERT INTO audit_streams (sandbox, instance, next_sequence, lost, updated_ms) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (sandbox, instance) DO UPDATE SET \
             next_sequence = excluded.next_sequence, lost = excluded.lost, updated_ms = excluded.updated_ms";
        let stream = appending.stream;
        let set = sqlx::query(set).bind(stream.sandbox).bind(stream.instance);
        let set = set.bind(appending.next).bind(appending.lost).bind(appending.ends.stored_ms);
        set.execute(&mut *appending.change).await?;
        self.set_ends(&mut appending.change, &appending.ends).await?;
        Ok(appending.change.commit().await?)
    }
}

/// Events on their way to the end of the chain, which is held until they are there.
struct Appending<'a> {
    change: Change,
    stream: AuditStream<'a>,
    ends: Ends,
    next: i64,
    lost: i64,
}

impl Appending<'_> {
    /// Puts a line where events were lost; how many.
    async fn gap_before(&mut self, event: &AuditEvent) -> Result<u64, StoreError> {
        let missing = event.sequence.saturating_sub(self.next);
        if missing == 0 {
            return Ok(0);
        }
        let (from, to) = (self.next, event.sequence - 1);
        let line = format!("{{\"lost\":{missing},\"from\":{from},\"to\":{to}}}");
        self.push(to, GAP_KIND, event.at_ms, &line).await?;
        self.lost = self.lost.saturating_add(missing);
        Ok(missing.unsigned_abs())
    }

    async fn push(
        &mut self,
        sequence: i64,
        kind: &str,
        at_ms: i64,
        line: &str,
    ) -> Result<(), StoreError> {
        let link = Link {
            position: self.ends.last_position + 1,
            sandbox: self.stream.sandbox.to_owned(),
            instance: self.stream.instance.to_owned(),
            sequence,
            kind: kind.to_owned(),
            at_ms,
            stored_ms: self.ends.stored_ms,
            line: line.to_owned(),
        };
        let hash = link.hash(&self.ends.last);
        let size = i64::try_from(link.line.len()).unwrap_or(i64::MAX);
        let insert = "INSERT INTO audit_events \
             (position, sandbox, instance, sequence, kind, at_ms, stored_ms, line, size, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let insert = sqlx::query(insert).bind(link.position).bind(link.sandbox).bind(link.instance);
        let insert = insert.bind(sequence).bind(link.kind).bind(at_ms).bind(link.stored_ms);
        let insert = insert.bind(link.line).bind(size).bind(hash.as_slice());
        insert.execute(&mut *self.change).await?;
        self.ends.last_position += 1;
        self.ends.last = hash.to_vec();
        self.ends.size = self.ends.size.saturating_add(size);
        self.next = sequence.saturating_add(1);
        Ok(())
    }
}

fn check(stream: AuditStream<'_>, events: &[AuditEvent]) -> Result<(), StoreError> {
    named(stream.sandbox)?;
    named(stream.instance)?;
    if events.len() > AUDIT_BATCH_EVENTS_MAX {
        return Err(StoreError::Invalid("at most 1000 events are taken at once"));
    }
    if !events.is_sorted_by(|one, next| one.sequence < next.sequence) {
        return Err(StoreError::Invalid("events of one sender come in the order of their numbers"));
    }
    for event in events {
        named(&event.kind)?;
        if event.sequence < 1 || event.sequence == i64::MAX {
            return Err(StoreError::Invalid("events are numbered from 1"));
        }
        let is_line = !event.line.contains(['\n', '\r', '\0']);
        if !is_line || event.line.len() > AUDIT_LINE_BYTES_MAX {
            return Err(StoreError::Invalid("an event is one line of at most 64 KiB"));
        }
    }
    Ok(())
}
