//! The line to what runs in a sandbox: to its supervisor where the sandbox is this user's own, else through its gateway.
//!
//! A gateway carries the frames of a supervisor as messages of a WebSocket (`docs/gateway.md`). Here they become frames again,
//! over a pair of sockets in this process, so that whoever talks to a program does not know where it runs.

use std::{future::pending, io, sync::Arc};

use api::client::{self, ClientError};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use sandbox::control::{
    Failed, Reply, Request, Word,
    client::{ControlError, Conversation, Kind, Supervisor},
    frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixStream, unix::OwnedReadHalf},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use super::{heard, stopped};
use crate::{
    commands::gateway::{Chosen, refused},
    failure::Failure,
};

/// What a gateway calls a sandbox that does not run.
const NOT_RUNNING: &str = "sandbox_not_running";
/// Words for programs that wait to be passed on.
const WORDS_MAX: usize = 16;
/// Bytes of a forwarded connection at once.
const PIECE_BYTES: usize = 32 << 10;

/// What carries a conversation through a gateway. It breaks off when this is dropped; each ends by itself when its conversation
/// has.
pub(crate) type Carriers = JoinSet<()>;

/// The line to a sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The name of the sandbox.
    pub(crate) name: String,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Own(Supervisor),
    Gateway(Arc<Chosen>),
}

impl Line {
    /// The line to a sandbox of this user.
    pub(super) fn own(name: &str, supervisor: Supervisor) -> Self {
        Self { name: name.to_owned(), way: Way::Own(supervisor) }
    }

    /// The line to a sandbox that a gateway keeps.
    pub(super) fn through(gateway: &Arc<Chosen>, name: &str) -> Self {
        Self { name: name.to_owned(), way: Way::Gateway(Arc::clone(gateway)) }
    }

    /// Asks for what opens streams.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn open(
        &self,
        request: &Request,
    ) -> Result<(Conversation, Carriers), Failure> {
        let mut carriers = Carriers::new();
        let gateway = match &self.way {
            Way::Own(supervisor) => {
                return heard(&self.name, supervisor.open(request).await)
                    .map(|one| (one, carriers));
            }
            Way::Gateway(gateway) => gateway,
        };
        let asked = ask(gateway, &self.name, request).await?;
        let (inner, outer) = UnixStream::pair()?;
        let (words, said) = mpsc::channel(WORDS_MAX);
        carriers.spawn(pass_on(self.clone(), said));
        carriers.spawn(carry(asked, inner));
        heard(&self.name, Conversation::over(outer, words).await).map(|one| (one, carriers))
    }

    /// A connection to a port of the sandbox.
    ///
    /// # Errors
    /// When nothing answers there.
    pub(crate) async fn connect_to(&self, port: u16) -> Result<(UnixStream, Carriers), Failure> {
        let mut carriers = Carriers::new();
        let gateway = match &self.way {
            Way::Own(supervisor) => {
                let connected = heard(&self.name, supervisor.connect_to(port).await);
                return connected.map(|stream| (stream, carriers));
            }
            Way::Gateway(gateway) => gateway,
        };
        let mut asked = ask(gateway, &self.name, &Request::Forward { port }).await?;
        answer(&self.name, &mut asked).await?;
        let (inner, outer) = UnixStream::pair()?;
        carriers.spawn(carry_bytes(asked, inner));
        Ok((outer, carriers))
    }
}

/// Begins a conversation with a sandbox behind a gateway.
async fn ask(
    gateway: &Chosen,
    name: &str,
    request: &Request,
) -> Result<client::Conversation, Failure> {
    let kind = match request {
        Request::Launch { .. } | Request::Attach { .. } => "attach",
        Request::Upload { .. } => "upload",
        Request::Download { .. } => "download",
        Request::Forward { .. } => "forward",
        _ => "exec",
    };
    let path = gateway.path(&format!("/v1/sandboxes/{name}/{kind}"));
    let begun = gateway.client().converse(&path).await;
    let mut conversation = begun.map_err(|error| match &error {
        ClientError::Refused(problem) if problem.code == NOT_RUNNING => {
            stopped(name, ControlError::NotRunning)
        }
        _ => refused(error),
    })?;
    gateway.remember(name);
    let first = serde_json::to_string(request)?;
    conversation.send(Message::text(first)).await.map_err(broken)?;
    Ok(conversation)
}

/// The one answer to a question that opens no streams.
async fn answer(name: &str, asked: &mut client::Conversation) -> Result<(), Failure> {
    let said = match asked.next().await {
        Some(Ok(Message::Text(text))) => frame::message::<Reply>(text.as_bytes())?,
        Some(Ok(Message::Close(frame))) => closed(frame.map(|frame| frame.reason.to_string())),
        Some(Err(error)) => return Err(broken(error)),
        _ => closed(None),
    };
    match said {
        Reply::Failed(failed) => heard(name, Err(failed.into())),
        Reply::Done => Ok(()),
        other => heard(name, Err(ControlError::Unexpected(format!("{other:?}")))),
    }
}

fn broken(error: tokio_tungstenite::tungstenite::Error) -> Failure {
    Failure::from(anyhow::Error::new(error).context("the conversation with the gateway broke"))
}

fn closed(reason: Option<String>) -> Reply {
    let message = reason.filter(|reason| !reason.is_empty());
    let message = message.unwrap_or_else(|| "the gateway ended the conversation".to_owned());
    Reply::Failed(Failed { message, hint: String::new(), code: 1 })
}

/// Says words to programs, each in a conversation of its own: on that of the program, input that it does not read may be in
/// the way.
async fn pass_on(line: Line, mut said: mpsc::Receiver<(u32, Word)>) {
    let Way::Gateway(gateway) = &line.way else { return };
    while let Some((program, word)) = said.recv().await {
        // A program that is gone hears nothing, and whoever speaks sees that it ended.
        if let Ok(mut asked) = ask(gateway, &line.name, &Request::Tell { program, word }).await {
            answer(&line.name, &mut asked).await.ok();
        }
    }
}

/// Carries frames both ways until one side ends.
async fn carry(asked: client::Conversation, inner: UnixStream) {
    let (mut to_gateway, mut from_gateway) = asked.split();
    let (mut from_here, mut to_here) = inner.into_split();
    let down = async {
        while let Some(message) = from_gateway.next().await {
            match message.map_err(io::Error::other)? {
                Message::Text(text) => {
                    frame::send(&mut to_here, Kind::Message, text.as_bytes()).await?;
                }
                Message::Binary(bytes) => {
                    let kind = match bytes.first() {
                        Some(&kind) if kind == Kind::Errors as u8 => Kind::Errors,
                        _ => Kind::Output,
                    };
                    let bytes = bytes.get(1..).unwrap_or_default();
                    for piece in bytes.chunks(frame::PIECE_BYTES_MAX) {
                        frame::send(&mut to_here, kind, piece).await?;
                    }
                }
                Message::Close(Some(why)) if why.code != CloseCode::Normal => {
                    frame::say(&mut to_here, &closed(Some(why.reason.to_string()))).await?;
                    break;
                }
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok::<(), io::Error>(())
    };
    let up = async {
        while let Some((_, bytes)) = frame::receive(&mut from_here).await? {
            let mut message = Vec::with_capacity(1 + bytes.len());
            message.push(Kind::Input as u8);
            message.extend(bytes);
            let sent = to_gateway.send(Message::binary(message)).await;
            sent.map_err(io::Error::other)?;
        }
        Ok::<(), io::Error>(())
    };
    // It ends with what comes from the gateway, however little of what is said still reaches it, or with who listens here.
    let left = async {
        if up.await.is_err() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        _ = down => {}
        () = left => {}
    }
}

/// Carries the bytes of a connection both ways until both sides have ended.
async fn carry_bytes(asked: client::Conversation, inner: UnixStream) {
    let (to_gateway, mut from_gateway) = asked.split();
    let (from_here, mut to_here) = inner.into_split();
    let down = async {
        while let Some(Ok(message)) = from_gateway.next().await {
            match message {
                Message::Binary(bytes) => to_here.write_all(&bytes).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        to_here.shutdown().await
    };
    let (_, _) = tokio::join!(down, bytes_up(from_here, to_gateway));
}

async fn bytes_up(
    mut from: OwnedReadHalf,
    mut to: SplitSink<client::Conversation, Message>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        // A message without bytes is the end of this side.
        let bytes = piece.get(..read).unwrap_or_default().to_vec();
        to.send(Message::binary(bytes)).await.map_err(io::Error::other)?;
        if read == 0 {
            return Ok(());
        }
    }
}
