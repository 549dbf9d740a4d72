//! WebSocket: only where the policy speaks it, and only its frames.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use proxy::audit::{Activity, Event, Outcome};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::timeout,
};

use crate::lab::{Lab, POLICY, Peer, SOON, method, path, policy};

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

/// How many messages an event stands for.
fn count(event: &Event) -> u64 {
    match event.activity {
        Activity::Request { count, .. } => count,
        _ => 0,
    }
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
        let alike = text.filter(|event| event.outcome == outcome && path(event) == Some("/chat"));
        alike.map(count).collect::<Vec<_>>()
    };
    assert_eq!(messages(Outcome::Allowed).first(), Some(&1), "the first is on record at once");
    peer.send("GET /secret HTTP/1.1\r\n\r\n").await;
    let closed = [0x88, 2, 3, 0xea];
    assert_eq!(peer.rest().await.as_bytes(), String::from_utf8_lossy(&closed).as_bytes());
    let counted = messages(Outcome::Allowed);
    assert_eq!(counted.iter().sum::<u64>(), 3, "each is counted: {counted:?}");
    let broken = lab.journal.all();
    let broken = broken.iter().find(|event| event.reason == Some("malformed_frame")).unwrap();
    assert_eq!((broken.outcome, path(broken)), (Outcome::Denied, Some("/chat")));
    // A socket that may be opened is none that may be spoken on.
    lab.egress.replace_policy(policy(&POLICY.replace("WEBSOCKET_TEXT", "PUT")), 2);
    let mut peer = lab.tunnel("ws.example.com:7000").await;
    peer.send(get("ws.example.com:7000", "/chat")).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    peer.send(frame).await;
    assert!(!peer.rest().await.contains("abc"), "it did not come back");
    let denied = lab.journal.all().into_iter().filter(|event| event.reason == Some("no_rule"));
    assert_eq!(denied.filter(|event| method(event) == Some("WEBSOCKET_TEXT")).count(), 1);
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

/// A server that switches, repeats the text of each short message, and keeps what it was told.
async fn parrot() -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let hears = Arc::clone(&heard);
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut peer = Peer(stream);
            drop(peer.head().await);
            peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
            while let Ok(_first) = peer.0.read_u8().await {
                let length = peer.0.read_u8().await.unwrap() & 0x7f;
                let mask = peer.take(4).await;
                let mut text = peer.take(usize::from(length)).await;
                text.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
                hears.lock().extend_from_slice(&text);
                peer.send([&[0x81, length][..], &text].concat()).await;
            }
        }
    });
    (address, heard, tasks)
}

/// A short text under a mask.
fn message(text: &str) -> Vec<u8> {
    let mask = [9, 8, 7, 6];
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap()];
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[tokio::test]
async fn a_placeholder_in_a_message_becomes_a_value_only_where_the_endpoint_opts_in() {
    let (address, heard, _server) = parrot().await;
    let lab = Lab::at(POLICY, None, (7000, address)).await;
    let text = "login openshell:resolve:env:KEY";
    let open = async |host: &str, path: &str| {
        let mut peer = lab.tunnel(host).await;
        peer.send(get(host, path)).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
        peer
    };
    let mut peer = open("talk.example.com:7000", "/").await;
    peer.send(message(text)).await;
    // It comes back as it was sent, whatever the server knows.
    let mut back = Vec::new();
    while back.len() < text.len() {
        let head = peer.take(2).await;
        back.extend(peer.take(usize::from(head[1])).await);
    }
    assert_eq!(String::from_utf8(back).unwrap(), text);
    assert_eq!(heard.lock().as_slice(), b"login sk-live-0123456789abcdef");
    drop(peer);
    heard.lock().clear();
    let mut peer = open("ws.example.com:7000", "/chat").await;
    peer.send(message(text)).await;
    let closed = [0x88, 2, 3, 0xf0];
    assert_eq!(peer.rest().await.as_bytes(), String::from_utf8_lossy(&closed).as_bytes());
    let event = lab.journal.last();
    assert_eq!((event.outcome, method(&event)), (Outcome::Denied, Some("WEBSOCKET_TEXT")));
    assert_eq!(event.reason, Some("credential_endpoint_mismatch"));
    assert!(!String::from_utf8_lossy(&heard.lock()).contains("openshell"), "it never left");
}

#[tokio::test]
async fn messages_that_are_counted_go_on_record_while_the_connection_is_open() {
    let (address, _server) = server().await;
    let lab = Lab::at(POLICY, None, (7000, address)).await;
    let mut peer = lab.tunnel("ws.example.com:7000").await;
    peer.send(get("ws.example.com:7000", "/chat")).await;
    drop(peer.head().await);
    for _ in 0..3 {
        peer.send([0x81, 0x81, 1, 2, 3, 4, b'a']).await;
    }
    let recorded = async {
        loop {
            let all = lab.journal.all();
            let messages = all.iter().filter(|event| method(event) == Some("WEBSOCKET_TEXT"));
            if messages.map(count).sum::<u64>() == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, recorded).await.unwrap();
}
