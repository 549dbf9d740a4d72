//! What the thread that watches and the tasks that ask share, and how a socket becomes an identity.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use proxy::egress::{Identity, Unidentified};
use rustix::{
    fs::{Mode, OFlags, fstatfs, openat},
    io::Errno,
    process::Pid,
};

use super::{
    binary::Binaries,
    code::Code,
    diagnosis::{Diagnosis, Socket},
    holders::Holders,
    process::{Look, Processes, Who, is_gone},
    records::{Record, Records},
};
use crate::spec::CallerCheck;

/// A scan that took longer is made elsewhere than on the reactor.
const QUICK: Duration = Duration::from_micros(200);
/// The magic number of `/proc`, `statfs(2)`.
const PROC: u64 = 0x9fa0;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) diagnosis: Diagnosis,
    check: CallerCheck,
    code: Code,
    /// Absent where nobody is asked at `connect()`.
    records: Option<Mutex<Records>>,
    /// `/proc` of this process, and the processes as it counts them.
    proc: OwnedFd,
    processes: Mutex<Processes>,
    init: i32,
    binaries: Arc<Mutex<Binaries>>,
    inside: OnceLock<Inside>,
}

/// The sandbox as it sees itself.
#[derive(Debug)]
struct Inside {
    holders: Holders,
    processes: Mutex<Processes>,
}

impl Shared {
    pub(super) fn new(
        diagnosis: OwnedFd,
        init: Pid,
        check: CallerCheck,
        is_watched: bool,
    ) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
        let own = rustix::process::getpid().as_raw_nonzero().to_string();
        let shown = std::fs::read_link("/proc/self")?;
        if shown.as_os_str() != own.as_str() {
            return Err(io::Error::other("/proc is of another pid namespace"));
        }
        let init = init.as_raw_nonzero().get();
        let binaries = Arc::new(Mutex::new(Binaries::default()));
        Ok(Self {
            diagnosis: Diagnosis::new(diagnosis),
            check,
            code: Code::default(),
            records: is_watched.then(Mutex::default),
            processes: Mutex::new(Processes::new(proc.try_clone()?, init, Arc::clone(&binaries))),
            proc,
            init,
            binaries,
            inside: OnceLock::new(),
        })
    }

    /// Who a thread is that waits in `connect()`.
    pub(super) fn look_at(&self, thread: i32) -> Record {
        let caller = self.processes.lock().caller(thread)?;
        if self.check == CallerCheck::Code {
            self.code.check(caller.folder())?;
        }
        Ok(Arc::clone(caller.who()))
    }

    pub(super) fn remember(&self, cookie: u64, record: Record) {
        if let Some(records) = &self.records {
            records.lock().insert(cookie, record);
        }
    }

    /// Whether [`Shared::conclude`] answers in a time that a reactor can spare.
    pub(super) fn is_quick(&self, socket: &Socket) -> bool {
        let Some(records) = &self.records else { return false };
        match records.lock().get(socket.cookie) {
            None | Some(Err(_)) => true,
            Some(Ok(who)) => {
                let took = self.inside.get().and_then(|inside| inside.holders.took());
                who.is_ready() && took.is_some_and(|took| took < QUICK)
            }
        }
    }

    /// Who opened the connection that has this socket. Everybody who holds it now must be the same.
    ///
    /// # Errors
    /// Every one of [`Unidentified`].
    pub(super) fn conclude(&self, socket: &Socket) -> Result<Arc<Identity>, Unidentified> {
        let Some(records) = &self.records else { return self.by_holders(socket) };
        let record = records.lock().get(socket.cookie);
        let who = record.ok_or(Unidentified::NotFound)??;
        if socket.inode != 0 {
            let inside = self.inside().map_err(unknown)?;
            // The caller needs no look at what it holds as long as it is who it was; looked at afterwards, as all holders are.
            let others = inside.agree(socket.inode, &who, Some(who.inner));
            if others.is_err() || !inside.is_still(&who) {
                inside.agree(socket.inode, &who, None)?;
            }
        }
        who.identity()
    }

    /// The same by the holders alone, who are then as they are now.
    fn by_holders(&self, socket: &Socket) -> Result<Arc<Identity>, Unidentified> {
        let inside = self.inside().map_err(unknown)?;
        let held = inside.holders.now(None).map_err(unknown)?;
        let holders = held.get(&socket.inode).filter(|_| socket.inode != 0);
        let (first, others) =
            holders.and_then(|holders| holders.split_first()).ok_or(Unidentified::NotFound)?;
        let caller = inside.processes.lock().caller(*first)?;
        if self.check == CallerCheck::Code {
            self.code.check(caller.folder())?;
        }
        for other in others {
            inside.must_agree(*other, caller.who())?;
        }
        caller.who().identity()
    }

    fn inside(&self) -> Result<&Inside, Errno> {
        if let Some(inside) = self.inside.get() {
            return Ok(inside);
        }
        let proc = self.proc_inside()?;
        let top = 1;
        let processes = Processes::new(
            proc.try_clone().map_err(|_| Errno::MFILE)?,
            top,
            Arc::clone(&self.binaries),
        );
        let inside = Inside { holders: Holders::new(proc), processes: Mutex::new(processes) };
        Ok(self.inside.get_or_init(|| inside))
    }

    /// The `/proc` of the sandbox, through any process in there that may be looked into: root may look into the first one,
    /// an ordinary user only into what it has started.
    fn proc_inside(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |process: i32| {
            let proc = openat(&self.proc, format!("{process}/root/proc"), flags, Mode::empty())?;
            let kind = u64::try_from(fstatfs(&proc)?.f_type).unwrap_or_default();
            if kind == PROC { Ok(proc) } else { Err(Errno::NOENT) }
        };
        let init = self.init;
        let mut opened = open(init);
        if opened.is_err() {
            let list = format!("{init}/task/{init}/children");
            let list = openat(&self.proc, list, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let mut children = String::new();
            File::from(list).read_to_string(&mut children).map_err(|_| Errno::IO)?;
            for child in children.split_ascii_whitespace().filter_map(|word| word.parse().ok()) {
                opened = opened.or_else(|_| open(child));
            }
        }
        opened
    }
}

impl Inside {
    /// Whether everybody who holds a socket is `who`. What `without` holds may not be looked at.
    fn agree(&self, inode: u64, who: &Who, without: Option<i32>) -> Result<(), Unidentified> {
        let held = self.holders.now(without).map_err(unknown)?;
        held.get(&inode).into_iter().flatten().try_for_each(|holder| self.must_agree(*holder, who))
    }

    /// Whether the caller runs what it ran.
    fn is_still(&self, who: &Who) -> bool {
        self.holders.holder(who.inner).is_ok_and(|holder| who.is_still_at(holder.folder()))
    }

    /// # Errors
    /// [`Unidentified::Ambiguous`] when this holder is somebody else.
    fn must_agree(&self, number: i32, who: &Who) -> Result<(), Unidentified> {
        let holder = match self.holders.holder(number) {
            Err(error) if is_gone(error) => return Ok(()),
            holder => holder.map_err(unknown)?,
        };
        let is_caller = number == who.inner;
        if is_caller && who.is_still_at(holder.folder()) {
            return Ok(());
        }
        let look = match Look::at(holder.folder()) {
            Err(error) if is_gone(error) => return Ok(()),
            look => look.map_err(unknown)?,
        };
        if !is_caller {
            match self.processes.lock().caller(number) {
                Ok(other) if other.who().agrees_with(who) => return Ok(()),
                Ok(_) => {}
                Err(_) if Look::at(holder.folder()).is_err_and(is_gone) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let mut both = [who.path(), look.path()];
        both.sort_unstable();
        Err(Unidentified::Ambiguous(both.join(" and ")))
    }
}

fn unknown(error: Errno) -> Unidentified {
    Unidentified::System(error.to_string())
}
