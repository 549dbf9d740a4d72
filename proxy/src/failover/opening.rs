//! The beginning of an answer, up to the first word of the model: until then another backend can take over.
//!
//! A whole answer is read and passed in one go. Of a stream, what comes before the first content is held back for a
//! moment, so that an error in place of an answer is not what the caller gets while others could answer.
//! Invariant: nothing of what is lost here has reached the caller.

use std::time::Duration;

use backends::configuration::Timeouts;
use bytes::Bytes;
use domain::limits::ANSWER_BYTES_MAX;
use http::{HeaderName, HeaderValue, header};
use router::{answer::Observed, wire::Dialect};
use tokio::time::{Instant, timeout_at};

use crate::{
    exchange::Asked,
    failover::{
        lost::Lost,
        request::Translation,
        upstream_answer::{Read, Upstream},
    },
    mask,
    pass::{self, Pass},
};

/// Longest time that a stream without content is held back: callers take silence for a dead connection.
const HOLD: Duration = Duration::from_secs(5);

/// What a backend answers.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it, as the caller gets it, what was seen in it, and how often a credential was hidden.
    Whole(Bytes, Box<Observed>, u32),
    /// A stream that has begun.
    Stream(Box<Opening>),
}

/// A stream that has begun.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Where the rest comes from.
    pub(crate) upstream: Upstream,
    /// What it goes through.
    pub(crate) pass: Pass,
    /// The beginning, as the caller gets it but for the mask.
    pub(crate) text: Vec<u8>,
    /// What follows.
    pub(crate) rest: Rest,
}

/// What follows the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// More.
    More,
    /// Nothing: it has ended.
    Nothing,
    /// Nothing: its connection broke.
    Broken,
}

/// One word for the record, and what it means for the plan.
pub(super) type Failed = (&'static str, Lost);

/// Reads an answer up to its first content.
///
/// # Errors
/// When it breaks or turns out to be none; then nobody has seen any of it.
pub(super) async fn open(
    mut upstream: Upstream,
    asked: &Asked,
    from: Dialect,
    translation: Translation,
    timeouts: Timeouts,
) -> Result<(Vec<(HeaderName, HeaderValue)>, Content), Failed> {
    let headers = upstream.returned();
    let kind = upstream.text(header::CONTENT_TYPE).unwrap_or_default();
    if kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
        let encoding = upstream.encoding().map_err(|word| (word, Lost::Broke))?;
        let pass = Pass::new(asked, from, encoding, translation);
        let pass = pass.map_err(|_| ("unreadable", Lost::Broke))?;
        // Boxed: an answer in one piece should not make room for a stream.
        let opening = Box::pin(begin(upstream, pass, timeouts.first_byte)).await?;
        return Ok((headers, Content::Stream(Box::new(opening))));
    }
    let whole = upstream.whole(ANSWER_BYTES_MAX, timeouts.idle).await;
    let body = whole.map_err(|word| (word, Lost::Broke))?;
    let (body, hits) = mask::masked(upstream.needle(), body);
    upstream.release().await;
    let passed = pass::whole(asked, from, body, &translation);
    let (body, observed) = passed.map_err(|error| {
        tracing::warn!(error = %error, "a backend's answer cannot be passed on");
        ("unreadable", Lost::Broke)
    })?;
    Ok((headers, Content::Whole(body, Box::new(observed), hits)))
}

/// Reads pieces until the model speaks, the stream ends, or the caller should not wait any longer.
async fn begin(
    mut upstream: Upstream,
    mut pass: Pass,
    first_byte: Duration,
) -> Result<Opening, Failed> {
    let mut deadline = Instant::now() + first_byte;
    let mut text = Vec::new();
    loop {
        let read = match timeout_at(deadline, upstream.next(first_byte)).await {
            Ok(read) => read,
            // Something has come, but no content: let the caller see it.
            Err(_) if !text.is_empty() => {
                return Ok(Opening { upstream, pass, text, rest: Rest::More });
            }
            Err(_) => return Err(("first_byte_timeout", Lost::Timeout)),
        };
        let (piece, rest) = match read {
            Read::Piece(piece) => (piece, Rest::More),
            Read::End(piece) => (piece, Rest::Nothing),
            Read::Broken(piece) => (piece, Rest::Broken),
            Read::Idle => return Err(("first_byte_timeout", Lost::Timeout)),
        };
        if let Err(error) = pass.push(piece, &mut text) {
            tracing::warn!(error = %error, "a backend's stream cannot be passed on");
            return Err(("unreadable", Lost::Broke));
        }
        let seen = pass.observed();
        if let (Some(error), false) = (&seen.error, seen.content) {
            return Err(("error_event", instead(&error.code)));
        }
        if seen.content || seen.terminal {
            return Ok(Opening { upstream, pass, text, rest });
        }
        match rest {
            Rest::More => {}
            Rest::Nothing => return Err(("empty", Lost::Broke)),
            Rest::Broken => return Err(("broken", Lost::Broke)),
        }
        deadline = deadline.min(Instant::now() + HOLD);
    }
}

/// What an error in place of an answer means for the plan.
fn instead(code: &str) -> Lost {
    let busy = ["overloaded", "rate_limit", "RESOURCE_EXHAUSTED", "throttl", "429", "529"];
    if busy.iter().any(|word| code.contains(word)) { Lost::Busy(None) } else { Lost::Failed }
}
