//! Laws over what strangers send: the server answers something sound or closes, and lives on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use proptest::prelude::*;
use proxy::server::{ListenAddr, Options, Running};

const CONFIG: &str = "version: 1\nserver: {head_timeout: 1s, body_timeout: 1s}\nbackends: [{name: a, provider: ollama, base_url: \"http://127.0.0.1:9\", models: [{id: m, context: 1000, price: {input: 0, output: 0}}]}]\n";

/// Sends bytes, says that nothing follows, and reads all that comes back.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = Vec::new();
    if stream.write_all(bytes).is_ok() && stream.shutdown(std::net::Shutdown::Write).is_ok() {
        // A reset is an answer, too.
        drop(stream.read_to_end(&mut answer));
    }
    answer
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just("POST /v1/messages HTTP/1.1"),
        Just("GET /v1/models/%41%ff HTTP/1.1"),
        Just("host: a"),
        Just("content-length: 5"),
        Just("content-length: 99999999999999999999"),
        Just("transfer-encoding: chunked"),
        Just("content-encoding: gzip"),
        Just("expect: 100-continue"),
        Just("connection: host, keep-alive"),
        Just("upgrade: h2c"),
        Just("PRI * HTTP/2.0"),
        Just(""),
        Just("5"),
        Just("{\"model\":"),
    ];
    prop_oneof![
        3 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

#[test]
fn no_bytes_take_the_server_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("router.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let mut options = Options::new(&file, ListenAddr::Tcp(([127, 0, 0, 1], 0).into()));
    options.threads = 2;
    let running = Running::start(&options).unwrap();
    let address = running.addr().unwrap();
    let lines = prop::collection::vec(line(), 1..10);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(96));
    runner
        .run(&lines, |lines| {
            let bytes = lines.join(&b"\r\n"[..]);
            let answer = exchange(address, &bytes);
            prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
            let alive =
                exchange(address, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            prop_assert!(alive.starts_with(b"HTTP/1.1 200"), "{alive:?}");
            Ok(())
        })
        .unwrap();
}
