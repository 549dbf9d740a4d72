//! Streams one request to its server and the answer back, a piece at a time.
//!
//! Invariant: an answer that has begun is ended properly or broken off, never both.

use bytes::Bytes;
use http::StatusCode;
use pingora::protocols::http::{ServerSession, client::HttpSession};

use super::{
    ask::{self, Ask},
    content::{Content, Kept},
    forward::{Stop, unanswered},
    heads::{is_bodiless, response_head, switching},
    link::Link,
    websocket::{self, FrameError, Frames},
};

/// How far an exchange is.
pub(super) struct Pump {
    /// The whole request has been sent.
    pub(super) sent: bool,
    /// The head of the answer has been given to the caller.
    pub(super) answered: bool,
    /// The frames of the caller, where the request opens a WebSocket.
    pub(super) frames: Option<Frames>,
    /// The frames of the server, where it has opened one and they are searched.
    pub(super) answers: Option<Frames>,
    /// What becomes of the body of the request.
    pub(super) content: Option<Content>,
    /// What keeps credentials out of the answer.
    pub(super) kept: Option<Kept>,
}

/// What happens next in an exchange.
enum Turn {
    Request(pingora::Result<Option<Bytes>>),
    Head(pingora::Result<()>),
    Answer(pingora::Result<Option<Bytes>>),
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
        loop {
            let turn = tokio::select! {
                piece = session.read_body_or_idle(self.sent) => Turn::Request(piece),
                turn = next(server, self.answered) => turn,
            };
            match turn {
                // The caller is gone.
                Turn::Request(Err(error)) => return Err(error.into()),
                Turn::Request(Ok(piece)) => {
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
                Turn::Head(Ok(())) => self.head(session, server).await?,
                Turn::Answer(Err(error)) => return Err(error.into()),
                Turn::Answer(Ok(Some(piece))) => {
                    link.carried.received(piece.len());
                    self.answer(session, piece).await?;
                }
                Turn::Answer(Ok(None)) => return self.end(session, server).await,
            }
        }
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
        match frames.pass(piece, || ask::message(link, ask)) {
            Ok(piece) => Ok(Some(piece)),
            Err(FrameError::Malformed | FrameError::Large) => Err(&websocket::BROKEN),
            Err(FrameError::Denied) => Err(&websocket::REFUSED),
            Err(FrameError::Credential(error)) => {
                ask::unfit_message(link, ask, &error);
                Err(&websocket::REFUSED)
            }
        }
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
        let sent = async {
            if !piece.is_empty() {
                server.write_request_body(piece, false).await?;
            }
            if last { server.finish_request_body().await } else { Ok(()) }
        };
        let sent = sent.await;
        self.sent |= last;
        if let Err(error) = sent {
            // It may have answered before it had taken everything.
            tracing::debug!(error = %error, "a server took no more of a request");
            self.sent = true;
        }
        Ok(())
    }

    /// Gives a piece of the answer on.
    async fn answer(&mut self, session: &mut ServerSession, piece: Bytes) -> Result<(), Stop> {
        let piece = match (&mut self.answers, &mut self.kept) {
            (Some(frames), _) => frames.pass(&piece, || true).map_err(|_| Stop::BrokenOff)?,
            (None, Some(kept)) => kept.push(piece).map_err(|_| Stop::BrokenOff)?,
            (None, None) => piece,
        };
        if piece.is_empty() {
            return Ok(());
        }
        Ok(session.write_response_body(piece, false).await?)
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
                self.answered = true;
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
            }
            _ => session.write_response_header(head).await?,
        }
        self.answered = true;
        Ok(())
    }

    /// Ends the answer.
    async fn end(
        &mut self,
        session: &mut ServerSession,
        server: &mut HttpSession,
    ) -> Result<(), Stop> {
        if let Some(kept) = &mut self.kept {
            let rest = kept.finish().map_err(|_| Stop::BrokenOff)?;
            if !rest.is_empty() {
                session.write_response_body(rest, false).await?;
            }
        }
        if let HttpSession::H2(server) = server
            && session.is_http2()
            && let Ok(Some(mut trailers)) = server.read_trailers().await
        {
            if let Some(kept) = &self.kept {
                kept.trailers(&mut trailers);
            }
            return Ok(session.write_response_trailers(trailers).await?);
        }
        if !self.sent {
            // What is still on its way would be taken for the next request.
            session.set_keepalive(None);
        }
        Ok(session.finish_body().await?)
    }
}
