//! Files into a sandbox and out of it.

use std::{
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use sandbox::{
    FilesError, Filter, Place,
    control::{
        Request,
        client::{ControlError, Conversation, Said},
    },
    pack, unpack,
};
use tokio::sync::mpsc;

use super::{block_on, heard, line::Line};
use crate::{
    args::sandbox::{DownloadArgs, UploadArgs},
    commands::gateway::Whose,
    failure::Failure,
    output,
};

/// The largest piece of an archive, bytes.
const PIECE_BYTES: usize = 48 << 10;
/// How many pieces wait.
const PIECES_MAX: usize = 8;

/// `openshell sandbox upload`
pub(super) fn upload(whose: &Whose, args: &UploadArgs) -> Result<ExitCode, Failure> {
    let line = super::line(whose, Some(&args.name))?;
    send(&line, &args.path, (&args.dest, args.no_git_ignore))?;
    Ok(ExitCode::SUCCESS)
}

/// Sends a file, or the contents of a folder.
pub(super) fn send(
    line: &Line,
    path: &Path,
    (to, everything): (&str, bool),
) -> Result<(), Failure> {
    let found =
        std::fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let file = if found.is_dir() { None } else { Some(file_name(path)?) };
    let request = Request::Upload { to: to.to_owned(), file };
    let filter = if everything { Filter::Everything } else { Filter::GitIgnore };
    let path = path.to_owned();
    let shown = path.display().to_string();
    block_on(async {
        let (Conversation { mut speaker, mut listener, .. }, _carriers) =
            line.open(&request).await?;
        let (pieces, mut made) = mpsc::channel::<Vec<u8>>(PIECES_MAX);
        let packing = tokio::task::spawn_blocking(move || pack(&path, filter, Pieces::new(pieces)));
        // The other side may end before everything was sent, and then says why.
        let speak = async move {
            while let Some(piece) = made.recv().await {
                if speaker.give(&piece).await.is_err() {
                    return None;
                }
            }
            speaker.give(&[]).await.ok().map(|()| speaker)
        };
        let mut words = String::new();
        let hear = async {
            loop {
                match listener.next().await? {
                    Said::Errors(bytes) => words.push_str(&String::from_utf8_lossy(&bytes)),
                    Said::Output(_) => {}
                    Said::Ended(code) => return Ok::<u8, ControlError>(code),
                }
            }
        };
        let (_speaker, code) = tokio::join!(speak, hear);
        let packed = packing.await.context("packing was broken off")?;
        judge(heard(&line.name, code)?, &words)?;
        let packed = packed.map_err(told)?;
        for note in packed.notes() {
            output::complain(&format!("! {note}"));
        }
        output::complain(&format!("✓ Uploaded {shown} to {}:{to}", line.name));
        Ok(())
    })
}

/// `openshell sandbox download`
pub(super) fn download(whose: &Whose, args: &DownloadArgs) -> Result<ExitCode, Failure> {
    let line = super::line(whose, Some(&args.name))?;
    let name = line.name.clone();
    let request = Request::Download { from: args.path.clone() };
    let dest = args.dest.clone();
    let from = args.path.clone();
    block_on(async {
        let (mut conversation, _carriers) = line.open(&request).await?;
        let (pieces, taken) = mpsc::channel::<Vec<u8>>(PIECES_MAX);
        let unpacking = tokio::task::spawn_blocking(move || place(taken, &dest, &from));
        let mut words = String::new();
        let code = loop {
            match heard(&name, conversation.listener.next().await)? {
                // Whoever unpacks may have given up; the code still comes.
                Said::Output(bytes) => drop(pieces.send(bytes).await),
                Said::Errors(bytes) => words.push_str(&String::from_utf8_lossy(&bytes)),
                Said::Ended(code) => break code,
            }
        };
        drop(pieces);
        let unpacked = unpacking.await.context("unpacking was broken off")?;
        judge(code, &words)?;
        unpacked.map_err(told)?;
        for note in words.lines() {
            output::complain(&format!("! {note}"));
        }
        output::complain(&format!("✓ Downloaded {name}:{} to {}", args.path, args.dest.display()));
        Ok(ExitCode::SUCCESS)
    })
}

/// Unpacks what comes: a single file as the file that was asked for, anything else as a folder's contents.
fn place(taken: mpsc::Receiver<Vec<u8>>, dest: &Path, from: &str) -> Result<(), FilesError> {
    let mut taken = Taken { pieces: taken, piece: Vec::new(), done: 0 };
    // The first head tells which it is, and is then read as a part of the whole.
    let mut head = Vec::new();
    taken.by_ref().take(512).read_to_end(&mut head).map_err(FilesError::Archive)?;
    let name = Path::new(from).file_name().unwrap_or_default();
    let place = if sandbox::begins_with_folder(&head) {
        Place::Folder(dest.to_owned())
    } else {
        Place::of_file(dest, name)
    };
    unpack(&place, head.as_slice().chain(taken))
}

fn file_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} has no name that can be sent", path.display())))
}

fn judge(code: u8, words: &str) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    let why = words.trim();
    let why = if why.is_empty() { format!("it ended with {code}") } else { why.to_owned() };
    Err(Failure::new(format!("in the sandbox: {why}"))
        .hint("the agent's user must be able to read or write that path; /sandbox is its own"))
}

fn told(error: FilesError) -> Failure {
    Failure::from(error).hint("nothing outside the destination was touched")
}

/// An archive that is written, in pieces for a conversation.
struct Pieces {
    to: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn new(to: mpsc::Sender<Vec<u8>>) -> Self {
        Self { to, piece: Vec::with_capacity(PIECE_BYTES) }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES.saturating_sub(self.piece.len());
        let part = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.piece.extend(part);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// An archive that comes in pieces.
struct Taken {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    done: usize,
}

impl Read for Taken {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.done >= self.piece.len() {
            match self.pieces.blocking_recv() {
                Some(piece) => (self.piece, self.done) = (piece, 0),
                None => return Ok(0),
            }
        }
        let mut rest = self.piece.get(self.done..).unwrap_or_default();
        let length = rest.read(into)?;
        self.done += length;
        Ok(length)
    }
}
