//! The record of decisions: a line of JSON each in the sandbox's folder, and the refusals of late for whoever asks.
//!
//! Invariant: nobody waits for it. What a full queue loses is counted and told.

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use proxy::egress::{Event, Outcome, Record};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Decisions that wait to be written.
const WAITING_MAX: usize = 4096;
/// Refusals that are kept for whoever asks, one for each caller and destination.
const REFUSALS_MAX: usize = 200;

/// Takes decisions.
#[derive(Debug)]
pub(super) struct Decisions {
    lines: mpsc::Sender<Value>,
    lost: AtomicU64,
    refusals: Mutex<VecDeque<Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    to: String,
    binary: Option<String>,
    count: u64,
    last: Value,
}

/// Writes what was taken.
pub(super) struct Writer {
    lines: mpsc::Receiver<Value>,
    file: std::fs::File,
}

impl Decisions {
    /// Takes decisions for this file, which the writer writes.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Writer)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let decisions = Self { lines, lost: AtomicU64::new(0), refusals: Mutex::default() };
        Ok((decisions, Writer { lines: waiting, file }))
    }

    /// What was refused lately, the newest last.
    pub(super) fn denials(&self) -> Vec<Value> {
        let refusals = self.refusals.lock();
        let told = |one: &Refusal| json!({"count": one.count, "last": one.last});
        refusals.iter().map(told).collect()
    }

    fn keep(&self, event: &Event, line: &Value) {
        let binary = event.caller.as_ref().map(|caller| caller.binary.clone());
        let mut refusals = self.refusals.lock();
        let known = refusals.iter().position(|one| one.to == event.to && one.binary == binary);
        let count = known.and_then(|at| refusals.remove(at)).map_or(0, |one| one.count);
        if refusals.len() >= REFUSALS_MAX {
            refusals.pop_front();
        }
        let to = event.to.clone();
        refusals.push_back(Refusal { to, binary, count: count + 1, last: line.clone() });
    }
}

impl Record for Decisions {
    fn record(&self, event: Event) {
        let line = line(&event);
        if event.outcome == Outcome::Denied {
            self.keep(&event, &line);
        }
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(lost = self.lost.load(Ordering::Relaxed), "decisions are not on record");
        }
    }
}

impl Writer {
    /// Writes until nobody decides any more.
    pub(super) async fn run(mut self) {
        while let Some(line) = self.lines.recv().await {
            let mut text = line.to_string();
            text.push('\n');
            if let Err(error) = self.file.write_all(text.as_bytes()) {
                tracing::error!(%error, "a decision cannot be written");
            }
        }
    }
}

fn line(event: &Event) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let outcome = match event.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Audited => "audited",
        Outcome::Inference => "inference",
        Outcome::Denied => "denied",
    };
    let caller = event.caller.as_ref();
    json!({
        "time": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        "sandbox": &*event.sandbox,
        "policy_version": event.revision,
        "outcome": outcome,
        "engine": event.engine.as_str(),
        "to": event.to,
        "from": event.from.to_string(),
        "binary": caller.map(|caller| &caller.binary),
        "ancestors": caller.map(|caller| &caller.ancestors),
        "process": caller.map(|caller| caller.process),
        "policy": event.policy,
        "rule": event.rule,
        "reason": event.reason,
        "detail": event.detail,
        "status": event.status,
        "method": event.method,
        "path": event.path,
    })
}
