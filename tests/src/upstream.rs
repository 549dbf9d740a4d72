//! A model server that follows a script and remembers everything it was sent.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    http::{invalid, read_head},
    script::{Script, Step},
    wait,
};

/// How often an upstream that waits looks whether its peer is still there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, values, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// When its last byte arrived.
    pub at: Instant,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

/// A running upstream; it ends with its value.
pub struct ScriptedUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Respond = dyn Fn(&Seen, usize) -> Script + Send + Sync;

struct Shared {
    respond: Box<Respond>,
    seen: Mutex<Vec<Seen>>,
    /// When a peer left while a script was still running.
    left: Mutex<Vec<Instant>>,
    open: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

impl ScriptedUpstream {
    /// Answers every request with the same script.
    pub fn always(script: Script) -> Self {
        Self::start(move |_, _| script.clone())
    }

    /// Answers with the scripts in turn; the last one stays.
    pub fn in_turn(scripts: Vec<Script>) -> Self {
        assert!(!scripts.is_empty(), "an upstream needs a script");
        Self::start(move |_, count| {
            let last = scripts.len() - 1;
            scripts.get(count.min(last)).cloned().expect("the last script exists")
        })
    }

    /// Answers each request as `respond` says; its second argument counts the requests before this one.
    pub fn start(respond: impl Fn(&Seen, usize) -> Script + Send + Sync + 'static) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        Self::on(listener, respond)
    }

    /// The same on a listener that is there already.
    pub fn on(
        listener: TcpListener,
        respond: impl Fn(&Seen, usize) -> Script + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            respond: Box::new(respond),
            seen: Mutex::default(),
            left: Mutex::default(),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().len()
    }

    /// The only request that came; fails the test when there were none or several.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "the upstream got {} requests", seen.len());
        seen.into_iter().next().expect("there is one")
    }

    /// Waits until `count` requests came.
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        wait::until(&format!("{count} requests"), wait::LONG, || {
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
    }

    /// When a peer left in the middle of a script; waits for the first.
    pub fn wait_for_leave(&self) -> Instant {
        wait::until("the peer to leave", wait::LONG, || self.shared.left.lock().first().copied())
    }
}

impl Seen {
    /// The first value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; fails the test when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the upstream got no JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Head and body, for a search in everything that left.
    pub fn everything(&self) -> Vec<u8> {
        let mut all = format!("{} {}\n", self.method, self.target);
        for (name, value) in &self.headers {
            all.push_str(&format!("{name}: {value}\n"));
        }
        let mut all = all.into_bytes();
        all.extend_from_slice(&self.body);
        all
    }
}

/// An address on which nothing listens.
pub fn dead_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address")
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().drain(..) {
            // A peer that is gone needs no telling.
            drop(stream.shutdown(Shutdown::Both));
        }
        // Wakes the thread that accepts, so that it sees the end.
        drop(TcpStream::connect(self.address));
    }
}

impl fmt::Debug for ScriptedUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedUpstream").field("address", &self.address).finish_non_exhaustive()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, stream) in listener.incoming().enumerate() {
        let Ok(stream) = stream else { continue };
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(clone) = stream.try_clone() {
            shared.open.lock().push(clone);
        }
        let shared = Arc::clone(shared);
        // Whatever ends a connection, the test sees it in what was recorded.
        thread::spawn(move || drop(serve(stream, connection, &shared)));
    }
}

fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let seen = read_request(&mut reader, connection)?;
        let before = {
            let mut all = shared.seen.lock();
            all.push(seen.clone());
            all.len() - 1
        };
        let script = (shared.respond)(&seen, before);
        if !play(&script, &mut writer, shared)? {
            return writer.shutdown(Shutdown::Both);
        }
    }
}

/// Plays a script; whether the connection can take another request.
fn play(script: &Script, stream: &mut TcpStream, shared: &Shared) -> io::Result<bool> {
    for step in script.steps() {
        let here = match step {
            Step::Send(bytes) => stream.write_all(bytes).is_ok(),
            Step::Pause(pause) => stays(stream, *pause)?,
            Step::Stall => stays(stream, wait::LONG)?,
            Step::Close => return Ok(false),
        };
        if !here {
            shared.left.lock().push(Instant::now());
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits for `pause`; false as soon as the peer is gone.
fn stays(stream: &TcpStream, pause: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let here = loop {
        let waited = begun.elapsed();
        if waited >= pause {
            break true;
        }
        match stream.peek(&mut [0]) {
            Ok(0) => break false,
            // Bytes that wait make `peek` return at once.
            Ok(_) => thread::park_timeout(LOOK_EVERY.min(pause.saturating_sub(waited))),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break false,
        }
    };
    stream.set_read_timeout(None)?;
    Ok(here)
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> io::Result<Seen> {
    let (first, headers) = read_head(reader)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(invalid("no request line"));
    };
    let value = |wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let body = if value("transfer-encoding").is_some() {
        read_chunks(reader)?
    } else {
        let length = value("content-length").map_or(Ok(0), |value| value.parse());
        let mut body = vec![0; length.map_err(|_| invalid("no length"))?];
        reader.read_exact(&mut body)?;
        body
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Seen { method, target, headers, body, at: Instant::now(), connection })
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| invalid("no chunk size"))?;
        let mut piece = vec![0; size];
        reader.read_exact(&mut piece)?;
        body.extend_from_slice(&piece);
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::Ask;

    #[test]
    fn what_was_sent_is_remembered_and_answered_in_turn() {
        let scripts = vec![Script::json(503, &json!({})), Script::json(200, &json!({"ok": true}))];
        let upstream = ScriptedUpstream::in_turn(scripts);
        for (asked, status) in [("/a", 503), ("/b", 200), ("/c", 200)] {
            let reply = Ask::post(asked, &json!({"asked": asked})).send(upstream.address());
            assert_eq!(reply.status, status);
        }
        let seen = upstream.seen();
        assert_eq!(
            seen.iter().map(|seen| seen.target.as_str()).collect::<Vec<_>>(),
            ["/a", "/b", "/c"]
        );
        assert_eq!(seen[1].json(), json!({"asked": "/b"}));
    }

    #[test]
    fn a_peer_that_leaves_a_stalled_answer_is_noticed_at_once() {
        let script = Script::events(&[]).then(1, Step::Stall);
        let upstream = ScriptedUpstream::always(script);
        let incoming = Ask::get("/").open(upstream.address());
        let left = Instant::now();
        incoming.leave();
        let noticed = upstream.wait_for_leave().saturating_duration_since(left);
        assert!(noticed < Duration::from_secs(1), "{noticed:?}");
    }

    #[test]
    fn a_stream_that_breaks_is_not_whole() {
        let whole = ScriptedUpstream::always(Script::events(&[Event::done()]));
        let broken =
            ScriptedUpstream::always(Script::events(&[Event::done()]).then(2, Step::Close));
        for (upstream, expected) in [(whole, true), (broken, false)] {
            let reply = Ask::get("/").send(upstream.address());
            assert_eq!(reply.whole, expected);
            assert_eq!(reply.events(), [Event::done()]);
        }
    }

    use crate::http::Event;
}
