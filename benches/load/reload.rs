//! Whether a reload of the configuration delays streams: the largest gap between two reads of any of 1,000 streams.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use openshell_benches::conversation::{Conversation, New, Shape};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    children::Child,
    client::Caller,
    measure::{Bounds, next_body},
    modes::{Files, Setting},
    say,
};

/// Streams that run at the same time.
const STREAMS: usize = 1_000;

/// Events of each, a tenth of a second apart.
const EVENTS: u32 = 150;

/// When the first reload comes, how far they are apart, and how many there are.
const FIRST: Duration = Duration::from_secs(8);
const APART: Duration = Duration::from_millis(1_500);
const RELOADS: u32 = 3;

/// How long before the first reload all streams run undisturbed; compared with as long a time with reloads.
const WINDOW: Duration = Duration::from_millis(4_500);

/// What was seen.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Reload {
    /// Streams that ran.
    pub(crate) streams: usize,
    /// Streams that did not end as they should.
    pub(crate) cut: usize,
    /// The largest gap before the reloads, milliseconds.
    pub(crate) gap_before_ms: u128,
    /// The largest gap while the file was reloaded.
    pub(crate) gap_during_ms: u128,
    /// How late the hundredth-latest of all events was before and during, milliseconds after the one before it.
    pub(crate) p99_before_ms: u128,
    /// The same while the file was reloaded.
    pub(crate) p99_during_ms: u128,
}

/// Measures it.
///
/// # Errors
/// When a process does not start.
pub(crate) async fn run(bounds: &Bounds) -> anyhow::Result<Reload> {
    let files = Arc::new(Files::new()?);
    let model = Child::model()?;
    let file = files.write(Setting::Everything, model.address, "0")?;
    let mut router = Child::router(&file, bounds.threads)?;
    let shape =
        Shape { bytes: 1_024, last_bytes: 700, new: New::Everything, stream_tokens: EVENTS };
    let conversation = Arc::new(Conversation::new(&shape));
    say(&format!("reload: {STREAMS} streams of {EVENTS} events, {RELOADS} reloads"));
    let mut tasks = JoinSet::new();
    let starts = Arc::new(Semaphore::new(64));
    let started = Instant::now();
    for _ in 0..STREAMS {
        tasks.spawn(stream(router.address, Arc::clone(&conversation), Arc::clone(&starts)));
    }
    for reload in 0..RELOADS {
        let at = started + FIRST + APART * reload;
        tokio::time::sleep_until(at.into()).await;
        // A slow disk would otherwise keep this process from reading its streams in time.
        let note = (reload + 1).to_string();
        let (folder, address) = (Arc::clone(&files), model.address);
        tokio::task::spawn_blocking(move || folder.write(Setting::Everything, address, &note))
            .await??;
        router.order("reload")?;
    }
    let border = started + FIRST;
    let begin = border.checked_sub(WINDOW).unwrap_or(started);
    let (mut before, mut during, mut cut) = (Vec::new(), Vec::new(), 0);
    while let Some(ended) = tasks.join_next().await {
        let Ok(arrivals) = ended? else {
            cut += 1;
            continue;
        };
        for (earlier, later) in arrivals.iter().zip(arrivals.iter().skip(1)) {
            let gap = later.duration_since(*earlier);
            if *later < border && *earlier >= begin {
                before.push(gap);
            } else if *earlier >= border && *later < border + WINDOW {
                during.push(gap);
            }
        }
    }
    ensure!(!before.is_empty() && !during.is_empty(), "the streams were too slow to be compared");
    let [gap_before_ms, p99_before_ms] = worst(before);
    let [gap_during_ms, p99_during_ms] = worst(during);
    Ok(Reload { streams: STREAMS, cut, gap_before_ms, gap_during_ms, p99_before_ms, p99_during_ms })
}

/// The largest and the hundredth-largest of a hundred, milliseconds.
fn worst(mut gaps: Vec<Duration>) -> [u128; 2] {
    gaps.sort_unstable();
    let at = |place: usize| gaps.get(place).map_or(0, Duration::as_millis);
    [at(gaps.len().saturating_sub(1)), at(gaps.len().saturating_mul(99) / 100)]
}

/// Reads one stream to its end; gives when each of its reads came.
async fn stream(
    router: std::net::SocketAddr,
    conversation: Arc<Conversation>,
    starts: Arc<Semaphore>,
) -> anyhow::Result<Vec<Instant>> {
    let mut caller = Caller::connect(router).await?;
    let mut body = Vec::new();
    let mut arrivals = Vec::new();
    let start = starts.acquire().await?;
    next_body(&conversation, &mut body);
    caller.send("", &body).await?;
    drop(start);
    caller.receive(|arrived| arrivals.push(arrived)).await?;
    ensure!(caller.answer().ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"), "the stream is not whole");
    Ok(arrivals)
}
