//! Spans of model calls for an OpenTelemetry collector: OTLP over HTTP, off unless the operator asks for it.
//!
//! `shape` turns the record that the audit writes into spans; `parent` reads whose span ours belong to; `collector`
//! says where they go. Here: the queue, and the thread that makes, batches and sends them. A call only puts a pointer
//! into the queue. Not here: sampling of our own (a caller that samples decides for its calls), metrics and logs as OTLP.
//!
//! Invariants: a call never waits for the collector; what finds no room, and what the collector does not take, is
//! counted as dropped. A span holds no content, no credential and no value of a header: all that it says is in the record.

mod collector;
mod parent;
mod shape;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use parking_lot::Mutex;

pub use self::collector::CollectorError;
use self::shape::Shaper;
pub(crate) use self::{parent::Parent, shape::operation};
use crate::{audit::Record, credentials::Environment, snapshot::Snapshot};

/// Calls that wait to be sent.
const QUEUE_MAX: usize = 2_048;

/// Spans of one export; the default of the SDKs.
const BATCH_MAX: usize = 512;

/// Longest time that a span waits for others.
const BATCH_EVERY: Duration = Duration::from_secs(1);

/// When the router stops, how long the collector gets to take what waits.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Where spans go.
#[derive(Clone, Debug, Default)]
pub struct SpanOptions {
    /// The base URL of a collector; `None` takes what the standard variables of the environment say, else
    /// `http://localhost:4318`.
    pub endpoint: Option<String>,
}

/// Why no spans can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SpanError {
    /// The collector cannot be named.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The system gives no thread.
    #[error("the system gives no thread")]
    Thread(#[source] io::Error),
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What the audit says about it.
    pub(crate) record: Arc<Record>,
    /// The configuration that decided.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The span of the caller.
    pub(crate) parent: Option<Parent>,
    /// When its head had been read, for the distance of its attempts.
    pub(crate) started: Instant,
    /// When it ended.
    pub(crate) ended: SystemTime,
    /// From head to end.
    pub(crate) took: Duration,
}

/// How many spans were sent and how many were lost.
#[derive(Debug, Default)]
pub(crate) struct SpanCounts {
    /// The collector took them.
    pub(crate) exported: AtomicU64,
    /// There was no room, or the collector did not take them.
    pub(crate) dropped: AtomicU64,
}

/// The sending side. Dropping it, or [`Spans::finish`], sends what waits within a time limit.
#[derive(Debug)]
pub(crate) struct Spans {
    /// Gone after the end.
    queue: Mutex<Option<SyncSender<Box<Finished>>>>,
    done: Mutex<Option<Receiver<()>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    counts: SpanCounts,
    /// What still waits is no longer sent.
    abandoned: AtomicBool,
}

impl Spans {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// When the collector cannot be named or the thread cannot be started. Whether the collector is there is not known.
    pub(crate) fn start(
        options: &SpanOptions,
        environment: &Environment,
    ) -> Result<Self, SpanError> {
        let exporter = collector::exporter(options, environment)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SpanError::Thread)?;
        let (queue, calls) = sync_channel(QUEUE_MAX);
        let (tell, done) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        let sender = Sender { exporter, runtime, shared: Arc::clone(&shared), failing: false };
        std::thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || {
                sender.run(&calls);
                if tell.send(()).is_err() {
                    tracing::debug!("nobody waits for the last spans any more");
                }
            })
            .map_err(SpanError::Thread)?;
        Ok(Self { queue: Mutex::new(Some(queue)), done: Mutex::new(Some(done)), shared })
    }

    /// Puts a call into the queue. Never waits.
    pub(crate) fn send(&self, call: Box<Finished>) {
        let count = shape::count(&call.record);
        let queue = self.queue.lock();
        let sent = queue.as_ref().is_some_and(|queue| queue.try_send(call).is_ok());
        if !sent {
            self.shared.counts.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What was sent and lost so far.
    pub(crate) fn counts(&self) -> &SpanCounts {
        &self.shared.counts
    }

    /// Sends what waits, within the time limit. Blocks.
    pub(crate) fn finish(&self) {
        drop(self.queue.lock().take());
        let Some(done) = self.done.lock().take() else { return };
        if done.recv_timeout(FLUSH_MAX) == Err(RecvTimeoutError::Timeout) {
            self.shared.abandoned.store(true, Ordering::Release);
            tracing::warn!("the collector is too slow; the last spans are lost");
        }
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The thread's side.
struct Sender {
    exporter: SpanExporter,
    runtime: tokio::runtime::Runtime,
    shared: Arc<Shared>,
    failing: bool,
}

impl Sender {
    fn run(mut self, calls: &Receiver<Box<Finished>>) {
        let shaper = Shaper::default();
        while let Ok(first) = calls.recv() {
            let mut batch = shaper.spans(&first);
            let deadline = Instant::now() + BATCH_EVERY;
            while batch.len() < BATCH_MAX {
                match calls.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(call) => batch.append(&mut shaper.spans(&call)),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            self.export(batch);
        }
    }

    /// Sends one batch; says once when the collector stops taking them, and when it takes them again.
    fn export(&mut self, batch: Vec<SpanData>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if self.shared.abandoned.load(Ordering::Acquire) {
            self.shared.counts.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        match self.runtime.block_on(self.exporter.export(batch)) {
            Ok(()) => {
                self.shared.counts.exported.fetch_add(count, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(error) => {
                self.shared.counts.dropped.fetch_add(count, Ordering::Relaxed);
                tracing::debug!(error = %error, spans = count, "spans are lost");
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(
                        "the collector does not take spans; they are dropped and counted"
                    );
                }
            }
        }
    }
}
