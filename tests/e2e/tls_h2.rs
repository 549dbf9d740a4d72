//! What is spoken below the dialects: HTTP/2 without TLS from a caller, keep-alive, pipelining, `Expect`, and TLS to a
//! backend with a certificate that nobody vouches for.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use openshell_tests::{
    clients::{bare, skip},
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    hostile,
    http::{Ask, connect},
    process::run,
    text::contains,
    upstream::ScriptedUpstream,
    wait::LONG,
    world::{Backend, Config, World},
};

fn world() -> (World, ScriptedUpstream) {
    world_with(&[])
}

fn world_with(flags: &[&str]) -> (World, ScriptedUpstream) {
    let upstream = echo::upstream(Cut { delta: 4, write: 0 });
    (Config::new([Backend::new("only", &upstream.url()).model("m")]).flags(flags).start(), upstream)
}

/// `curl` when it is here and was built with HTTP/2.
fn curl() -> Option<Command> {
    let mut version = bare("curl".as_ref());
    let told = version.arg("--version").output().ok()?;
    if !contains(&told.stdout, b"HTTP2") {
        return None;
    }
    let mut curl = bare("curl".as_ref());
    curl.args(["--silent", "--show-error", "--max-time", "20"]);
    Some(curl)
}

#[test]
fn a_caller_may_speak_http_2_from_its_first_byte() {
    let Some(mut curl) = curl() else { return skip("no curl with HTTP/2 here") };
    let (world, _upstream) = world_with(&["--h2c"]);
    for dialect in DIALECTS {
        let url = format!("{}{}", world.url(), dialect.target());
        let body = dialect.ask("hello over two", true).to_string();
        let mut ask = Command::new(curl.get_program());
        ask.args(curl.get_args()).args([
            "--http2-prior-knowledge",
            "--write-out",
            "\n%{http_version}",
            &url,
        ]);
        ask.args(["--header", "content-type: application/json", "--data", &body]);
        let said = run("curl", &mut ask, LONG).expect(0).stdout;
        assert!(said.ends_with("\n2"), "{said}");
        let ends = ["[DONE]", "message_stop", "response.completed"];
        assert!(ends.iter().any(|end| said.contains(end)), "{said}");
    }
    let _ = curl.arg("--version");
}

/// A certificate for `localhost` that signs itself, made for this test alone.
fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let mut openssl = bare("openssl".as_ref());
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    openssl.args([
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    openssl.output().is_ok_and(|output| output.status.success()).then_some((certificate, key))
}

#[test]
fn a_caller_may_speak_tls_with_either_version() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(_), Some((certificate, key))) = (curl(), certificate(folder.path())) else {
        return skip("no curl with HTTP/2, or no openssl here");
    };
    let (chain, secret) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let (world, _upstream) = world_with(&["--tls-cert", chain, "--tls-key", secret]);
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        for dialect in DIALECTS {
            let mut ask = curl().expect("curl was here");
            let url = format!("https://localhost:{}{}", world.address().port(), dialect.target());
            ask.args([flag, "--ipv4", "--cacert", chain, "--write-out", "\n%{http_version}", &url]);
            let body = dialect.ask("hello in secret", true).to_string();
            ask.args(["--header", "content-type: application/json", "--data", &body]);
            let said = run("curl", &mut ask, LONG).expect(0).stdout;
            assert!(said.ends_with(&format!("\n{version}")), "{said}");
            let ends = ["[DONE]", "message_stop", "response.completed"];
            assert!(ends.iter().any(|end| said.contains(end)), "{said}");
        }
    }
}

#[test]
fn one_connection_carries_many_requests() {
    let (world, _upstream) = world();
    let mut stream = connect(world.address());
    for turn in 0..5 {
        let body = Dialect::Chat.ask(&format!("turn {turn}"), false).to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        let wanted = format!("you said: turn {turn}");
        while !contains(&answer, wanted.as_bytes()) {
            let read = stream.read(&mut piece).unwrap();
            assert!(
                read > 0,
                "the router closed after {turn} requests: {}",
                String::from_utf8_lossy(&answer)
            );
            answer.extend_from_slice(&piece[..read]);
        }
    }
}

#[test]
fn a_caller_that_expects_to_be_told_to_continue() {
    let (world, _upstream) = world();
    let ask = Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hello", false))
        .header("expect", "100-continue");
    let reply = ask.send(world.address()).expect(200);
    assert_eq!(Dialect::Chat.text(&reply), "you said: hello");
}

#[test]
fn a_body_in_chunks_is_a_body() {
    let (world, upstream) = world();
    let body = Dialect::Messages.ask("in pieces", false).to_string();
    let mut bytes = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        .to_vec();
    for piece in body.as_bytes().chunks(3) {
        bytes.extend(openshell_tests::script::chunk(piece));
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let answer = hostile::raw(world.address(), &bytes, Duration::from_secs(10));
    assert_eq!(hostile::status(&answer), Some(200), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_backend_whose_certificate_nobody_vouches_for_gets_nothing() {
    // A plain server behind an `https` address: the handshake fails before a byte of the request leaves.
    let upstream = echo::upstream(Cut::NONE);
    let url = upstream.url().replace("http://", "https://");
    let world = Config::new([Backend::new("only", &url).credential("k-secret").model("m")])
        .section("timeouts: {connect: 2s, first_byte: 2s, idle: 2s, total: 10s}")
        .start();
    let reply = world.chat("hello");
    assert!((500..600).contains(&reply.status), "{}", reply.status);
    Dialect::Chat.error_message(&reply);
    for seen in upstream.seen() {
        assert!(!contains(&seen.everything(), b"k-secret"));
    }
}
