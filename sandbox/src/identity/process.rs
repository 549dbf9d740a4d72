//! A process, what it runs, and its ancestors, through `/proc`.
//!
//! A number may come to name another process at any moment; an open folder of `/proc` never does, it only stops answering.
//! So everything is read through such folders, and a look that was interrupted is one that failed. They are kept from one
//! `connect()` to the next: a process whose executable is still the same file, and whose ancestors live and are the same
//! too, is who it was.

use std::{
    collections::{BTreeSet, HashMap},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    str,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use proxy::egress::{Identity, Unidentified};
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, readlinkat_raw, statat},
    io::{Errno, read},
    process::Pid,
};

use super::binary::{Binaries, Binary, FileKey};

/// The most ancestors of one process; what lies beyond counts for nothing.
const ANCESTORS_MAX: usize = 64;
/// The most folders of `/proc` that are kept open, a descriptor each.
const OPEN_MAX: usize = 192;
/// How often the way up is begun anew because an ancestor ended on it.
const TRIES: usize = 3;
/// The longest path that the kernel gives.
const PATH_BYTES_MAX: usize = 4096;

/// A process as it was seen.
#[derive(Debug)]
pub(super) struct Who {
    /// Its number as this process counts, if it can be told.
    pub(super) process: i32,
    /// As the sandbox counts.
    pub(super) inner: i32,
    own: Arc<Seen>,
    /// The parent first.
    ancestors: Vec<Arc<Seen>>,
    identity: OnceLock<Result<Arc<Identity>, Unidentified>>,
}

impl Who {
    /// Whether both run the same and were started by the same, as far as a policy can tell.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        self.own.look == other.own.look && self.all() == other.all()
    }

    fn all(&self) -> BTreeSet<&str> {
        self.ancestors.iter().chain([&self.own]).map(|seen| seen.look.path.as_str()).collect()
    }

    pub(super) fn path(&self) -> &str {
        &self.own.look.path
    }

    /// Whether the process behind a folder of `/proc` runs the same.
    pub(super) fn is_still_at(&self, process: BorrowedFd<'_>) -> bool {
        self.own.look.is_same(process)
    }

    /// Whether [`Who::identity`] answers at once.
    pub(super) fn is_ready(&self) -> bool {
        let is_ready =
            |seen: &Arc<Seen>| seen.binary.as_ref().map_or(true, |binary| binary.is_hashed());
        self.identity.get().is_some()
            || (is_ready(&self.own) && self.ancestors.iter().all(is_ready))
    }

    /// Who it is for a policy. Hashes what was not hashed yet.
    ///
    /// # Errors
    /// What is wrong with its executable or with one of its ancestors'.
    pub(super) fn identity(&self) -> Result<Arc<Identity>, Unidentified> {
        self.identity.get_or_init(|| self.verify().map(Arc::new)).clone()
    }

    fn verify(&self) -> Result<Identity, Unidentified> {
        let sha256 = Some(self.own.binary.clone()?.verified()?);
        let mut ancestors = Vec::with_capacity(self.ancestors.len());
        for ancestor in &self.ancestors {
            let binary = ancestor.binary.clone()?;
            binary.verified()?;
            ancestors.push(binary.path.clone());
        }
        let binary = self.own.look.path.clone();
        Ok(Identity { binary, ancestors, process: self.process, sha256 })
    }
}

/// What a process runs, as one look tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    key: FileKey,
    path: String,
}

impl Look {
    /// # Errors
    /// `ESRCH` or `ENOENT` when the process has ended, `EILSEQ` when its path is no text.
    pub(super) fn at(process: BorrowedFd<'_>) -> Result<Self, Errno> {
        let found = statat(process, "exe", AtFlags::empty())?;
        let mut buffer = [0; PATH_BYTES_MAX];
        let path = str::from_utf8(path_at(process, &mut buffer)?).map_err(|_| Errno::ILSEQ)?;
        Ok(Self { key: FileKey::of(&found), path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether one would look the same now. Allocates nothing.
    fn is_same(&self, process: BorrowedFd<'_>) -> bool {
        let mut buffer = [0; PATH_BYTES_MAX];
        statat(process, "exe", AtFlags::empty()).is_ok_and(|found| FileKey::of(&found) == self.key)
            && path_at(process, &mut buffer).is_ok_and(|path| path == self.path.as_bytes())
    }
}

fn path_at<'a>(
    process: BorrowedFd<'_>,
    buffer: &'a mut [u8; PATH_BYTES_MAX],
) -> Result<&'a [u8], Errno> {
    let length = readlinkat_raw(process, "exe", buffer.as_mut_slice())?;
    Ok(buffer.get(..length).unwrap_or_default())
}

#[derive(Debug)]
struct Seen {
    look: Look,
    binary: Result<Arc<Binary>, Unidentified>,
}

/// A folder of `/proc`, and what the process behind it ran.
#[derive(Debug)]
struct Link {
    folder: OwnedFd,
    seen: Arc<Seen>,
}

impl Link {
    fn is_same(&self) -> bool {
        self.seen.look.is_same(self.folder.as_fd())
    }
}

/// A thread with all that is above it.
#[derive(Debug)]
struct Chain {
    own: Arc<Link>,
    ancestors: Vec<Arc<Link>>,
    who: Arc<Who>,
}

impl Chain {
    /// An ancestor that lives is still an ancestor: only its end gives its children to another.
    fn is_same(&self) -> bool {
        self.own.is_same() && self.ancestors.iter().all(|link| link.is_same())
    }
}

/// The processes below one mount of `/proc`.
#[derive(Debug)]
pub(super) struct Processes {
    /// That mount.
    proc: OwnedFd,
    /// Where the way up ends: the first process of the sandbox, as that mount counts.
    top: i32,
    binaries: Arc<Mutex<Binaries>>,
    chains: HashMap<i32, Arc<Chain>>,
    links: HashMap<i32, Arc<Link>>,
}

impl Processes {
    pub(super) fn new(proc: OwnedFd, top: i32, binaries: Arc<Mutex<Binaries>>) -> Self {
        Self { proc, top, binaries, chains: HashMap::new(), links: HashMap::new() }
    }

    /// The process of that thread, and its folder of `/proc`.
    ///
    /// # Errors
    /// When it cannot be seen. What is wrong with its executable shows in [`Who::identity`].
    pub(super) fn caller(&mut self, thread: i32) -> Result<Caller, Unidentified> {
        if let Some(chain) = self.chains.get(&thread)
            && chain.is_same()
        {
            return Ok(Caller(Arc::clone(chain)));
        }
        self.chains.remove(&thread);
        let mut failure = Errno::SRCH;
        for _ in 0..TRIES {
            match self.trace(thread) {
                Ok(chain) => {
                    let chain = Arc::new(chain);
                    self.chains.insert(thread, Arc::clone(&chain));
                    return Ok(Caller(chain));
                }
                Err(error) => failure = error,
            }
        }
        Err(Unidentified::System(format!("process {thread}: {failure}")))
    }

    /// Goes up from a thread to the top.
    fn trace(&mut self, thread: i32) -> Result<Chain, Errno> {
        if self.links.len() + self.chains.len() > OPEN_MAX {
            self.links.clear();
            self.chains.clear();
        }
        let own = self.link(thread)?;
        let status = Status::at(own.folder.as_fd())?;
        let mut ancestors: Vec<Arc<Link>> = Vec::new();
        let mut parent = status.parent;
        while parent > 0 && parent != self.top && ancestors.len() < ANCESTORS_MAX {
            let link = self.link(parent)?;
            let below = ancestors.last().unwrap_or(&own);
            // Read again: still the parent, so the folder that was opened by its number is its own.
            if Status::at(below.folder.as_fd())?.parent != parent {
                return Err(Errno::AGAIN);
            }
            parent = Status::at(link.folder.as_fd())?.parent;
            ancestors.push(link);
        }
        let who = Arc::new(Who {
            process: status.group,
            inner: status.inner,
            own: Arc::clone(&own.seen),
            ancestors: ancestors.iter().map(|link| Arc::clone(&link.seen)).collect(),
            identity: OnceLock::new(),
        });
        Ok(Chain { own, ancestors, who })
    }

    fn link(&mut self, number: i32) -> Result<Arc<Link>, Errno> {
        if let Some(link) = self.links.get(&number)
            && link.is_same()
        {
            return Ok(Arc::clone(link));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.proc, number.to_string(), flags, Mode::empty())?;
        let look = Look::at(folder.as_fd())?;
        let binary = self.binaries.lock().admit(folder.as_fd(), look.key, &look.path);
        let link = Arc::new(Link { folder, seen: Arc::new(Seen { look, binary }) });
        self.links.insert(number, Arc::clone(&link));
        Ok(link)
    }
}

/// A process that was looked up.
#[derive(Debug)]
pub(super) struct Caller(Arc<Chain>);

impl Caller {
    pub(super) fn who(&self) -> &Arc<Who> {
        &self.0.who
    }

    /// Its folder of `/proc`.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.0.own.folder.as_fd()
    }
}

/// What `/proc/N/status` says of a process's place among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    /// The process that a thread belongs to.
    group: i32,
    parent: i32,
    /// The process as its own namespace counts.
    inner: i32,
}

impl Status {
    fn at(process: BorrowedFd<'_>) -> Result<Self, Errno> {
        let file = openat(process, "status", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffer = [0; 4096];
        let length = read(&file, buffer.as_mut_slice())?;
        Self::read(buffer.get(..length).unwrap_or_default()).ok_or(Errno::BADMSG)
    }

    /// The name of a process, which comes first, cannot hold a line break: the kernel writes it as `\n`.
    fn read(text: &[u8]) -> Option<Self> {
        let value = |name: &str| {
            let mut lines = text.split(|byte| *byte == b'\n');
            let line = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
            str::from_utf8(line).ok()?.split_ascii_whitespace().next_back()?.parse().ok()
        };
        Some(Self { group: value("Tgid:")?, parent: value("PPid:")?, inner: value("NStgid:")? })
    }
}

/// The process of a thread that is not its first.
pub(super) fn group_of(thread: Pid) -> Result<Pid, Errno> {
    let folder = format!("/proc/{}", thread.as_raw_nonzero());
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Pid::from_raw(Status::at(folder.as_fd())?.group).ok_or(Errno::SRCH)
}

/// Whether that answer only says that the process has ended.
pub(super) fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn processes(top: i32) -> Processes {
        let proc = std::fs::File::open("/proc").unwrap();
        Processes::new(proc.into(), top, Arc::default())
    }

    fn parent() -> i32 {
        rustix::process::getppid().unwrap().as_raw_nonzero().get()
    }

    fn own() -> i32 {
        rustix::process::getpid().as_raw_nonzero().get()
    }

    #[test]
    fn a_status_is_read_whatever_the_name_says() {
        let text = b"Name:\tx\\nPPid:\t9\nTgid:\t70\nPid:\t71\nPPid:\t60\nNStgid:\t70\t5\n";
        assert_eq!(Status::read(text), Some(Status { group: 70, parent: 60, inner: 5 }));
        assert_eq!(Status::read(b"Name:\tx\n"), None);
    }

    #[test]
    fn a_child_has_its_ancestors_up_to_the_top() {
        let mut child = Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let mut processes = processes(parent());
        let sleep = std::fs::canonicalize("/bin/sleep").unwrap();
        // Between the fork and the exec it is what we are.
        let identity = loop {
            let identity = processes.caller(number).unwrap().who().identity().unwrap();
            if identity.binary == sleep.to_str().unwrap() {
                break identity;
            }
        };
        let ours = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(identity.ancestors, [ours.to_str().unwrap()]);
        assert_eq!(identity.process, number);
        assert!(identity.sha256.is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(processes.caller(number), Err(Unidentified::System(_))));
    }

    #[test]
    fn a_thread_belongs_to_its_process_and_is_known_the_second_time() {
        let mut processes = processes(parent());
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            assert!(stopped.recv().is_err());
        });
        let number = told.recv().unwrap();
        let first = processes.caller(number).unwrap();
        assert_eq!(first.who().process, own());
        let second = processes.caller(number).unwrap();
        assert!(Arc::ptr_eq(first.who(), second.who()));
        let whole = processes.caller(own()).unwrap();
        assert!(whole.who().agrees_with(first.who()));
        drop(stop);
        thread.join().unwrap();
    }
}
