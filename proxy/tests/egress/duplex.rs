//! Both directions of an exchange at once: nobody is kept from speaking because somebody else does not listen yet.

use std::net::SocketAddr;

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
