//! Starting a program inside: a session of its own, its three descriptors or a terminal, its environment, its folder.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    panic::{self, AssertUnwindSafe},
    process::Command,
};

use rustix::{
    process::{Pid, ioctl_tiocsctty, setsid},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    error::{At, StartError, Step},
    files,
    sys::{self, Alone, Side},
    wire::{Program, Size, Transfer},
};

/// Starts it and waits until it runs. With a terminal, gives the supervisor's end of it.
///
/// # Errors
/// [`Step::Terminal`], or [`Step::Program`] with what the system said of the folder or the program.
pub(crate) fn start(
    alone: Alone,
    program: &Program,
    terminal: Option<Size>,
    descriptors: Vec<OwnedFd>,
) -> Result<(Pid, Option<OwnedFd>), StartError> {
    let (master, stdio) = match terminal {
        Some(size) => {
            let (master, end) = open_terminal(size).at(Step::Terminal)?;
            (Some(master), Stdio::Terminal(end))
        }
        None => (None, Stdio::Descriptors(descriptors)),
    };
    let (mut report, reporter) = UnixStream::pair().at(Step::Program)?;
    let pid = match sys::fork(alone).at(Step::Program)? {
        Side::Child => become_program(program, &stdio, reporter),
        Side::Parent(pid) => pid,
    };
    drop((reporter, stdio));
    let mut failure = Vec::new();
    // Its end closes when the program runs; what is left of a process that failed is reaped with the others.
    report.read_to_end(&mut failure).at(Step::Program)?;
    match failure.first_chunk() {
        None => Ok((pid, master)),
        Some(errno) => {
            let name = program.command.first().map(|name| name.to_string_lossy().into_owned());
            let errno = io::Error::from_raw_os_error(i32::from_le_bytes(*errno));
            Err(StartError::system(Step::Program, name.unwrap_or_default(), errno))
        }
    }
}

/// Moves files in a process of its own, behind the walls and with no more rights than any program. What it has to say goes
/// to the third descriptor; its exit code is 0 or 1.
///
/// # Errors
/// [`Step::Program`].
pub(crate) fn transfer(
    alone: Alone,
    transfer: &Transfer,
    descriptors: Vec<OwnedFd>,
) -> Result<Pid, StartError> {
    let stdio = Stdio::Descriptors(descriptors);
    match sys::fork(alone).at(Step::Program)? {
        Side::Parent(pid) => Ok(pid),
        Side::Child => {
            let moved = panic::catch_unwind(AssertUnwindSafe(|| {
                enter(&stdio).is_ok_and(|()| files::within(transfer))
            }));
            sys::exit(i32::from(!matches!(moved, Ok(true))))
        }
    }
}

enum Stdio {
    Descriptors(Vec<OwnedFd>),
    Terminal(OwnedFd),
}

fn open_terminal(size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size)?;
    let end = ioctl_tiocgptpeer(&master, flags)?;
    Ok((master, end))
}

/// The child's side. Reports why it could not, if it could not.
fn become_program(program: &Program, stdio: &Stdio, mut reporter: UnixStream) -> ! {
    let error = match prepare(program, stdio) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    };
    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
    let told = reporter.write_all(&errno.to_le_bytes());
    sys::exit(if told.is_ok() { 127 } else { 126 })
}

fn prepare(program: &Program, stdio: &Stdio) -> io::Result<Command> {
    enter(stdio)?;
    rustix::process::chdir(&*program.folder)?;
    sys::default_signals();
    let (name, arguments) = program.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear();
    command.envs(program.environment.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

/// A session of its own with these three descriptors.
fn enter(stdio: &Stdio) -> io::Result<()> {
    setsid()?;
    let [input, output, errors] = match stdio {
        Stdio::Terminal(end) => {
            ioctl_tiocsctty(end)?;
            [end.as_fd(), end.as_fd(), end.as_fd()]
        }
        Stdio::Descriptors(given) => match given.as_slice() {
            [input, output, errors] => [input.as_fd(), output.as_fd(), errors.as_fd()],
            _ => return Err(io::Error::from_raw_os_error(libc::EBADF)),
        },
    };
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    Ok(rustix::stdio::dup2_stderr(errors)?)
}
