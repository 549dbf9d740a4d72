//! The supervisor's side: from a spec to a sandbox that stands, and what can be done with it.

use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid},
};

use crate::{
    accounts::{Identity, Rights},
    cgroup::Cgroup,
    environment,
    error::{At, StartError, Step},
    identity::ConnectWatch,
    init,
    isolate::sockets::Sockets,
    plan::{Grouped, Plan},
    spec::Spec,
    sys::{self, Alone, Side},
    wire::{self, Ask, Ending, Program, Size, Tell, Transfer, Version},
};

/// A sandbox that stands. Dropping it ends everything in it.
///
/// Blocking; [`Sandbox::as_fd`] says when there is something to read. Belongs to the thread that made it: when that thread
/// ends, so does the sandbox.
#[derive(Debug)]
pub struct Sandbox {
    line: UnixStream,
    init: Pid,
    handle: OwnedFd,
    sockets: Option<Sockets>,
    watch: Option<ConnectWatch>,
    notes: Vec<String>,
    /// Endings that arrived while something else was waited for.
    endings: VecDeque<(ProgramId, Ending)>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    identity: Identity,
    grouped: Grouped,
    last: u32,
    /// Removed after everything in it has ended.
    cgroup: Option<Cgroup>,
}

/// A program of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(u32);

impl ProgramId {
    /// The number itself.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// What a program reads and writes.
#[derive(Clone, Copy, Debug)]
pub enum Stdio<'a> {
    /// These three descriptors, as they are.
    Descriptors([BorrowedFd<'a>; 3]),
    /// A terminal of the sandbox's own.
    Terminal(Size),
}

/// A program that runs.
#[derive(Debug)]
pub struct Started {
    /// Its number.
    pub id: ProgramId,
    /// Its process, as the sandbox counts them.
    pub process: i32,
    /// The other end of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

impl Sandbox {
    /// Puts a sandbox up. Load secrets after it: the first process of the sandbox starts as a copy of this one.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind then.
    pub fn start(spec: &Spec) -> Result<Self, StartError> {
        Self::planned(spec).map(|(sandbox, _)| sandbox)
    }

    /// The same, and what it was built by.
    pub(crate) fn planned(spec: &Spec) -> Result<(Self, Plan), StartError> {
        let alone = Alone::prove().at(Step::SingleThread)?;
        let mut plan = Plan::make(spec)?;
        let cgroup = Cgroup::make(&mut plan)?;
        let (line, theirs) = UnixStream::pair().at(Step::Control)?;
        let init =
            match sys::fork_into(alone, namespaces(plan.identity.rights)).at(Step::Namespaces)? {
                Side::Child => {
                    drop(line);
                    init::run(alone, &plan, &theirs)
                }
                Side::Parent(pid) => pid,
            };
        drop(theirs);
        let handle = pidfd_open(init, PidfdFlags::empty()).on(Step::Control, "pidfd")?;
        let mut sandbox = Self {
            line,
            init,
            handle,
            sockets: None,
            watch: None,
            notes: plan.notes.clone(),
            endings: VecDeque::new(),
            environment: environment::of(spec, &plan),
            folder: plan.workdir.clone(),
            identity: plan.identity.clone(),
            grouped: plan.grouped,
            last: 0,
            cgroup,
        };
        if let Some(cgroup) = &sandbox.cgroup {
            // Meanwhile it builds, and only then waits for this word.
            cgroup.admit(init)?;
            // It may have failed by now, and has said so before the line broke.
            wire::send(&sandbox.line, &[], &[]).ok();
        }
        sandbox.await_ready()?;
        Ok((sandbox, plan))
    }

    /// Gives programs the environment of this spec from now on.
    pub(crate) fn change_environment(&mut self, spec: &Spec, plan: &Plan) {
        self.environment = environment::of(spec, plan);
    }

    /// The network of the sandbox. Given once; closing them refuses every connection.
    pub fn take_sockets(&mut self) -> Option<Sockets> {
        self.sockets.take()
    }

    /// The right to be asked before each `connect()`. Given once, and only where the spec wants callers to be known and the
    /// system grants it; without it [`crate::Callers`] look when a connection is accepted.
    pub fn take_watch(&mut self) -> Option<ConnectWatch> {
        self.watch.take()
    }

    /// What was asked for and this host lacks, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The folders of its control groups, which are removed with it.
    pub(crate) fn groups(&self) -> &[PathBuf] {
        self.cgroup.as_ref().map_or(&[], Cgroup::folders)
    }

    /// What is held by control groups.
    pub(crate) fn grouped(&self) -> Grouped {
        self.grouped
    }

    /// The program with the environment and the folder of this sandbox.
    pub fn program(&self, command: Vec<std::ffi::OsString>) -> Program {
        let pairs = self.environment.iter();
        Program {
            command,
            environment: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
            folder: self.folder.clone().into_os_string(),
        }
    }

    /// Starts a program and waits until it runs.
    ///
    /// # Errors
    /// [`Step::Program`] or [`Step::Terminal`] when it cannot be started; [`Step::Control`] when the sandbox is gone.
    pub fn run(&mut self, program: Program, stdio: Stdio<'_>) -> Result<Started, StartError> {
        let id = self.next();
        let (terminal, descriptors) = match stdio {
            Stdio::Terminal(size) => (Some(size), Vec::new()),
            Stdio::Descriptors(three) => (None, self.check_all(three)?),
        };
        self.begin(id, &Ask::Start { id, program, terminal }, &descriptors)
    }

    /// Starts to move files, as a program that ends with 0 or 1 and says on its third descriptor what went wrong.
    ///
    /// # Errors
    /// As [`Sandbox::run`].
    pub fn transfer(
        &mut self,
        transfer: Transfer,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Started, StartError> {
        let id = self.next();
        let descriptors = self.check_all(stdio)?;
        self.begin(id, &Ask::Move { id, transfer }, &descriptors)
    }

    /// Begins a TCP connection to a port of the sandbox's own machine; whether it came about, the socket tells.
    ///
    /// # Errors
    /// [`Step::Program`] with what the kernel said at once; [`Step::Control`] when the sandbox is gone.
    pub fn dial(&mut self, port: u16, version: Version) -> Result<OwnedFd, StartError> {
        let id = self.next();
        let ask = Ask::Dial { id, port, version };
        wire::send(&self.line, &ask.encode(), &[]).at(Step::Control)?;
        loop {
            match self.hear()? {
                (Tell::Dialed { id: heard }, mut descriptors) if heard == id => {
                    return descriptors
                        .pop()
                        .ok_or_else(|| StartError::new(Step::Control, "no connection came along"));
                }
                (Tell::Refused { id: heard, error }, _) if heard == id => return Err(error),
                (tell, _) => self.put_aside(tell)?,
            }
        }
    }

    fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    fn check_all<'a>(&self, three: [BorrowedFd<'a>; 3]) -> Result<Vec<BorrowedFd<'a>>, StartError> {
        for (number, descriptor) in three.iter().enumerate() {
            check_descriptor(number, *descriptor)?;
            self.give(*descriptor);
        }
        Ok(three.to_vec())
    }

    /// Asks for a program and waits until it runs.
    fn begin(
        &mut self,
        id: u32,
        ask: &Ask,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Started, StartError> {
        wire::send(&self.line, &ask.encode(), descriptors).at(Step::Control)?;
        loop {
            match self.hear()? {
                (Tell::Started { id: heard, process }, mut descriptors) if heard == id => {
                    let terminal = descriptors.pop();
                    return Ok(Started { id: ProgramId(id), process, terminal });
                }
                (Tell::Refused { id: heard, error }, _) if heard == id => return Err(error),
                (tell, _) => self.put_aside(tell)?,
            }
        }
    }

    /// Keeps an ending that came before the answer; nothing else may.
    fn put_aside(&mut self, tell: Tell) -> Result<(), StartError> {
        match tell {
            Tell::Ended { id, ending } => {
                self.endings.push_back((ProgramId(id), ending));
                Ok(())
            }
            Tell::Failed(error) => Err(error),
            _ => Err(StartError::new(Step::Control, "an answer that fits no question")),
        }
    }

    /// Gives a pipe to the agent's user, so that `/dev/stderr` and its like can be opened; only root can and needs to.
    fn give(&self, descriptor: BorrowedFd<'_>) {
        const PIPES: u64 = 0x5049_5045;
        let is_pipe = rustix::fs::fstatfs(descriptor)
            .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| kind == PIPES));
        if let (true, Rights::Root) = (is_pipe, self.identity.rights) {
            let owner = rustix::fs::Uid::from_raw(self.identity.uid);
            // Without it the descriptor itself still works.
            rustix::fs::fchown(descriptor, Some(owner), None).ok();
        }
    }

    /// Sends a signal to a program and its process group. One that has ended already is left alone.
    ///
    /// # Errors
    /// When the sandbox is gone.
    pub fn signal(&self, id: ProgramId, signal: Signal) -> io::Result<()> {
        let ask = Ask::Signal { id: id.0, signal: signal.as_raw() };
        wire::send(&self.line, &ask.encode(), &[])
    }

    /// Waits until a program ends. `None` when the sandbox is gone.
    ///
    /// # Errors
    /// [`Step::Control`] when the line breaks.
    pub fn next_ending(&mut self) -> Result<Option<(ProgramId, Ending)>, StartError> {
        if let Some(ending) = self.endings.pop_front() {
            return Ok(Some(ending));
        }
        loop {
            let Some((frame, _)) = wire::receive(&self.line).at(Step::Control)? else {
                return Ok(None);
            };
            if let Some(Tell::Ended { id, ending }) = Tell::decode(&frame) {
                return Ok(Some((ProgramId(id), ending)));
            }
        }
    }

    /// Whether an ending is there that no descriptor tells of.
    pub(crate) fn has_endings(&self) -> bool {
        !self.endings.is_empty()
    }

    /// An ending that is there, without waiting for one. `None` when there is none yet.
    ///
    /// # Errors
    /// [`Step::Control`] when the sandbox is gone.
    pub fn ending_now(&mut self) -> Result<Option<(ProgramId, Ending)>, StartError> {
        if let Some(ending) = self.endings.pop_front() {
            return Ok(Some(ending));
        }
        let mut ends = [PollFd::from_borrowed_fd(self.line.as_fd(), PollFlags::IN)];
        match poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(0) | Err(Errno::INTR) => Ok(None),
            Ok(_) => match self.next_ending()? {
                Some(ending) => Ok(Some(ending)),
                None => Err(StartError::new(Step::Control, "it has ended")),
            },
            Err(error) => Err(error).at(Step::Control),
        }
    }

    /// The first process of the sandbox, as this host counts them.
    pub fn process(&self) -> Pid {
        self.init
    }

    fn await_ready(&mut self) -> Result<(), StartError> {
        match self.hear()? {
            (Tell::Ready { notes, watched }, mut descriptors) => {
                self.notes.extend(notes);
                if watched {
                    self.watch = descriptors.pop().map(ConnectWatch::new);
                }
                self.sockets = Sockets::from_descriptors(descriptors);
                if self.sockets.is_some() {
                    return Ok(());
                }
                Err(StartError::new(Step::Sockets, "some are missing"))
            }
            (Tell::Failed(error), _) => Err(error),
            _ => Err(StartError::new(Step::Control, "an answer that fits no question")),
        }
    }

    fn hear(&mut self) -> Result<(Tell, Vec<OwnedFd>), StartError> {
        let Some((frame, descriptors)) = wire::receive(&self.line).at(Step::Control)? else {
            let status = waitpid(Some(self.init), WaitOptions::empty()).ok().flatten();
            let how = status.and_then(|(_, status)| init::ending(status));
            return Err(StartError::new(Step::Control, format!("it has ended: {how:?}")));
        };
        let tell = Tell::decode(&frame)
            .ok_or_else(|| StartError::new(Step::Control, "malformed answer"))?;
        Ok((tell, descriptors))
    }
}

impl AsFd for Sandbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The kernel ends every process of a pid namespace with its first one; both calls fail only when it is gone.
        pidfd_send_signal(&self.handle, Signal::KILL).ok();
        waitpid(Some(self.init), WaitOptions::empty()).ok();
    }
}

fn namespaces(rights: Rights) -> libc::c_int {
    let all = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNET;
    match rights {
        Rights::Root => all,
        Rights::UserNamespace { .. } => all | libc::CLONE_NEWUSER,
    }
}

/// Refuses what would be a way out: a socket of the host's network, a folder, a terminal of the person.
fn check_descriptor(number: usize, descriptor: BorrowedFd<'_>) -> Result<(), StartError> {
    let refuse =
        |what: &str| Err(StartError::new(Step::Program, format!("descriptor {number} {what}")));
    if rustix::termios::isatty(descriptor) {
        return refuse("is a terminal of the host; ask for one of the sandbox's own");
    }
    let found = rustix::fs::fstat(descriptor).on(Step::Program, format!("descriptor {number}"))?;
    match rustix::fs::FileType::from_raw_mode(found.st_mode) {
        rustix::fs::FileType::Directory => refuse("is a folder of the host"),
        rustix::fs::FileType::Socket => {
            let family =
                rustix::net::sockopt::socket_domain(descriptor).on(Step::Program, "socket")?;
            if family == rustix::net::AddressFamily::UNIX {
                Ok(())
            } else {
                refuse("is a socket of the host's network")
            }
        }
        _ => Ok(()),
    }
}
