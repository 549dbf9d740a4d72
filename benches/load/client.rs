//! A caller: one connection that sends a request and reads the answer to its end, without a library in between.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest time without a byte.
const PAUSE: Duration = Duration::from_secs(20);

/// How the end of an answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes follow.
    Length(usize),
    /// Chunks follow, the last of which is empty.
    Chunks,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    /// A caller of the server at `address`.
    ///
    /// # Errors
    /// When it cannot connect.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Opens a tunnel to the server that requests name.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn tunnel(&mut self) -> anyhow::Result<()> {
        let connect = b"CONNECT router.internal:80 HTTP/1.1\r\nHost: router.internal:80\r\n\r\n";
        self.stream.write_all(connect).await?;
        let mut head = [0; 39];
        self.stream.read_exact(&mut head).await?;
        anyhow::ensure!(head.starts_with(b"HTTP/1.1 200 "), "the tunnel was refused");
        Ok(())
    }

    /// Sends a request with the headers of an SDK; `more` are further header lines.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) async fn send(&mut self, more: &str, body: &[u8]) -> anyhow::Result<()> {
        self.request.clear();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: router.internal\r\nconnection: keep-alive\r\naccept: \
             application/json\r\naccept-encoding: gzip, deflate\r\nuser-agent: OpenAI/Python 2.8.1\r\nx-stainless-lang: \
             python\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\nauthorization: Bearer \
             bench-caller-key\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        Ok(self.stream.write_all(&self.request).await?)
    }

    /// Reads an answer to its end; `arrived` is called with the number of bytes of each read.
    ///
    /// # Errors
    /// When it is no success, is not whole or does not come.
    pub(crate) async fn receive(&mut self, mut arrived: impl FnMut(Instant)) -> anyhow::Result<()> {
        self.answer.clear();
        let mut head = None;
        loop {
            let read = self.stream.read_buf(&mut self.answer);
            let read = tokio::time::timeout(PAUSE, read).await.context("no answer")??;
            if read == 0 {
                bail!("the answer was cut after {} bytes", self.answer.len());
            }
            arrived(Instant::now());
            if head.is_none() {
                head = self.head()?;
            }
            let Some((body, framing)) = head else { continue };
            let body = self.answer.get(body..).unwrap_or_default();
            match framing {
                Framing::Length(length) if body.len() >= length => return Ok(()),
                Framing::Chunks if body.ends_with(b"\r\n0\r\n\r\n") => return Ok(()),
                Framing::Length(_) | Framing::Chunks => {}
            }
        }
    }

    /// Where the body begins and how it ends, once the head is there.
    fn head(&self) -> anyhow::Result<Option<(usize, Framing)>> {
        let Some(end) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(self.answer.get(..end).unwrap_or_default())?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{}", String::from_utf8_lossy(&self.answer));
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let framing = length.map_or(Framing::Chunks, Framing::Length);
        Ok(Some((end + 4, framing)))
    }

    /// The answer as it came, head included.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer
    }
}
