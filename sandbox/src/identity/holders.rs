//! A socket to the processes that hold it, by the lists of descriptors in the sandbox's own `/proc`.
//!
//! One scan reads every list and serves whoever has waited for it. Not seen: a socket on its way between processes in a
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
    fs::{Mode, OFlags, RawDir, openat, readlinkat_raw},
    io::Errno,
};

const ENTRIES_BYTES: usize = 8192;

/// The sockets of a sandbox with the processes that hold them, as the sandbox counts them.
pub(super) type Held = HashMap<u64, Vec<i32>>;

#[derive(Debug)]
pub(super) struct Holders {
    proc: OwnedFd,
    latest: Mutex<Option<Scan>>,
}

#[derive(Debug)]
struct Scan {
    began: Instant,
    took: Duration,
    held: Arc<Held>,
}

impl Holders {
    /// `proc` is the `/proc` of the sandbox.
    pub(super) fn new(proc: OwnedFd) -> Self {
        Self { proc, latest: Mutex::new(None) }
    }

    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// How long the last scan took.
    pub(super) fn took(&self) -> Option<Duration> {
        Some(self.latest.try_lock()?.as_ref()?.took)
    }

    /// Who holds what, by a scan that began after this call did.
    ///
    /// # Errors
    /// Those of reading `/proc`.
    pub(super) fn now(&self) -> Result<Arc<Held>, Errno> {
        let asked = Instant::now();
        let mut latest = self.latest.lock();
        if let Some(scan) = latest.as_ref()
            && scan.began >= asked
        {
            return Ok(Arc::clone(&scan.held));
        }
        let began = Instant::now();
        let held = Arc::new(scan(&self.proc)?);
        *latest = Some(Scan { began, took: began.elapsed(), held: Arc::clone(&held) });
        Ok(held)
    }
}

fn scan(proc: &OwnedFd) -> Result<Held, Errno> {
    let mut held = Held::new();
    each_number(proc.as_fd(), ".", |process| {
        let list = format!("{process}/fd");
        // Whoever ends meanwhile holds nothing; who hides is said above.
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(proc, list, folder, Mode::empty()) else { return };
        let whole = each_number(folder.as_fd(), "", |descriptor| {
            if let Some(inode) = socket_at(folder.as_fd(), descriptor) {
                let holders = held.entry(inode).or_default();
                if holders.last() != Some(&process) {
                    holders.push(process);
                }
            }
        });
        // It ended in between.
        whole.ok();
    })?;
    Ok(held)
}

/// Calls `act` with every entry of a folder that is a number.
fn each_number(at: BorrowedFd<'_>, below: &str, mut act: impl FnMut(i32)) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); ENTRIES_BYTES];
    let own;
    let folder = if below.is_empty() {
        at
    } else {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        own = openat(at, below, flags, Mode::empty())?;
        own.as_fd()
    };
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if let Some(number) = str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
            act(number);
        }
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
        let held = holders().now().unwrap();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert_eq!(held.get(&inode), Some(&vec![own]));
    }

    #[test]
    fn a_scan_that_began_before_the_question_does_not_answer_it() {
        let holders = holders();
        let first = holders.now().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
        assert!(!first.contains_key(&inode));
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    assert!(holders.now().unwrap().contains_key(&inode));
                });
            }
        });
        assert!(holders.took().is_some());
    }
}
