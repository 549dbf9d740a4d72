//! Conversations with what runs in a sandbox, over WebSocket: programs, archives, connections.
//!
//! The frames are those of the supervisor's own line (`sandbox::control`), one a message: a text message is its JSON, a binary
//! message is a byte for the kind (1 input, 2 output, 3 errors) and the bytes. The first message asks. Here only what may be
//! asked under which path is looked at; everything else is passed on as it comes. A forwarded connection is bytes alone once it
//! was answered.

use std::{future::pending, io, sync::Arc, time::Duration};

use api::page::WorkspaceQuery;
use axum::{
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::Response,
};
use bytes::Bytes;
use drivers::DriverError;
use futures_util::{
    Sink, SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use sandbox::control::{
    Reply, Request, Word,
    client::{ControlError, Kind, Supervisor, Words},
    frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use uuid::Uuid;

use super::{App, Refusal, sandboxes};
use crate::auth::access::Permit;

/// How long somebody may take to say what it wants.
const ASK_MAX: Duration = Duration::from_secs(10);
/// The longest message, bytes: a piece of a stream with its kind, or a question.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a forwarded connection at once.
const PIECE_BYTES: usize = 32 << 10;

/// Runs a program.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/exec", tag = "conversations", params(WorkspaceQuery),
    responses((
        status = 101,
        description = "The first message is `{\"ask\":\"exec\",\"command\":[…]}`; or `{\"ask\":\"tell\",…}` for a program that was started in another conversation",
    )),
)]
pub(super) async fn exec(
    permit: Permit,
    state: State<Arc<App>>,
    sandbox: Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let may = |request: &Request| matches!(request, Request::Exec { .. } | Request::Tell { .. });
    begin(&permit, &state, &sandbox, upgrade, may).await
}

/// The streams of the main command.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/attach", tag = "conversations", params(WorkspaceQuery),
    responses((
        status = 101,
        description = "The first message is `{\"ask\":\"attach\"}`; or `{\"ask\":\"launch\",\"attach\":true}`, which starts it if it does not run",
    )),
)]
pub(super) async fn attach(
    permit: Permit,
    state: State<Arc<App>>,
    sandbox: Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let may = |request: &Request| {
        matches!(request, Request::Attach { .. } | Request::Launch { attach: true, .. })
    };
    begin(&permit, &state, &sandbox, upgrade, may).await
}

/// An archive into the sandbox.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/upload", tag = "conversations", params(WorkspaceQuery),
    responses((status = 101, description = "The first message is `{\"ask\":\"upload\",\"to\":PATH}`; the archive, tar, is input")),
)]
pub(super) async fn upload(
    permit: Permit,
    state: State<Arc<App>>,
    sandbox: Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let may = |request: &Request| matches!(request, Request::Upload { .. });
    begin(&permit, &state, &sandbox, upgrade, may).await
}

/// An archive out of the sandbox.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/download", tag = "conversations", params(WorkspaceQuery),
    responses((status = 101, description = "The first message is `{\"ask\":\"download\",\"from\":PATH}`; the archive, tar, is output")),
)]
pub(super) async fn download(
    permit: Permit,
    state: State<Arc<App>>,
    sandbox: Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let may = |request: &Request| matches!(request, Request::Download { .. });
    begin(&permit, &state, &sandbox, upgrade, may).await
}

/// A connection to a port of the sandbox.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/forward", tag = "conversations", params(WorkspaceQuery),
    responses((status = 101, description = "The first message is `{\"ask\":\"forward\",\"port\":PORT}`; then binary messages are bytes")),
)]
pub(super) async fn forward(
    permit: Permit,
    state: State<Arc<App>>,
    sandbox: Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let may = |request: &Request| matches!(request, Request::Forward { .. });
    begin(&permit, &state, &sandbox, upgrade, may).await
}

async fn begin(
    permit: &Permit,
    app: &Arc<App>,
    name: &str,
    upgrade: WebSocketUpgrade,
    may: fn(&Request) -> bool,
) -> Result<Response, Refusal> {
    let stored = sandboxes::find(app, permit, name).await?;
    let supervisor = app.keeper.driver.supervisor(&stored.id.to_string());
    let line = supervisor.line().await.map_err(|error| match error {
        ControlError::NotRunning => Refusal::from(DriverError::NotFound)
            .next_step(format!("start it with POST /v1/sandboxes/{name}/start")),
        error => Refusal::from(DriverError::from(error)),
    })?;
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    let (app, id) = (Arc::clone(app), stored.id);
    Ok(upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = converse(socket, (supervisor, line), may, (&app, id)).await {
            tracing::debug!(%error, "conversation broken");
        }
    }))
}

type Outgoing = SplitSink<WebSocket, Message>;
type Incoming = SplitStream<WebSocket>;

/// Why a conversation ended before its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the caller: {0}")]
    Caller(#[from] axum::Error),
    #[error("the supervisor: {0}")]
    Supervisor(#[from] io::Error),
}

async fn converse(
    mut socket: WebSocket,
    (supervisor, mut line): (Supervisor, UnixStream),
    may: fn(&Request) -> bool,
    (app, id): (&App, Uuid),
) -> Result<(), Broken> {
    let asked = timeout(ASK_MAX, socket.recv()).await;
    let Ok(Some(Ok(Message::Text(asked)))) = asked else {
        let why = "the first message asks, as text";
        return close(&mut socket, close_code::PROTOCOL, why).await;
    };
    let request = match serde_json::from_str::<Request>(&asked) {
        Ok(request) if may(&request) => request,
        Ok(_) => return close(&mut socket, close_code::POLICY, "that is not asked here").await,
        Err(error) => {
            let why = format!("no question: column {}", error.column());
            return close(&mut socket, close_code::PROTOCOL, &why).await;
        }
    };
    frame::say(&mut line, &request).await?;
    let Some((Kind::Message, answer)) = frame::receive(&mut line).await? else {
        return close(&mut socket, close_code::ERROR, "the supervisor ended").await;
    };
    let reply: Reply = frame::message(&answer)?;
    socket.send(text(answer)?).await?;
    let (to_caller, from_caller) = socket.split();
    let (from, to) = line.into_split();
    // Whichever side ends first ends both: the supervisor hangs up a program whose line is closed.
    match reply {
        Reply::Started { program, .. } => {
            if matches!(request, Request::Launch { .. })
                && let Err(error) = sandboxes::launched(app, id).await
            {
                tracing::warn!(%error, "that a main command was launched cannot be noted");
            }
            let words = supervisor.words(program);
            let is_main = !matches!(request, Request::Exec { .. });
            // How its main command ended is known before its caller is told.
            let ended = async || {
                if is_main {
                    app.keeper.glance(id).await;
                }
            };
            tokio::select! {
                biased;
                done = frames_down(from, to_caller, ended) => done,
                done = until_left(frames_up(from_caller, to, &words)) => done,
            }
        }
        Reply::Done if matches!(request, Request::Forward { .. }) => tokio::select! {
            biased;
            done = bytes_down(from, to_caller) => done,
            done = until_left(bytes_up(from_caller, to)) => done,
        },
        _ => {
            let mut to_caller = to_caller;
            close(&mut to_caller, close_code::NORMAL, "").await
        }
    }
}

/// Frames of the supervisor for the caller, until the last one.
async fn frames_down(
    mut from: OwnedReadHalf,
    mut to: Outgoing,
    ended: impl AsyncFnOnce(),
) -> Result<(), Broken> {
    while let Some((kind, bytes)) = frame::receive(&mut from).await? {
        if kind == Kind::Message {
            if is_last(&bytes) {
                ended().await;
                to.send(text(bytes)?).await?;
                return close(&mut to, close_code::NORMAL, "").await;
            }
            to.send(text(bytes)?).await?;
        } else {
            let mut message = Vec::with_capacity(1 + bytes.len());
            message.push(kind as u8);
            message.extend(bytes);
            to.send(Message::Binary(message.into())).await?;
        }
    }
    close(&mut to, close_code::ERROR, "the supervisor ended").await
}

/// What comes from the caller, until it leaves or makes no sense. That a supervisor no longer listens ends nothing: what it has
/// said last is still to be told.
async fn until_left(up: impl Future<Output = Result<(), Broken>>) -> Result<(), Broken> {
    match up.await {
        Err(Broken::Supervisor(error)) if error.kind() != io::ErrorKind::InvalidData => {
            pending().await
        }
        other => other,
    }
}

/// Frames of the caller for the supervisor, until the caller leaves.
async fn frames_up(
    mut from: Incoming,
    mut to: OwnedWriteHalf,
    words: &Words,
) -> Result<(), Broken> {
    while let Some(message) = from.next().await {
        match message? {
            Message::Text(text) => {
                let word: Word = frame::message(text.as_bytes())?;
                words.say(word).await.map_err(io::Error::other)?;
            }
            Message::Binary(bytes) => match bytes.split_first() {
                Some((&kind, [])) if kind == Kind::Input as u8 => {
                    frame::send(&mut to, Kind::Input, &[]).await?;
                }
                Some((&kind, bytes)) if kind == Kind::Input as u8 => {
                    for piece in bytes.chunks(frame::PIECE_BYTES_MAX) {
                        frame::send(&mut to, Kind::Input, piece).await?;
                    }
                }
                // Nobody but the supervisor has anything else to say in bytes.
                _ => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            },
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
    Ok(())
}

/// Bytes of a forwarded connection for the caller.
async fn bytes_down(mut from: OwnedReadHalf, mut to: Outgoing) -> Result<(), Broken> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        match piece.get(..read) {
            Some(bytes) if read > 0 => {
                to.send(Message::Binary(Bytes::copy_from_slice(bytes))).await?;
            }
            _ => break,
        }
    }
    close(&mut to, close_code::NORMAL, "").await
}

/// Bytes of the caller for a forwarded connection.
async fn bytes_up(mut from: Incoming, mut to: OwnedWriteHalf) -> Result<(), Broken> {
    while let Some(message) = from.next().await {
        match message? {
            // Nothing more comes from here; what comes from there is still heard.
            Message::Binary(bytes) if bytes.is_empty() => to.shutdown().await?,
            Message::Binary(bytes) => to.write_all(&bytes).await?,
            Message::Close(_) => break,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
        }
    }
    Ok(())
}

/// Whether nothing follows this answer.
fn is_last(answer: &[u8]) -> bool {
    matches!(serde_json::from_slice(answer), Ok(Reply::Ended { .. } | Reply::Failed(_)))
}

fn text(bytes: Vec<u8>) -> Result<Message, Broken> {
    let text = String::from_utf8(bytes).map_err(io::Error::other)?;
    Ok(Message::Text(text.into()))
}

/// Says why it ends.
async fn close(
    to: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
    code: u16,
    reason: &str,
) -> Result<(), Broken> {
    let frame = CloseFrame { code, reason: reason.into() };
    to.send(Message::Close(Some(frame))).await?;
    Ok(())
}
