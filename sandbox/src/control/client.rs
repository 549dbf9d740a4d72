//! The asking side: a supervisor is found by the folder of its sandbox.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::AsyncReadExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::timeout,
};

use super::{Failed, Reply, Request, Word, frame};
use crate::{state::Folder, supervisor::socket_path};

pub use super::frame::Kind;

/// How long a supervisor may take to answer. It answers in milliseconds, but may have to dial, to start a program, or to wait for
/// a disk first.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no supervisor.
    #[error("the sandbox is not running")]
    NotRunning,
    /// The supervisor cannot be reached, or the conversation broke.
    #[error("cannot speak with the supervisor")]
    Broken(#[source] io::Error),
    /// It has not answered for half a minute, or not ended long after its grace.
    #[error("the supervisor does not answer")]
    Silent,
    /// The supervisor said no.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The answer fits no question.
    #[error("the supervisor answered {0}, which fits no question")]
    Unexpected(String),
}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// The supervisor of one sandbox.
#[derive(Clone, Debug)]
pub struct Supervisor(Folder);

/// A program, an archive or a connection that a question has opened.
#[derive(Debug)]
pub struct Conversation {
    /// What is said to it.
    pub speaker: Speaker,
    /// What it says.
    pub listener: Listener,
    /// What is said about it.
    pub words: Words,
    /// Whether the program has a terminal.
    pub terminal: bool,
}

/// The way to a program's input.
#[derive(Debug)]
pub struct Speaker(OwnedWriteHalf);

/// The way to a program that is not held up by its input.
#[derive(Clone, Debug)]
pub struct Words {
    program: u32,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Supervisor(Supervisor),
    Elsewhere(mpsc::Sender<(u32, Word)>),
}

/// The way from a program.
#[derive(Debug)]
pub struct Listener(OwnedReadHalf);

/// What a program says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Bytes of standard output, or of its terminal.
    Output(Vec<u8>),
    /// Bytes of standard error.
    Errors(Vec<u8>),
    /// Its exit code; the last thing.
    Ended(u8),
}

impl Supervisor {
    /// The supervisor of the sandbox in this folder.
    pub fn of(folder: &Folder) -> Self {
        Self(folder.clone())
    }

    /// Asks for what has one answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&self, request: &Request) -> Result<Reply, ControlError> {
        self.answer(request).await.map(|(_, reply)| reply)
    }

    /// What is answered, and the connection that it came on.
    async fn answer(&self, request: &Request) -> Result<(UnixStream, Reply), ControlError> {
        let asked = async {
            let mut stream = self.connect().await?;
            frame::say(&mut stream, request).await?;
            let reply = reply(&mut stream).await?;
            Ok((stream, reply))
        };
        timeout(ANSWER_MAX, asked).await.unwrap_or(Err(ControlError::Silent))
    }

    /// Asks for what opens streams.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn open(&self, request: &Request) -> Result<Conversation, ControlError> {
        let (stream, reply) = self.answer(request).await?;
        Conversation::begun(stream, reply, Way::Supervisor(self.clone()))
    }

    /// A connection to a port of the sandbox.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn connect_to(&self, port: u16) -> Result<UnixStream, ControlError> {
        match self.answer(&Request::Forward { port }).await? {
            (stream, Reply::Done) => Ok(stream),
            (_, other) => Err(unexpected(&other)),
        }
    }

    /// Ends the sandbox and its supervisor, and waits until both are gone.
    ///
    /// # Errors
    /// When it could not be told, or is still there long after the main command may be.
    pub async fn stop(&self, grace_ms: u64) -> Result<(), ControlError> {
        let (mut stream, _) = self.answer(&Request::Stop { grace_ms }).await?;
        let end_max = ANSWER_MAX.saturating_add(Duration::from_millis(grace_ms));
        let mut rest = Vec::new();
        // Whatever ends the connection, the supervisor is gone with it.
        let ended = timeout(end_max, stream.read_to_end(&mut rest)).await;
        ended.map(drop).map_err(|_| ControlError::Silent)
    }

    /// The way to a program of that number, for whoever speaks in frames by themselves.
    pub fn words(&self, program: u32) -> Words {
        Words { program, way: Way::Supervisor(self.clone()) }
    }

    /// A connection on which nothing has been asked yet, for whoever speaks in frames by themselves.
    ///
    /// # Errors
    /// When there is no supervisor.
    pub async fn line(&self) -> Result<UnixStream, ControlError> {
        self.connect().await
    }

    async fn connect(&self) -> Result<UnixStream, ControlError> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning,
            _ => ControlError::Broken(error),
        };
        let folder = self.0.open().map_err(gone)?;
        UnixStream::connect(Path::new(&socket_path(&folder))).await.map_err(gone)
    }
}

impl Conversation {
    /// A conversation over this stream, on which something was asked that opens streams: for whoever carries its frames
    /// elsewhere, and what is said to its program over `words`.
    ///
    /// # Errors
    /// Why it does not begin.
    pub async fn over(
        mut stream: UnixStream,
        words: mpsc::Sender<(u32, Word)>,
    ) -> Result<Self, ControlError> {
        let reply = timeout(ANSWER_MAX, reply(&mut stream)).await;
        Self::begun(stream, reply.unwrap_or(Err(ControlError::Silent))?, Way::Elsewhere(words))
    }

    fn begun(stream: UnixStream, reply: Reply, way: Way) -> Result<Self, ControlError> {
        match reply {
            Reply::Started { terminal, program } => {
                let (from, to) = stream.into_split();
                let words = Words { program, way };
                Ok(Self { speaker: Speaker(to), listener: Listener(from), words, terminal })
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl Speaker {
    /// Gives the program input, at most 64 KiB; none is its end.
    ///
    /// # Errors
    /// When the conversation is over.
    pub async fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        frame::send(&mut self.0, Kind::Input, bytes).await
    }
}

impl Words {
    /// Sends a signal or a size. A program that has ended is left alone.
    ///
    /// # Errors
    /// When its supervisor cannot be told.
    pub async fn say(&self, word: Word) -> Result<(), ControlError> {
        match &self.way {
            Way::Supervisor(supervisor) => {
                let request = Request::Tell { program: self.program, word };
                supervisor.ask(&request).await.map(drop)
            }
            Way::Elsewhere(words) => {
                let sent = words.send((self.program, word)).await;
                sent.map_err(|_| ControlError::Broken(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }
}

impl Listener {
    /// The next thing that the program says. Not cancel-safe: a drop loses the place in the stream.
    ///
    /// # Errors
    /// [`ControlError::Broken`] when the conversation ends before the program does.
    pub async fn next(&mut self) -> Result<Said, ControlError> {
        let Some((kind, bytes)) = frame::receive(&mut self.0).await? else {
            return Err(ControlError::Broken(io::ErrorKind::UnexpectedEof.into()));
        };
        match kind {
            Kind::Output => Ok(Said::Output(bytes)),
            Kind::Errors => Ok(Said::Errors(bytes)),
            Kind::Message => match frame::message(&bytes)? {
                Reply::Ended { code } => Ok(Said::Ended(code)),
                Reply::Failed(failed) => Err(failed.into()),
                other => Err(unexpected(&other)),
            },
            Kind::Input => Err(ControlError::Broken(io::ErrorKind::InvalidData.into())),
        }
    }
}

async fn reply(stream: &mut UnixStream) -> Result<Reply, ControlError> {
    match frame::receive(stream).await? {
        Some((Kind::Message, bytes)) => match frame::message(&bytes)? {
            Reply::Failed(failed) => Err(failed.into()),
            reply => Ok(reply),
        },
        Some(_) => Err(ControlError::Broken(io::ErrorKind::InvalidData.into())),
        None => Err(ControlError::Broken(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn unexpected(reply: &Reply) -> ControlError {
    ControlError::Unexpected(format!("{reply:?}"))
}

#[cfg(test)]
mod tests {
    use tokio::{net::UnixListener, time::Instant};

    use super::*;
    use crate::supervisor::SOCKET;

    #[tokio::test(start_paused = true)]
    async fn a_supervisor_that_does_not_answer_is_not_waited_for_for_ever() {
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join(SOCKET)).unwrap();
        let supervisor = Supervisor::of(&Folder::at(home.path()));
        let begun = Instant::now();
        let asked = supervisor.ask(&Request::Status).await;
        assert!(matches!(asked, Err(ControlError::Silent)), "{asked:?}");
        let asked = supervisor.open(&Request::Attach { terminal: None }).await;
        assert!(matches!(asked, Err(ControlError::Silent)), "{asked:?}");
        assert_eq!(begun.elapsed(), 2 * ANSWER_MAX);
        // One that says that it ends, and does not.
        let stays = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if matches!(frame::receive(&mut stream).await, Ok(Some((_, bytes)))
                    if matches!(frame::message(&bytes), Ok(Request::Stop { .. })))
                {
                    frame::say(&mut stream, &Reply::Done).await.unwrap();
                    std::future::pending::<()>().await;
                }
            }
        };
        let begun = Instant::now();
        let stopped = tokio::select! {
            stopped = supervisor.stop(60_000) => stopped,
            () = stays => unreachable!(),
        };
        assert!(matches!(stopped, Err(ControlError::Silent)), "{stopped:?}");
        assert!(begun.elapsed() >= Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
