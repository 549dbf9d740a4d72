//! One call while it is under way: its identity, its snapshot, and the record that is written when it ends.
//!
//! Invariant: however a call ends, also by being dropped, its reservation is settled once, one record is written and one
//! call counted.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use domain::Cost;
use http::{HeaderName, HeaderValue};
use pingora::protocols::http::ServerSession;
use router::{
    answer::{Observed, Usage},
    decide::{Plan, Spent},
    ledger::Account,
};

use crate::{
    audit::{Entry, Record},
    books::{Answered, Closed, Held, Reserving},
    mask::Needle,
    metrics::{CallFigures, CallLabels},
    service::{Router, now_ms},
    snapshot::Snapshot,
    spans::{self, Finished, Parent, Spans},
};

/// Status under which a call is counted whose caller left before there was an answer; nginx made it customary.
pub(crate) const CALLER_LEFT: u16 = 499;

/// How long after the longest that a call may take what was set aside for it counts as spent, in milliseconds.
const HELD_AFTER_MS: u64 = 60_000;

/// The headers of [`Call::headers`], checked when this is compiled.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openshell-request-id");
const ROUTE: HeaderName = HeaderName::from_static("x-openshell-route");
const SENSITIVITY: HeaderName = HeaderName::from_static("x-openshell-sensitivity");
const REASON: HeaderName = HeaderName::from_static("x-openshell-reason");
const OMITTED: HeaderName = HeaderName::from_static("x-openshell-omitted");
const COST: HeaderName = HeaderName::from_static("x-openshell-cost-usd");
const REMAINING: HeaderName = HeaderName::from_static("x-openshell-budget-remaining");

/// What an answer used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bill {
    /// The candidate that answers.
    pub(crate) candidate: Option<usize>,
    /// What its backend reported so far.
    pub(crate) usage: Option<Usage>,
    /// Bytes of answer text so far.
    pub(crate) output_bytes: u64,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    /// The service.
    pub(crate) router: Arc<Router>,
    /// The configuration of this call.
    pub(crate) snapshot: Arc<Snapshot>,
    /// When its head had been read.
    pub(crate) started: Instant,
    /// What will be written.
    pub(crate) record: Record,
    /// The decision, until it is settled.
    pub(crate) plan: Option<Plan>,
    /// What is known for the bill.
    pub(crate) bill: Bill,
    /// What its budgets leave, the least of them; `None` where none counts for it.
    pub(crate) remaining: Option<Cost>,
    /// Whether something is set aside for it outside of this process.
    held: bool,
    /// What its cost is booked on.
    accounts: Vec<Account>,
    /// Whether it is about more than a look at the server.
    pub(crate) recorded: bool,
    /// The caller's span, where spans are made.
    parent: Option<Parent>,
}

impl Call {
    /// A call that begins now.
    pub(crate) fn begin(router: &Arc<Router>, session: &ServerSession) -> Self {
        let snapshot = router.snapshot.load_full();
        let record = Record {
            request_id: uuid::Uuid::now_v7().to_string(),
            time_ms: now_ms(),
            peer: peer(session),
            method: method(session.req_header().method.as_str()),
            path: "other",
            status: CALLER_LEFT,
            ended: "caller_left",
            revision: snapshot.revision.clone(),
            ..Record::default()
        };
        let spans = router.spans.as_ref();
        let parent = spans.and_then(|_| Parent::of(&session.req_header().headers));
        let router = Arc::clone(router);
        let started = Instant::now();
        Self {
            router,
            snapshot,
            started,
            record,
            plan: None,
            bill: Bill::default(),
            remaining: None,
            held: false,
            accounts: Vec::new(),
            recorded: true,
            parent,
        }
    }

    /// Unix time in milliseconds at a moment of this call.
    pub(crate) fn ms_at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.started);
        self.record.time_ms.saturating_add(millis(since))
    }

    /// Settles what the call costs, once; the record then holds it. `now` is the moment that this happens.
    pub(crate) fn settle(&mut self, now: Instant) {
        let Some(plan) = self.plan.take() else { return };
        let spent = Spent {
            candidate: self.bill.candidate,
            usage: self.bill.usage.as_ref(),
            output_bytes: self.bill.output_bytes,
            now_ms: self.ms_at(now),
        };
        let (engine, memory) = (&self.snapshot.engine, &self.router.memory);
        let tenant = plan.tenant.clone();
        let settled = engine.settle(memory, plan, &spent);
        if let Some(candidate) = spent.candidate {
            (self.accounts, self.remaining) =
                engine.booked(memory, &tenant, candidate, spent.now_ms);
            let input = settled.input + settled.cached + settled.cache_write;
            self.record.tokens = Some([input.0, settled.cached.0, settled.output.0]);
            self.record.tokens_reported = !settled.estimated;
            self.record.cost = Some(settled.cost);
            self.record.saved = Some(settled.saved);
        }
    }

    /// Takes note of the decision. Where a budget counts for it, its expected cost is set aside outside of this process too: what
    /// is given back has to come true before anything is sent.
    pub(crate) fn hold(&mut self, plan: Plan, total: Duration) -> Option<Reserving> {
        let first = plan.attempts.first().map(|attempt| attempt.candidate);
        let now_ms = self.record.time_ms;
        if let Some(first) = first {
            let engine = &self.snapshot.engine;
            (_, self.remaining) = engine.booked(&self.router.memory, &plan.tenant, first, now_ms);
        }
        let (accounts, amount) = (plan.reservation.accounts().to_vec(), plan.reservation.amount());
        self.plan = Some(plan);
        let books = self.router.books.as_ref().filter(|_| !accounts.is_empty())?;
        self.held = true;
        let expires_ms = now_ms.saturating_add(millis(total)).saturating_add(HELD_AFTER_MS);
        let id = self.record.request_id.clone();
        Some(books.reserve(Held { id, amount, accounts, expires_ms }))
    }

    /// Tells the books how it ended.
    fn close(&mut self, record: &Record) {
        let Some(books) = &self.router.books else { return };
        let answered = self.bill.candidate.map(|_| Answered {
            backend: record.backend.clone(),
            model: record.model.clone(),
            zone: record.zone,
            tokens: record.tokens.unwrap_or_default(),
            cost: record.cost.unwrap_or_default(),
            saved: record.saved.unwrap_or_default(),
        });
        if !self.held && answered.is_none() {
            return;
        }
        books.close(Closed {
            id: record.request_id.clone(),
            time_ms: record.time_ms,
            tenant: record.tenant.clone(),
            answered,
            accounts: std::mem::take(&mut self.accounts),
        });
    }

    /// Takes note of what was seen of the answer so far. `needle` is the credential that the backend got.
    pub(crate) fn observe(&mut self, observed: &Observed, needle: Option<&Needle>) {
        self.bill.usage = observed.usage;
        self.bill.output_bytes = observed.output_text_bytes;
        self.record.finishes = observed.finishes;
        if self.router.spans.is_some() && self.record.response_id.is_none() {
            let id = observed.response_id.as_ref();
            let echo = |id: &&String| needle.is_some_and(|needle| needle.is_in(id.as_bytes()));
            self.record.response_id = id.filter(|id| !echo(id)).cloned();
        }
    }

    /// Takes note that the first content byte goes to the caller now.
    pub(crate) fn first_byte(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        self.record.first_byte_ms.get_or_insert(millis(since));
    }

    /// The headers that tell the caller what was decided.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let record = &self.record;
        let mut headers = Vec::with_capacity(5);
        let mut put = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.push((name, value));
            }
        };
        put(REQUEST_ID, &record.request_id);
        if !record.backend.is_empty() {
            put(ROUTE, &[record.backend.as_str(), "/", &record.model].concat());
        }
        if let Some(sensitivity) = record.sensitivity {
            put(SENSITIVITY, sensitivity.as_str());
        }
        if !record.reason.is_empty() {
            put(REASON, &ascii(&record.reason));
        }
        if !record.omitted.is_empty() {
            put(OMITTED, &record.omitted.to_string());
        }
        if let Some(cost) = record.cost {
            put(COST, &cost.to_string());
        }
        if let Some(remaining) = self.remaining {
            put(REMAINING, &remaining.to_string());
        }
        headers
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let now = Instant::now();
        self.settle(now);
        let duration = now.saturating_duration_since(self.started);
        let mut record = std::mem::take(&mut self.record);
        record.duration_ms = millis(duration);
        self.close(&record);
        if std::thread::panicking() {
            (record.status, record.ended) = (500, "internal");
        }
        let [input, cached, output] = record.tokens.unwrap_or_default();
        let labels = CallLabels {
            dialect: record.dialect,
            status: record.status,
            backend: record.backend.clone(),
            model: record.model.clone(),
            zone: record.zone.map_or("", domain::Zone::as_str),
            sensitivity: record.sensitivity.map_or("", domain::Sensitivity::as_str),
        };
        let figures = CallFigures {
            duration,
            first_byte: record.first_byte_ms.map(Duration::from_millis),
            input,
            cached,
            output,
            cost: record.cost.unwrap_or_default(),
            saved: record.saved.unwrap_or_default(),
        };
        self.router.metrics.call(labels, &figures);
        let Some(spans) = self.spans(&record) else {
            return self.record(record);
        };
        let record = Arc::new(record);
        spans.send(Box::new(Finished {
            record: Arc::clone(&record),
            snapshot: Arc::clone(&self.snapshot),
            parent: self.parent,
            started: self.started,
            ended: SystemTime::now(),
            took: duration,
        }));
        self.record(record);
    }
}

impl Call {
    /// Where the span of this call goes: only that of a model call whose caller keeps its own.
    fn spans(&self, record: &Record) -> Option<&Spans> {
        let wanted = self.parent.is_none_or(|parent| parent.sampled);
        let spans = self.router.spans.as_ref().filter(|_| wanted)?;
        spans::operation(record.dialect).map(|_| spans)
    }

    fn record(&self, record: impl Into<Entry>) {
        if self.recorded && self.router.audit.is_open() {
            self.router.record(record);
        }
    }
}

/// Where the caller connected from; `None` for a Unix socket.
fn peer(session: &ServerSession) -> Option<SocketAddr> {
    session.client_addr()?.as_inet().copied()
}

/// Methods that HTTP defines, by name; others would be text that a caller chose.
fn method(name: &str) -> &'static str {
    const KNOWN: [&str; 8] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or("OTHER")
}

/// `text` with everything replaced that cannot stand in a header.
fn ascii(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
