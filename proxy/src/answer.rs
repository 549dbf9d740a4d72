//! The answer on its way back: decoded, restored, translated if the backend speaks another dialect, and ended once.
//!
//! A stream is never held up: what has arrived is written at once, and only what is already there is joined.
//! Invariants: a stream that the backend did not end properly is never ended properly here; no credential of a backend
//! passes; a placeholder never reaches the caller unrestored.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Version, header};
use pingora::protocols::http::ServerSession;
use router::{answer::Ended, wire};

use crate::{
    call::Call,
    connection::{Interrupt, Limit, Stop, answer, answer_head, watched},
    exchange::Asked,
    failover::{
        Won,
        opening::{Content, Opening, Rest},
        upstream_answer::{Read, Upstream},
    },
    health::Sign,
    mask::{Guard, Needle},
    pass::Pass,
    reject::{Failure, rejection},
    service::now_ms,
};

/// How long a backend may keep its connection open after the last event of a stream.
const AFTER_END: Duration = Duration::from_secs(2);

/// Gives the answer to the caller.
///
/// # Errors
/// [`Stop::Failure`] while nothing has been written, else [`Stop::BrokenOff`].
pub(crate) async fn give(
    session: &mut ServerSession,
    call: &mut Call,
    limit: &mut Limit<'_>,
    asked: &Asked,
    won: Won,
) -> Result<(), Stop> {
    if let Some(candidate) = call.snapshot.engine.settings().candidates.get(won.candidate) {
        candidate.backend.as_str().clone_into(&mut call.record.backend);
        candidate.model.as_str().clone_into(&mut call.record.model);
        call.record.zone = Some(candidate.zone);
    }
    call.bill.candidate = Some(won.candidate);
    let Won { status, headers, content, omitted, .. } = won;
    call.record.omitted = omitted;
    match content {
        Content::Whole(body, observed, hits) => {
            let masked = &call.router.metrics.credentials_masked;
            masked.fetch_add(hits.into(), Ordering::Relaxed);
            call.observe(&observed, None);
            whole(session, call, (status, headers), body).await
        }
        Content::Stream(opening) => {
            let Opening { upstream, pass, text, rest } = *opening;
            let needle = upstream.needle();
            let guard = Guard::new(needle.clone());
            // Boxed: an answer in one piece should not make room for a stream.
            Box::pin(async move {
                let mut stream = Stream { session, call, limit, asked, pass, guard, needle };
                stream.begin(status, headers).await?;
                stream.run(upstream, text, rest).await
            })
            .await
        }
    }
}

async fn whole(
    session: &mut ServerSession,
    call: &mut Call,
    (status, mut headers): (u16, Vec<(HeaderName, HeaderValue)>),
    body: Bytes,
) -> Result<(), Stop> {
    let now = Instant::now();
    call.first_byte(now);
    call.record.status = status;
    call.record.ended = "done";
    call.settle(now);
    headers.extend(call.headers());
    let written = answer(session, status, headers, body).await;
    if written.is_err() {
        call.record.ended = "caller_left";
    }
    Ok(written?)
}

/// A stream on its way.
struct Stream<'a, 'b> {
    session: &'a mut ServerSession,
    call: &'a mut Call,
    limit: &'a mut Limit<'b>,
    asked: &'a Asked,
    pass: Pass,
    guard: Guard,
    needle: Option<Needle>,
}

impl Stream<'_, '_> {
    /// Writes the head.
    async fn begin(
        &mut self,
        status: u16,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<(), Stop> {
        self.call.record.status = status;
        self.call.record.ended = "broken_off";
        let mut head = answer_head(status, headers)?;
        head.insert_header(header::CACHE_CONTROL, "no-cache")?;
        for (name, value) in self.call.headers() {
            head.insert_header(name, value)?;
        }
        // Pingora frames by our head: without this the end of an HTTP/1.1 answer would be the end of the connection.
        if !self.session.is_http2() && self.session.req_header().version == Version::HTTP_11 {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        Ok(self.session.write_response_header(Box::new(head)).await?)
    }

    /// Passes on what was held back, then piece after piece until the end.
    async fn run(
        &mut self,
        mut upstream: Upstream,
        mut text: Vec<u8>,
        rest: Rest,
    ) -> Result<(), Stop> {
        self.call.first_byte(Instant::now());
        let mut ended = rest == Rest::Nothing;
        let mut lost = (rest == Rest::Broken).then_some(Failure::Answer);
        loop {
            self.note();
            // Some servers close without a last chunk, or not at all, after they have said all.
            if ended || (lost.is_some() && self.pass.observed().terminal) {
                return self.end(ended.then_some(upstream), text).await;
            }
            match self.guard.push(text) {
                Ok(clean) => self.write(clean).await?,
                Err(spelled) => {
                    tracing::error!(backend = self.call.record.backend, "{spelled}");
                    return self.fail(&Failure::Answer).await;
                }
            }
            if let Some(failure) = lost {
                let router = &self.call.router;
                router.health.record(&self.call.record.backend, Sign::Ill, now_ms());
                return self.fail(&failure).await;
            }
            let next = upstream.next(self.pause());
            let read = match watched(self.session, self.limit, next).await {
                Ok(read) => read,
                Err(Interrupt::CallerLeft) => {
                    self.call.record.ended = "caller_left";
                    return Err(Stop::BrokenOff);
                }
                Err(Interrupt::Cut) => return self.fail(&Failure::Stopping).await,
                Err(Interrupt::Total) => return self.fail(&Failure::Total).await,
            };
            text = Vec::new();
            let piece = match read {
                Read::Piece(piece) => piece,
                Read::End(piece) => {
                    ended = true;
                    piece
                }
                Read::Broken(piece) => {
                    lost = Some(Failure::Answer);
                    piece
                }
                Read::Idle => {
                    lost = Some(Failure::Timeout);
                    Bytes::new()
                }
            };
            if let Err(error) = self.pass.push(piece, &mut text) {
                tracing::warn!(error = %error, "a backend's stream cannot be passed on");
                (ended, lost) = (false, Some(Failure::Answer));
            }
        }
    }

    /// How long the next piece may take.
    fn pause(&self) -> Duration {
        let idle = self.call.snapshot.configuration.timeouts.idle;
        if self.pass.observed().terminal { idle.min(AFTER_END) } else { idle }
    }

    async fn write(&mut self, text: Bytes) -> Result<(), Stop> {
        if text.is_empty() {
            return Ok(());
        }
        let written = self.session.write_response_body(text, false).await;
        if written.is_err() {
            self.call.record.ended = "caller_left";
        }
        Ok(written?)
    }

    /// Takes note of what was seen, so that it is settled however the call ends.
    fn note(&mut self) {
        self.call.observe(self.pass.observed(), self.needle.as_ref());
    }

    /// The backend has closed its stream, whether or not the answer is whole.
    async fn end(&mut self, upstream: Option<Upstream>, mut text: Vec<u8>) -> Result<(), Stop> {
        let ended = self.pass.finish(&mut text);
        self.note();
        let Ok(clean) = self.guard.push(text) else {
            return self.fail(&Failure::Answer).await;
        };
        let mut last = BytesMut::from(clean);
        last.extend_from_slice(&self.guard.finish());
        if let Some(upstream) = upstream {
            upstream.release().await;
        }
        if ended == Ended::Truncated {
            self.write(last.freeze()).await?;
            return self.fail(&Failure::Answer).await;
        }
        self.count_masked();
        self.call.record.ended = self.word();
        let written = if last.is_empty() {
            self.session.finish_body().await
        } else {
            self.session.write_response_body(last.freeze(), true).await
        };
        if written.is_err() {
            self.call.record.ended = "caller_left";
        }
        Ok(written?)
    }

    /// How a stream ended that the backend ended properly.
    fn word(&self) -> &'static str {
        if self.pass.observed().error.is_some() { "backend_error" } else { "done" }
    }

    /// Tells the caller in the stream that it is not whole, and breaks it off.
    async fn fail(&mut self, failure: &Failure) -> Result<(), Stop> {
        let told = rejection(failure);
        self.call.record.ended = told.word;
        self.count_masked();
        let held = self.guard.finish();
        self.write(held).await?;
        let event = wire::error_event(
            self.asked.dialect,
            &wire::Failure {
                status: told.status,
                code: &told.code,
                message: &told.message,
                param: None,
                request_id: Some(&self.call.record.request_id),
            },
        );
        let written = self.session.write_response_body(event.into(), false).await;
        if written.is_err() {
            self.call.record.ended = "caller_left";
        }
        Err(Stop::BrokenOff)
    }

    fn count_masked(&self) {
        let hits = u64::from(self.guard.hits());
        self.call.router.metrics.credentials_masked.fetch_add(hits, Ordering::Relaxed);
    }
}
