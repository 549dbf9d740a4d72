//! Collects the body of a request that must be known as a whole before its head is sent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::ServerSession;
use tokio::time::timeout;

use super::refusal::Refusal;

/// Longest time that a caller may take for such a body.
const WAIT: Duration = Duration::from_mins(1);

/// The body; `None` where it has more than `limit` bytes.
///
/// # Errors
/// When the caller is too slow or breaks off.
pub(super) async fn read(
    session: &mut ServerSession,
    limit: usize,
) -> Result<Option<Bytes>, Refusal> {
    let lost = |detail| Refusal::new(408, "invalid_request", "body_incomplete", detail);
    let reading = async {
        let expect = session.req_header().headers.get(header::EXPECT);
        if expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            session.write_continue_response().await?;
        }
        let mut body = BytesMut::new();
        while let Some(piece) = session.read_request_body().await? {
            if body.len().saturating_add(piece.len()) > limit {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body.freeze()))
    };
    match timeout(WAIT, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            let error: Box<pingora::Error> = error;
            tracing::debug!(error = %error, "a body broke off");
            Err(lost("the body breaks off"))
        }
        Err(_) => Err(lost("the body takes too long")),
    }
}
