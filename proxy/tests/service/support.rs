//! A scripted upstream and a client that sees every byte.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use proxy::server::{AuditOptions, Environment, ListenAddr, Options, Running};

/// The credential of the upstream.
pub(crate) const KEY: &str = "sk-upstream-0123456789";

/// What an upstream does with a request.
pub(crate) enum Reply {
    /// Sends these bytes and keeps the connection.
    Bytes(Vec<u8>),
    /// Sends these pieces with a pause before each but the first, and keeps the connection if `keep`.
    Slow { pieces: Vec<Vec<u8>>, pause: Duration, keep: bool },
    /// Closes the connection.
    Close,
    /// Waits until the other side closes.
    Hang,
}

/// A JSON answer.
pub(crate) fn json(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )
}

/// The head of a stream, and its chunks.
pub(crate) fn stream(chunks: &[&str], pause: Duration, end: bool) -> Reply {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut pieces = vec![head.to_vec()];
    pieces.extend(chunks.iter().map(|text| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()));
    if end {
        pieces.push(b"0\r\n\r\n".to_vec());
    }
    Reply::Slow { pieces, pause, keep: end }
}

/// Heads and bodies that came.
type Seen = Mutex<Vec<(String, Vec<u8>)>>;

type Script = dyn Fn(&str, &[u8]) -> Reply + Send + Sync;

/// A server that answers by a script and remembers what it was sent.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) closed: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn start(script: impl Fn(&str, &[u8]) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let upstream = Self {
            addr,
            seen: Arc::default(),
            connections: Arc::default(),
            closed: Arc::default(),
        };
        let script: Arc<Script> = Arc::new(script);
        let (seen, connections, closed) = (
            Arc::clone(&upstream.seen),
            Arc::clone(&upstream.connections),
            Arc::clone(&upstream.closed),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, seen, closed) =
                    (Arc::clone(&script), Arc::clone(&seen), Arc::clone(&closed));
                std::thread::spawn(move || {
                    serve(stream, &*script, &seen);
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// Heads and bodies so far.
    pub(crate) fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.lock().clone()
    }
}

fn serve(mut stream: TcpStream, script: &Script, seen: &Seen) {
    stream.set_nodelay(true).unwrap();
    while let Some((head, body)) = read_message(&mut stream) {
        let reply = script(&head, &body);
        seen.lock().push((head, body));
        let done = match reply {
            Reply::Bytes(bytes) => stream.write_all(&bytes),
            Reply::Slow { pieces, pause, keep } => {
                let mut result = Ok(());
                for (at, piece) in pieces.iter().enumerate() {
                    if at > 0 {
                        wait(pause);
                    }
                    result = result.and_then(|()| stream.write_all(piece));
                }
                if !keep {
                    return;
                }
                result
            }
            Reply::Close => return,
            Reply::Hang => {
                drop(stream.read(&mut [0]));
                return;
            }
        };
        if done.is_err() {
            return;
        }
    }
}

/// Passes time without a sleep of this thread's own.
fn wait(pause: Duration) {
    if !pause.is_zero() {
        std::thread::park_timeout(pause);
    }
}

/// One HTTP message; `None` at the end of the connection.
pub(crate) fn read_message(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let value = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let mut body = Vec::new();
    if value("transfer-encoding").is_some() {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).ok()? == 0 {
                    body.extend_from_slice(b"<cut>");
                    return Some((head, body));
                }
                line.push(byte[0]);
            }
            let size = usize::from_str_radix(String::from_utf8(line).ok()?.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).ok()?;
            chunk.truncate(size);
            if size == 0 {
                return Some((head, body));
            }
            body.extend_from_slice(&chunk);
        }
    }
    let length: usize = value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    body.resize(length, 0);
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A router in front of upstreams, with its files.
pub(crate) struct World {
    /// Holds the files; removed at the end.
    _folder: tempfile::TempDir,
    pub(crate) running: Option<Running>,
    pub(crate) config: PathBuf,
    pub(crate) audit: PathBuf,
}

/// A configuration with one backend per upstream, each with the model `m`.
pub(crate) fn config(upstreams: &[&Upstream], more: &str) -> String {
    let backend = |(number, upstream): (usize, &&Upstream)| {
        format!(
            "  - name: b{number}\n    provider: openai-compatible\n    base_url: http://{}\n    \
             zone: local\n    credential: {{env: KEY}}\n    \
             models: [{{id: m, context: 100000, price: {{input: 1, output: 1}}}}]\n",
            upstream.addr
        )
    };
    let backends: String = upstreams.iter().enumerate().map(backend).collect();
    format!("version: 1\nbackends:\n{backends}{more}")
}

impl World {
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(text, |_| {})
    }

    pub(crate) fn start_with(text: &str, change: impl Fn(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("router.yaml");
        let audit = folder.path().join("audit.jsonl");
        std::fs::write(&config, text).unwrap();
        let mut options = Options::new(&config, ListenAddr::Tcp("127.0.0.1:0".parse().unwrap()));
        options.admin = Some("127.0.0.1:0".parse().unwrap());
        options.threads = 2;
        options.audit = Some(AuditOptions { file: Some(audit.clone()), ..AuditOptions::default() });
        options.environment = Environment::new(|name| (name == "KEY").then(|| KEY.to_owned()));
        change(&mut options);
        let running = Running::start(&options).unwrap();
        Self { _folder: folder, running: Some(running), config, audit }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.running.as_ref().unwrap().addr().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes on a new connection and gives the answer.
    pub(crate) fn send(&self, bytes: &[u8]) -> (String, String) {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let (head, body) = read_message(&mut stream).unwrap_or_default();
        (head, String::from_utf8(body).unwrap())
    }

    /// Posts a chat request.
    pub(crate) fn chat(&self, body: &str) -> (String, String) {
        self.send(post("/v1/chat/completions", "", body).as_bytes())
    }

    /// A page of the administrative address.
    pub(crate) fn admin(&self, path: &str) -> String {
        let address = self.running.as_ref().unwrap().admin_addr().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
        String::from_utf8(read_message(&mut stream).unwrap().1).unwrap()
    }

    /// Stops the server and gives the audit lines.
    pub(crate) fn audit(mut self) -> Vec<serde_json::Value> {
        drop(self.running.take());
        let text = std::fs::read_to_string(&self.audit).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A request.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: router\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// A chat request of one message.
pub(crate) fn prompt(text: &str, more: &str) -> String {
    format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]{more}}}")
}

/// Whether `check` holds within five seconds.
pub(crate) fn soon(check: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if check() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    false
}
