//! Starting, reloading, stopping.

use std::{
    io::Write,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::support::{
    Reply, Upstream, World, config, json, post, prompt, read_message, soon, stream,
};

#[test]
fn a_changed_file_is_taken_over_and_a_bad_one_is_not() {
    let first = Upstream::start(|_, _| json(200, "", "{\"who\":1}"));
    let second = Upstream::start(|_, _| json(200, "", "{\"who\":2}"));
    let world = World::start(&config(&[&first], ""));
    let who = |expected: &str| world.chat(&prompt("hi", "")).1.contains(expected);
    assert!(who("1"));
    std::fs::write(&world.config, "version: 1\nbackends: [{nonsense").unwrap();
    world.running.as_ref().unwrap().reload();
    // Once or twice: the look at the file and the order to reload may both meet it.
    assert!(soon(|| !world.admin("/metrics").contains("reloads_refused_total 0\n")));
    assert!(who("1"));
    std::fs::write(&world.config, config(&[&second], "")).unwrap();
    world.running.as_ref().unwrap().reload();
    assert!(soon(|| who("2")));
}

#[test]
fn a_change_is_seen_without_being_told() {
    let first = Upstream::start(|_, _| json(200, "", "{\"who\":1}"));
    let second = Upstream::start(|_, _| json(200, "", "{\"who\":2}"));
    let world = World::start(&config(&[&first], ""));
    std::fs::write(&world.config, config(&[&second], "# changed\n")).unwrap();
    assert!(soon(|| world.chat(&prompt("hi", "")).1.contains('2')));
}

#[test]
fn an_idle_server_stops_at_once_and_a_busy_one_when_its_calls_have_ended() {
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let upstream = Upstream::start(move |_, _| {
        stream(&[chunk, chunk, chunk, "data: [DONE]\n\n"], Duration::from_millis(100), true)
    });
    let mut world = World::start(&config(&[&upstream], ""));
    let started = Instant::now();
    let idle = world.connect();
    drop(world.running.take());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(idle);

    let mut world = World::start(&config(&[&upstream], ""));
    let mut client = world.connect();
    let request = post("/v1/chat/completions", "", &prompt("hi", ",\"stream\":true"));
    client.write_all(request.as_bytes()).unwrap();
    assert!(soon(|| !upstream.requests().is_empty()));
    drop(world.running.take());
    let (_, body) = read_message(&mut client).unwrap();
    assert!(String::from_utf8(body).unwrap().ends_with("data: [DONE]\n\n"));
}

#[test]
fn calls_that_outlast_the_grace_are_cut_with_an_error() {
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let upstream =
        Upstream::start(move |_, _| stream(&[chunk; 500], Duration::from_millis(20), true));
    let mut world = World::start_with(&config(&[&upstream], ""), |options| {
        options.grace = Some(Duration::from_millis(100));
    });
    let mut client = world.connect();
    let request = post("/v1/chat/completions", "", &prompt("hi", ",\"stream\":true"));
    client.write_all(request.as_bytes()).unwrap();
    assert!(soon(|| !upstream.requests().is_empty()));
    let started = Instant::now();
    drop(world.running.take());
    assert!(started.elapsed() < Duration::from_secs(3));
    let body = String::from_utf8(read_message(&mut client).unwrap().1).unwrap();
    assert!(body.contains("stopping") && body.ends_with("<cut>"), "{body}");
}

#[test]
fn a_backend_that_fails_is_left_alone_until_a_probe_finds_it_well() {
    let upstream = Upstream::start(|head, _| {
        let status = if head.starts_with("GET") { 200 } else { 500 };
        json(status, "", "{}")
    });
    let world = World::start(&config(&[&upstream], ""));
    for _ in 0..3 {
        assert!(world.chat(&prompt("hi", "")).0.contains(" 502 "));
    }
    assert!(world.chat(&prompt("hi", "")).0.contains(" 503 "));
    assert_eq!(upstream.requests().len(), 3);
    assert!(world.admin("/metrics").contains("breaker_state{backend=\"b0\"} 2"));
    assert!(world.admin("/readyz").starts_with("0 of 1"));
}

#[test]
fn a_dead_pooled_connection_does_not_fail_a_call() {
    let upstream = Upstream::start(|_, _| Reply::Slow {
        pieces: vec![
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
                .to_vec(),
        ],
        pause: Duration::ZERO,
        keep: false,
    });
    let world = World::start(&config(&[&upstream], ""));
    for _ in 0..20 {
        assert!(world.chat(&prompt("hi", "")).0.starts_with("HTTP/1.1 200"));
    }
    assert!(upstream.connections.load(Ordering::SeqCst) >= 19);
}

#[test]
fn a_unix_socket_serves_as_well() {
    let upstream = Upstream::start(|_, _| json(200, "", "{}"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.sock");
    let world = World::start_with(&config(&[&upstream], ""), |options| {
        options.listen.push(proxy::server::ListenAddr::Unix(path.clone()));
    });
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client.write_all(post("/v1/chat/completions", "", &prompt("hi", "")).as_bytes()).unwrap();
    assert!(read_message(&mut client).unwrap().0.starts_with("HTTP/1.1 200"));
    let lines = world.audit();
    assert_eq!(lines[0].pointer("/actor/user/uid").unwrap(), "local");
    assert!(!path.exists());
}
