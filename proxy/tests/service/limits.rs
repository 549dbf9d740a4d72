//! What is refused, and how.

use std::io::{Read, Write};

use crate::support::{Upstream, World, config, json, post, prompt, read_message, soon};

fn world() -> World {
    let upstream = Upstream::start(|_, _| json(200, "", "{}"));
    World::start(&config(&[&upstream], "server: {body_bytes_max: 2048}\n"))
}

#[test]
fn ambiguous_heads_are_refused() {
    let world = world();
    let cases = [
        (
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
            "400",
        ),
        (
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            "400",
        ),
        ("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n{}", "400"),
        ("POST /v1/messages HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n{}", "400"),
        ("POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-a: b\r\n folded\r\n\r\n", "400"),
        ("POST /v1/messages HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
        ("POST /v1/messages HTTP/1.1\r\nhost: a/b\r\n\r\n", "400"),
        ("POST /v1/messages HTTP/1.1\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("GET /v1/chat/completions HTTP/1.1\r\nhost: a\r\n\r\n", "405"),
        ("GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "200"),
    ];
    for (request, status) in cases {
        let (head, _) = world.send(request.as_bytes());
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {head:?}");
    }
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    assert!(world.send(large.as_bytes()).0.starts_with("HTTP/1.1 431"));
}

#[test]
fn errors_come_in_the_callers_dialect() {
    let world = world();
    let (_, body) = world.send(post("/v1/messages", "", "{").as_bytes());
    assert!(body.starts_with("{\"type\":\"error\""), "{body}");
    let (_, body) = world.chat("{");
    assert!(body.starts_with("{\"error\":{\"message\""), "{body}");
    let (head, body) = world.send(post("/v1/batches", "anthropic-version: 1\r\n", "").as_bytes());
    assert!(head.contains(" 404 ") && body.starts_with("{\"type\":\"error\""), "{body}");
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_comes() {
    let world = world();
    let (head, body) = world.chat(&prompt(&"x".repeat(3_000_000), ""));
    assert!(head.starts_with("HTTP/1.1 413") && body.contains("body_too_large"), "{head}");
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    assert!(world.send(request.as_bytes()).0.starts_with("HTTP/1.1 413"));
    let bomb = zstd::encode_all(vec![b' '; 100_000].as_slice(), 1).unwrap();
    let mut request = format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-encoding: zstd\r\ncontent-length: {}\r\n\r\n", bomb.len()).into_bytes();
    request.extend_from_slice(&bomb);
    assert!(world.send(&request).0.starts_with("HTTP/1.1 413"));
}

#[test]
fn encoded_bodies_are_decoded_and_unknown_encodings_refused() {
    let upstream = Upstream::start(|_, _| json(200, "", "{}"));
    let world = World::start(&config(&[&upstream], ""));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(prompt("hi", "").as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let mut request = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(&body);
    let (head, _) = world.send(&request);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (sent, body) = upstream.requests().remove(0);
    assert_eq!(String::from_utf8(body).unwrap(), prompt("hi", ""));
    assert!(!sent.to_lowercase().contains("content-encoding"), "{sent}");
    let request = post("/v1/chat/completions", "content-encoding: compress\r\n", "xx");
    assert!(world.send(request.as_bytes()).0.starts_with("HTTP/1.1 415"));
}

#[test]
fn expectations_are_met_and_pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|_, body| json(200, "", &format!("{{\"n\":{}}}", body.len())));
    let world = World::start(&config(&[&upstream], ""));
    let mut client = world.connect();
    let body = prompt("hi", "");
    let head = post("/v1/chat/completions", "expect: 100-continue\r\n", &body);
    let (head, _) = head.split_at(head.len() - body.len());
    client.write_all(head.as_bytes()).unwrap();
    let (first, _) = read_message(&mut client).unwrap();
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    client.write_all(body.as_bytes()).unwrap();
    assert!(read_message(&mut client).unwrap().0.starts_with("HTTP/1.1 200"));
    let one = post("/v1/chat/completions", "", &prompt("one", ""));
    let two = post("/v1/chat/completions", "", &prompt("three", ""));
    client.write_all(format!("{one}{two}").as_bytes()).unwrap();
    let lengths: Vec<String> =
        (0..2).map(|_| String::from_utf8(read_message(&mut client).unwrap().1).unwrap()).collect();
    let length = |text| format!("{{\"n\":{}}}", prompt(text, "").len());
    assert_eq!(lengths, [length("one"), length("three")]);
}

#[test]
fn connections_over_the_limit_are_turned_away() {
    let upstream = Upstream::start(|_, _| json(200, "", "{}"));
    let world = World::start(&config(&[&upstream], "server: {connections_max: 2}\n"));
    // Connections are counted when they are served, in any order: each is used once.
    let used = || {
        let mut client = world.connect();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        read_message(&mut client).unwrap();
        client
    };
    let (one, two) = (used(), used());
    let refused = || {
        let mut third = world.connect();
        let mut text = String::new();
        // A reset after the answer still leaves what was read.
        drop(third.read_to_string(&mut text));
        text.starts_with("HTTP/1.1 503") && text.contains("overloaded")
    };
    assert!(soon(refused));
    drop((one, two));
    assert!(soon(|| {
        let mut client = world.connect();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        read_message(&mut client).is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200"))
    }));
}

#[test]
fn a_head_that_trickles_is_given_up() {
    let upstream = Upstream::start(|_, _| json(200, "", "{}"));
    let world = World::start(&config(&[&upstream], "server: {head_timeout: 1s}\n"));
    let mut client = world.connect();
    client.write_all(b"GET / HT").unwrap();
    let mut rest = Vec::new();
    assert_eq!(client.read_to_end(&mut rest).unwrap(), 0);
}
