//! What is kept of sandboxes on disk: a folder each, below the home of OpenShell.
//!
//! | file | what it is |
//! |---|---|
//! | `sandbox.json` | the [`Record`]: name, command, environment, when it was made |
//! | `state.json` | the [`State`] as the supervisor last wrote it |
//! | `policies/` | every revision of the policy, and `index.json`, which says what became of each |
//! | `router.token` | what proves to the router which sandbox it is; the supervisor reads it once the walls stand |
//! | `prepared.yaml` | the policy that a prepared sandbox was built by, until it is taken |
//! | `lock` | held by the supervisor as long as it lives, however that ends |
//! | `control.sock` | where it can be spoken to, by its owner alone |
//! | `log`, `audit.jsonl` | what it tells, and its decisions |
//! | `files/` | the sandbox's own files, `/sandbox` inside |
//!
//! Invariant: every file is written whole, beside its place, and then put there.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    event::{PollFd, poll},
    fs::{FlockOperation, Mode, OFlags, Timespec, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    cgroup,
    spec::{CallerCheck, Grant, Limits},
};

/// How often a lock that is held is tried.
const LOOKS_MAX: u32 = 200;

const RECORD: &str = "sandbox.json";
const STATE: &str = "state.json";
const TOKEN: &str = "router.token";
/// The largest file of these that is read, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What was asked for when a sandbox was made, and stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// What tells it from every other, also from one of the same name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The workspace that it is in; empty for `default`, that of all who say none.
    pub workspace: String,
    /// Its main command; empty when it has none.
    pub command: Vec<String>,
    /// Whether the main command gets a terminal.
    pub terminal: bool,
    /// Environment variables that were asked for.
    pub environment: BTreeMap<String, String>,
    /// What its owner noted on it.
    pub labels: BTreeMap<String, String>,
    /// The names of the providers that are attached to it.
    pub providers: Vec<String>,
    /// Where inference goes: an address, or `unix:PATH`.
    pub router: Option<String>,
    /// How the network outside is reached.
    pub upstream: Upstream,
    /// Whether it is watched to learn what it needs, and may reach any name.
    pub learning: bool,
    /// Whether programs that run code from where the sandbox can write open no connection.
    pub strict_callers: bool,
    /// What it may use up as a whole, as far as somebody asked.
    pub limits: Whole,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl Record {
    /// Its name as the router knows it: after that of its workspace, where it says one.
    pub(crate) fn qualified_name(&self) -> String {
        match self.workspace.as_str() {
            "" => self.name.clone(),
            workspace => format!("{workspace}/{}", self.name),
        }
    }

    /// How its callers are known: as they were at `connect()`.
    pub(crate) fn callers(&self) -> CallerCheck {
        if self.strict_callers { CallerCheck::Code } else { CallerCheck::Executable }
    }
}

/// What a sandbox may use up as a whole. What is asked for holds, or there is no sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whole {
    /// Processor time, in percent of one core.
    pub cpu_percent: Option<u32>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u32>,
}

impl From<Whole> for Limits {
    fn from(whole: Whole) -> Self {
        Self {
            cpu_percent: whole.cpu_percent,
            memory_bytes: whole.memory_bytes,
            processes: whole.processes,
            cgroup: Grant::Required,
            ..Self::default()
        }
    }
}

/// How the supervisor reaches servers: what the operator of this network asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// Authorities that servers may be vouched for by, besides those of the system, as PEM.
    pub ca_pem: Option<String>,
    /// The proxy that connections to the outside are made through.
    pub proxy: Option<ProxyUrl>,
    /// What is reached without it, as `NO_PROXY` writes it.
    pub no_proxy: String,
}

/// The URL of a proxy. It may hold a password, so nothing prints it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrl(pub String);

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProxyUrl(…)")
    }
}

/// How a sandbox is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It is being made.
    #[default]
    Provisioning,
    /// It stands.
    Ready,
    /// It was stopped, and can be started again.
    Stopped,
    /// It could not be made, or was lost.
    Error,
}

impl Phase {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "Provisioning",
            Self::Ready => "Ready",
            Self::Stopped => "Stopped",
            Self::Error => "Error",
        }
    }
}

/// What the supervisor last wrote of its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// How it is doing.
    pub phase: Phase,
    /// Whether its main command runs.
    pub running: bool,
    /// The exit code of the main command, when it last ended.
    pub exit_code: Option<u8>,
    /// What this host lacks of what was asked for.
    pub notes: Vec<String>,
    /// What holds each limit: a control group, or the limit of its user on processes.
    pub limited_by: BTreeMap<String, String>,
    /// Its control groups, to be removed by whoever finds the supervisor gone.
    pub groups: Vec<PathBuf>,
    /// What went wrong.
    pub error: Option<String>,
    /// The process of the supervisor.
    pub supervisor: Option<u32>,
    /// When the supervisor began, in seconds since 1970.
    pub started: Option<u64>,
}

/// All sandboxes of one user on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// The home in this folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of a sandbox. The name must be one that [`is_name`] takes.
    pub fn sandbox(&self, name: &str) -> Folder {
        Folder(self.0.join("sandboxes").join(name))
    }

    /// Where prepared sandboxes wait.
    pub(crate) fn pool(&self) -> PathBuf {
        self.0.join("pool")
    }

    /// The names of all sandboxes, sorted.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.0.join("sandboxes")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().filter(|name| is_name(name)) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Whether a sandbox may be called that: lower-case letters, digits and hyphens between them, at most 63, as a host name.
pub fn is_name(name: &str) -> bool {
    crate::spec::is_host_name(name)
}

/// The folder of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The sandbox's own files.
    pub fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// What the supervisor tells.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The record of decisions.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    /// The home that it is in.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.0.parent()?.parent()
    }

    /// Makes the folder with a record in it.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one of that name.
    pub fn create(&self, record: &Record) -> io::Result<()> {
        self.make_parent()?;
        DirBuilder::new().mode(0o700).create(&self.0)?;
        self.lay_out()?;
        self.keep_record(record)
    }

    /// Makes what is missing of the folder but for the record, without which it is none of a sandbox.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn lay_out(&self) -> io::Result<()> {
        self.make_parent()?;
        for folder in [self.0.clone(), self.files()] {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        if fs::exists(self.0.join(STATE))? {
            return Ok(());
        }
        self.write(STATE, &State::default())
    }

    fn make_parent(&self) -> io::Result<()> {
        let parent = self.0.parent();
        parent.map_or(Ok(()), |parent| DirBuilder::new().recursive(true).mode(0o700).create(parent))
    }

    /// Writes down what was asked for, which makes the folder that of a sandbox.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_record(&self, record: &Record) -> io::Result<()> {
        self.write(RECORD, record)
    }

    /// What was asked for.
    ///
    /// # Errors
    /// `NotFound` when there is no such sandbox; `InvalidData` when the file is damaged.
    pub fn record(&self) -> io::Result<Record> {
        self.read(RECORD)
    }

    /// Notes which providers are attached to it.
    ///
    /// # Errors
    /// As [`Folder::record`], and when it cannot be written.
    pub fn keep_providers(&self, providers: Vec<String>) -> io::Result<()> {
        self.keep_record(&Record { providers, ..self.record()? })
    }

    /// How it is doing. A supervisor that is gone without a word has lost its sandbox; one of which nothing is written was never
    /// started, or is being removed.
    ///
    /// # Errors
    /// `InvalidData` when the file is damaged.
    pub fn state(&self) -> io::Result<State> {
        let mut state: State = match self.read(STATE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            other => other?,
        };
        if matches!(state.phase, Phase::Ready) && !self.is_attended() {
            cgroup::remove_left(&std::mem::take(&mut state.groups));
            state.phase = Phase::Error;
            state.running = false;
            state.error = Some("its supervisor was killed; start it again".to_owned());
        }
        Ok(state)
    }

    /// Keeps what proves to the router which sandbox this is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_token(&self, token: &[u8]) -> io::Result<()> {
        self.put(TOKEN, token)
    }

    /// What proves to the router which sandbox this is, if there is a proof.
    pub(crate) fn token(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(TOKEN)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether a supervisor holds this sandbox.
    pub fn is_attended(&self) -> bool {
        let Ok(lock) = File::open(self.0.join("lock")) else { return false };
        flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
    }

    /// Takes the sandbox for this process, until the file is closed.
    ///
    /// # Errors
    /// `WouldBlock` when another process has it.
    pub fn lock(&self) -> io::Result<File> {
        let path = self.0.join("lock");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut looks = 0;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Somebody who only looks whether it is held holds it for that moment.
                Err(Errno::WOULDBLOCK) if looks < LOOKS_MAX => pause(),
                other => break other?,
            }
            looks += 1;
        }
        file.set_len(0)?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(file)
    }

    /// The process that holds this sandbox.
    pub fn attendant(&self) -> Option<u32> {
        let text = fs::read_to_string(self.0.join("lock")).ok()?;
        text.parse().ok().filter(|_| self.is_attended())
    }

    /// Removes the folder with everything in it, whatever modes an agent has left there. The record goes last: what is left of a
    /// sandbox is known until all of it is gone.
    ///
    /// # Errors
    /// What cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        if let Ok(state) = self.read::<State>(STATE) {
            cgroup::remove_left(&state.groups);
        }
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != RECORD {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                remove_all(&entry.path(), is_folder)?;
            }
        }
        remove_all(&self.0, true)
    }

    /// Opens the folder for reaching its socket, whose whole path may be longer than an address can be.
    pub(crate) fn open(&self) -> io::Result<File> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(File::from(rustix::fs::open(&self.0, flags, Mode::empty())?))
    }

    /// Reads a JSON file.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<T> {
        let path = self.0.join(name);
        if fs::metadata(&path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is too large")));
        }
        serde_json::from_slice(&fs::read(path)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes a JSON file, whole or not at all.
    pub(crate) fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        self.put(name, &serde_json::to_vec_pretty(value)?)
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.0.join(name);
        let beside = self.0.join(format!("{name}.{}.new", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        fs::rename(beside, path)
    }
}

/// Removes this file or folder, whatever modes are in there. Somebody else may be faster.
fn remove_all(path: &Path, is_folder: bool) -> io::Result<()> {
    let mut removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if is_folder && removed.is_err() {
        open_up(path);
        removed = fs::remove_dir_all(path);
    }
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lets the owner into every folder below, through no link.
fn open_up(folder: &Path) {
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        // What cannot be changed shows when it cannot be removed.
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).ok();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
    }
}

/// Waits a millisecond, for what another process is about to do. Never on a thread that serves others.
pub(crate) fn pause() {
    let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    poll(&mut [] as &mut [PollFd<'_>], Some(&pause)).ok();
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(home: &Path) -> Folder {
        Home::new(home).sandbox("calm-otter")
    }

    #[test]
    fn a_sandbox_is_found_again_and_its_folder_is_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        let record = Record { name: "calm-otter".to_owned(), ..Record::default() };
        folder.create(&record).unwrap();
        assert_eq!(folder.record().unwrap(), record);
        assert_eq!(Home::new(home.path()).names().unwrap(), ["calm-otter"]);
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let again = folder.create(&record).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_supervisor_that_is_gone_without_a_word_is_told() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        folder.create(&Record::default()).unwrap();
        let ready = State { phase: Phase::Ready, running: true, ..State::default() };
        folder.write("state.json", &ready).unwrap();
        let lock = folder.lock().unwrap();
        assert_eq!(folder.state().unwrap().phase, Phase::Ready);
        assert!(folder.lock().is_err());
        assert_eq!(folder.attendant(), Some(std::process::id()));
        drop(lock);
        assert_eq!(folder.state().unwrap().phase, Phase::Error);
    }

    #[test]
    fn who_only_looks_keeps_nobody_from_taking_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        folder.create(&Record::default()).unwrap();
        drop(folder.lock().unwrap());
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        folder.is_attended();
                    }
                });
            }
            let taken: Vec<_> = (0..50).map(|_| folder.lock().map(drop)).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken.iter().all(Result::is_ok), "{taken:?}");
        });
    }

    #[test]
    fn a_closed_folder_of_an_agent_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        folder.create(&Record::default()).unwrap();
        let closed = folder.files().join("a/b");
        fs::create_dir_all(&closed).unwrap();
        fs::write(closed.join("c"), "").unwrap();
        fs::set_permissions(closed.parent().unwrap(), Permissions::from_mode(0o000)).unwrap();
        folder.remove().unwrap();
        assert!(!folder.path().exists());
        folder.remove().unwrap();
    }
}
