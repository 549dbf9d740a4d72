//! Writes audit lines on a thread of its own: to a file that is moved aside when it is large, and to standard output.
//!
//! Invariant: the request path never waits for a disk. What does not fit into the queue is counted, also in the next event
//! about a sandbox that does, and records about
//! refusals find room when others no longer do. Nor can a sandbox push out of the files what came before, by being refused over
//! and over: beyond a rate its refusals are counted, and the next that is written says how many.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{AuditOptions, Event, Outcome, Record};
use crate::pace::Pace;

/// Records that wait to be written.
const QUEUE_MAX: usize = 8_192;

/// Places of the queue that only refusals and failures may take.
const RESERVED: usize = 1_024;

/// Refusals of a sandbox that are written at once, and how often another may follow: 20 a second take hours to fill the
/// files that are kept.
const REFUSALS_BURST: u32 = 1_000;
const REFUSALS_PERIOD: Duration = Duration::from_millis(50);

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(20);

const ROTATE_BYTES_DEFAULT: u64 = 64 << 20;
const KEEP_DEFAULT: usize = 8;

/// What is written as one line: a model call, or a decision about a sandbox's network.
#[derive(Debug)]
pub struct Entry {
    kind: Kind,
    number: Number,
}

#[derive(Debug)]
enum Kind {
    Call(Arc<Record>),
    Event(Box<Event>),
}

/// The place of a line among all of its sink: without a gap, unless one found no room.
#[derive(Clone, Debug, Default)]
pub(super) struct Number {
    /// What tells the run of this sink from others.
    pub(super) instance: Arc<str>,
    /// From 1, one more for each line.
    pub(super) sequence: u64,
}

impl From<Kind> for Entry {
    fn from(kind: Kind) -> Self {
        Self { kind, number: Number::default() }
    }
}

impl Entry {
    /// Whether it is about something that was refused or failed.
    fn matters(&self) -> bool {
        match &self.kind {
            Kind::Call(record) => record.matters(),
            Kind::Event(event) => event.matters(),
        }
    }

    fn render_into(&self, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Call(record) => record.render_into(&self.number, out),
            Kind::Event(event) => event.render_into(&self.number, out),
        }
    }
}

impl From<Arc<Record>> for Entry {
    fn from(record: Arc<Record>) -> Self {
        Kind::Call(record).into()
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        Kind::Call(Arc::new(record)).into()
    }
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Kind::Event(Box::new(event)).into()
    }
}

/// The sending side. Dropping it, or [`Sink::finish`], writes what waits and ends the thread.
#[derive(Debug)]
pub struct Sink {
    open: bool,
    /// Gone after the end. Entries are numbered in the order in which they are put in.
    queue: Mutex<Option<Queue>>,
    waiting: Arc<AtomicUsize>,
    /// Entries that found no room, and those of them that no event has told yet.
    lost: AtomicU64,
    untold: AtomicU64,
    refusals: Mutex<Refusals>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    entries: SyncSender<Entry>,
    last: Number,
}

impl Queue {
    fn number(&mut self) -> Number {
        self.last.sequence = self.last.sequence.saturating_add(1);
        self.last.clone()
    }
}

impl Sink {
    /// Opens the file and starts the thread; without any destination nothing is recorded.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub fn open(options: &AuditOptions) -> io::Result<Self> {
        if options.file.is_none() && !options.stdout {
            return Ok(Self {
                open: false,
                queue: Mutex::default(),
                waiting: Arc::default(),
                lost: AtomicU64::new(0),
                untold: AtomicU64::new(0),
                refusals: Mutex::new(Refusals::new(Instant::now())),
                writer: Mutex::default(),
            });
        }
        let file = options.file.as_deref().map(|path| Rotated::open(path, options)).transpose()?;
        let (entries, records) = sync_channel(QUEUE_MAX);
        let instance = Uuid::new_v4().simple().to_string().into();
        let queue = Queue { entries, last: Number { instance, sequence: 0 } };
        let waiting = Arc::new(AtomicUsize::new(0));
        let output = Output { file, stdout: options.stdout };
        let seen = Arc::clone(&waiting);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(output, &records, &seen))?;
        Ok(Self {
            open: true,
            queue: Mutex::new(Some(queue)),
            waiting,
            lost: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            refusals: Mutex::new(Refusals::new(Instant::now())),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Whether records are written anywhere.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Puts an entry into the queue; false if there was no room, and counted in [`Sink::lost`]. A refusal beyond the rate
    /// is counted in the next that is written.
    pub fn send(&self, entry: impl Into<Entry>) -> bool {
        let mut queue = self.queue.lock();
        let Some(queue) = &mut *queue else { return true };
        let mut entry = entry.into();
        if let Kind::Event(event) = &mut entry.kind
            && event.outcome == Outcome::Denied
        {
            match self.refusals.lock().admit(Instant::now()) {
                Some(unlisted) => event.unlisted = unlisted,
                None => return true,
            }
        }
        let room = if entry.matters() { QUEUE_MAX } else { QUEUE_MAX.saturating_sub(RESERVED) };
        // What finds no room has its number all the same, so that it is missed.
        entry.number = queue.number();
        let mut told = 0;
        if self.waiting.fetch_add(1, Ordering::AcqRel) < room {
            if let Kind::Event(event) = &mut entry.kind {
                told = self.untold.swap(0, Ordering::Relaxed);
                event.lost = told;
            }
            if queue.entries.try_send(entry).is_ok() {
                return true;
            }
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(told.saturating_add(1), Ordering::Relaxed);
        false
    }

    /// How many refusals were left out since the last that was written.
    pub fn unlisted(&self) -> u64 {
        self.refusals.lock().unlisted
    }

    /// How many entries found no room so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the thread. Blocks for as long as the disk takes.
    pub fn finish(&self) {
        drop(self.queue.lock().take());
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the audit thread had failed");
        }
    }
}

/// Which refusals are written.
#[derive(Debug)]
struct Refusals {
    pace: Pace,
    unlisted: u64,
}

impl Refusals {
    fn new(now: Instant) -> Self {
        Self { pace: Pace::new(REFUSALS_BURST, REFUSALS_PERIOD, now), unlisted: 0 }
    }

    /// How many were left out before this one; `None` if it is left out itself.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.pace.admit(now) {
            return Some(std::mem::take(&mut self.unlisted));
        }
        self.unlisted = self.unlisted.saturating_add(1);
        None
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Output {
    file: Option<Rotated>,
    stdout: bool,
}

impl Output {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        // Neither keeps the other from its line.
        let kept = self.file.as_mut().map_or(Ok(()), |file| file.write(line));
        let shown = if self.stdout { io::stdout().lock().write_all(line) } else { Ok(()) };
        kept.and(shown)
    }

    fn flush(&mut self) -> io::Result<()> {
        let kept = self.file.as_mut().map_or(Ok(()), |file| file.out.flush());
        let shown = if self.stdout { io::stdout().lock().flush() } else { Ok(()) };
        kept.and(shown)
    }
}

fn write_all(mut output: Output, entries: &Receiver<Entry>, waiting: &AtomicUsize) {
    let mut lines = Vec::new();
    while let Ok(first) = entries.recv() {
        // Others are let come: one turn of this thread writes them all, and a busy router does not wake it each time.
        std::thread::park_timeout(GATHER);
        for entry in std::iter::once(first).chain(entries.try_iter()) {
            waiting.fetch_sub(1, Ordering::AcqRel);
            lines.clear();
            entry.render_into(&mut lines);
            lines.push(b'\n');
            report(output.write(&lines));
        }
        report(output.flush());
    }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(error = %error, "cannot write an audit line");
    }
}

/// A file that is moved aside when it is large: `name`, `name.1`, `name.2`…
struct Rotated {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
    rotate_bytes: u64,
    keep: usize,
}

impl Rotated {
    fn open(path: &Path, options: &AuditOptions) -> io::Result<Self> {
        let (file, bytes) = open(path)?;
        let or = |value, default| if value == 0 { default } else { value };
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
            bytes,
            rotate_bytes: or(options.rotate_bytes, ROTATE_BYTES_DEFAULT),
            keep: if options.keep == 0 { KEEP_DEFAULT } else { options.keep },
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(length) > self.rotate_bytes {
            // A file that cannot be moved aside goes on growing: a record that is too large is better than none.
            if let Err(error) = self.rotate() {
                tracing::error!(error = %error, "the audit file cannot be moved aside");
                self.bytes = 0;
            }
        }
        self.out.write_all(line)?;
        self.bytes = self.bytes.saturating_add(length);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.out.flush()?;
        for number in (1..self.keep).rev() {
            let (from, to) = (self.aside(number), self.aside(number.saturating_add(1)));
            if from.exists() {
                std::fs::rename(from, to)?;
            }
        }
        std::fs::rename(&self.path, self.aside(1))?;
        let (file, bytes) = open(&self.path)?;
        self.out = BufWriter::new(file);
        self.bytes = bytes;
        Ok(())
    }

    fn aside(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Activity;

    #[test]
    fn lines_are_written_at_the_end_and_large_files_are_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let options =
            AuditOptions { file: Some(path.clone()), rotate_bytes: 2_500, keep: 2, stdout: false };
        let sink = Sink::open(&options).unwrap();
        for number in 0..12 {
            let record = Record { request_id: format!("call-{number}"), ..Record::default() };
            assert!(sink.send(record));
        }
        sink.finish();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("audit.jsonl").contains("call-11"));
        assert!(read("audit.jsonl.1").len() <= 2_500);
        assert!(folder.path().join("audit.jsonl.2").exists());
        assert!(!folder.path().join("audit.jsonl.3").exists());
    }

    #[test]
    fn a_file_that_cannot_be_moved_aside_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        // A file cannot take the place of a folder that holds something.
        std::fs::create_dir_all(folder.path().join("audit.jsonl.1/x")).unwrap();
        let options =
            AuditOptions { file: Some(path.clone()), rotate_bytes: 1_000, keep: 1, stdout: false };
        let sink = Sink::open(&options).unwrap();
        for number in 0..12 {
            let record = Record { request_id: format!("call-{number}"), ..Record::default() };
            assert!(sink.send(record));
        }
        sink.finish();
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 12);
    }

    #[test]
    fn calls_and_events_share_a_file_and_what_finds_no_room_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let options = AuditOptions { file: Some(path.clone()), ..AuditOptions::default() };
        let sink = Sink::open(&options).unwrap();
        let event = |outcome| Event::new("dev".into(), 1, Activity::Open, outcome);
        assert!(sink.send(Record::default()));
        assert!(sink.send(event(Outcome::Denied)));
        // As if a slow disk had let the queue fill up to what is reserved for refusals.
        sink.waiting.fetch_add(QUEUE_MAX - RESERVED, Ordering::AcqRel);
        assert!(!sink.send(event(Outcome::Allowed)));
        assert!(sink.send(event(Outcome::Denied)));
        assert_eq!(sink.lost(), 1);
        sink.finish();
        let text = std::fs::read_to_string(path).unwrap();
        let class = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["class_uid"].as_u64().unwrap()
        };
        assert_eq!(text.lines().map(class).collect::<Vec<_>>(), [6003, 4001, 4001]);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["unmapped"]["openshell"]["lost"], 1, "the record says what is not in it");
        let place = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let run = line["unmapped"]["openshell"]["instance"].as_str().unwrap().to_owned();
            (run, line["metadata"]["sequence"].as_u64().unwrap())
        };
        let (runs, numbers): (Vec<_>, Vec<_>) = text.lines().map(place).unzip();
        assert_eq!(numbers, [1, 2, 4], "what was lost has a number that is missing");
        assert!(runs[0].len() == 32 && runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    }

    #[test]
    fn a_flood_of_refusals_pushes_nothing_out_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let options = AuditOptions { file: Some(path.clone()), ..AuditOptions::default() };
        let sink = Sink::open(&options).unwrap();
        let event = |outcome| Event::new("dev".into(), 1, Activity::Open, outcome);
        let all = 5_000;
        for _ in 0..all {
            assert!(sink.send(event(Outcome::Denied)));
        }
        // As if the time of a hundred had gone by.
        sink.refusals.lock().pace = Pace::new(1, REFUSALS_PERIOD, Instant::now());
        assert!(sink.unlisted() > 0);
        assert!(sink.send(event(Outcome::Denied)));
        assert_eq!(sink.unlisted(), 0);
        assert!(sink.send(event(Outcome::Allowed)));
        sink.finish();
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<serde_json::Value> = lines.collect();
        assert!((1_002..3_000).contains(&lines.len()), "{}", lines.len());
        let left_out =
            lines.iter().filter_map(|line| line["unmapped"]["openshell"]["unlisted"].as_u64());
        let told = u64::try_from(lines.len()).unwrap();
        assert_eq!(left_out.sum::<u64>() + told, all + 2, "each is written or counted");
    }

    #[test]
    fn without_a_destination_nothing_is_kept_and_nothing_is_lost() {
        let sink = Sink::open(&AuditOptions::default()).unwrap();
        assert!(sink.send(Record::default()));
    }
}
