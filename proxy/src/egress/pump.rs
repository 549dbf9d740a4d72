//! Streams one request to its server and the answer back, a piece at a time, each way at its own pace.
//!
//! Neither side is waited for while the other has something to say: a server may answer before it has read, and a caller read
//! only after it has written. How long each may stand still is counted by `patience`. Invariant: an answer that has begun is
//! ended properly or broken off, never both.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use pingora::protocols::http::{ServerSession, client::HttpSession};

use super::{
    ask::{self, Ask},
    content::{Content, Kept},
    forward::{Stop, WRITE_PAUSE, unanswered},
    heads::{is_bodiless, response_head, switching},
    link::Link,
    outlet::Outlet,
    patience::{Patience, Way},
    socket::Backlog,
    tally::Tally,
    upstream::SERVER_PAUSE,
    websocket::{self, FrameError, Frames},
};

/// Largest piece of a collected body that is sent at once, bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Longest pause of a caller within the body of its request.
const CALLER_PAUSE: Duration = Duration::from_mins(1);

/// How long each way may stand still, in the order of [`Pump::far`].
pub(super) const LIMITS: [(Way, Duration); 4] = [
    (Way::FromCaller, CALLER_PAUSE),
    (Way::ToServer, SERVER_PAUSE),
    (Way::FromServer, SERVER_PAUSE),
    (Way::ToCaller, WRITE_PAUSE),
];

/// How far an exchange is.
pub(super) struct Pump {
    /// What is left of a body that was collected; none where it streams, or all of it was sent.
    pub(super) ahead: Option<Bytes>,
    /// The whole request has been sent.
    pub(super) sent: bool,
    /// The head of the answer has been given to the caller.
    pub(super) answered: bool,
    /// The frames of the caller, where the request opens a WebSocket.
    pub(super) frames: Option<Frames>,
    /// The messages that were allowed.
    pub(super) tally: Option<Tally>,
    /// The frames of the server, where it has opened one and they are searched.
    pub(super) answers: Option<Frames>,
    /// What becomes of the body of the request.
    pub(super) content: Option<Content>,
    /// What keeps credentials out of the answer.
    pub(super) kept: Option<Kept>,
    /// To the server.
    pub(super) up: Outlet,
    /// To the caller; shut until the answer has begun.
    pub(super) down: Outlet,
    /// The caller's connection, where it speaks HTTP/1.
    pub(super) caller: Option<Backlog>,
    /// How long each way stands still; [`LIMITS`].
    pub(super) patience: Patience,
    /// Pieces that came of the caller, and of the server.
    pub(super) heard: (u64, u64),
}

/// What happens next in an exchange.
enum Turn {
    Request(pingora::Result<Option<Bytes>>),
    Head(pingora::Result<()>),
    Answer(pingora::Result<Option<Bytes>>),
    /// The server, or the caller, has room again or takes no more.
    Up(io::Result<()>),
    Down(io::Result<()>),
    /// Messages that were counted are due on record.
    Tally,
    /// It may be time.
    Alarm,
    /// It has stood still for too long.
    Late(Way),
}

/// What comes next from the server.
async fn next(server: &mut HttpSession, answered: bool) -> Turn {
    if answered {
        Turn::Answer(server.read_response_body().await)
    } else {
        Turn::Head(server.read_response_header().await)
    }
}

impl Pump {
    /// Streams until the answer has ended.
    pub(super) async fn run(
        &mut self,
        link: &Link,
        ask: &Ask,
        session: &mut ServerSession,
        server: &mut HttpSession,
    ) -> Result<(), Stop> {
        let mut over = false;
        loop {
            if over && self.down.is_empty() {
                return Ok(());
            }
            if self.ahead.is_some() && self.up.has_room() {
                self.collected(server).await;
                continue;
            }
            match self.turn(session, server, over).await {
                // The caller is gone.
                Turn::Request(Err(error)) => return Err(error.into()),
                Turn::Request(Ok(piece)) => {
                    self.heard.0 = self.heard.0.wrapping_add(1);
                    link.carried.sent(piece.as_ref().map_or(0, Bytes::len));
                    let piece = match self.messages(link, ask, piece) {
                        Ok(piece) => piece,
                        Err(last) => {
                            session.write_response_body(Bytes::from_static(last), true).await?;
                            return Err(Stop::BrokenOff);
                        }
                    };
                    self.request(server, piece).await?;
                    // The end may have come with the last piece.
                    if self.frames.is_none() && !self.sent && session.is_body_done() {
                        self.request(server, None).await?;
                    }
                }
                Turn::Head(Err(error)) => return Err(unanswered(link, &error).into()),
                Turn::Head(Ok(())) => {
                    self.heard.1 = self.heard.1.wrapping_add(1);
                    self.head(session, server).await?;
                }
                Turn::Answer(Err(error)) => return Err(error.into()),
                Turn::Answer(Ok(Some(piece))) => {
                    self.heard.1 = self.heard.1.wrapping_add(1);
                    link.carried.received(piece.len());
                    self.answer(session, piece).await?;
                }
                Turn::Answer(Ok(None)) => {
                    self.end(session, server).await?;
                    over = true;
                }
                Turn::Up(Ok(())) | Turn::Down(Ok(())) | Turn::Alarm => {}
                Turn::Tally => {
                    if let Some(tally) = &mut self.tally {
                        tally.tell();
                    }
                }
                Turn::Late(Way::ToServer) => {
                    self.untaken(&io::Error::from(io::ErrorKind::TimedOut));
                }
                Turn::Late(Way::FromServer) if !self.answered => {
                    return Err(unanswered(link, &"it says nothing").into());
                }
                Turn::Late(way) => {
                    tracing::debug!(?way, "an exchange stood still");
                    return Err(Stop::BrokenOff);
                }
                // It may have answered before it had taken everything.
                Turn::Up(Err(error)) => self.untaken(&error),
                Turn::Down(Err(error)) => {
                    tracing::debug!(error = %error, "a caller took no more of an answer");
                    return Err(Stop::BrokenOff);
                }
            }
        }
    }

    /// Waits for whatever comes first. Nothing is read for a side that has no room.
    async fn turn(
        &mut self,
        session: &mut ServerSession,
        server: &mut HttpSession,
        over: bool,
    ) -> Turn {
        // A stream of HTTP/2 that is written to here says here that its caller is gone.
        let is_told =
            matches!(self.down, Outlet::Http2(_)) && (self.sent || session.is_body_done());
        let asks = !is_told && self.ahead.is_none() && self.up.has_room();
        let hears = !over && self.down.has_room();
        if let Some(late) = self.patience.look(self.far(asks, hears)) {
            return Turn::Late(late);
        }
        let (sent, answered) = (self.sent, self.answered);
        let (up, down) = (self.up.is_busy(), self.down.is_busy());
        let tally = &self.tally;
        let counted = async {
            match tally {
                Some(tally) => tally.due().await,
                None => std::future::pending().await,
            }
        };
        let heard = async {
            tokio::select! {
                piece = session.read_body_or_idle(sent), if asks => Turn::Request(piece),
                turn = next(server, answered), if hears => turn,
                else => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            turn = heard => turn,
            // What gathered goes out as soon as nobody says more.
            done = self.up.settle(), if up => Turn::Up(done),
            done = self.down.settle(), if down => Turn::Down(done),
            () = counted => Turn::Tally,
            () = self.patience.alarm() => Turn::Alarm,
        }
    }

    /// How far each way is that is waited for. A server that takes a long request may answer when it has all of it, and both
    /// sides of a WebSocket are silent as long as they like while the other one speaks.
    fn far(&self, asks: bool, hears: bool) -> [Option<u64>; 4] {
        let (caller, server) = self.heard;
        let server = server.wrapping_add(self.up.sent());
        let is_message = self.frames.is_some() || self.sent;
        let server = if self.frames.is_some() { server.wrapping_add(caller) } else { server };
        [
            (asks && !is_message).then_some(caller),
            self.up.waits_at(),
            hears.then_some(server),
            self.down.waits_at(),
        ]
    }

    /// What may go on of a piece of the caller's frames; what is no frame is given back as it is.
    ///
    /// # Errors
    /// What the caller is told where a message may not pass.
    fn messages(
        &mut self,
        link: &Link,
        ask: &Ask,
        piece: Option<Bytes>,
    ) -> Result<Option<Bytes>, &'static [u8]> {
        let (Some(frames), Some(piece)) = (&mut self.frames, &piece) else { return Ok(piece) };
        let record = || Tally::new(Arc::clone(&link.shared.record));
        let tally = self.tally.get_or_insert_with(record);
        match frames.pass(piece, || ask::message(link, ask, tally)) {
            Ok(piece) => Ok(Some(piece)),
            Err(error @ (FrameError::Malformed | FrameError::Large)) => {
                ask::broken_frame(link, ask, &error);
                Err(&websocket::BROKEN)
            }
            // On record where it was decided.
            Err(FrameError::Denied) => Err(&websocket::REFUSED),
            Err(FrameError::Credential(error)) => {
                ask::unfit_message(link, ask, &error);
                Err(&websocket::REFUSED)
            }
        }
    }

    /// Sends the next piece of a body that was collected.
    async fn collected(&mut self, server: &mut HttpSession) {
        let Some(mut rest) = self.ahead.take() else { return };
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        let last = rest.is_empty();
        if !last {
            self.ahead = Some(rest);
        }
        self.put(server, piece, last).await;
    }

    /// Sends a piece of the request, or its end.
    async fn request(
        &mut self,
        server: &mut HttpSession,
        piece: Option<Bytes>,
    ) -> Result<(), Stop> {
        let last = piece.is_none();
        // What is in frames went through their own.
        let content = self.content.as_mut().filter(|_| self.frames.is_none());
        let piece = match (piece, content) {
            (Some(piece), _) if piece.is_empty() => return Ok(()),
            (Some(piece), Some(content)) => content.push(piece)?,
            (None, Some(content)) => content.finish()?,
            (piece, None) => piece.unwrap_or_default(),
        };
        self.put(server, piece, last).await;
        Ok(())
    }

    async fn put(&mut self, server: &mut HttpSession, piece: Bytes, last: bool) {
        self.sent |= last;
        let sent = match &mut self.up {
            Outlet::Shut => Ok(()),
            Outlet::Http1(_) => write(server, piece, last).await,
            Outlet::Http2(writer) => {
                writer.put(piece);
                if last {
                    writer.end(None);
                }
                Ok(())
            }
        };
        if let Err(error) = sent {
            self.untaken(&error);
        }
    }

    /// Gives the rest of a request up that its server does not take. What the caller still sends is read all the same: it
    /// would be taken for the next request.
    fn untaken(&mut self, error: &dyn std::error::Error) {
        tracing::debug!(error = %error, "a server took no more of a request");
        (self.ahead, self.up) = (None, Outlet::Shut);
    }

    /// Whether the server has taken all of the request, and may be asked again.
    pub(super) fn is_clean(&self) -> bool {
        let is_open = matches!(self.up, Outlet::Http1(_));
        is_open && self.sent && self.ahead.is_none() && self.frames.is_none()
    }

    /// Gives a piece of the answer on.
    async fn answer(&mut self, session: &mut ServerSession, piece: Bytes) -> Result<(), Stop> {
        let piece = match (&mut self.answers, &mut self.kept) {
            (Some(frames), _) => frames.pass(&piece, || true).map_err(|_| Stop::BrokenOff)?,
            (None, Some(kept)) => kept.push(piece).map_err(|_| Stop::BrokenOff)?,
            (None, None) => piece,
        };
        self.give(session, piece).await
    }

    async fn give(&mut self, session: &mut ServerSession, piece: Bytes) -> Result<(), Stop> {
        match &mut self.down {
            _ if piece.is_empty() => {}
            Outlet::Http2(writer) => writer.put(piece),
            Outlet::Http1(_) => session.write_response_body(piece, false).await?,
            Outlet::Shut => {}
        }
        Ok(())
    }

    /// Gives the head of the answer on.
    async fn head(
        &mut self,
        session: &mut ServerSession,
        server: &mut HttpSession,
    ) -> Result<(), Stop> {
        let Some(answer) = server.response_header() else { return Err(Stop::BrokenOff) };
        match answer.status {
            StatusCode::CONTINUE => return Ok(session.write_continue_response().await?),
            StatusCode::SWITCHING_PROTOCOLS if self.frames.is_some() => {
                let needles = self.content.as_ref().and_then(Content::needles);
                let head = switching(answer, needles.as_ref())?;
                self.answers = needles.map(Frames::of_server);
                session.write_response_header(Box::new(head)).await?;
                if let HttpSession::H1(server) = server {
                    server.maybe_upgrade_body_writer();
                }
                self.begin(session);
                return Ok(());
            }
            // Nobody asked for it.
            StatusCode::SWITCHING_PROTOCOLS => return Err(Stop::BrokenOff),
            status if status.is_informational() => return Ok(()),
            _ => {}
        }
        if self.frames.take().is_some() {
            // The server does not switch: what follows is an ordinary answer.
            self.sent = true;
        }
        let needles = self.content.as_ref().and_then(Content::needles);
        let (head, kept) = response_head(session, answer, needles)?;
        let head = Box::new(head);
        self.kept = kept;
        match session {
            // A stream that has no body ends with its head.
            ServerSession::H2(stream) if is_bodiless(stream.req_header(), head.status) => {
                stream.write_response_header(head, true)?;
                self.answered = true;
            }
            _ => {
                session.write_response_header(head).await?;
                self.begin(session);
            }
        }
        Ok(())
    }

    /// The head of an answer was given on: what follows goes the same way.
    fn begin(&mut self, session: &mut ServerSession) {
        self.answered = true;
        self.down = match (session, self.caller.clone()) {
            (ServerSession::H2(stream), _) => Outlet::http2(stream.take_response_body_writer()),
            (_, Some(backlog)) => Outlet::Http1(backlog),
            (_, None) => Outlet::Shut,
        };
    }

    /// Ends the answer; what of it is not sent yet still has to be.
    async fn end(
        &mut self,
        session: &mut ServerSession,
        server: &mut HttpSession,
    ) -> Result<(), Stop> {
        let rest = match &mut self.kept {
            Some(kept) => kept.finish().map_err(|_| Stop::BrokenOff)?,
            None => Bytes::new(),
        };
        self.give(session, rest).await?;
        if let Outlet::Http2(writer) = &mut self.down {
            let mut trailers = match server {
                HttpSession::H2(server) => server.read_trailers().await.ok().flatten(),
                HttpSession::H1(_) | HttpSession::Custom(()) => None,
            };
            if let (Some(kept), Some(trailers)) = (&self.kept, &mut trailers) {
                kept.trailers(trailers);
            }
            writer.end(trailers);
            return Ok(());
        }
        if !self.sent {
            // What is still on its way would be taken for the next request.
            session.set_keepalive(None);
        }
        Ok(session.finish_body().await?)
    }
}

/// Writes a piece of a request, or its end, to a session of HTTP/1.
async fn write(server: &mut HttpSession, piece: Bytes, last: bool) -> pingora::Result<()> {
    if !piece.is_empty() {
        server.write_request_body(piece, false).await?;
    }
    if last { server.finish_request_body().await } else { Ok(()) }
}
