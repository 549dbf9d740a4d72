//! The log of a supervisor: a file of bounded size in the sandbox's folder, a line each, as `openshell logs` shows them.

use std::{
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// The largest log, bytes; one older log of that size is kept beside it.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// Sends everything that this process tells from now on to the log.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn begin(path: &Path, filter: Option<&str>) -> io::Result<()> {
    let log = Log::open(path)?;
    let filter =
        EnvFilter::try_new(filter.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .event_format(LogLines("sandbox"))
        .with_writer(move || log.clone())
        .finish();
    // One supervisor is one process; a second one in it has the log of the first.
    tracing::subscriber::set_global_default(subscriber).ok();
    Ok(())
}

/// The file, shared by all threads.
#[derive(Clone, Debug)]
struct Log(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Open { path: path.to_owned(), file, bytes }))))
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock();
        if open.bytes > LOG_BYTES_MAX {
            fs::rename(&open.path, open.path.with_extension("old"))?;
            open.file = append(&open.path)?;
            open.bytes = 0;
        }
        open.file.write_all(bytes)?;
        open.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The format of logs that `openshell logs` shows: `[seconds.milliseconds] [source ] [LEVEL] [target] message name=value`,
/// with this source, a line for each event whatever it holds.
#[derive(Clone, Copy, Debug)]
pub struct LogLines(pub &'static str);

impl<S, N> FormatEvent<S, N> for LogLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let about = event.metadata();
        writeln!(
            out,
            "[{}.{:03}] [{:7}] [{:5}] [{}] {}{}",
            now.as_secs(),
            now.subsec_millis(),
            self.0,
            about.level(),
            about.target(),
            fields.message,
            fields.rest
        )
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A line stays a line, whatever a value holds.
        let value = format!("{value:?}").replace(['\n', '\r'], " ");
        let written = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.rest, " {name}={value}"),
        };
        // Writing to a string never fails.
        written.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_the_log_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::open(&path).unwrap();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(LogLines("sandbox"))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(version = 2, text = "a\nb", "policy loaded");
        });
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("] [sandbox] [INFO ] [") && text.contains("] policy loaded version=2"),
            "{text}"
        );
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..7 {
            log.write_all(&piece).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= LOG_BYTES_MAX);
        assert!(path.with_extension("old").exists());
    }
}
