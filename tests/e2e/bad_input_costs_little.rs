//! Promise: bad input gets a clear error in the caller's dialect and costs bounded memory and time.

use std::time::{Duration, Instant};

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    hostile,
    http::Ask,
    script::{Script, Step, chunk, stream_head},
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config, World},
};

const MEGABYTE: usize = 1 << 20;

fn world() -> (World, ScriptedUpstream) {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")])
        .section("timeouts: {connect: 1s, first_byte: 2s, idle: 1s, total: 20s}")
        .start();
    (world, upstream)
}

fn still_serves(world: &World) {
    assert_eq!(world.chat("hello").status, 200, "the router still serves others");
}

#[test]
fn bodies_that_are_no_request() {
    let (world, upstream) = world();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(100_000));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a word", b"hello".to_vec()),
        ("half a document", br#"{"model": "auto", "messages": [{"role""#.to_vec()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a number for a list", br#"{"model":"auto","messages":7,"input":7}"#.to_vec()),
        ("deep", deep.into_bytes()),
        ("wide", wide.into_bytes()),
        ("two documents", br#"{"model":"auto"}{"model":"auto"}"#.to_vec()),
        (
            "broken text",
            b"{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}"
                .to_vec(),
        ),
        (
            "a lone surrogate",
            br#"{"model":"auto","messages":[{"role":"user","content":"\ud800"}],"input":"\ud800""#
                .to_vec(),
        ),
        ("zeros", vec![0; 4096]),
    ];
    for (name, body) in bodies {
        for dialect in DIALECTS {
            let ask = Ask::new("POST", dialect.target()).header("content-type", "application/json");
            let reply = ask.body(body.clone()).send(world.address());
            assert!((400..500).contains(&reply.status), "{name}: {}", reply.status);
            dialect.error_message(&reply);
            assert!(reply.took < Duration::from_secs(5), "{name}: {:?}", reply.took);
        }
    }
    assert_eq!(upstream.count(), 0);
    still_serves(&world);
}

#[test]
fn paths_and_methods_that_do_not_exist() {
    let (world, _upstream) = world();
    for (method, target) in [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/messages"),
        ("POST", "/v1/nothing"),
        ("GET", "/"),
        ("GET", "/../../etc/passwd"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd"),
        ("TRACE", "/v1/models"),
        ("POST", "/v1/models"),
    ] {
        let reply = Ask::new(method, target).send(world.address());
        assert!(
            (400..500).contains(&reply.status) || (method, target) == ("GET", "/"),
            "{method} {target}: {}",
            reply.status
        );
    }
    still_serves(&world);
}

#[test]
fn a_body_above_the_limit() {
    let (world, upstream) = world();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 4000000000\r\n\r\n";
    let (sent, answer) = hostile::flood(world.address(), head, 300 * MEGABYTE);
    assert!(sent < 200 * MEGABYTE, "{sent} bytes were taken");
    if let Some(status) = hostile::status(&answer) {
        assert_eq!(status, 413);
    }
    assert_eq!(upstream.count(), 0);
    still_serves(&world);
}

#[test]
fn many_floods_cost_bounded_memory() {
    let (world, _upstream) = world();
    still_serves(&world);
    let before = world.memory_bytes();
    let head =
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n";
    for _ in 0..4 {
        let _ = hostile::flood(world.address(), head, 150 * MEGABYTE);
    }
    still_serves(&world);
    let grown = world.memory_bytes().saturating_sub(before);
    assert!(grown < 256 * u64::try_from(MEGABYTE).unwrap(), "{} MiB more", grown >> 20);
}

#[test]
fn a_head_that_never_ends() {
    let (world, _upstream) = world();
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: {}", "a".repeat(MEGABYTE));
    let answer = hostile::raw(world.address(), head.as_bytes(), Duration::from_secs(10));
    assert!(hostile::status(&answer).is_none_or(|status| (400..500).contains(&status)));
    let many = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(20_000));
    let answer = hostile::raw(world.address(), many.as_bytes(), Duration::from_secs(10));
    assert!(hostile::status(&answer).is_none_or(|status| (400..500).contains(&status)));
    still_serves(&world);
}

#[test]
fn requests_that_two_servers_would_read_differently() {
    let (world, upstream) = world();
    let inner = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    let length = inner.len();
    let heads = [
        format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("content-length: 0\r\ncontent-length: {length}\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        format!("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("content-length: +0\r\n\r\n{inner}"),
        format!("content-length : 0\r\n\r\n{inner}"),
        format!("transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n{inner}"),
    ];
    for head in heads {
        let request = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{head}");
        let answer = hostile::raw(world.address(), request.as_bytes(), Duration::from_secs(5));
        let statuses = String::from_utf8_lossy(&answer).matches("HTTP/1.1 2").count();
        assert_eq!(statuses, 0, "{head:?}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(upstream.count(), 0);
    still_serves(&world);
}

#[test]
fn a_client_that_sends_a_byte_now_and_then() {
    let (world, _upstream) = world();
    let body = Dialect::Chat.ask(&"a".repeat(4000), false);
    let bytes = Ask::post("/v1/chat/completions", &body).bytes(world.address());
    let limit = Duration::from_secs(75);
    let (put_up, _) = hostile::slowly(world.address(), &bytes, Duration::from_millis(120), limit);
    assert!(put_up < limit, "a request that trickles in is given up");
    still_serves(&world);
}

#[test]
fn an_upstream_that_floods() {
    let filler = vec![b'a'; 64 * 1024];
    let endless_line = {
        let mut steps = vec![Step::Send(stream_head())];
        steps.push(Step::Send(chunk(b"data: ")));
        steps.extend((0..2048).map(|_| Step::Send(chunk(&filler))));
        Script::raw(steps)
    };
    let endless_body = {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let mut steps = vec![Step::Send(head), Step::Send(chunk(b"{\"a\": \""))];
        steps.extend((0..4096).map(|_| Step::Send(chunk(&filler))));
        Script::raw(steps)
    };
    for (name, script, stream) in [("a line", endless_line, true), ("a body", endless_body, false)]
    {
        let upstream = ScriptedUpstream::always(script);
        let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
        let before = world.memory_bytes();
        let begun = Instant::now();
        let reply = world.post("/v1/messages", &Dialect::Messages.ask("hi", stream));
        let failed = reply.status >= 400
            || reply.events().iter().any(|event| Dialect::Messages.is_error(event));
        assert!(failed, "{name} without an end is no answer");
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}");
        let grown = world.memory_bytes().saturating_sub(before) >> 20;
        assert!(grown < 300, "{name}: {grown} MiB more");
    }
}

#[test]
fn a_caller_that_leaves_early_again_and_again() {
    let (world, _upstream) = world();
    still_serves(&world);
    let bytes =
        Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hello", true)).bytes(world.address());
    for cut in (1..bytes.len()).step_by(3) {
        use std::io::Write;
        let mut stream = openshell_tests::http::connect(world.address());
        stream.write_all(&bytes[..cut]).unwrap();
    }
    still_serves(&world);
    assert!(!world.log().contains("panicked"), "{}", world.log());
}

#[test]
fn an_upstream_that_compresses_without_being_asked() {
    let upstream = ScriptedUpstream::always(Script::whole(
        200,
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        wire::chat("hello").to_string().as_bytes(),
    ));
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    let reply = world.chat("hi");
    assert!(reply.status >= 400, "a lie about the encoding is an error: {}", reply.text());
    let encodings = upstream.only().header("accept-encoding").unwrap_or("identity").to_owned();
    assert!(
        ["identity", ""].contains(&encodings.as_str()),
        "the router reads what it asks for: {encodings}"
    );
}
