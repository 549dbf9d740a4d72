//! The line between a supervisor and the first process of its sandbox: frames of bytes with descriptors beside them.
//!
//! Each end trusts the other no further than to be slow: lengths are bounded before they are believed, and what is cut or
//! malformed ends the line. When the line ends, so does the sandbox.

use std::{
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStringExt as _, net::UnixStream},
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::error::{StartError, Step};

/// The longest frame: a command with its environment, which the kernel bounds at 2 MiB itself.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// The most descriptors beside a frame: the sockets of a sandbox, with room.
const DESCRIPTORS_MAX: usize = 16;

/// What a supervisor asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Start a program under this number. Three descriptors come along unless it gets a terminal.
    Start { id: u32, program: Program, terminal: Option<Size> },
    /// Send a signal to that program and everything in its process group.
    Signal { id: u32, signal: i32 },
    /// Move files between the tree of the sandbox and an archive, as a program under this number. Three descriptors come
    /// along.
    Move { id: u32, transfer: Transfer },
    /// Begin a TCP connection to a port of the sandbox's own machine.
    Dial { id: u32, port: u16, version: Version },
}

/// A program with everything it is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name and its arguments; a name without a slash is looked up in the `PATH` of its environment.
    pub command: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub folder: OsString,
}

/// Files that are moved between the tree of a sandbox and an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// An archive on standard input becomes files.
    Unpack {
        /// Where to: the folder, or for a single file its own path where that is no folder.
        to: OsString,
        /// The name of the file, if the archive has a single one in it; a folder's contents otherwise.
        file: Option<OsString>,
    },
    /// A file or the contents of a folder become an archive on standard output.
    Pack {
        /// Which.
        from: OsString,
    },
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 127.0.0.1
    Four,
    /// `::1`
    Six,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What the first process of a sandbox tells.
#[derive(Debug)]
pub(crate) enum Tell {
    /// The walls stand; the sockets come along, and behind them the listener for every `connect()` when there is one.
    Ready { notes: Vec<String>, watched: bool },
    /// A step failed, and there is no sandbox.
    Failed(StartError),
    /// A program runs; its terminal comes along if it has one. The number is its process in the sandbox.
    Started { id: u32, process: i32 },
    /// A program could not be started.
    Refused { id: u32, error: StartError },
    /// A connection is on its way, or there; its descriptor comes along.
    Dialed { id: u32 },
    /// A program ended.
    Ended { id: u32, ending: Ending },
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ending {
    /// The exit code as a shell has it: a signal counts from 128.
    pub fn code(self) -> u8 {
        let (base, number) = match self {
            Self::Code(code) => (0, code),
            Self::Signal(signal) => (128, signal),
        };
        u8::try_from((base + number) & 0xff).unwrap_or(u8::MAX)
    }
}

/// Sends one frame.
///
/// # Errors
/// `BrokenPipe` when the other side is gone; `InvalidInput` when the frame is too long.
pub(crate) fn send(
    line: &UnixStream,
    frame: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if frame.len() > FRAME_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    // The descriptors travel with the length, which is never split in two.
    let sent = sendmsg(line, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
    if sent != length.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut rest = frame;
    while !rest.is_empty() {
        let sent = rustix::net::send(line, rest, SendFlags::NOSIGNAL)?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Receives one frame with its descriptors. `None` when the other side is gone.
///
/// # Errors
/// `InvalidData` for a length beyond the limit; `UnexpectedEof` for a frame that is cut.
pub(crate) fn receive(line: &UnixStream) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut length)];
        match recvmsg(line, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    match received.bytes {
        0 => return Ok(None),
        4 => {}
        _ => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    let mut stream = line;
    stream.read_exact(&mut frame)?;
    Ok(Some((frame, descriptors)))
}

/// Every descriptor as something that can be sent.
pub(crate) fn borrow(descriptors: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    descriptors.iter().map(AsFd::as_fd).collect()
}

impl Ask {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Start { id, program, terminal } => {
                out.push(0);
                number(&mut out, *id);
                list(&mut out, program.command.iter().map(|word| word.as_encoded_bytes()));
                let pairs = program.environment.iter();
                list(&mut out, pairs.clone().map(|(name, _)| name.as_encoded_bytes()));
                list(&mut out, pairs.map(|(_, value)| value.as_encoded_bytes()));
                text(&mut out, program.folder.as_encoded_bytes());
                let size = terminal.map_or([0; 2], |size| [size.rows, size.columns]);
                out.push(u8::from(terminal.is_some()));
                out.extend(size.iter().flat_map(|side| side.to_le_bytes()));
            }
            Self::Signal { id, signal } => {
                out.push(1);
                number(&mut out, *id);
                number(&mut out, signal.cast_unsigned());
            }
            Self::Move { id, transfer } => {
                out.push(2);
                number(&mut out, *id);
                let (kind, path, file) = match transfer {
                    Transfer::Unpack { to, file } => (0, to, file.as_deref()),
                    Transfer::Pack { from } => (1, from, None),
                };
                out.push(kind);
                text(&mut out, path.as_encoded_bytes());
                // No file has an empty name.
                text(&mut out, file.unwrap_or_default().as_encoded_bytes());
            }
            Self::Dial { id, port, version } => {
                out.push(3);
                number(&mut out, *id);
                out.extend(port.to_le_bytes());
                out.push(u8::from(*version == Version::Six));
            }
        }
        out
    }

    /// `None` for what [`Ask::encode`] never writes.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let mut from = Cursor(frame);
        let ask = match from.byte()? {
            0 => {
                let id = from.number()?;
                let words = from.list()?.into_iter().map(OsString::from_vec).collect();
                let names: Vec<Vec<u8>> = from.list()?;
                let values: Vec<Vec<u8>> = from.list()?;
                if names.len() != values.len() {
                    return None;
                }
                let pairs = names.into_iter().zip(values);
                let environment = pairs
                    .map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value)));
                let program = Program {
                    command: words,
                    environment: environment.collect(),
                    folder: OsString::from_vec(from.text()?),
                };
                let has_terminal = from.byte()? == 1;
                let size = Size { rows: from.short()?, columns: from.short()? };
                Self::Start { id, program, terminal: has_terminal.then_some(size) }
            }
            1 => Self::Signal { id: from.number()?, signal: from.number()?.cast_signed() },
            2 => {
                let (id, kind) = (from.number()?, from.byte()?);
                let path = OsString::from_vec(from.text()?);
                let file = Some(OsString::from_vec(from.text()?)).filter(|name| !name.is_empty());
                let transfer = match (kind, file) {
                    (0, file) => Transfer::Unpack { to: path, file },
                    (1, None) => Transfer::Pack { from: path },
                    _ => return None,
                };
                Self::Move { id, transfer }
            }
            3 => {
                let (id, port) = (from.number()?, from.short()?);
                let version = if from.byte()? == 1 { Version::Six } else { Version::Four };
                Self::Dial { id, port, version }
            }
            _ => return None,
        };
        from.0.is_empty().then_some(ask)
    }
}

impl Tell {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Ready { notes, watched } => {
                out.push(0);
                out.push(u8::from(*watched));
                list(&mut out, notes.iter().map(String::as_bytes));
            }
            Self::Failed(error) => {
                out.push(1);
                failure(&mut out, error);
            }
            Self::Started { id, process } => {
                out.push(2);
                number(&mut out, *id);
                number(&mut out, process.cast_unsigned());
            }
            Self::Refused { id, error } => {
                out.push(3);
                number(&mut out, *id);
                failure(&mut out, error);
            }
            Self::Ended { id, ending } => {
                out.push(4);
                number(&mut out, *id);
                let (kind, value) = match ending {
                    Ending::Code(code) => (0, *code),
                    Ending::Signal(signal) => (1, *signal),
                };
                out.push(kind);
                number(&mut out, value.cast_unsigned());
            }
            Self::Dialed { id } => {
                out.push(5);
                number(&mut out, *id);
            }
        }
        out
    }

    /// `None` for what [`Tell::encode`] never writes.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let mut from = Cursor(frame);
        let tell = match from.byte()? {
            0 => {
                let watched = from.byte()? == 1;
                let notes = from.list()?.into_iter();
                Self::Ready {
                    watched,
                    notes: notes.map(|note| String::from_utf8_lossy(&note).into_owned()).collect(),
                }
            }
            1 => Self::Failed(from.failure()?),
            2 => Self::Started { id: from.number()?, process: from.number()?.cast_signed() },
            3 => Self::Refused { id: from.number()?, error: from.failure()? },
            4 => {
                let id = from.number()?;
                let (kind, value) = (from.byte()?, from.number()?.cast_signed());
                let ending = if kind == 0 { Ending::Code(value) } else { Ending::Signal(value) };
                Self::Ended { id, ending }
            }
            5 => Self::Dialed { id: from.number()? },
            _ => return None,
        };
        from.0.is_empty().then_some(tell)
    }
}

fn number(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: &[u8]) {
    // Longer ones do not fit a frame, which is refused as a whole.
    number(out, u32::try_from(value.len()).unwrap_or(u32::MAX));
    out.extend(value);
}

fn list<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = &'a [u8]> + Clone) {
    number(out, u32::try_from(values.clone().count()).unwrap_or(u32::MAX));
    values.for_each(|value| text(out, value));
}

fn failure(out: &mut Vec<u8>, error: &StartError) {
    out.push(error.step.number());
    let errno = error.source.as_ref().and_then(io::Error::raw_os_error).unwrap_or_default();
    number(out, errno.cast_unsigned());
    text(out, error.detail.as_bytes());
}

/// What is left of a frame.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken.to_vec())
    }

    /// Each entry takes four bytes at least, so a false count ends with the frame and not with the memory.
    fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        (0..self.number()?).map(|_| self.text()).collect()
    }

    fn failure(&mut self) -> Option<StartError> {
        let step = Step::from_number(self.byte()?)?;
        let errno = self.number()?.cast_signed();
        let detail = String::from_utf8_lossy(&self.text()?).into_owned();
        let source = (errno != 0).then(|| io::Error::from_raw_os_error(errno));
        Some(StartError { step, detail, source })
    }
}

#[cfg(test)]
mod tests;
