//! The first process of a sandbox. It puts the walls up around itself, and from then on starts programs, reaps whatever
//! ends, and dies with its supervisor, taking everything in the sandbox along.
//!
//! It is a copy of the supervisor that never runs another program itself; everything that it starts inherits its walls.
//! Invariant: before the first program runs it can do no more than that program.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    panic::{self, AssertUnwindSafe},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, WaitStatus, kill_process_group, set_parent_process_death_signal,
        setsid, wait,
    },
};

use crate::{
    dial,
    error::{At, StartError, Step},
    isolate,
    plan::Plan,
    spawn,
    sys::{self, Alone},
    wire::{self, Ask, Ending, Tell},
};

/// The most programs that a supervisor may have running at once.
const PROGRAMS_MAX: usize = 256;

/// Runs the sandbox until its supervisor is gone. Never returns.
pub(crate) fn run(alone: Alone, plan: &Plan, line: &UnixStream) -> ! {
    // A panic must not unwind into what the supervisor was doing, of which this is a copy.
    let ended = panic::catch_unwind(AssertUnwindSafe(|| match begin(plan, line) {
        Ok(signals) => Init { alone, line, signals, programs: HashMap::new() }.serve(),
        Err(error) => tell(line, &Tell::Failed(error), &[]),
    }));
    sys::exit(i32::from(!matches!(ended, Ok(Ok(())))))
}

/// Puts the walls up and says so.
fn begin(plan: &Plan, line: &UnixStream) -> Result<OwnedFd, StartError> {
    sys::close_all_but(&[line.as_fd()]).on(Step::Control, "descriptors")?;
    leave_terminal().on(Step::Control, "standard descriptors")?;
    isolate::map_user(plan)?;
    let walls = isolate::build(plan)?;
    if plan.is_grouped {
        wire::receive(line).at(Step::Control)?;
    }
    sys::unshare_cgroup().on(Step::Namespaces, "cgroup")?;
    isolate::give_up_rights(plan)?;
    // After the change of user, which unties it; whoever died before shows as the end of the line.
    set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Leash)?;
    let signals = sys::signal_descriptor(&[Signal::CHILD]).on(Step::Leash, "signals")?;
    let mut notes = walls.notes;
    let closed = isolate::close(walls.rules, plan)?;
    notes.extend(closed.notes);
    let watched = closed.listener.is_some();
    let mut descriptors = walls.sockets.into_descriptors();
    descriptors.extend(closed.listener);
    // Dropped with this: as long as anybody in here held the listener, connections would wait for a supervisor that is gone.
    tell(line, &Tell::Ready { notes, watched }, &descriptors).at(Step::Control)?;
    Ok(signals)
}

/// Lets go of the session and the standard descriptors of the supervisor.
fn leave_terminal() -> io::Result<()> {
    setsid()?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

fn tell(line: &UnixStream, tell: &Tell, descriptors: &[OwnedFd]) -> io::Result<()> {
    wire::send(line, &tell.encode(), &wire::borrow(descriptors))
}

struct Init<'a> {
    alone: Alone,
    line: &'a UnixStream,
    signals: OwnedFd,
    /// Running programs of the supervisor: process to number.
    programs: HashMap<Pid, u32>,
}

impl Init<'_> {
    /// # Errors
    /// When the line breaks; its end is the ordinary end.
    fn serve(mut self) -> io::Result<()> {
        loop {
            let (asked, died) = self.wait()?;
            if died {
                self.reap()?;
            }
            if asked {
                let Some((frame, descriptors)) = wire::receive(self.line)? else { return Ok(()) };
                let ask = Ask::decode(&frame).ok_or(io::ErrorKind::InvalidData)?;
                self.answer(ask, descriptors)?;
            }
        }
    }

    /// Waits for a word of the supervisor or the death of a child, and says which came.
    fn wait(&self) -> io::Result<(bool, bool)> {
        let mut ends = [
            PollFd::from_borrowed_fd(self.line.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        loop {
            match poll(&mut ends, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let [line, signals] = ends;
        Ok((!line.revents().is_empty(), !signals.revents().is_empty()))
    }

    fn answer(&mut self, ask: Ask, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        match ask {
            Ask::Start { id, program, terminal } => {
                let started = self
                    .room()
                    .and_then(|()| spawn::start(self.alone, &program, terminal, descriptors));
                self.tell_started(id, started)
            }
            Ask::Move { id, transfer } => {
                let started =
                    self.room().and_then(|()| spawn::transfer(self.alone, &transfer, descriptors));
                self.tell_started(id, started.map(|pid| (pid, None)))
            }
            Ask::Dial { id, port, version } => {
                match dial::begin(port, version).on(Step::Program, "connection") {
                    Ok(socket) => tell(self.line, &Tell::Dialed { id }, &[socket]),
                    Err(error) => tell(self.line, &Tell::Refused { id, error }, &[]),
                }
            }
            Ask::Signal { id, signal } => {
                let target = self.programs.iter().find(|(_, known)| **known == id);
                if let (Some((pid, _)), Some(signal)) = (target, Signal::from_named_raw(signal)) {
                    // It may have ended in this moment; its ending is on the way then.
                    kill_process_group(*pid, signal).ok();
                }
                Ok(())
            }
        }
    }

    /// Refuses more programs than are kept count of.
    fn room(&self) -> Result<(), StartError> {
        if self.programs.len() < PROGRAMS_MAX {
            return Ok(());
        }
        Err(StartError::new(Step::Program, format!("{PROGRAMS_MAX} programs run already")))
    }

    fn tell_started(
        &mut self,
        id: u32,
        started: Result<(Pid, Option<OwnedFd>), StartError>,
    ) -> io::Result<()> {
        match started {
            Ok((pid, terminal)) => {
                self.programs.insert(pid, id);
                let process = pid.as_raw_nonzero().get();
                let terminal: Vec<OwnedFd> = terminal.into_iter().collect();
                tell(self.line, &Tell::Started { id, process }, &terminal)
            }
            Err(error) => tell(self.line, &Tell::Refused { id, error }, &[]),
        }
    }

    /// Takes everything that has ended off the process table; orphans come to the first process.
    fn reap(&mut self) -> io::Result<()> {
        let mut signal = [0; 128];
        // One report may stand for many deaths, so it is only emptied.
        while rustix::io::read(&self.signals, &mut signal).is_ok_and(|bytes| bytes > 0) {}
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let Some(ending) = ending(status) else { continue };
                    if let Some(id) = self.programs.remove(&pid) {
                        tell(self.line, &Tell::Ended { id, ending }, &[])?;
                    }
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How a process ended, if it did.
pub(crate) fn ending(status: WaitStatus) -> Option<Ending> {
    let code = status.exit_status().map(Ending::Code);
    code.or_else(|| status.terminating_signal().map(Ending::Signal))
}
