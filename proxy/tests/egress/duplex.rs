//! Both directions of an exchange at once: nobody is kept from speaking because somebody else does not listen yet.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::timeout,
};

use crate::lab::{Lab, POLICY, Peer, SOON};

/// More than all sockets on the way hold.
const BYTES: usize = 32 << 20;

/// A server that writes a large answer, and reads a large body after or beside that.
pub(crate) async fn server(reads_first: bool) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Peer(stream);
        drop(peer.head().await);
        let (mut read, mut write) = peer.0.into_split();
        let answer = async {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
            write.write_all(head.as_bytes()).await.unwrap();
            write.write_all(&vec![b'a'; BYTES - 1]).await.unwrap();
            write
        };
        let mut body = vec![0; BYTES];
        let taken = async { read.read_exact(&mut body).await.unwrap() };
        let mut write = if reads_first {
            tokio::join!(answer, taken).0
        } else {
            let write = answer.await;
            let _count = taken.await;
            write
        };
        // An exchange is over when its answer is.
        write.write_all(b"z").await.unwrap();
        std::future::pending::<()>().await;
    });
    (address, tasks)
}

/// Sends a large body and reads a large answer, after or beside that.
async fn exchange(server_reads_first: bool, caller_writes_first: bool) {
    let (address, _server) = server(server_reads_first).await;
    let lab = Lab::at(POLICY, None, (7000, address)).await;
    let mut peer = lab.tunnel("raw.example.com:7000").await;
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: raw.example.com:7000\r\nContent-Length: {BYTES}\r\n\r\n"
    );
    peer.send(head).await;
    let (read, mut write) = peer.0.into_split();
    let body = async { write.write_all(&vec![b'b'; BYTES]).await.unwrap() };
    let answer = async {
        let mut taken = 0;
        let mut read = tokio::io::BufReader::new(read);
        let mut buffer = vec![0; 64 << 10];
        while taken < BYTES {
            taken += read.read(&mut buffer).await.unwrap();
        }
    };
    let done = async {
        if caller_writes_first {
            body.await;
            answer.await;
        } else {
            tokio::join!(body, answer);
        }
    };
    // Nobody waits for ever.
    timeout(SOON, done).await.unwrap();
}

#[tokio::test]
async fn a_server_that_answers_before_it_reads_is_read() {
    exchange(false, false).await;
}

#[tokio::test]
async fn a_caller_that_reads_only_after_it_has_written_is_read() {
    exchange(true, true).await;
}

#[tokio::test]
async fn the_same_holds_within_tls_over_both_versions_of_http() {
    for flag in ["--http1.1", "--http2"] {
        let lab = Lab::new().await;
        std::fs::write(lab.folder.path().join("large"), vec![b'a'; 16 << 20]).unwrap();
        let url = "https://api.example.com/public/first";
        let (text, content) =
            lab.curl(&[flag, "-H", "Expect:", "--data-binary", "@large", "-o", "out", url]).await;
        assert!(content, "{flag}: {text}");
        let out = std::fs::read(lab.folder.path().join("out")).unwrap();
        assert!(out.ends_with(b"a read 16777216"), "{flag}: {}", out.len());
    }
}

/// Time that passes only when the test says so, while everybody is served who waits for a socket.
struct OwnTime(JoinSet<()>);

impl OwnTime {
    fn begin() -> Self {
        tokio::time::pause();
        let mut busy = JoinSet::new();
        // Where nobody has anything to do, a paused clock would go on to the next timer.
        busy.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        Self(busy)
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        self.settle().await;
    }

    /// Lets everybody do what there is to do.
    async fn settle(&self) {
        assert!(!self.0.is_empty());
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
    }
}

/// A tunnel to a server of the test, and the server's side of it once a request has begun.
async fn both_sides(lab: &Lab, listener: &TcpListener, head: &str) -> (Peer, Peer) {
    let mut caller = lab.tunnel("raw.example.com:7000").await;
    caller.send(format!("{head}\r\nHost: raw.example.com:7000\r\n\r\n")).await;
    let mut server = Peer(listener.accept().await.unwrap().0);
    drop(server.head().await);
    (caller, server)
}

async fn lab() -> (Lab, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lab = Lab::at(POLICY, None, (7000, listener.local_addr().unwrap())).await;
    (lab, listener)
}

#[tokio::test]
async fn a_caller_that_stops_within_its_request_is_not_waited_for_while_the_server_speaks() {
    let (lab, listener) = lab().await;
    let post = "POST /a HTTP/1.1\r\nContent-Length: 10";
    let (mut caller, mut server) = both_sides(&lab, &listener, post).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    drop(caller.head().await);
    let time = OwnTime::begin();
    let mut seconds = 0;
    while seconds < 600 {
        // It may be gone already.
        drop(server.0.write_all(b"x").await);
        if !matches!(caller.0.read(&mut [0]).await, Ok(1)) {
            break;
        }
        time.pass(10).await;
        seconds += 10;
    }
    assert!((60..=80).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_not_waited_for_while_it_speaks() {
    let (lab, listener) = lab().await;
    let post = "POST /a HTTP/1.1\r\nContent-Length: 1000";
    let (mut caller, server) = both_sides(&lab, &listener, post).await;
    let (mut read, mut write) = server.0.into_split();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        drop(write.write_all(&vec![b'a'; BYTES]).await);
        std::future::pending::<()>().await;
    });
    let time = OwnTime::begin();
    let mut seconds = 0;
    while seconds < 3000 {
        drop(caller.0.write_all(b"x").await);
        if !matches!(read.read(&mut [0]).await, Ok(1)) {
            break;
        }
        time.pass(50).await;
        seconds += 50;
    }
    assert!((300..=400).contains(&seconds), "{seconds}");
    let mut taken = Vec::new();
    drop(caller.0.read_to_end(&mut taken).await);
    assert!(taken.len() < BYTES);
}

#[tokio::test]
async fn a_body_that_trickles_is_not_collected_for_ever() {
    let (lab, _listener) = lab().await;
    let mut caller = lab.connect().await;
    let head = "POST http://graph.example.com/graphql HTTP/1.1\r\nHost: graph.example.com\r\n\
        Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
    caller.send(head).await;
    let time = OwnTime::begin();
    time.settle().await;
    let mut told = vec![0; 4096];
    let mut seconds = 0;
    let told = loop {
        match caller.0.try_read(&mut told) {
            Ok(count) => break String::from_utf8_lossy(&told[..count]).into_owned(),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => panic!("{error}"),
            Err(_) => {}
        }
        assert!(seconds < 3000, "it is collected for ever");
        caller.send("{").await;
        time.settle().await;
        time.pass(20).await;
        seconds += 20;
    };
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    assert!((300..=340).contains(&seconds), "{seconds}");
    assert_eq!(lab.journal.last().reason, Some("body_timeout"));
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole_or_ends_with_a_reset() {
    for is_whole in [true, false] {
        let (lab, listener) = lab().await;
        // HTTP/1.0 has no other way to tell.
        let get = "GET /a HTTP/1.0";
        let (mut caller, mut server) = both_sides(&lab, &listener, get).await;
        server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n").await;
        drop(caller.head().await);
        assert_eq!(caller.take(4).await, b"some");
        if is_whole {
            server.send("0\r\n\r\n").await;
        }
        drop(server);
        let end = timeout(SOON, caller.0.read_to_end(&mut Vec::new())).await.unwrap();
        assert_eq!(end.is_ok(), is_whole, "{end:?}");
    }
}

#[tokio::test]
async fn a_tunnel_ends_for_one_side_as_it_ended_for_the_other() {
    for is_whole in [true, false] {
        let (lab, listener) = lab().await;
        let mut caller = lab.tunnel("raw.example.com:7000").await;
        // No HTTP: it is spliced.
        caller.send("\0some").await;
        let mut server = Peer(listener.accept().await.unwrap().0);
        assert_eq!(server.take(5).await, b"\0some");
        server.send("more").await;
        assert_eq!(caller.take(4).await, b"more");
        if !is_whole {
            // What is closed with something unread is reset.
            caller.send("unread").await;
            timeout(SOON, server.0.peek(&mut [0])).await.unwrap().unwrap();
        }
        drop(server);
        let end = timeout(SOON, caller.0.read_to_end(&mut Vec::new())).await.unwrap();
        assert_eq!(end.is_ok(), is_whole, "{end:?}");
    }
}
