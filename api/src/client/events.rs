//! Events as a gateway sends them (server-sent events, WHATWG HTML §9.2), with their numbers.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::time::timeout;

use super::ClientError;

/// How long a gateway may say nothing: it gives a sign of life every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// The largest event, bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What brings those after it, when it is told as the last one.
    pub id: String,
    /// Which kind it is; empty for the usual one.
    pub kind: String,
    /// What it says.
    pub data: String,
}

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    answer: reqwest::Response,
    at: String,
    bytes: BytesMut,
}

impl Events {
    pub(super) fn new(answer: reqwest::Response, at: String) -> Self {
        Self { answer, at, bytes: BytesMut::new() }
    }

    /// The next event; none when the gateway has ended the stream. Not cancel-safe: a drop may lose a part of one.
    ///
    /// # Errors
    /// When the connection breaks, or nothing came for a minute: the last number brings the rest.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some((block, length)) = block(&self.bytes) {
                let event = event(block);
                self.bytes.advance(length);
                if let Some(event) = event {
                    return Ok(Some(event));
                }
            }
            if self.bytes.len() > EVENT_BYTES_MAX {
                return Err(ClientError::Malformed("an event is too large".to_owned()));
            }
            let piece = timeout(SILENCE_MAX, self.answer.chunk()).await;
            let piece = piece.map_err(|_| ClientError::Silent { at: self.at.clone() })?;
            let broken = |source| ClientError::Unreachable { at: self.at.clone(), source };
            match piece.map_err(broken)? {
                Some(piece) => self.bytes.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

/// The first whole event and its length with the empty line behind it.
fn block(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    Some((bytes.get(..end)?, end + 2))
}

/// The event in a block; none for a sign of life.
fn event(block: &[u8]) -> Option<Event> {
    let text = String::from_utf8_lossy(block);
    let (mut event, mut data) = (Event::default(), Vec::new());
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => value.clone_into(&mut event.id),
            "event" => value.clone_into(&mut event.kind),
            "data" => data.push(value.to_owned()),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!data.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_at_empty_lines_and_signs_of_life_are_none() {
        let text = b":\n\nid: 7\nevent: log\ndata: a\ndata:  b\n\nid: 8\ndata: c";
        let (first, length) = block(text).unwrap();
        assert_eq!((event(first), length), (None, 3));
        let (second, length) = block(&text[length..]).unwrap();
        let said = Event { id: "7".into(), kind: "log".into(), data: "a\n b".into() };
        assert_eq!(event(second), Some(said));
        assert_eq!(block(&text[3 + length..]), None);
    }
}
