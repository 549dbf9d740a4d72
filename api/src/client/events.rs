//! What comes as it happens: server-sent events.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::header;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

use super::{Client, ClientError, kind, refusal};

/// How long a gateway may say nothing: it gives a sign of life every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub kind: String,
    /// What tells it from others, for whoever comes back after it; may be empty.
    pub id: String,
    /// What it says: JSON.
    pub data: String,
}

type Decoded = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

/// Events, as they come.
pub struct Events {
    stream: Decoded,
    at: String,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// The next event; `None` when no more come, and whoever wants more asks again with the last `id`.
    ///
    /// # Errors
    /// When what comes is none, the connection breaks, or nothing comes for a minute: the last `id` brings the rest.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let block = timeout(SILENCE_MAX, self.stream.next()).await;
            let block = block.map_err(|_| ClientError::Silent { at: self.at.clone() })?;
            let Some(block) = block else { return Ok(None) };
            let block = block.map_err(|error| ClientError::Malformed(error.to_string()))?;
            if let Some(data) = block.data {
                let kind = block.event.unwrap_or_else(|| "message".to_owned());
                return Ok(Some(Event { kind, id: block.id.unwrap_or_default(), data }));
            }
        }
    }
}

impl Client {
    /// Events at a path, such as `/v1/watch`; those after the one with that `id` where there is one.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn follow(&self, path: &str, after: Option<&str>) -> Result<Events, ClientError> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let (status, kind) = (answer.status(), kind(&answer));
        if status.is_success() && kind.starts_with("text/event-stream") {
            let bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>> =
                Box::pin(answer.bytes_stream());
            let stream = Box::pin(SseByteStream::new(bytes));
            return Ok(Events { stream, at: self.shown.clone() });
        }
        Err(refusal(status, &kind, &self.whole(answer).await?))
    }
}
