//! What is told of a sandbox: by its supervisor, in a file, and by the gateway, in memory. The last lines, or lines as they come.
//!
//! A place in both is one text, so that who was away goes on where it was. Invariant: what one reader holds is bounded: it is read
//! as the reader takes it.

use std::{collections::VecDeque, convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use api::logs::{LogLevel, LogLine, LogQuery, LogSource, Logs};
use axum::{
    Json as Body,
    extract::{Path, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Span, Timestamp};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::spawn_blocking,
    time::sleep,
};
use uuid::Uuid;

use super::{App, Refusal, read::Query, sandboxes};
use crate::{
    auth::access::Permit,
    lifecycle::Change,
    tail::{self, Piece, Spot},
};

/// Lines when nobody says how many.
const LINES: u32 = 200;
/// The most lines.
const LINES_MAX: u32 = 10_000;
/// The most that one answer holds, bytes.
const BYTES_MAX: usize = 8 << 20;
/// What is read at once, bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Between two looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two signs of life where nothing is told.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// The last lines that are told of a sandbox, or with `follow=true` those that come: `event: log` with a line, `event: lost` where lines
/// went before they were read, and at last `event: deleted` when the sandbox is. `Last-Event-ID` brings what came after that event.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/logs", tag = "logs", params(LogQuery),
    responses(
        (status = 200, content((Logs = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = api::problem::Problem),
    ),
)]
pub(super) async fn logs(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&query)?;
    let lines = query.lines.unwrap_or(LINES);
    if lines > LINES_MAX {
        return Err(invalid(format!("lines is {lines}, and has to be at most {LINES_MAX}")));
    }
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    // Before it is looked for: what is deleted meanwhile is heard of.
    let receiver = app.keeper.changes.listen();
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    let folder = app.keeper.driver.folder(&stored.id.to_string());
    let files = vec![folder.log(), folder.log().with_extension("old")];
    let mut log = Log { app, id: stored.id, wanted, files, place: Place::default() };
    if query.follow != Some(true) {
        let lines = log.last(lines).await;
        return Ok(Body(Logs { lines, next: log.place.to_string() }).into_response());
    }
    let mut waiting = VecDeque::new();
    if let Some(last) = headers.get("last-event-id") {
        let place = last.to_str().ok().and_then(Place::read);
        let unknown = || invalid("last-event-id is no place in this log".to_owned());
        log.place = place.ok_or_else(unknown)?;
    } else {
        waiting.extend(log.last(lines).await.into_iter().map(|line| Told::Line(line, None)));
        // Who goes on from the middle of these hears them once more.
        if let Some(Told::Line(_, place)) = waiting.back_mut() {
            *place = Some(log.place);
        }
    }
    let stopping = log.app.records.stopping.clone();
    let follow = Follow { log, receiver, waiting, ended: false };
    let events = stream::unfold(follow, async |mut follow| {
        let event = follow.next().await?;
        Some((Ok::<_, Infallible>(event), follow))
    });
    let events = events.take_until(stopping.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response())
}

fn invalid(detail: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// A place in both logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// In the file; none before its first line.
    spot: Option<Spot>,
    /// The last change that was told.
    change: u64,
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        let (spot, change) = text.split_once('.')?;
        let spot = if spot == "0" { None } else { Some(spot.parse().ok()?) };
        Some(Self { spot, change: change.parse().ok()? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.spot {
            Some(spot) => write!(f, "{spot}.{}", self.change),
            None => write!(f, "0.{}", self.change),
        }
    }
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    source: LogSource,
    since: Option<Timestamp>,
    level: LogLevel,
}

impl Wanted {
    fn of(query: &LogQuery) -> Result<Self, Refusal> {
        Ok(Self {
            source: query.source.unwrap_or_default(),
            since: query.since.as_deref().map(since).transpose()?,
            level: query.level.unwrap_or(LogLevel::Trace),
        })
    }

    fn is_of(&self, source: LogSource) -> bool {
        self.source == LogSource::All || self.source == source
    }

    /// Lines that do not say when or how grave are shown: they may say why there is no sandbox.
    fn has(&self, line: &LogLine) -> bool {
        let is_late = self.since.zip(line.time).is_none_or(|(since, time)| time >= since);
        is_late && line.level.is_none_or(|level| level <= self.level)
    }
}

/// A point in time: itself, or so far back from now.
pub(super) fn since(text: &str) -> Result<Timestamp, Refusal> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let unusable = || {
        invalid(
            "since has to be a point of time such as 2026-11-24T10:00:00Z, or a span such as 5m"
                .to_owned(),
        )
    };
    let span: Span = text.parse().map_err(|_| unusable())?;
    let days = SignedDuration::from_hours(24) * span.get_days();
    let rest = SignedDuration::try_from(span.days(0)).map_err(|_| unusable())?;
    let back = days.checked_add(rest).filter(|back| !back.is_negative()).ok_or_else(unusable)?;
    Timestamp::now().checked_sub(back).map_err(|_| unusable())
}

/// The log of one sandbox, from a place on.
struct Log {
    app: Arc<App>,
    id: Uuid,
    wanted: Wanted,
    files: Vec<PathBuf>,
    place: Place,
}

impl Log {
    /// The last lines so far, in the order of their times.
    async fn last(&mut self, count: usize) -> Vec<LogLine> {
        let mut lines = VecDeque::new();
        let mut bytes = 0;
        let mut take = |line: LogLine| {
            bytes += line.text.len();
            lines.push_back(line);
            while lines.len() > count || bytes > BYTES_MAX {
                let Some(gone) = lines.pop_front() else { break };
                bytes -= gone.text.len();
            }
        };
        while let Some(piece) = self.piece().await {
            piece.lines.iter().filter_map(|line| self.supervisors(&line.text)).for_each(&mut take);
            self.place.spot = piece.spot;
            if !piece.more {
                break;
            }
        }
        let (changes, last) = self.app.keeper.changes.known(self.id);
        self.place.change = last;
        changes.iter().filter_map(|change| self.gateways(change)).for_each(&mut take);
        let mut lines = Vec::from(lines);
        // A line without a time stays behind the one before it.
        let mut at = Timestamp::MIN;
        let mut timed: Vec<_> = lines
            .drain(..)
            .map(|line| {
                at = line.time.unwrap_or(at);
                (at, line)
            })
            .collect();
        timed.sort_by_key(|(at, _)| *at);
        let surplus = timed.len().saturating_sub(count);
        timed.into_iter().skip(surplus).map(|(_, line)| line).collect()
    }

    /// What comes next in the file; none when it cannot be read.
    async fn piece(&self) -> Option<Piece> {
        let (files, spot) = (self.files.clone(), self.place.spot);
        let read = spawn_blocking(move || tail::read(&files, spot, PIECE_BYTES)).await.ok()?;
        read.inspect_err(|error| tracing::warn!(sandbox = %self.id, %error, "a log cannot be read"))
            .ok()
    }

    /// A line of the supervisor, if it is wanted.
    fn supervisors(&self, text: &str) -> Option<LogLine> {
        let line = line(LogSource::Sandbox, text);
        (self.wanted.is_of(LogSource::Sandbox) && self.wanted.has(&line)).then_some(line)
    }

    /// What the gateway tells of a change, if it is wanted.
    fn gateways(&self, change: &Change) -> Option<LogLine> {
        let text = told(change);
        let line = line(LogSource::Gateway, &text);
        (self.wanted.is_of(LogSource::Gateway) && self.wanted.has(&line)).then_some(line)
    }
}

/// A line with what stands in brackets at its beginning: its time, its source, its level, who tells it.
fn line(source: LogSource, text: &str) -> LogLine {
    let mut parts = text.split('[').skip(1).map(|part| part.split(']').next().unwrap_or_default());
    let time = parts.next().and_then(|at| {
        let (seconds, millis) = at.split_once('.')?;
        let millis: i64 = millis.parse().ok()?;
        let seconds: i64 = seconds.parse().ok()?;
        Timestamp::from_millisecond(seconds.checked_mul(1000)?.checked_add(millis)?).ok()
    });
    let level = match parts.nth(1).unwrap_or_default().trim() {
        "ERROR" => Some(LogLevel::Error),
        "WARN" => Some(LogLevel::Warn),
        "INFO" => Some(LogLevel::Info),
        "DEBUG" => Some(LogLevel::Debug),
        "TRACE" => Some(LogLevel::Trace),
        _ => None,
    };
    LogLine { time, source, level, text: text.to_owned() }
}

/// A change as a line of the gateway's own.
fn told(change: &Change) -> String {
    use std::fmt::Write as _;
    let (seconds, millis) = (change.at_ms / 1000, change.at_ms.rem_euclid(1000));
    let begin =
        |level| format!("[{seconds}.{millis:03}] [gateway] [{level:5}] [gateway::lifecycle] ");
    let Some(status) = &change.told.status else { return begin("INFO") + "sandbox deleted" };
    let level = if status.phase == api::sandbox::Phase::Error { "WARN" } else { "INFO" };
    let mut line = begin(level);
    let (phase, reason) = (status.phase.as_str(), &status.reason);
    // Writing to a text never fails.
    write!(line, "sandbox changed phase={phase} reason={reason}").ok();
    if !status.message.is_empty() {
        let message = status.message.replace(['\n', '\r'], " ");
        write!(line, " message={message}").ok();
    }
    line
}

/// What a reader is told next.
enum Told {
    /// A line, and the place behind it.
    Line(LogLine, Option<Place>),
    Lost,
    /// The sandbox is gone; the last thing.
    Deleted,
}

/// A log as it comes.
struct Follow {
    log: Log,
    receiver: Receiver<Change>,
    waiting: VecDeque<Told>,
    ended: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                let (event, place) = match told {
                    Told::Line(line, place) => {
                        (Event::default().event("log").json_data(line), place)
                    }
                    Told::Lost => {
                        let lost = Event::default().event("lost");
                        (Ok(lost.data("lines went before they were read")), None)
                    }
                    Told::Deleted => {
                        let deleted = Event::default().event("deleted");
                        (Ok(deleted.data("the sandbox is gone")), None)
                    }
                };
                // A line is plain data: it can be written.
                let event = event.unwrap_or_default();
                return Some(match place {
                    Some(place) => event.id(place.to_string()),
                    None => event,
                });
            }
            if self.ended {
                return None;
            }
            self.look().await;
        }
    }

    /// Takes what has come, or waits a little.
    async fn look(&mut self) {
        if let Some(piece) = self.log.piece().await {
            if piece.lost {
                self.waiting.push_back(Told::Lost);
            }
            for line in &piece.lines {
                let place = Place { spot: Some(line.spot), ..self.log.place };
                let told = self.log.supervisors(&line.text);
                self.waiting.extend(told.map(|told| Told::Line(told, Some(place))));
            }
            self.log.place.spot = piece.spot;
            if piece.more || !self.waiting.is_empty() {
                return;
            }
        }
        tokio::select! {
            biased;
            change = self.receiver.recv() => match change {
                Ok(change) => self.hear(&change),
                Err(RecvError::Closed) => self.ended = true,
                Err(RecvError::Lagged(_)) => {
                    // What is still known of those that were missed.
                    let (changes, _) = self.log.app.keeper.changes.known(self.log.id);
                    for change in &changes {
                        self.hear(change);
                    }
                }
            },
            () = sleep(LOOK_EVERY) => {}
        }
    }

    fn hear(&mut self, change: &Change) {
        if change.told.id != self.log.id.to_string() || change.number <= self.log.place.change {
            return;
        }
        self.log.place.change = change.number;
        let told = self.log.gateways(change);
        self.waiting.extend(told.map(|told| Told::Line(told, Some(self.log.place))));
        if change.is_last() {
            self.ended = true;
            self.waiting.push_back(Told::Deleted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_when_and_how_grave_they_are() {
        let said = line(
            LogSource::Sandbox,
            "[1700000000.123] [sandbox] [INFO ] [sandbox::serve] policy loaded version=[2]",
        );
        assert_eq!(said.time, Timestamp::from_millisecond(1_700_000_000_123).ok());
        assert_eq!(said.level, Some(LogLevel::Info));
        let wanted = |since: Option<&str>, level| {
            let since = since.map(|text| text.parse().unwrap());
            Wanted { source: LogSource::All, since, level }.has(&said)
        };
        assert!(wanted(None, LogLevel::Info));
        assert!(!wanted(None, LogLevel::Warn));
        assert!(wanted(Some("2023-11-14T00:00:00Z"), LogLevel::Trace));
        assert!(!wanted(Some("2023-11-15T00:00:00Z"), LogLevel::Trace));
        let panic = line(LogSource::Sandbox, "a panic of ours");
        assert_eq!((panic.time, panic.level), (None, None));
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["0.7", "00000000000000ff-12.9"] {
            assert_eq!(Place::read(text).unwrap().to_string(), text);
        }
        for text in ["", "7", "x.7", "1-2-3.4", "0.x"] {
            assert_eq!(Place::read(text), None, "{text}");
        }
    }

    #[test]
    fn points_and_spans_of_time() {
        assert_eq!(since("1970-01-01T00:00:01Z").ok(), Timestamp::from_second(1).ok());
        assert!(since("7d").unwrap() < since("24h").unwrap());
        for text in ["", "yesterday", "-5m", "99999999999999h"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
