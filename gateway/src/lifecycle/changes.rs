//! Who hears of changes: numbered, the last ones kept, so that who was away for a while misses none.

use std::collections::VecDeque;

use api::sandbox::{SandboxChange, SandboxStatus};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{records::SandboxRecord, store::Stored, time};

/// Changes that are kept for those who come back.
const KEPT_MAX: usize = 4096;

/// A change of a sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Its number: each is larger than the one before, also over restarts of the gateway.
    pub(crate) number: u64,
    /// When it came, milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// What is told.
    pub(crate) told: SandboxChange,
}

/// All changes.
#[derive(Debug)]
pub(crate) struct Changes {
    kept: Mutex<Kept>,
    sender: broadcast::Sender<Change>,
}

#[derive(Debug)]
struct Kept {
    next: u64,
    changes: VecDeque<Change>,
}

impl Default for Changes {
    fn default() -> Self {
        // Microseconds of the clock: numbers of this process are larger than those of any before it, unless the clock went back,
        // which those who resume notice as a gap.
        let now = jiff::Timestamp::now().as_microsecond();
        let kept = Kept { next: u64::try_from(now).unwrap_or(1), changes: VecDeque::new() };
        Self { kept: Mutex::new(kept), sender: broadcast::channel(1024).0 }
    }
}

impl Changes {
    /// A sandbox is doing otherwise.
    pub(crate) fn changed(&self, stored: &Stored<SandboxRecord>, status: &SandboxStatus) {
        tracing::info!(
            sandbox = stored.name,
            phase = status.phase.as_str(),
            reason = status.reason,
            "sandbox changed"
        );
        self.add(stored, Some(status.clone()));
    }

    /// A sandbox is gone.
    pub(crate) fn deleted(&self, stored: &Stored<SandboxRecord>) {
        tracing::info!(sandbox = stored.name, "sandbox deleted");
        self.add(stored, None);
    }

    fn add(&self, stored: &Stored<SandboxRecord>, status: Option<SandboxStatus>) {
        let mut kept = self.kept.lock();
        let change = Change {
            number: kept.next,
            at_ms: time::now_ms(),
            told: SandboxChange {
                id: stored.id.to_string(),
                name: stored.name.clone(),
                workspace: stored.workspace.clone(),
                status,
            },
        };
        kept.next += 1;
        kept.changes.push_back(change.clone());
        if kept.changes.len() > KEPT_MAX {
            kept.changes.pop_front();
        }
        // Nobody may be listening.
        self.sender.send(change).ok();
    }

    /// What comes from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Change> {
        self.sender.subscribe()
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// What is known of one sandbox, and the number of the last change of any.
    pub(crate) fn known(&self, id: Uuid) -> (Vec<Change>, u64) {
        let (kept, id) = (self.kept.lock(), id.to_string());
        let known = kept.changes.iter().filter(|change| change.told.id == id);
        (known.cloned().collect(), kept.next.saturating_sub(1))
    }

    /// What came after that number, and what comes from now on. `None` when some of it is no longer known.
    pub(crate) fn after(
        &self,
        number: Option<u64>,
    ) -> Option<(Vec<Change>, broadcast::Receiver<Change>)> {
        let kept = self.kept.lock();
        let receiver = self.sender.subscribe();
        let Some(number) = number else { return Some((Vec::new(), receiver)) };
        let oldest = kept.changes.front().map_or(kept.next, |oldest| oldest.number);
        if number.saturating_add(1) < oldest || number >= kept.next {
            return None;
        }
        let missed = kept.changes.iter().filter(|change| change.number > number);
        Some((missed.cloned().collect(), receiver))
    }
}

impl Change {
    /// Whether it is the last one: nothing more comes of this sandbox.
    pub(crate) fn is_last(&self) -> bool {
        self.told.status.is_none()
    }
}
