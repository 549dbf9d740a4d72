//! The answer on its way back: decoded, restored, translated if the backend speaks another dialect, and ended once.
//!
//! A stream is never held up: what has arrived is written at once, and only what is already there is joined.
//! Invariants: a stream that the backend did not end properly is never ended properly here; no credential of a backend
//! passes; a placeholder never reaches the caller unrestored.

use std::{
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora::{http::ResponseHeader, protocols::http::ServerSession};
use router::{
    answer::{Ended, Observed},
    wire,
};
use tokio::time::timeout;

use crate::{
    call::Call,
    connection::{Interrupt, Limit, Stop, answer, watched},
    exchange::Asked,
    failover::{
        Won,
        upstream_answer::{Content, Upstream},
    },
    health::Sign,
    mask::Mask,
    pass::{self, Pass, PassError},
    reject::{Failure, rejection},
    service::now_ms,
};

/// Bytes of an answer that are joined into one write when they are there at the same time.
const JOIN_BYTES_MAX: usize = 16 << 10;

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
    let Won { candidate, dialect, status, headers, content, translation } = won;
    match content {
        Content::Whole(body) => {
            let body = masked(call, candidate, body);
            let passed = pass::whole(asked, dialect, body, &translation);
            let (body, observed) = passed.map_err(|error| unreadable(&error))?;
            whole(session, call, (status, headers), body, &observed).await
        }
        Content::Stream(upstream, first) => {
            let encoding = upstream.encoding().map_err(|_| Failure::Answer)?;
            let pass = Pass::new(asked, dialect, encoding, translation);
            let pass = pass.map_err(|error| unreadable(&error))?;
            let mask = Mask::new(upstream.needle());
            let mut stream = Stream { session, call, limit, asked, pass, mask };
            stream.run(*upstream, first, (status, headers)).await
        }
    }
}

fn unreadable(error: &PassError) -> Failure {
    tracing::warn!(error = %error, "a backend's answer cannot be passed on");
    Failure::Answer
}

/// The body without the credential of its backend.
fn masked(call: &Call, candidate: usize, body: Bytes) -> Bytes {
    let needle = call.snapshot.needle(candidate);
    match &needle {
        Some(needle) if needle.is_in(&body) => {}
        _ => return body,
    }
    let mut mask = Mask::new(needle);
    let mut clean = BytesMut::from(mask.push(body));
    clean.extend_from_slice(&mask.finish());
    let hits = u64::from(mask.hits());
    call.router.metrics.credentials_masked.fetch_add(hits, Ordering::Relaxed);
    clean.freeze()
}

async fn whole(
    session: &mut ServerSession,
    call: &mut Call,
    (status, headers): (u16, HeaderMap),
    body: Bytes,
    observed: &Observed,
) -> Result<(), Stop> {
    call.first_byte();
    call.record.status = status;
    call.record.ended = "done";
    call.bill.usage = observed.usage;
    call.bill.output_bytes = observed.output_text_bytes;
    call.settle();
    let mut list: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(headers.len() + 6);
    list.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    list.extend(call.headers());
    let written = answer(session, status, list, body).await;
    if written.is_err() {
        call.record.ended = "caller_left";
    }
    Ok(written?)
}

/// What reading a piece gave.
enum Read {
    /// There is more to come.
    Piece(Bytes),
    /// The last piece.
    End(Bytes),
    /// What came before the connection broke, or stood still for too long, and what the caller is told then.
    Lost(Bytes, Failure),
}

/// A stream on its way.
struct Stream<'a, 'b> {
    session: &'a mut ServerSession,
    call: &'a mut Call,
    limit: &'a mut Limit<'b>,
    asked: &'a Asked,
    pass: Pass,
    mask: Mask,
}

impl Stream<'_, '_> {
    /// Writes the head.
    async fn begin(&mut self, status: u16, headers: HeaderMap) -> Result<(), Stop> {
        self.call.record.status = status;
        self.call.record.ended = "broken_off";
        let mut head = ResponseHeader::build_no_case(status, Some(headers.len() + 8))?;
        for (name, value) in &headers {
            head.append_header(name.clone(), value.clone())?;
        }
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

    /// Passes pieces on until the end.
    async fn run(
        &mut self,
        mut upstream: Upstream,
        first: Bytes,
        (status, headers): (u16, HeaderMap),
    ) -> Result<(), Stop> {
        let mut read = join(&mut upstream, first);
        let mut head = Some(headers);
        loop {
            let (piece, lost, ended) = match read {
                Read::Piece(piece) => (piece, None, false),
                Read::End(piece) => (piece, None, true),
                Read::Lost(piece, failure) => (piece, Some(failure), false),
            };
            let mut text = Vec::with_capacity(piece.len());
            let passed = self.pass.push(piece, &mut text);
            self.note();
            if let Some(headers) = head.take() {
                // What is no stream at all can still be told properly.
                if let (Err(error), true) = (&passed, text.is_empty()) {
                    return Err(unreadable(error).into());
                }
                self.begin(status, headers).await?;
                self.call.first_byte();
            }
            // Some servers close without a last chunk, or not at all, after they have said all.
            let whole = ended || (lost.is_some() && self.pass.observed().terminal);
            if whole && passed.is_ok() {
                return self.end(ended.then_some(upstream), text).await;
            }
            let text = self.mask.push(text.into());
            self.write(text).await?;
            if let Err(error) = passed {
                return self.fail(&unreadable(&error)).await;
            }
            if let Some(failure) = lost {
                let router = &self.call.router;
                router.health.record(&self.call.record.backend, Sign::Ill, now_ms());
                return self.fail(&failure).await;
            }
            let next = next(&mut upstream, self.pause());
            read = match watched(self.session, self.limit, next).await {
                Ok(read) => read,
                Err(Interrupt::CallerLeft) => {
                    self.call.record.ended = "caller_left";
                    return Err(Stop::BrokenOff);
                }
                Err(Interrupt::Cut) => return self.fail(&Failure::Stopping).await,
                Err(Interrupt::Total) => return self.fail(&Failure::Total).await,
            };
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
        let observed = self.pass.observed();
        self.call.bill.usage = observed.usage;
        self.call.bill.output_bytes = observed.output_text_bytes;
    }

    /// The backend has closed its stream, whether or not the answer is whole.
    async fn end(&mut self, upstream: Option<Upstream>, mut text: Vec<u8>) -> Result<(), Stop> {
        let ended = self.pass.finish(&mut text);
        self.note();
        let mut last = BytesMut::from(self.mask.push(text.into()));
        last.extend_from_slice(&self.mask.finish());
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
        let held = self.mask.finish();
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
        let hits = u64::from(self.mask.hits());
        self.call.router.metrics.credentials_masked.fetch_add(hits, Ordering::Relaxed);
    }
}

/// The next piece, for which nobody waits longer than `pause`.
async fn next(upstream: &mut Upstream, pause: Duration) -> Read {
    match timeout(pause, upstream.piece()).await {
        Ok(Ok(Some(piece))) => join(upstream, piece),
        Ok(Ok(None)) => Read::End(Bytes::new()),
        Ok(Err(_)) => Read::Lost(Bytes::new(), Failure::Answer),
        Err(_) => Read::Lost(Bytes::new(), Failure::Timeout),
    }
}

/// Adds to `piece` what has arrived already; nothing is waited for.
fn join(upstream: &mut Upstream, piece: Bytes) -> Read {
    if upstream.ended() {
        return Read::End(piece);
    }
    let mut joined = BytesMut::new();
    while piece.len().saturating_add(joined.len()) < JOIN_BYTES_MAX {
        let more = match now(upstream.piece()) {
            None => break,
            Some(Ok(Some(more))) => more,
            Some(Ok(None)) => return Read::End(joined_with(piece, &joined)),
            Some(Err(_)) => return Read::Lost(joined_with(piece, &joined), Failure::Answer),
        };
        joined.extend_from_slice(&more);
        if upstream.ended() {
            return Read::End(joined_with(piece, &joined));
        }
    }
    Read::Piece(joined_with(piece, &joined))
}

fn joined_with(piece: Bytes, more: &BytesMut) -> Bytes {
    if more.is_empty() {
        return piece;
    }
    let mut whole = BytesMut::with_capacity(piece.len().saturating_add(more.len()));
    whole.extend_from_slice(&piece);
    whole.extend_from_slice(more);
    whole.freeze()
}

/// The output of `work` if it is there at once. The same read is always polled again with a real waker.
fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
