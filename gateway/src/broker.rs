//! The audit broker: what the proxies of sandboxes have decided comes from their files into the store, in order, numbered, and
//! what never came is counted.
//!
//! A supervisor numbers its lines and appends them to files that outlive it and the gateway; the store takes each number of each
//! run once. So nothing is lost where either is killed, and nothing comes twice. Below: what users do at the gateway itself
//! (`own`). Not here: the chain (`store`), who may read it (`http`). Invariant: the files of a sandbox are read to their end
//! before they are removed.

pub(crate) mod own;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use drivers::Local;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, watch},
    task::spawn_blocking,
    time::{Instant, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    lifecycle::written,
    records::EVERYWHERE,
    settings,
    store::{AuditEvent, AuditRetention, AuditStream, Object, Store, StoreError},
    tail::{self, Piece, Spot},
    time,
};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two times that the oldest lines go.
const RETAIN_EVERY: Duration = Duration::from_mins(1);
/// Between two times that a place is written down. What comes again after a crash is known by its number.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// What is read of a file at once, bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Events that are stored at once.
const BATCH: usize = 500;
/// Files that a supervisor keeps aside.
const ASIDE: usize = 8;

/// What is kept when nobody says: days, and bytes of lines.
pub(crate) const DAYS: u32 = 90;
pub(crate) const BYTES: u64 = 1 << 30;

/// How long and how much of the audit is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Days.
    pub days: u32,
    /// Bytes of all lines.
    pub bytes: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { days: DAYS, bytes: BYTES }
    }
}

/// How far the files of a sandbox were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlaceRecord {
    spot: String,
}

impl Object for PlaceRecord {
    const KIND: &'static str = "audit_place";
}

/// Brings events into the store.
#[derive(Debug)]
pub(crate) struct Broker {
    store: Store,
    driver: Local,
    kept: Kept,
    readers: Mutex<BTreeMap<Uuid, Arc<AsyncMutex<Reader>>>>,
    news: watch::Sender<u64>,
    /// That something else is to be kept from now on.
    set: Notify,
    stored: AtomicU64,
    lost: AtomicU64,
}

/// The reader of one sandbox's files.
#[derive(Debug, Default)]
struct Reader {
    /// Whether the place that was written down is known.
    is_found: bool,
    spot: Option<Spot>,
    written: Option<(Spot, Instant)>,
    seen: Option<Mark>,
}

/// What shows that a file has changed.
type Mark = (u64, u64);

/// What a line has to say about itself.
#[derive(Debug, Deserialize)]
struct Head {
    class_uid: u64,
    time: i64,
    metadata: Metadata,
    unmapped: Unmapped,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    sequence: i64,
}

#[derive(Debug, Deserialize)]
struct Unmapped {
    openshell: Openshell,
}

#[derive(Debug, Deserialize)]
struct Openshell {
    instance: String,
}

impl Broker {
    /// A broker between the sandboxes of this driver and that store.
    pub(crate) fn new(store: Store, driver: Local, kept: Kept) -> Arc<Self> {
        Arc::new(Self {
            store,
            driver,
            kept,
            readers: Mutex::default(),
            news: watch::Sender::new(0),
            set: Notify::new(),
            stored: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// What changes whenever events were stored.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// How many events were stored, and how many never came, since this process began.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.stored.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Tells those who follow that something was stored by somebody else here.
    pub(crate) fn tell(&self) {
        self.news.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Tells that something else is to be kept from now on.
    pub(crate) fn keep_as_set(&self) {
        self.set.notify_one();
    }

    /// Brings events into the store until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, stopped: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut retain = Instant::now();
        while !stopped.is_cancelled() {
            tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                () = self.set.notified() => retain = Instant::now(),
                _ = looks.tick() => {}
            }
            self.look().await;
            if Instant::now() >= retain {
                retain = Instant::now() + RETAIN_EVERY;
                self.retain().await;
            }
        }
        // What came while it stopped waits in the files for the next one.
        let readers: Vec<_> =
            self.readers.lock().iter().map(|(id, one)| (*id, Arc::clone(one))).collect();
        for (id, reader) in readers {
            self.write_down(id, &mut *reader.lock().await, Duration::ZERO).await.ok();
        }
    }

    /// Looks at every sandbox whose file has changed.
    async fn look(&self) {
        let home = self.driver.clone();
        let marks = spawn_blocking(move || marks(&home)).await;
        let marks = match marks {
            Ok(Ok(marks)) => marks,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the records of sandboxes cannot be listed");
                return;
            }
            Err(_) => return,
        };
        for (id, mark) in marks {
            let reader = self.reader(id);
            let mut reader = reader.lock().await;
            if reader.seen == Some(mark) {
                continue;
            }
            match self.read_all(id, &mut reader).await {
                Ok(()) => reader.seen = Some(mark),
                Err(error) => {
                    tracing::warn!(sandbox = %id, error = %written(error), "events cannot be stored now");
                }
            }
        }
    }

    /// Reads the files of a sandbox to their end, before they are removed.
    ///
    /// # Errors
    /// When what they hold cannot be stored.
    pub(crate) async fn drain(&self, id: Uuid) -> Result<(), StoreError> {
        let reader = self.reader(id);
        let mut reader = reader.lock().await;
        self.read_all(id, &mut reader).await
    }

    /// Forgets how far a sandbox was read, which is gone. Its events stay.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget(&self, id: Uuid) -> Result<(), StoreError> {
        self.readers.lock().remove(&id);
        self.store.remove::<PlaceRecord>(EVERYWHERE, &id.to_string(), None).await?;
        self.store.forget_audit_progress(&id.to_string()).await.map(drop)
    }

    fn reader(&self, id: Uuid) -> Arc<AsyncMutex<Reader>> {
        Arc::clone(self.readers.lock().entry(id).or_default())
    }

    async fn read_all(&self, id: Uuid, reader: &mut Reader) -> Result<(), StoreError> {
        if !reader.is_found {
            let place = self.store.find::<PlaceRecord>(EVERYWHERE, &id.to_string()).await?;
            reader.spot = place.and_then(|place| place.body.spot.parse().ok());
            reader.is_found = true;
        }
        let files = tail::numbered(&self.driver.folder(&id.to_string()).audit(), ASIDE);
        loop {
            let Some(piece) = piece(id, files.clone(), reader.spot).await else { return Ok(()) };
            if piece.lost {
                tracing::warn!(sandbox = %id, "events went before they were stored");
            }
            self.store(id, &piece).await?;
            reader.spot = piece.spot;
            self.write_down(id, reader, KEEP_EVERY).await?;
            if !piece.more {
                return Ok(());
            }
        }
    }

    /// Stores what was read: the events of each run in their order.
    async fn store(&self, id: Uuid, piece: &Piece) -> Result<(), StoreError> {
        let sandbox = id.to_string();
        let mut batch: Vec<AuditEvent> = Vec::new();
        let mut run = String::new();
        for line in &piece.lines {
            let Ok(head) = serde_json::from_str::<Head>(&line.text) else {
                // One that was cut when its supervisor was killed; its number is missing then, which is counted.
                tracing::debug!(sandbox = %id, "a line is no numbered event");
                continue;
            };
            let is_next = batch.last().is_none_or(|last| last.sequence < head.metadata.sequence);
            if head.unmapped.openshell.instance != run || batch.len() >= BATCH || !is_next {
                self.append(&sandbox, &run, &batch).await?;
                batch.clear();
                run = head.unmapped.openshell.instance;
            }
            batch.push(AuditEvent {
                sequence: head.metadata.sequence,
                kind: kind(head.class_uid).to_owned(),
                at_ms: head.time,
                line: line.text.clone(),
            });
        }
        self.append(&sandbox, &run, &batch).await
    }

    async fn append(
        &self,
        sandbox: &str,
        instance: &str,
        batch: &[AuditEvent],
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.store.append_audit(AuditStream { sandbox, instance }, batch).await {
            Ok(appended) => {
                self.stored.fetch_add(appended.stored, Ordering::Relaxed);
                self.lost.fetch_add(appended.lost, Ordering::Relaxed);
                if appended.stored > 0 {
                    self.tell();
                }
                Ok(())
            }
            Err(StoreError::Invalid(why)) => {
                // It would be refused again and again, and hold up all that come after it.
                tracing::error!(sandbox, why, "events are none that can be stored");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn write_down(
        &self,
        id: Uuid,
        reader: &mut Reader,
        every: Duration,
    ) -> Result<(), StoreError> {
        let Some(spot) = reader.spot else { return Ok(()) };
        if reader.written.is_some_and(|(known, at)| known == spot || at.elapsed() < every) {
            return Ok(());
        }
        let record = PlaceRecord { spot: spot.to_string() };
        let name = id.to_string();
        match self.store.find::<PlaceRecord>(EVERYWHERE, &name).await? {
            Some(stored) => drop(self.store.replace(&stored, &record).await?),
            None => drop(self.store.create(EVERYWHERE, &name, &record).await?),
        }
        reader.written = Some((spot, Instant::now()));
        Ok(())
    }

    /// Lets go what is too old or too much, of the audit and of answers that were kept.
    async fn retain(&self) {
        let kept = match settings::current(&self.store).await {
            Ok(settings) => settings.kept(self.kept),
            Err(error) => {
                tracing::warn!(error = %written(error), "the settings cannot be read");
                return;
            }
        };
        let now = time::now_ms();
        let before = now.saturating_sub(time::DAY_MS.saturating_mul(i64::from(kept.days)));
        let retention = AuditRetention { before_ms: Some(before), bytes_max: Some(kept.bytes) };
        match self.store.retain_audit(retention).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "the oldest events went"),
            Err(error) => tracing::error!(error = %written(error), "the oldest events stay"),
        }
        if let Err(error) = self.store.forget_answers(now).await {
            tracing::warn!(error = %written(error), "old answers stay");
        }
    }
}

/// Every sandbox that has a record of decisions, and what shows whether it has changed.
fn marks(driver: &Local) -> io::Result<Vec<(Uuid, Mark)>> {
    let mut marks = Vec::new();
    for name in driver.names()? {
        let Ok(id) = name.parse::<Uuid>() else { continue };
        if let Ok(found) = fs::metadata(driver.folder(&name).audit()) {
            marks.push((id, (found.ino(), found.len())));
        }
    }
    Ok(marks)
}

/// The next piece of the files; none where they cannot be read now.
async fn piece(id: Uuid, files: Vec<PathBuf>, from: Option<Spot>) -> Option<Piece> {
    let read = spawn_blocking(move || tail::read(&files, from, PIECE_BYTES)).await;
    match read {
        Ok(Ok(piece)) => Some(piece),
        Ok(Err(error)) => {
            tracing::warn!(sandbox = %id, %error, "the record of a sandbox cannot be read");
            None
        }
        Err(_) => None,
    }
}

/// The word for a class of events.
fn kind(class: u64) -> &'static str {
    match class {
        4001 => "net",
        4002 => "http",
        4003 => "dns",
        2004 => "finding",
        6003 => "api",
        _ => "other",
    }
}
