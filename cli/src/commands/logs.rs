//! `openshell logs`: what the supervisor of a sandbox tells, line by line.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use tracing_subscriber::filter::LevelFilter;

use crate::{
    args::sandbox::LogsArgs,
    commands::sandbox::{block_on, find},
    failure::Failure,
    output,
};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The most bytes of a log that are read at once; the log itself is bounded below that.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Shows the last lines, and goes on with new ones if so asked.
pub(crate) fn run(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let (_, folder) = find(args.sandbox.name.as_deref())?;
    let path = folder.log();
    let wanted = Wanted::of(args)?;
    let mut lines = VecDeque::new();
    let mut place = 0;
    for file in [path.with_extension("old"), path.clone()] {
        place = read(&file, 0, |line| {
            if wanted.has(line) {
                lines.push_back(line.to_owned());
                if lines.len() > args.n {
                    lines.pop_front();
                }
            }
            Ok(())
        })?;
    }
    for line in lines {
        output::line(&line)?;
    }
    if args.tail {
        follow(&path, place, &wanted)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows new lines until the sandbox is deleted or the reader leaves.
fn follow(path: &Path, mut place: u64, wanted: &Wanted) -> Result<(), Failure> {
    block_on(async {
        while path.exists() {
            tokio::time::sleep(LOOK).await;
            let length = std::fs::metadata(path).map_or(0, |found| found.len());
            if length < place {
                // It was full, and a new one begun.
                place = 0;
            }
            if length > place {
                place =
                    read(
                        path,
                        place,
                        |line| {
                            if wanted.has(line) { output::line(line) } else { Ok(()) }
                        },
                    )?;
            }
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
    fn of(args: &LogsArgs) -> Result<Self, Failure> {
        let since = args.since.as_deref().map(since).transpose()?;
        Ok(Self { since, level: args.level.unwrap_or(LevelFilter::TRACE) })
    }

    /// A line that is none of ours is shown; it may say why there is no sandbox.
    fn has(&self, line: &str) -> bool {
        let mut parts = line.split('[').skip(1).map(|part| part.split(']').next().unwrap_or(""));
        let at = parts.next().and_then(|at| at.parse::<f64>().ok());
        let level = parts.nth(1).and_then(|level| level.trim().parse::<LevelFilter>().ok());
        let is_late = self.since.zip(at).is_none_or(|(since, at)| at >= since);
        is_late && level.is_none_or(|level| level <= self.level)
    }
}

/// A point in time that lies so far back, in seconds since 1970.
fn since(text: &str) -> Result<f64, Failure> {
    let unusable = || {
        Failure::usage(format!("--since {text:?} is no span of time"))
            .hint("write it as 30s, 5m or 1h")
    };
    let span: jiff::Span = text.parse().map_err(|_| unusable())?;
    let now = jiff::Timestamp::now();
    let then = now.checked_sub(span).map_err(|_| unusable())?;
    Ok(then.duration_since(jiff::Timestamp::UNIX_EPOCH).as_secs_f64())
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
