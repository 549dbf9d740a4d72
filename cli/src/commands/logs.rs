//! `openshell logs`: what the supervisor of a sandbox and what stands behind it tell, line by line.
//!
//! Here: logs of sandboxes that this user has without a gateway. Below: those of a gateway (`remote`).

mod remote;

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tracing_subscriber::filter::LevelFilter;

use crate::{
    args::sandbox::{LogSource, LogsArgs},
    commands::{
        gateway::chosen,
        inference::service::Service,
        sandbox::{block_on, find, home},
    },
    failure::Failure,
    output,
};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The most bytes of a log that are read at once; the log itself is bounded below that.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Shows the last lines, and goes on with new ones if so asked.
pub(crate) fn run(args: &LogsArgs) -> Result<ExitCode, Failure> {
    if let Some(asked) = chosen(&args.gateway)? {
        return remote::run(args, &asked);
    }
    let (_, folder) = find(args.sandbox.name.as_deref())?;
    let mut files = Vec::new();
    let from = |source| args.source.iter().any(|one| [LogSource::All, source].contains(one));
    let record = folder.record()?;
    if from(LogSource::Gateway) && record.router.is_none() {
        // What it did before there was this sandbox is of no interest here.
        let begun = Some(Duration::from_secs(record.created).as_secs_f64());
        files.push(Followed::of(Service::of(&home()?).log(), Wanted::of(args, begun)?));
    }
    if from(LogSource::Sandbox) {
        files.push(Followed::of(folder.log(), Wanted::of(args, None)?));
    }
    let mut lines = Vec::new();
    for file in &mut files {
        lines.extend(file.last(args.n)?);
    }
    // What was told at the same time stays in its order.
    lines.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    for (_, line) in lines.iter().skip(lines.len().saturating_sub(args.n)) {
        output::line(line)?;
    }
    if args.tail {
        follow(&folder.log(), &mut files)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A log that is read, and goes on to be.
struct Followed {
    path: PathBuf,
    place: u64,
    wanted: Wanted,
}

impl Followed {
    fn of(path: PathBuf, wanted: Wanted) -> Self {
        Self { path, place: 0, wanted }
    }

    /// The last lines so far, each with its time; one that has none has that of the line before it.
    fn last(&mut self, count: usize) -> Result<VecDeque<(f64, String)>, Failure> {
        let mut lines = VecDeque::new();
        let mut at = 0.0;
        for file in [self.path.with_extension("old"), self.path.clone()] {
            self.place = read(&file, 0, |line| {
                at = time(line).unwrap_or(at);
                if self.wanted.has(line) {
                    lines.push_back((at, line.to_owned()));
                    if lines.len() > count {
                        lines.pop_front();
                    }
                }
                Ok(())
            })?;
        }
        Ok(lines)
    }

    /// Shows what was told since.
    fn go_on(&mut self) -> Result<(), Failure> {
        let length = std::fs::metadata(&self.path).map_or(0, |found| found.len());
        if length < self.place {
            // It was full, and a new one begun.
            self.place = 0;
        }
        let wanted = &self.wanted;
        let show = |line: &str| if wanted.has(line) { output::line(line) } else { Ok(()) };
        self.place = read(&self.path, self.place, show)?;
        Ok(())
    }
}

/// Shows new lines until the sandbox is deleted, and with it its own log, or the reader leaves.
fn follow(own: &Path, files: &mut [Followed]) -> Result<(), Failure> {
    block_on(async {
        while own.exists() {
            tokio::time::sleep(LOOK).await;
            files.iter_mut().try_for_each(Followed::go_on)?;
        }
        Ok(())
    })
}

/// Reads whole lines from `place` on. Gives the place behind the last one.
fn read(
    path: &Path,
    mut place: u64,
    mut line: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let Ok(mut file) = File::open(path) else { return Ok(place) };
    file.seek(SeekFrom::Start(place))?;
    let mut reader = BufReader::new(file.take(READ_BYTES_MAX));
    let mut text = Vec::new();
    loop {
        text.clear();
        let length = reader.read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            return Ok(place);
        }
        place += u64::try_from(length).unwrap_or(0);
        line(String::from_utf8_lossy(&text).trim_end())?;
    }
}

/// Which lines are shown.
struct Wanted {
    since: Option<f64>,
    level: LevelFilter,
}

impl Wanted {
    fn of(args: &LogsArgs, begun: Option<f64>) -> Result<Self, Failure> {
        let asked = args.since.as_deref().map(since).transpose()?;
        let since = begun.into_iter().chain(asked).reduce(f64::max);
        Ok(Self { since, level: args.level.unwrap_or(LevelFilter::TRACE) })
    }

    /// A line that is none of ours is shown; it may say why there is no sandbox.
    fn has(&self, line: &str) -> bool {
        let (at, mut parts) = (time(line), parts(line));
        let level = parts.nth(2).and_then(|level| level.trim().parse::<LevelFilter>().ok());
        let is_late = self.since.zip(at).is_none_or(|(since, at)| at >= since);
        is_late && level.is_none_or(|level| level <= self.level)
    }
}

/// What stands in brackets at the beginning of a line: its time, its source, its level, who tells it.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    line.split('[').skip(1).map(|part| part.split(']').next().unwrap_or(""))
}

fn time(line: &str) -> Option<f64> {
    parts(line).next().and_then(|at| at.parse::<f64>().ok())
}

/// A point in time that lies so far back, in seconds since 1970.
fn since(text: &str) -> Result<f64, Failure> {
    Ok(then(text)?.duration_since(jiff::Timestamp::UNIX_EPOCH).as_secs_f64())
}

/// A point in time that lies so far back.
fn then(text: &str) -> Result<jiff::Timestamp, Failure> {
    let unusable = || {
        Failure::usage(format!("--since {text:?} is no span of time"))
            .hint("write it as 30s, 5m or 1h")
    };
    let span: jiff::Span = text.parse().map_err(|_| unusable())?;
    let now = jiff::Timestamp::now();
    now.checked_sub(span).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_time_and_level() {
        let line = "[1700000000.123] [sandbox] [INFO ] [sandbox::serve] policy loaded version=[2]";
        let wanted = |since, level| Wanted { since, level }.has(line);
        assert!(wanted(None, LevelFilter::INFO));
        assert!(!wanted(None, LevelFilter::WARN));
        assert!(wanted(Some(1_700_000_000.0), LevelFilter::TRACE));
        assert!(!wanted(Some(1_700_000_001.0), LevelFilter::TRACE));
        assert!(Wanted { since: Some(9e9), level: LevelFilter::ERROR }.has("a panic of ours"));
    }
}
