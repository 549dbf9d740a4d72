//! Calls that pass.

use std::{
    io::{Read, Write},
    sync::atomic::Ordering,
    time::Duration,
};

use crate::support::{
    KEY, Reply, Upstream, World, config, json, post, prompt, read_message, soon, stream,
};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;

fn ok(_: &str, _: &[u8]) -> Reply {
    json(200, "server: secret-banner\r\nx-request-id: up-1\r\n", ANSWER)
}

#[test]
fn a_call_reaches_its_backend_with_our_credential_and_without_the_callers() {
    let upstream = Upstream::start(ok);
    let world = World::start(&config(&[&upstream], ""));
    let headers = "Authorization: Bearer caller-secret\r\nX-Api-Key: caller-key\r\nCookie: c=1\r\nX-Stainless-OS: Linux\r\nConnection: x-hop\r\nx-hop: 1\r\n";
    let request = post("/v1/chat/completions", headers, &prompt("hi", ""));
    let (head, body) = world.send(request.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("\"hello\""), "{body}");
    let lower = head.to_lowercase();
    assert!(
        lower.contains("x-openshell-route: b0/m") && lower.contains("x-openshell-request-id: ")
    );
    assert!(lower.contains("x-request-id: up-1") && !lower.contains("secret-banner"), "{head}");
    let (sent, body) = upstream.requests().remove(0);
    let sent = sent.to_lowercase();
    assert!(sent.starts_with("post /v1/chat/completions http/1.1"), "{sent}");
    assert!(sent.contains(&format!("authorization: bearer {KEY}")), "{sent}");
    for absent in ["caller-", "cookie", "stainless", "x-hop", "x-api-key"] {
        assert!(!sent.contains(absent), "{absent} in {sent}");
    }
    assert_eq!(String::from_utf8(body).unwrap(), prompt("hi", ""));
    let lines = world.audit();
    assert_eq!(lines.len(), 1);
    let text = lines[0].to_string();
    assert!(!text.contains("caller-") && !text.contains(KEY) && !text.contains("hello"), "{text}");
    assert_eq!(lines[0].pointer("/unmapped/openshell/attempts/0/outcome").unwrap(), "answered");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let upstream = Upstream::start(ok);
    let world = World::start(&config(&[&upstream], ""));
    let mut client = world.connect();
    for _ in 0..3 {
        client.write_all(post("/v1/chat/completions", "", &prompt("hi", "")).as_bytes()).unwrap();
        assert!(read_message(&mut client).unwrap().0.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stream_passes_piece_by_piece_and_ends_once() {
    let chunks = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    let upstream = Upstream::start(move |_, _| stream(&chunks, Duration::from_millis(20), true));
    let world = World::start(&config(&[&upstream], ""));
    let (head, body) = world.chat(&prompt("hi", ",\"stream\":true"));
    assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
    assert!(body.contains("\"a\"") && body.ends_with("data: [DONE]\n\n"), "{body}");
    assert!(!body.contains("error"), "{body}");
}

#[test]
fn a_stream_that_breaks_off_is_never_ended_properly() {
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let upstream =
        Upstream::start(move |_, _| stream(&[chunk; 3], Duration::from_millis(30), false));
    let world = World::start(&config(&[&upstream], ""));
    let (_, body) = world.chat(&prompt("hi", ",\"stream\":true"));
    assert!(body.contains("\"a\"") && body.contains("backend_answer"), "{body}");
    assert!(body.ends_with("<cut>"), "{body}");
    let lines = world.audit();
    assert_eq!(lines[0].pointer("/status_detail").unwrap(), "backend_answer");
}

#[test]
fn the_next_candidate_answers_when_one_fails() {
    let failing: [fn() -> Reply; 4] = [
        || json(500, "", "{}"),
        || json(429, "retry-after: 1\r\n", "{}"),
        || Reply::Close,
        || json(401, "", "{}"),
    ];
    for reply in failing {
        let first = Upstream::start(move |_, _| reply());
        let second = Upstream::start(ok);
        let world = World::start(&config(&[&first, &second], ""));
        let (head, _) = world.chat(&prompt("hi", ""));
        assert!(head.contains("200 OK") && head.contains("b1/m"), "{head}");
        assert_eq!(first.requests().len(), 1);
        assert!(world.admin("/metrics").contains("openshell_router_failovers_total 1"));
        let lines = world.audit();
        let attempts = lines[0].pointer("/unmapped/openshell/attempts").unwrap();
        assert_eq!(attempts.as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_fault_of_the_request_goes_to_no_other_backend() {
    let body = format!(
        "{{\"error\":{{\"message\":\"bad key {KEY}?\",\"code\":\"context_length_exceeded\",\"param\":\"messages\"}}}}"
    );
    let first = Upstream::start(move |_, _| json(400, "", &body));
    let second = Upstream::start(ok);
    let world = World::start(&config(&[&first, &second], ""));
    let (head, body) = world.chat(&prompt("hi", ""));
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert!(body.contains("context_length_exceeded") && body.contains("\"messages\""), "{body}");
    assert!(!body.contains(KEY), "{body}");
    assert!(second.requests().is_empty());
}

#[test]
fn a_caller_that_leaves_ends_the_work_for_it() {
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let hanging = Upstream::start(|_, _| Reply::Hang);
    let streaming =
        Upstream::start(move |_, _| stream(&[chunk; 200], Duration::from_millis(10), false));
    for upstream in [hanging, streaming] {
        let world = World::start(&config(&[&upstream], ""));
        let mut client = world.connect();
        let request = post("/v1/chat/completions", "", &prompt("hi", ",\"stream\":true"));
        client.write_all(request.as_bytes()).unwrap();
        assert!(soon(|| !upstream.requests().is_empty()));
        drop(client);
        assert!(soon(|| upstream.closed.load(Ordering::SeqCst) == 1));
        let lines = world.audit();
        assert_eq!(lines[0].pointer("/status_detail").unwrap(), "caller_left");
    }
}

#[test]
fn an_answer_with_the_credential_in_it_is_masked() {
    let body = ANSWER.replace("hello", KEY);
    let upstream =
        Upstream::start(move |_, _| json(200, &format!("x-request-id: {KEY}\r\n"), &body));
    let world = World::start(&config(&[&upstream], ""));
    let (head, body) = world.chat(&prompt("hi", ""));
    assert!(head.contains("200") && !head.contains(KEY), "{head}");
    assert!(body.contains("[credential removed]") && !body.contains(KEY), "{body}");
}

#[test]
fn a_stream_that_says_its_end_is_whole_however_its_connection_ends() {
    let chunks = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    ];
    let upstream = Upstream::start(move |_, _| stream(&chunks, Duration::ZERO, false));
    let world = World::start(&config(&[&upstream], ""));
    let (_, body) = world.chat(&prompt("hi", ",\"stream\":true"));
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
}

#[test]
fn what_is_no_stream_is_told_before_anything_is_written() {
    let upstream = Upstream::start(|_, _| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 13\r\n\r\n<html></html>".to_vec())
    });
    let world = World::start(&config(&[&upstream], ""));
    let (head, body) = world.chat(&prompt("hi", ",\"stream\":true"));
    assert!(head.starts_with("HTTP/1.1 502") && body.contains("backend_answer"), "{head} {body}");
}

#[test]
fn encoded_answers_are_decoded() {
    let body = zstd::encode_all(ANSWER.as_bytes(), 1).unwrap();
    let upstream = Upstream::start(move |_, _| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: zstd\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Reply::Bytes([head.as_bytes(), &body].concat())
    });
    let world = World::start(&config(&[&upstream], ""));
    let (head, body) = world.chat(&prompt("hi", ""));
    assert!(!head.to_lowercase().contains("content-encoding"), "{head}");
    assert_eq!(body, ANSWER);
}

#[test]
fn a_caller_of_http_1_0_gets_its_answer_and_the_end_of_the_connection() {
    let upstream = Upstream::start(ok);
    let world = World::start(&config(&[&upstream], ""));
    let request = post("/v1/chat/completions", "", &prompt("hi", ""));
    let mut client = world.connect();
    client.write_all(request.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.ends_with(ANSWER) && text.to_lowercase().contains("connection: close"), "{text}");
}

#[test]
fn a_stream_that_breaks_before_the_first_word_is_tried_elsewhere() {
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let error = "data: {\"error\":{\"message\":\"busy\",\"code\":\"overloaded\"}}\n\n";
    for chunks in [vec![], vec![role], vec![": ping\n\n", role, error]] {
        let first = Upstream::start(move |_, _| stream(&chunks, Duration::from_millis(5), false));
        let second = Upstream::start(|_, _| {
            let chunks = [
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\n",
                "data: [DONE]\n\n",
            ];
            stream(&chunks, Duration::ZERO, true)
        });
        let world = World::start(&config(&[&first, &second], ""));
        let (head, body) = world.chat(&prompt("hi", ",\"stream\":true"));
        assert!(head.contains("b1/m") && body.contains("two"), "{head} {body}");
        assert!(!body.contains("busy") && !body.contains("error"), "{body}");
    }
}

#[test]
fn a_backend_that_asks_for_time_is_left_alone_and_the_caller_learns_how_long() {
    let upstream = Upstream::start(|_, _| json(429, "retry-after: 30\r\n", "{}"));
    let world = World::start(&config(&[&upstream], ""));
    for _ in 0..3 {
        let (head, body) = world.chat(&prompt("hi", ""));
        assert!(head.starts_with("HTTP/1.1 429"), "{head} {body}");
        let wait: u64 = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("retry-after: ")?.parse().ok())
            .unwrap();
        assert!((28..=30).contains(&wait), "{wait}");
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_credential_that_is_spelled_out_over_events_never_arrives() {
    let letters: Vec<String> = KEY
        .chars()
        .map(|c| {
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{c}\"}}}}]}}\n\n")
        })
        .chain(["data: [DONE]\n\n".to_owned()])
        .collect();
    for pause in [0, 2] {
        let letters = letters.clone();
        let upstream = Upstream::start(move |_, _| {
            let chunks: Vec<&str> = letters.iter().map(String::as_str).collect();
            stream(&chunks, Duration::from_millis(pause), true)
        });
        let world = World::start(&config(&[&upstream], ""));
        let (_, body) = world.chat(&prompt("hi", ",\"stream\":true"));
        let spelled: String = body
            .split("\"content\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(!spelled.contains(KEY) && spelled.len() < KEY.len() / 2, "{body}");
        assert!(body.contains("backend_answer"), "{body}");
    }
}
