//! Sandboxes as they should be: one loop that compares what is wanted with what is seen and takes the next step of each.
//!
//! Below: which step that is (`step`), the steps (`act`), who hears of changes (`changes`). Not here: what may be wanted (`http`).
//! Invariants: a sandbox has one step at a time; a step that fails is tried again later, with growing pauses; nothing is decided
//! by what this process remembers alone, so a new one continues where another was killed.

mod act;
mod changes;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::sandbox::{Phase, SandboxStatus};
use drivers::{DriverError, Local, Observed};
use parking_lot::Mutex;
use sandbox::state;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    act::Done,
    step::{Rests, Seen, Step, Told, Wanted},
};
pub(crate) use self::{
    changes::{Change, Changes},
    step::{Desired, PolicyMark},
};
use crate::{
    broker::Broker,
    records::SandboxRecord,
    store::{Page, Store, StoreError, Stored},
    time,
};
pub use act::written;

/// Between two looks at everything where nobody asked for one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two readings of everything from the store.
const READ_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to go around once.
const ROUND_MAX: Duration = Duration::from_secs(30);
/// How long steps may go on when the gateway stops.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Sandboxes that are made or started at once; others wait. Ending one waits for nobody.
const STEPS_MAX: usize = 8;
/// The pause after the first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Keeps sandboxes as they should be.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) driver: Local,
    pub(crate) broker: Arc<Broker>,
    /// Who hears of changes.
    pub(crate) changes: Changes,
    known: Mutex<BTreeMap<Uuid, Entry>>,
    /// When it last went around; never, before everything was read.
    round: Mutex<Option<Instant>>,
    touched: Mutex<BTreeSet<(String, String)>>,
    wake: Notify,
    room: Arc<Semaphore>,
    /// When it was made, milliseconds since 1970.
    began_ms: i64,
    failures: AtomicU64,
}

/// What is known of a sandbox.
#[derive(Clone, Debug)]
struct Entry {
    stored: Stored<SandboxRecord>,
    wanted: Wanted,
    observed: Option<Observed>,
    told: Told,
    /// Whether it has been ready with the supervisor that it has.
    stood: bool,
    trouble: Option<Trouble>,
    busy: bool,
    status: Option<SandboxStatus>,
}

/// A step that failed.
#[derive(Clone, Debug)]
struct Trouble {
    message: String,
    times: u32,
    until: Instant,
}

impl Entry {
    fn seen(&self) -> Option<Seen> {
        self.observed.as_ref().map(|observed| Seen {
            attended: observed.attended,
            running: observed.state.running,
            exit_code: observed.state.exit_code,
            rests: match observed.state.phase {
                state::Phase::Provisioning => Rests::New,
                state::Phase::Stopped => Rests::Stopped,
                state::Phase::Ready | state::Phase::Error => Rests::Lost,
            },
        })
    }

    fn next(&self) -> Step {
        step::next(&self.wanted, self.seen().as_ref(), &self.told)
    }

    /// Takes over what the driver sees. Another supervisor than before was told nothing yet, and has started nothing.
    fn observe(&mut self, observed: Option<Observed>) {
        let supervisor = |one: &Option<Observed>| {
            one.as_ref().filter(|one| one.attended).and_then(|one| one.state.supervisor)
        };
        if supervisor(&self.observed) != supervisor(&observed) {
            self.told = Told::default();
            self.stood = false;
        }
        self.observed = observed;
    }

    fn show(&mut self) -> SandboxStatus {
        let failed = self.trouble.is_some();
        let (phase, reason) =
            step::phase(&self.wanted, self.seen().as_ref(), &self.told, (failed, self.stood));
        self.stood |= phase == Phase::Ready;
        let state = self.observed.as_ref().map(|observed| &observed.state);
        SandboxStatus {
            phase,
            reason: reason.to_owned(),
            message: self.trouble.as_ref().map(|one| one.message.clone()).unwrap_or_default(),
            running: state.is_some_and(|state| state.running),
            exit_code: state.and_then(|state| state.exit_code),
            policy_version: self.told.policy.unwrap_or_default().version,
            notes: state.map(|state| state.notes.clone()).unwrap_or_default(),
            limited_by: state.map(|state| state.limited_by.clone()).unwrap_or_default(),
        }
    }
}

impl Keeper {
    /// Keeps what is in this store where this driver runs it.
    pub(crate) fn new(store: Store, driver: Local, broker: Arc<Broker>) -> Arc<Self> {
        Arc::new(Self {
            store,
            driver,
            broker,
            changes: Changes::default(),
            known: Mutex::default(),
            round: Mutex::default(),
            touched: Mutex::default(),
            wake: Notify::new(),
            room: Arc::new(Semaphore::new(STEPS_MAX)),
            began_ms: time::now_ms(),
            failures: AtomicU64::new(0),
        })
    }

    /// Tells that the store has something new about a sandbox.
    pub(crate) fn touch(&self, workspace: &str, name: &str) {
        self.touched.lock().insert((workspace.to_owned(), name.to_owned()));
        self.wake.notify_one();
    }

    /// How a sandbox is doing, as far as is known.
    pub(crate) fn status(&self, stored: &Stored<SandboxRecord>) -> SandboxStatus {
        let known = self.known.lock();
        let Some(entry) = known.get(&stored.id) else { return unknown(stored.body.desired) };
        let Some(status) = entry.status.clone() else { return unknown(stored.body.desired) };
        if entry.stored.version >= stored.version {
            return status;
        }
        // It was read before what is wanted now was written down.
        let (phase, reason) = match stored.body.desired {
            Desired::Draft | Desired::Running if status.phase != Phase::Stopped => return status,
            Desired::Stopped if status.phase == Phase::Stopped => return status,
            Desired::Draft | Desired::Running => (Phase::Starting, "StartRequested"),
            Desired::Stopped => (Phase::Stopping, "StopRequested"),
            Desired::Deleted => (Phase::Deleting, "DeleteRequested"),
        };
        SandboxStatus { phase, reason: reason.to_owned(), ..status }
    }

    /// How many sandboxes are in each phase.
    pub(crate) fn phases(&self) -> BTreeMap<&'static str, u64> {
        let mut phases = BTreeMap::new();
        for entry in self.known.lock().values() {
            let phase = entry.status.as_ref().map_or(Phase::Unknown, |status| status.phase);
            *phases.entry(phase.as_str()).or_default() += 1;
        }
        phases
    }

    /// How many steps have failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether it goes around.
    pub(crate) fn is_keeping(&self) -> bool {
        self.round.lock().is_some_and(|round| round.elapsed() < ROUND_MAX)
    }

    /// Keeps sandboxes as they should be until it is stopped; then it waits for the steps that run.
    pub(crate) async fn run(self: Arc<Self>, stopped: CancellationToken) {
        let mut steps = JoinSet::new();
        let mut next_look = Instant::now();
        let mut next_read = Instant::now();
        while !stopped.is_cancelled() {
            // Whatever woke it: nobody who writes all the time keeps it from looking.
            let now = Instant::now();
            if now >= next_read {
                next_read = now + if self.read_all().await { READ_EVERY } else { LOOK_EVERY };
            }
            if now >= next_look {
                self.look().await;
                next_look = now + LOOK_EVERY;
            }
            self.read_touched().await;
            self.step_all(&mut steps);
            *self.round.lock() = Some(Instant::now());
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                Some(_) = steps.join_next() => {}
                () = self.wake.notified() => {}
                () = sleep_until(next_look) => {}
            }
        }
        let ended = async { while steps.join_next().await.is_some() {} };
        if timeout(STOP_MAX, ended).await.is_err() {
            tracing::warn!("steps that run were cut off; they are taken again at the next start");
        }
    }

    /// Reads every sandbox from the store; whether that could be done.
    async fn read_all(&self) -> bool {
        let read = self.read_pages().await;
        if let Err(error) = &read {
            tracing::warn!(error = %written(error), "sandboxes cannot be read from the store");
        }
        read.is_ok()
    }

    async fn read_pages(&self) -> Result<(), StoreError> {
        let mut page = Page { after: None, limit: 500 };
        let mut found = BTreeSet::new();
        loop {
            let listed = self.store.list::<SandboxRecord>(None, &page).await?;
            for stored in listed.items {
                found.insert(stored.id);
                self.take(stored).await?;
            }
            match listed.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        let mut known = self.known.lock();
        let gone = |id: &Uuid, entry: &mut Entry| !entry.busy && !found.contains(id);
        for (_, entry) in known.extract_if(.., gone) {
            self.changes.deleted(&entry.stored);
        }
        Ok(())
    }

    async fn read_touched(&self) {
        let touched = std::mem::take(&mut *self.touched.lock());
        for (workspace, name) in touched {
            let read = match self.store.find::<SandboxRecord>(&workspace, &name).await {
                Ok(Some(stored)) => self.take(stored).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                tracing::warn!(error = %error, sandbox = name, "a sandbox cannot be read from the store");
                // It is read again with all others.
            }
        }
    }

    async fn take(&self, stored: Stored<SandboxRecord>) -> Result<(), StoreError> {
        let wanted = act::wanted(&self.store, &stored, self.began_ms).await?;
        let mut known = self.known.lock();
        if let Some(entry) = known.get_mut(&stored.id) {
            if entry.wanted != wanted || entry.stored.version != stored.version {
                // What failed may succeed now.
                entry.trouble = None;
            }
            (entry.stored, entry.wanted) = (stored, wanted);
        } else {
            let entry = Entry {
                stored,
                wanted,
                observed: None,
                told: Told::default(),
                stood: false,
                trouble: None,
                busy: false,
                status: None,
            };
            known.insert(entry.stored.id, entry);
        }
        Ok(())
    }

    /// Looks at everything that runs.
    async fn look(&self) {
        let listed = match self.driver.list().await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(error = %error, "sandboxes cannot be listed");
                return;
            }
        };
        let mut seen: BTreeMap<_, _> = listed.into_iter().collect();
        for entry in self.known.lock().values_mut().filter(|entry| !entry.busy) {
            match seen.remove(&entry.stored.id.to_string()) {
                Some(Ok(observed)) => entry.observe(Some(observed)),
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                    // What was known of it stands.
                    tracing::warn!(sandbox = entry.stored.name, %error, "a sandbox cannot be read");
                }
                _ => entry.observe(None),
            }
        }
    }

    /// Looks at one sandbox at once, so that whoever asks next hears what has just happened to it.
    pub(crate) async fn glance(&self, id: Uuid) {
        let seen = self.driver.inspect(&id.to_string()).await;
        if let Some(entry) = self.known.lock().get_mut(&id).filter(|entry| !entry.busy)
            && let Ok(observed) = seen
        {
            entry.observe(observed);
            self.tell(entry);
        }
    }

    /// Begins the next step of every sandbox that has one, and tells what has changed.
    fn step_all(self: &Arc<Self>, steps: &mut JoinSet<()>) {
        let now = Instant::now();
        let mut known = self.known.lock();
        for entry in known.values_mut() {
            self.tell(entry);
            let waits = entry.trouble.as_ref().is_some_and(|trouble| trouble.until > now);
            let step = entry.next();
            if entry.busy || waits || step == Step::Rest {
                continue;
            }
            let place = match step {
                Step::Create | Step::Start => match Arc::clone(&self.room).try_acquire_owned() {
                    Ok(place) => Some(place),
                    Err(_) => continue,
                },
                _ => None,
            };
            entry.busy = true;
            let (keeper, id, stored) = (Arc::clone(self), entry.stored.id, entry.stored.clone());
            let wanted = entry.wanted;
            steps.spawn(async move {
                let done = act::act(&keeper, step, &stored, &wanted).await;
                let observed = keeper.driver.inspect(&id.to_string()).await;
                keeper.settle(id, (step, wanted), done, observed);
                drop(place);
            });
        }
    }

    /// Takes over what came of a step, and what is seen now if it can be.
    fn settle(
        &self,
        id: Uuid,
        (step, wanted): (Step, Wanted),
        done: Result<Done, String>,
        observed: Result<Option<Observed>, DriverError>,
    ) {
        let mut known = self.known.lock();
        if step == Step::Forget && done.is_ok() {
            if let Some(gone) = known.remove(&id) {
                self.changes.deleted(&gone.stored);
            }
            return;
        }
        let Some(entry) = known.get_mut(&id) else { return };
        entry.busy = false;
        match observed {
            Ok(observed) => entry.observe(observed),
            Err(error) => {
                tracing::warn!(sandbox = entry.stored.name, %error, "a sandbox cannot be read");
            }
        }
        match done {
            Ok(done) => {
                entry.trouble = None;
                match step {
                    Step::Supply => entry.told.providers = Some(wanted.providers),
                    Step::SetPolicy if done == Done::Yes => {
                        entry.told.policy = Some(wanted.policy);
                    }
                    _ => {}
                }
            }
            Err(message) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(sandbox = entry.stored.name, ?step, message, "a step failed");
                let times = entry.trouble.as_ref().map_or(0, |trouble| trouble.times) + 1;
                let pause = PAUSE.saturating_mul(1 << times.min(7).saturating_sub(1));
                let until = Instant::now() + pause.min(PAUSE_MAX);
                entry.trouble = Some(Trouble { message, times, until });
            }
        }
        self.tell(entry);
        self.wake.notify_one();
    }

    fn tell(&self, entry: &mut Entry) {
        let status = entry.show();
        if entry.status.as_ref() != Some(&status) {
            entry.status = Some(status.clone());
            self.changes.changed(&entry.stored, &status);
        }
    }
}

/// What is said of a sandbox that nobody has looked at yet.
fn unknown(desired: Desired) -> SandboxStatus {
    let (phase, reason) = match desired {
        Desired::Draft | Desired::Running => (Phase::Provisioning, "Creating"),
        Desired::Stopped => (Phase::Stopped, "StopRequested"),
        Desired::Deleted => (Phase::Deleting, "DeleteRequested"),
    };
    SandboxStatus {
        phase,
        reason: reason.to_owned(),
        message: String::new(),
        running: false,
        exit_code: None,
        policy_version: 0,
        notes: Vec::new(),
        limited_by: BTreeMap::new(),
    }
}
