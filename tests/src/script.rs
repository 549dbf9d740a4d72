//! What a scripted upstream does with one request, step by step.

use std::time::Duration;

use serde_json::Value;

use crate::http::Event;

/// One thing that an upstream does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes at once.
    Send(Vec<u8>),
    /// Does nothing for a while, or until the peer leaves.
    Pause(Duration),
    /// Does nothing until the peer leaves.
    Stall,
    /// Closes the connection.
    Close,
}

/// The steps that answer one request.
#[derive(Clone, Debug)]
pub struct Script(Vec<Step>);

impl Script {
    /// Any steps, starting with the status line.
    pub fn raw(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// A whole JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// A whole answer of any kind.
    pub fn whole(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut bytes = head(status, headers, &format!("content-length: {}", body.len()));
        bytes.extend_from_slice(body);
        Self(vec![Step::Send(bytes)])
    }

    /// An event stream, one write per event.
    pub fn events(events: &[Event]) -> Self {
        let mut steps = vec![Step::Send(stream_head())];
        steps.extend(events.iter().map(|event| Step::Send(chunk(&event.bytes()))));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        Self(steps)
    }

    /// The same stream, cut into writes of `size` bytes without regard to events or characters.
    pub fn events_cut(events: &[Event], size: usize) -> Self {
        let all: Vec<u8> = events.iter().flat_map(Event::bytes).collect();
        let mut steps = vec![Step::Send(stream_head())];
        steps.extend(all.chunks(size.max(1)).map(|piece| Step::Send(chunk(piece))));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        Self(steps)
    }

    /// Waits before the first byte.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.0.insert(0, Step::Pause(pause));
        self
    }

    /// Waits between the writes.
    #[must_use]
    pub fn paced(self, pause: Duration) -> Self {
        let steps = self.0.into_iter().flat_map(|step| [step, Step::Pause(pause)]);
        Self(steps.collect())
    }

    /// Only the first `writes` writes, then `end`.
    #[must_use]
    pub fn then(mut self, writes: usize, end: Step) -> Self {
        self.0.truncate(writes);
        self.0.push(end);
        self
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl Event {
    /// An event without a name, as the chat dialect sends them.
    pub fn data(data: &Value) -> Self {
        Self { name: String::new(), data: data.to_string() }
    }

    /// An event that is named by the `type` in its data.
    pub fn typed(data: &Value) -> Self {
        let name = data.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { name, data: data.to_string() }
    }

    /// The end mark of the chat dialect.
    pub fn done() -> Self {
        Self { name: String::new(), data: "[DONE]".to_owned() }
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let name =
            if self.name.is_empty() { String::new() } else { format!("event: {}\n", self.name) };
        format!("{name}data: {}\n\n", self.data).into_bytes()
    }

    /// The data as JSON; `null` when it is none, such as `[DONE]`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// The head of a stream in chunks.
pub fn stream_head() -> Vec<u8> {
    head(
        200,
        &[("content-type", "text/event-stream"), ("cache-control", "no-cache")],
        "transfer-encoding: chunked",
    )
}

/// One chunk of a chunked body.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

fn head(status: u16, headers: &[(&str, &str)], framing: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n{framing}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}
