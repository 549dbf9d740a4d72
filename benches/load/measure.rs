//! CPU time, throughput and latency: both proxies in turn, round after round.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use openshell_benches::conversation::{Conversation, New, Shape};
use tokio::task::JoinSet;

use crate::{
    children::Child,
    client::Caller,
    modes::{Files, MODES, Mode, Setting},
    report::{CpuRow, Latency, Side},
    say,
};

/// How much is measured.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Bounds {
    /// How often each side is measured.
    pub(crate) rounds: u32,
    /// Most seconds for one side of one round.
    pub(crate) seconds: u64,
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Threads of each proxy.
    pub(crate) threads: u32,
}

/// How requests go to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As to a server.
    Direct,
    /// In a tunnel that is opened first.
    Tunnel,
}

/// Requests of one kind of latency.
const LATENCY_REQUESTS: usize = 2_000;

/// The number of the next new prompt; no two requests of a run share one.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The next body of `conversation`.
pub(crate) fn next_body(conversation: &Conversation, out: &mut Vec<u8>) {
    out.clear();
    conversation.write(NEXT.fetch_add(1, Ordering::Relaxed), out);
}

/// Measures CPU time and throughput in the modes whose names begin with one of `names`.
///
/// # Errors
/// When a process does not start or an answer is no success.
pub(crate) async fn cpu(bounds: &Bounds, names: &[String]) -> anyhow::Result<Vec<CpuRow>> {
    let named =
        |mode: &&Mode| names.is_empty() || names.iter().any(|name| mode.name.starts_with(name));
    let modes: Vec<&Mode> = MODES.iter().filter(named).collect();
    anyhow::ensure!(!modes.is_empty(), "no mode has such a name");
    let files = Files::new()?;
    let model = Child::model()?;
    let bare = Child::bare(model.address, bounds.threads)?;
    let mut routers = HashMap::new();
    for mode in &modes {
        if let Entry::Vacant(place) = routers.entry(mode.setting) {
            let file = files.write(mode.setting, model.address, "")?;
            place.insert(Child::router(&file, bounds.threads)?);
        }
    }
    let mut rows: Vec<CpuRow> = modes.iter().map(|mode| CpuRow::new(mode.name)).collect();
    for round in 0..=bounds.rounds {
        for (mode, row) in modes.iter().zip(&mut rows) {
            let router = routers.get(&mode.setting).context("no router")?;
            let conversation = Arc::new(Conversation::new(&mode.shape));
            let load = |child| load(child, &conversation, (mode.requests, Way::Direct), bounds);
            // Who goes first has the colder machine: both do, in turn.
            let (bare, router) = if round % 2 == 0 {
                let bare = load(&bare).await?;
                (bare, load(router).await?)
            } else {
                let router = load(router).await?;
                (load(&bare).await?, router)
            };
            // The first round warms pools, memos and pages.
            if round > 0 {
                row.add(conversation.bytes(), bare, router);
                say(&format!("round {round} of {}: {}", bounds.rounds, row.line()));
            }
        }
    }
    Ok(rows)
}

/// Sends requests over all connections at once and gives what they cost.
///
/// # Errors
/// When an answer is no success.
pub(crate) async fn load(
    child: &Child,
    conversation: &Arc<Conversation>,
    (requests, way): (u32, Way),
    bounds: &Bounds,
) -> anyhow::Result<Side> {
    let mut callers = Vec::new();
    let mut body = Vec::new();
    for _ in 0..bounds.connections {
        let mut caller = Caller::connect(child.address).await?;
        if way == Way::Tunnel {
            caller.tunnel().await?;
        }
        next_body(conversation, &mut body);
        caller.send("", &body).await?;
        caller.receive(|_| {}).await?;
        callers.push(caller);
    }
    let left = Arc::new(AtomicU32::new(requests));
    let (before, started) = (child.used()?, Instant::now());
    let end = started + Duration::from_secs(bounds.seconds);
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(call(caller, Arc::clone(conversation), Arc::clone(&left), end));
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    let wall = started.elapsed();
    Ok(Side { requests: done, cpu: child.used()?.since(&before), wall })
}

/// Calls until no request is left or the time is over; gives how many were answered.
async fn call(
    mut caller: Caller,
    conversation: Arc<Conversation>,
    left: Arc<AtomicU32>,
    end: Instant,
) -> anyhow::Result<u32> {
    let mut done = 0;
    let mut body = Vec::new();
    let take = |left: u32| left.checked_sub(1);
    while Instant::now() < end
        && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    {
        next_body(&conversation, &mut body);
        caller.send("", &body).await?;
        caller.receive(|_| {}).await?;
        done += 1;
    }
    Ok(done)
}

/// Measures latency at one request at a time: without a proxy, through the bare one, and through the router.
///
/// # Errors
/// As [`cpu`].
pub(crate) async fn latency(bounds: &Bounds) -> anyhow::Result<Latency> {
    let files = Files::new()?;
    let model = Child::model()?;
    let bare = Child::bare(model.address, bounds.threads)?;
    let swap = Child::router(&files.write(Setting::Swap, model.address, "")?, bounds.threads)?;
    let everything = files.write(Setting::Everything, model.address, "")?;
    let everything = Child::router(&everything, bounds.threads)?;
    let shape = Shape { bytes: 1_024, last_bytes: 700, new: New::Everything, stream_tokens: 0 };
    let conversation = Conversation::new(&shape);
    let addresses = [model.address, bare.address, swap.address, everything.address];
    let mut sides = Vec::new();
    for address in addresses {
        sides.push((connected(address, &conversation).await?, Vec::new()));
    }
    let mut body = Vec::new();
    for request in 0..LATENCY_REQUESTS {
        if request % 500 == 0 {
            say(&format!("latency: {request} of {LATENCY_REQUESTS}"));
        }
        for (caller, times) in &mut sides {
            next_body(&conversation, &mut body);
            let started = Instant::now();
            caller.send("", &body).await?;
            caller.receive(|_| {}).await?;
            times.push(started.elapsed());
        }
    }
    let mut times = sides.into_iter().map(|(_, times)| times);
    let mut next = || times.next().context("a side without times");
    Ok(Latency::new([next()?, next()?, next()?, next()?]))
}

/// A caller whose connection has been used.
async fn connected(address: SocketAddr, conversation: &Conversation) -> anyhow::Result<Caller> {
    let mut caller = Caller::connect(address).await?;
    let mut body = Vec::new();
    for _ in 0..50 {
        next_body(conversation, &mut body);
        caller.send("", &body).await?;
        caller.receive(|_| {}).await?;
    }
    Ok(caller)
}
