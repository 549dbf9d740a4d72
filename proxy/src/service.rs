//! What all calls share: the current snapshot, pools, health, audit, metrics.
//!
//! Not here: the story of a call (`connection`, `exchange`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use pingora::apps::HttpServerOptions;
use tokio::sync::Semaphore;

use crate::{
    audit::{Entry, Sink},
    books::Books,
    credentials::Environment,
    flight::Flights,
    health::{Condition, Health},
    metrics::{Gauges, Metrics},
    sandbox_token::SandboxKey,
    snapshot::{Snapshot, SnapshotError},
    spans::{SpanCounts, Spans},
    tenant::Naming,
    upstream::Pools,
};

/// Requests that one connection may carry before it is closed, so that its memory is freed now and then.
const KEEPALIVE_REQUESTS_MAX: u32 = 10_000;

/// How long an HTTP/2 connection without calls stays open.
const H2_IDLE: Duration = Duration::from_mins(2);

/// The router service.
pub(crate) struct Router {
    /// The configuration in force.
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Connections to backends.
    pub(crate) pools: Pools,
    /// Breakers of backends.
    pub(crate) health: Health,
    /// What the router remembers from call to call.
    pub(crate) memory: crate::plan::Memory,
    /// Where calls are booked outside of this process.
    pub(crate) books: Option<Books>,
    /// Where records go.
    pub(crate) audit: Sink,
    /// Where spans go; `None` unless the operator asks for them.
    pub(crate) spans: Option<Spans>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Names of callers.
    pub(crate) naming: Naming,
    /// What the tokens of sandboxes are checked with; without it nobody is believed to be one.
    pub(crate) sandboxes: Option<SandboxKey>,
    /// Calls under way.
    pub(crate) flights: Flights,
    /// Places for large prompts that are decided on at the same time, each on a thread of its own.
    pub(crate) deciding: Arc<Semaphore>,
    /// Memory for large bodies, KiB.
    pub(crate) bodies: Semaphore,
    /// Options of Pingora's HTTP server.
    pub(crate) http: HttpServerOptions,
    environment: Environment,
}

impl Router {
    /// Whether what is found in a request is noted anywhere.
    pub(crate) fn notes(&self) -> bool {
        self.audit.is_open() || self.spans.is_some()
    }

    /// A service that begins with the configuration in `text`.
    ///
    /// # Errors
    /// As [`Snapshot::build`].
    pub(crate) fn new(
        text: &str,
        environment: Environment,
        (audit, spans): (Sink, Option<Spans>),
        (key, sandboxes): (&[u8; 32], Option<SandboxKey>),
        h2c: bool,
    ) -> Result<Self, SnapshotError> {
        let pools = Pools::default();
        let snapshot = Snapshot::build(text, &environment, &pools)?;
        let mut http = HttpServerOptions::default();
        http.h2c = h2c;
        http.keepalive_request_limit = Some(KEEPALIVE_REQUESTS_MAX);
        http.h2_idle_timeout = Some(H2_IDLE);
        let places = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            pools,
            health: Health::default(),
            memory: crate::plan::memory(key),
            books: None,
            audit,
            spans,
            metrics: Metrics::default(),
            naming: Naming::new(key),
            sandboxes,
            flights: Flights::default(),
            deciding: Arc::new(Semaphore::new(places)),
            bodies: Semaphore::new(crate::body::ROOM_KIB),
            http,
            environment,
        })
    }

    /// Takes over the configuration in `text`; calls under way keep theirs.
    ///
    /// # Errors
    /// As [`Snapshot::build`]; then the old one stays in force.
    pub(crate) fn reload(&self, text: &str) -> Result<(), SnapshotError> {
        let snapshot = Snapshot::build(text, &self.environment, &self.pools)?;
        let named = |name: &str| {
            snapshot.configuration.backends.iter().any(|backend| backend.name.as_str() == name)
        };
        self.health.reloaded(named);
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    /// Most connections at once.
    pub(crate) fn connections_max(&self) -> usize {
        self.snapshot.load().configuration.server.connections_max
    }

    /// Writes an entry; one that finds no room is counted.
    pub(crate) fn record(&self, entry: impl Into<Entry>) {
        if !self.audit.send(entry) {
            self.metrics.audit_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All counters as text.
    pub(crate) fn render_metrics(&self) -> String {
        let state = |condition| match condition {
            Condition::Closed => 0,
            Condition::HalfOpen => 1,
            Condition::Open => 2,
        };
        let conditions = self.health.conditions().into_iter();
        let breakers = conditions.map(|(name, condition)| (name, state(condition))).collect();
        let out = self.health.out(now_ms());
        let counts = self.spans.as_ref().map(Spans::counts);
        let count = |of: fn(&SpanCounts) -> &AtomicU64| {
            counts.map_or(0, |counts| of(counts).load(Ordering::Relaxed))
        };
        self.metrics.render(&Gauges {
            in_flight: self.flights.count(),
            breakers,
            out,
            spans_exported: count(|counts| &counts.exported),
            spans_dropped: count(|counts| &counts.dropped),
        })
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
