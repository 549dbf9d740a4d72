//! An HTTP/1.1 client that shows everything: bytes as they come, their time, and whether the answer was whole.
//!
//! One connection per request. Not for product code: it trusts nothing less than it knows nothing.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{text::shown, wait::LONG};

/// A request to send.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Whether the framing said that the body is whole.
    pub whole: bool,
    /// From the first byte sent to the last byte read.
    pub took: Duration,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field; empty when there is none.
    pub name: String,
    /// The `data:` lines, joined.
    pub data: String,
}

/// An answer that is still coming.
#[derive(Debug)]
pub struct Incoming {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    framing: Framing,
    whole: bool,
    begun: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    UntilClose,
}

impl Ask {
    /// A `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` of a JSON document.
    pub fn post(target: &str, body: &Value) -> Self {
        Self::new("POST", target).header("content-type", "application/json").body(body.to_string())
    }

    /// Any request.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body, byte for byte.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the whole answer.
    pub fn send(&self, to: SocketAddr) -> Reply {
        self.open(to).rest()
    }

    /// Sends it and reads the head of the answer.
    pub fn open(&self, to: SocketAddr) -> Incoming {
        let begun = Instant::now();
        let mut stream = connect(to);
        stream.write_all(&self.bytes(to)).expect("the router takes the request");
        Incoming::read(stream, begun).expect("the router answers")
    }

    /// The same for a peer that may not be there yet.
    ///
    /// # Errors
    /// When it does not listen, or hangs up instead of answering.
    pub fn try_send(&self, to: SocketAddr) -> io::Result<Reply> {
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&to, LONG)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(&self.bytes(to))?;
        Incoming::read(stream, begun).map(Incoming::rest)
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self, to: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {to}\r\n", self.method, self.target);
        let has_body = !self.body.is_empty() || self.method == "POST";
        let names_length = self.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length")
                || name.eq_ignore_ascii_case("transfer-encoding")
        });
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if has_body && !names_length {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A connection with limits on every wait.
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, LONG).expect("the port answers");
    stream.set_read_timeout(Some(LONG)).expect("a socket takes a limit");
    stream.set_write_timeout(Some(LONG)).expect("a socket takes a limit");
    stream.set_nodelay(true).expect("a socket takes an option");
    stream
}

impl Incoming {
    /// Reads the head of an answer.
    ///
    /// # Errors
    /// When the peer closes first, stays silent too long, or sends no HTTP.
    pub fn read(stream: TcpStream, begun: Instant) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let (status, headers) = loop {
            let head = read_head(&mut reader)?;
            let status = status(&head.0)?;
            if !(100..200).contains(&status) {
                break (status, head.1);
            }
        };
        let framing = framing(status, &headers);
        let whole = framing == Framing::Length(0);
        Ok(Self { status, headers, reader, framing, whole, begun })
    }

    /// The next piece of the body as the router cut it; `None` at the end, or when the connection broke.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if self.whole {
            return None;
        }
        match self.framing {
            Framing::Chunked => self.chunk(),
            Framing::Length(left) => self.some(left),
            Framing::UntilClose => self.some(64 * 1024),
        }
    }

    /// Reads events until one arrives; `None` at the end.
    pub fn event(&mut self, left: &mut Vec<u8>) -> Option<Event> {
        loop {
            if let Some(event) = take_event(left) {
                return Some(event);
            }
            left.extend_from_slice(&self.piece()?);
        }
    }

    /// Everything that is still to come.
    pub fn rest(mut self) -> Reply {
        let mut body = Vec::new();
        while let Some(piece) = self.piece() {
            body.extend_from_slice(&piece);
        }
        let (status, headers, whole) = (self.status, self.headers, self.whole);
        Reply { status, headers, body, whole, took: self.begun.elapsed() }
    }

    /// Leaves in the middle, as a caller does who lost interest.
    pub fn leave(self) {
        // A peer that closed first has already left; there is nothing to tell it.
        drop(self.reader.get_ref().shutdown(Shutdown::Both));
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
        let mut piece = vec![0; size];
        self.reader.read_exact(&mut piece).ok()?;
        let mut end = String::new();
        self.reader.read_line(&mut end).ok()?;
        if size == 0 {
            self.whole = true;
            return None;
        }
        Some(piece)
    }

    fn some(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut piece = vec![0; most.min(64 * 1024)];
        let read = self.reader.read(&mut piece).ok()?;
        piece.truncate(read);
        match &mut self.framing {
            Framing::Length(left) => {
                *left -= read;
                self.whole = *left == 0;
            }
            Framing::UntilClose => self.whole = read == 0,
            Framing::Chunked => {}
        }
        (read > 0).then_some(piece)
    }
}

impl Reply {
    /// The first value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; fails the test when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON ({error}), status {}: {}", self.status, shown(&self.body))
        })
    }

    /// The body as server-sent events.
    pub fn events(&self) -> Vec<Event> {
        let mut left = self.body.clone();
        std::iter::from_fn(|| take_event(&mut left)).collect()
    }

    /// Head and body, for a search in everything that the caller sees.
    pub fn everything(&self) -> Vec<u8> {
        let mut all = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            all.push_str(&format!("{name}: {value}\n"));
        }
        let mut all = all.into_bytes();
        all.extend_from_slice(&self.body);
        all
    }

    /// Fails the test unless the status is `status`; says what came instead.
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", shown(&self.everything()));
        self
    }
}

/// Takes the first whole event out of `left`, comments skipped.
fn take_event(left: &mut Vec<u8>) -> Option<Event> {
    loop {
        let end = left.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = left.drain(..end + 2).collect();
        let block = String::from_utf8_lossy(&block).into_owned();
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                value.trim().clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push(value.strip_prefix(' ').unwrap_or(value));
            }
        }
        if !name.is_empty() || !data.is_empty() {
            return Some(Event { name, data: data.join("\n") });
        }
    }
}

/// Header lines in lower case, in order.
pub(crate) type Headers = Vec<(String, String)>;

/// The first line and the headers of a message.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<(String, Headers)> {
    let first = read_line(reader)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok((first, headers));
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| invalid("a header without a colon"))?;
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn status(line: &str) -> io::Result<u16> {
    let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| invalid("no status line"))
}

fn framing(status: u16, headers: &Headers) -> Framing {
    let value = |wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    if matches!(status, 204 | 304) {
        return Framing::Length(0);
    }
    if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    value("content-length")
        .and_then(|value| value.parse().ok())
        .map_or(Framing::UntilClose, Framing::Length)
}

pub(crate) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
