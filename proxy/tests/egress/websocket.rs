//! WebSocket: only where the policy speaks it, and only its frames.

use proxy::audit::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::lab::{Lab, POLICY, Peer, method, path, policy};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";

/// A server that switches, says the head it saw as bytes, and sends back what follows.
async fn server() -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut peer = Peer(stream);
                let head = peer.head().await;
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n{}\n",
                    head.replace("\r\n", "|")
                );
                peer.0.write_all(answer.as_bytes()).await.unwrap();
                let mut buffer = vec![0; 1000];
                while let Ok(count @ 1..) = peer.0.read(&mut buffer).await {
                    let (taken, _) = buffer.split_at(count);
                    peer.0.write_all(taken).await.unwrap();
                }
            });
        }
    });
    (address, tasks)
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}\r\n")
}

#[tokio::test]
async fn frames_flow_in_both_directions_until_one_is_none() {
    let (address, _server) = server().await;
    let lab = Lab::at(POLICY, None, (7000, address)).await;
    let mut peer = lab.tunnel("ws.example.com:7000").await;
    peer.send(get("ws.example.com:7000", "/chat")).await;
    let head = peer.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("upgrade: websocket") && head.contains("sec-websocket-accept: "),
        "{head}"
    );
    let mut seen = Vec::new();
    while !seen.ends_with(b"\n") {
        seen.extend(peer.take(1).await);
    }
    let seen = String::from_utf8(seen).unwrap().to_lowercase();
    assert!(
        seen.starts_with("get /chat http/1.1|") && seen.contains("upgrade: websocket"),
        "{seen}"
    );
    assert!(!seen.contains("deflate"), "what is compressed cannot be looked into: {seen}");
    let frame = [0x81, 0x83, 1, 2, 3, 4, b'a', b'b', b'c'];
    for _ in 0..3 {
        peer.send(frame).await;
        assert_eq!(peer.take(frame.len()).await, frame);
    }
    let messages = |outcome| {
        let all = lab.journal.all();
        let text = all.iter().filter(|event| method(event) == Some("WEBSOCKET_TEXT"));
        text.filter(|event| event.outcome == outcome && path(event) == Some("/chat")).count()
    };
    assert_eq!(messages(Outcome::Allowed), 3);
    peer.send("GET /secret HTTP/1.1\r\n\r\n").await;
    let closed = [0x88, 2, 3, 0xea];
    assert_eq!(peer.rest().await.as_bytes(), String::from_utf8_lossy(&closed).as_bytes());
    // A socket that may be opened is none that may be spoken on.
    lab.egress.replace_policy(policy(&POLICY.replace("WEBSOCKET_TEXT", "PUT")), 2);
    let mut peer = lab.tunnel("ws.example.com:7000").await;
    peer.send(get("ws.example.com:7000", "/chat")).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    peer.send(frame).await;
    assert!(!peer.rest().await.contains("abc"), "it did not come back");
    assert_eq!(messages(Outcome::Denied), 1);
}

#[tokio::test]
async fn a_socket_is_refused_where_the_policy_speaks_of_requests_only() {
    let lab = Lab::new().await;
    let cases = [
        ("api.example.com:80", "/public/a", "websocket_not_permitted"),
        ("ws.example.com:7000", "/other", "no_rule"),
    ];
    for (to, path, reason) in cases {
        let mut peer = lab.tunnel(to).await;
        peer.send(get(to, path)).await;
        let answer = peer.rest().await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains(reason), "{to}: {answer}");
        assert_eq!(lab.journal.last().reason, Some(reason));
    }
    assert!(lab.plain.lock().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_switch_answers_as_ever() {
    let lab = Lab::new().await;
    let web = lab.plain_address;
    let lab = Lab::at(POLICY, None, (7000, web)).await;
    let mut peer = lab.tunnel("ws.example.com:7000").await;
    peer.send(get("ws.example.com:7000", "/chat")).await;
    let head = peer.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}
