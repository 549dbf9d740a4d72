//! One program in the foreground: its terminal is relayed, signals are passed on, its ending is ours.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, read, write},
    pipe::{PipeFlags, pipe_with},
    process::Signal,
    stdio::{stderr, stdin, stdout},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};

use crate::{
    error::{At, StartError, Step},
    start::{ProgramId, Sandbox, Stdio},
    sys,
    wire::{Ending, Program, Size},
};

/// Signals that are passed on to the program.
const PASSED_ON: [Signal; 6] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];
/// How much is read at once; what a pipe takes without blocking once it takes anything.
const CHUNK_BYTES: usize = 4096;

/// Runs a program in the sandbox on the descriptors of this process until it ends.
///
/// On a terminal it gets one of its own, whose bytes are relayed. Anything else it gets as it is, but for a single
/// descriptor on a terminal, which is relayed through a pipe.
///
/// # Errors
/// [`Step::Program`] when it cannot be started, [`Step::Control`] when the sandbox ends before it does.
pub fn attend(sandbox: &mut Sandbox, program: Program) -> Result<Ending, StartError> {
    let signals = [&PASSED_ON[..], &[Signal::WINCH]].concat();
    let signals = sys::signal_descriptor(&signals).on(Step::Program, "signals")?;
    let wants_terminal = isatty(stdin()) && isatty(stdout());
    let size = if wants_terminal { tcgetwinsize(stdin()).ok() } else { None };
    let mut pumps = Vec::new();
    let (id, terminal) = match size {
        Some(size) => {
            let size = Size { rows: size.ws_row, columns: size.ws_col };
            let started = sandbox.run(program, Stdio::Terminal(size))?;
            (started.id, started.terminal)
        }
        None => (start_on_descriptors(sandbox, program, &mut pumps)?, None),
    };
    let raw = terminal.as_ref().map(|_| Raw::enter()).transpose().at(Step::Terminal)?;
    if let Some(master) = &terminal {
        let flags = fcntl_getfl(master).at(Step::Terminal)?;
        fcntl_setfl(master, flags | OFlags::NONBLOCK).at(Step::Terminal)?;
        pumps.push(Pump::new(Way::In, own(stdin())?, own(master.as_fd())?));
        pumps.push(Pump::new(Way::Out, own(master.as_fd())?, own(stdout())?));
    }
    let ending = Foreground { sandbox, id, signals, terminal, pumps }.relay();
    drop(raw);
    ending
}

fn start_on_descriptors(
    sandbox: &mut Sandbox,
    program: Program,
    pumps: &mut Vec<Pump>,
) -> Result<ProgramId, StartError> {
    let mut given = Vec::new();
    for (number, host) in [stdin(), stdout(), stderr()].into_iter().enumerate() {
        if !isatty(host) {
            given.push(own(host)?);
            continue;
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC).on(Step::Program, "pipe")?;
        if number == 0 {
            pumps.push(Pump::new(Way::In, own(host)?, into));
            given.push(out);
        } else {
            pumps.push(Pump::new(Way::Out, out, own(host)?));
            given.push(into);
        }
    }
    let [input, output, errors] = given.as_slice() else {
        return Err(StartError::new(Step::Program, "three descriptors"));
    };
    let stdio = Stdio::Descriptors([input.as_fd(), output.as_fd(), errors.as_fd()]);
    Ok(sandbox.run(program, stdio)?.id)
}

fn own(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, StartError> {
    descriptor.try_clone_to_owned().on(Step::Program, "descriptor")
}

struct Foreground<'a> {
    sandbox: &'a mut Sandbox,
    id: ProgramId,
    signals: OwnedFd,
    terminal: Option<OwnedFd>,
    pumps: Vec<Pump>,
}

impl Foreground<'_> {
    fn relay(mut self) -> Result<Ending, StartError> {
        loop {
            let (signalled, told) = self.wait().at(Step::Control)?;
            if signalled {
                self.pass_on().at(Step::Control)?;
            }
            if !told {
                continue;
            }
            match self.sandbox.next_ending()? {
                Some((id, ending)) if id == self.id => {
                    self.drain();
                    return Ok(ending);
                }
                Some(_) => {}
                None => {
                    return Err(StartError::new(Step::Control, "it ended before its program did"));
                }
            }
        }
    }

    /// Moves what can be moved and waits for more. Says whether signals or words of the sandbox are there.
    fn wait(&mut self) -> io::Result<(bool, bool)> {
        if self.sandbox.has_endings() {
            return Ok((false, true));
        }
        let mut ends = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.sandbox.as_fd(), PollFlags::IN),
        ];
        ends.extend(self.pumps.iter().map(Pump::interest));
        match poll(&mut ends, None) {
            Err(Errno::INTR) => return Ok((false, false)),
            other => other?,
        };
        let ready: Vec<bool> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        drop(ends);
        let mut ready = ready.into_iter();
        let signalled = ready.next().unwrap_or_default();
        let told = ready.next().unwrap_or_default();
        let ready: Vec<bool> = ready.collect();
        let mut which = ready.iter();
        self.pumps.retain_mut(|pump| !which.next().is_some_and(|ready| *ready) || pump.turn());
        Ok((signalled, told))
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let mut report = [0; 128];
        while let Ok(128) = read(&self.signals, &mut report) {
            let number = report.first_chunk().map(|number| u32::from_ne_bytes(*number));
            let signal = number
                .and_then(|number| i32::try_from(number).ok())
                .and_then(Signal::from_named_raw);
            match (signal, &self.terminal) {
                (Some(Signal::WINCH), Some(master)) => {
                    tcsetwinsize(master, tcgetwinsize(stdin())?)?;
                }
                (Some(Signal::WINCH), None) | (None, _) => {}
                (Some(signal), _) => self.sandbox.signal(self.id, signal)?,
            }
        }
        Ok(())
    }

    /// What the program wrote before it ended.
    fn drain(&mut self) {
        for pump in self.pumps.iter_mut().filter(|pump| pump.way == Way::Out) {
            while pump.is_ready_now() && pump.turn() {}
        }
    }
}

/// Bytes from one descriptor to another, a chunk at a time.
struct Pump {
    way: Way,
    from: OwnedFd,
    to: OwnedFd,
    waiting: Vec<u8>,
}

/// Towards the program or away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Pump {
    fn new(way: Way, from: OwnedFd, to: OwnedFd) -> Self {
        Self { way, from, to, waiting: Vec::new() }
    }

    /// Reads only when the last chunk is gone, so that a slow reader slows the writer and nothing piles up.
    fn interest(&self) -> PollFd<'_> {
        if self.waiting.is_empty() {
            PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN)
        } else {
            PollFd::from_borrowed_fd(self.to.as_fd(), PollFlags::OUT)
        }
    }

    fn is_ready_now(&self) -> bool {
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [self.interest()], Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Moves one step. False when one of its ends is closed.
    fn turn(&mut self) -> bool {
        if self.waiting.is_empty() {
            let mut chunk = [0; CHUNK_BYTES];
            return match read(&self.from, &mut chunk) {
                Ok(0) => false,
                Ok(length) => {
                    self.waiting.extend(chunk.iter().take(length));
                    true
                }
                Err(error) => is_passing(error),
            };
        }
        match write(&self.to, &self.waiting) {
            Ok(length) => {
                self.waiting.drain(..length);
                true
            }
            Err(error) => is_passing(error),
        }
    }
}

fn is_passing(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::INTR)
}

/// The person's terminal without its own line editing, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Without its terminal there is nothing to restore.
        tcsetattr(stdin(), OptionalActions::Flush, &self.0).ok();
    }
}
