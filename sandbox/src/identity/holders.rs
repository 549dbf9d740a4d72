//! A socket to the processes that hold it, by the lists of descriptors in the sandbox's own `/proc`.
//!
//! One scan reads every list and serves whoever has waited for it; who asks alone may leave out the one process that it knows
//! the answer for. Not seen: a socket on its way between processes in a
//! message, and descriptors of a process that has made itself opaque, where the supervisor is an ordinary user.

use std::{
    collections::HashMap,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    str,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::{
    fs::{Mode, OFlags, RawDir, SeekFrom, openat, readlinkat_raw, seek},
    io::Errno,
};

const ENTRIES_BYTES: usize = 8192;
/// The first process is ours and holds nothing of the others; it cannot be reached from inside.
const FIRST: i32 = 1;
/// The most processes that are kept open from one scan to the next, two descriptors each.
const OPEN_MAX: usize = 64;
/// Where the processes begin in a list of `/proc`, behind some fifty files of the kernel; `self` comes first.
const PROCESSES_AT: u64 = 256;

/// The sockets of a sandbox with the processes that hold them, as the sandbox counts.
pub(super) type Held = HashMap<u64, Vec<i32>>;

/// A process, through folders that answer nothing once it has ended, whoever has its number by then.
#[derive(Debug)]
pub(super) struct Holder {
    /// As the sandbox counts.
    number: i32,
    folder: OwnedFd,
    list: OwnedFd,
}

#[derive(Debug)]
pub(super) struct Holders {
    proc: OwnedFd,
    scanner: Mutex<Scanner>,
}

/// Processes that stay open save half of the time that a scan of few of them takes.
#[derive(Debug, Default)]
struct Scanner {
    open: HashMap<i32, Arc<Holder>>,
    latest: Option<Scan>,
}

#[derive(Debug)]
struct Scan {
    /// The process whose list was not read.
    without: Option<i32>,
    began: Instant,
    took: Duration,
    held: Arc<Held>,
}

impl Holders {
    /// `proc` is the `/proc` of the sandbox.
    pub(super) fn new(proc: OwnedFd) -> Self {
        Self { proc, scanner: Mutex::default() }
    }

    /// One of them.
    ///
    /// # Errors
    /// `ENOENT` when it has ended.
    pub(super) fn holder(&self, number: i32) -> Result<Arc<Holder>, Errno> {
        self.scanner.lock().holder(&self.proc, number)
    }

    /// How long the last scan took.
    pub(super) fn took(&self) -> Option<Duration> {
        Some(self.scanner.try_lock()?.latest.as_ref()?.took)
    }

    /// Who holds what, by a scan that began after this call did. What `without` holds may be missing.
    ///
    /// # Errors
    /// Those of reading `/proc`.
    pub(super) fn now(&self, without: Option<i32>) -> Result<Arc<Held>, Errno> {
        let asked = Instant::now();
        let free = self.scanner.try_lock();
        // Where others wait, they wait for a scan that serves them all.
        let left_out = without.filter(|_| free.is_some());
        let mut scanner = free.unwrap_or_else(|| self.scanner.lock());
        if let Some(scan) = &scanner.latest
            && scan.began >= asked
            && (scan.without.is_none() || scan.without == without)
        {
            return Ok(Arc::clone(&scan.held));
        }
        let began = Instant::now();
        let held = Arc::new(scanner.scan(&self.proc, left_out)?);
        let scan =
            Scan { without: left_out, began, took: began.elapsed(), held: Arc::clone(&held) };
        scanner.latest = Some(scan);
        Ok(held)
    }
}

impl Scanner {
    fn holder(&mut self, proc: &OwnedFd, number: i32) -> Result<Arc<Holder>, Errno> {
        if let Some(open) = self.open.get(&number) {
            return Ok(Arc::clone(open));
        }
        let holder = Arc::new(Holder::open(proc, number)?);
        if self.open.len() <= OPEN_MAX {
            self.open.insert(number, Arc::clone(&holder));
        }
        Ok(holder)
    }

    fn scan(&mut self, proc: &OwnedFd, without: Option<i32>) -> Result<Held, Errno> {
        let mut held = Held::new();
        if self.open.len() > OPEN_MAX {
            self.open.clear();
        }
        for process in processes(proc)? {
            if Some(process) == without {
                continue;
            }
            if let Some(holder) = self.open.get(&process) {
                if holder.read(&mut held).is_ok() {
                    continue;
                }
                self.open.remove(&process);
            }
            match self.holder(proc, process) {
                Ok(holder) => {
                    if holder.read(&mut held).is_err() {
                        self.open.remove(&process);
                    }
                }
                // It has ended and holds nothing, or hides, as is said above.
                Err(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }
}

impl Holder {
    fn open(proc: &OwnedFd, number: i32) -> Result<Self, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(proc, number.to_string(), flags | OFlags::PATH, Mode::empty())?;
        let list = openat(&folder, "fd", flags | OFlags::RDONLY, Mode::empty())?;
        Ok(Self { number, folder, list })
    }

    /// Its folder of `/proc`.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// # Errors
    /// When it has ended.
    fn read(&self, held: &mut Held) -> Result<(), Errno> {
        each_entry(self.list.as_fd(), 0, |name| {
            let Some(inode) = number(name).and_then(|number| socket_at(self.list.as_fd(), number))
            else {
                return;
            };
            let holders = held.entry(inode).or_default();
            if holders.last() != Some(&self.number) {
                holders.push(self.number);
            }
        })
    }
}

/// The processes of a sandbox but for the first.
fn processes(proc: &OwnedFd) -> Result<Vec<i32>, Errno> {
    let mut found = Vec::new();
    // Where they begin is the kernel's own affair, so that they are all there is seen by what comes before them.
    let mut is_whole = false;
    for from in [PROCESSES_AT, 0] {
        if !is_whole {
            found.clear();
            each_entry(proc.as_fd(), from, |name| {
                is_whole |= name == b"self";
                found.extend(number(name).filter(|number| *number != FIRST));
            })?;
        }
    }
    Ok(found)
}

fn number(name: &[u8]) -> Option<i32> {
    str::from_utf8(name).ok()?.parse().ok()
}

/// Calls `act` with the name of every entry of a folder from a position on.
fn each_entry(folder: BorrowedFd<'_>, from: u64, mut act: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); ENTRIES_BYTES];
    seek(folder, SeekFrom::Start(from))?;
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        act(entry?.file_name().to_bytes());
    }
    Ok(())
}

/// The inode behind a descriptor, if it is a socket.
fn socket_at(list: BorrowedFd<'_>, descriptor: i32) -> Option<u64> {
    let mut buffer = [0; 32];
    let length = readlinkat_raw(list, descriptor.to_string(), buffer.as_mut_slice()).ok()?;
    let target = buffer.get(..length)?.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(target).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Barrier};

    use super::*;

    fn holders() -> Holders {
        Holders::new(std::fs::File::open("/proc").unwrap().into())
    }

    #[test]
    fn a_socket_is_found_once_however_often_it_is_held() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let _again = socket.try_clone().unwrap();
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let holders = holders();
        let held = holders.now(None).unwrap();
        assert_eq!(held.get(&inode), Some(&vec![own]));
        assert!(!holders.now(Some(own)).unwrap().contains_key(&inode), "it was left out");
        let held = holders.now(Some(1)).unwrap();
        assert_eq!(held.get(&inode), Some(&vec![own]));
    }

    #[test]
    fn every_process_is_listed_wherever_they_begin() {
        let proc: OwnedFd = std::fs::File::open("/proc").unwrap().into();
        let found = processes(&proc).unwrap();
        let listed: Vec<i32> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| number(entry.unwrap().file_name().as_encoded_bytes()))
            .filter(|number| *number != FIRST)
            .collect();
        // Others come and go meanwhile; who is there before and after is in both.
        let before = processes(&proc).unwrap();
        let missing: Vec<_> =
            listed.iter().filter(|one| before.contains(one) && !found.contains(one)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(found.contains(&rustix::process::getpid().as_raw_nonzero().get()));
    }

    #[test]
    fn a_scan_that_began_before_the_question_does_not_answer_it() {
        let holders = holders();
        let first = holders.now(None).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
        assert!(!first.contains_key(&inode));
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let without = Some(1);
                let (holders, start) = (&holders, &start);
                scope.spawn(move || {
                    start.wait();
                    assert!(holders.now(without).unwrap().contains_key(&inode));
                });
            }
        });
        assert!(holders.took().is_some());
    }
}
