//! TLS on both sides, with HTTP/2 between two routers: one is the backend of the other.

use std::{path::Path, time::Duration};

use proxy::server::TlsFiles;

use crate::support::{Upstream, World, config, json, prompt, soon, stream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;

/// A certificate for `localhost`, trusted by nobody but those who are told.
fn certificate(folder: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files =
        TlsFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

/// A router whose backend is the TLS listener of `inner`.
fn outer(inner: &World, more: &str) -> World {
    let port = inner.addr().port();
    World::start(&format!(
        "version: 1\nbackends:\n  - name: inner\n    provider: openai-compatible\n    \
         base_url: https://localhost:{port}\n    zone: local\n    credential: {{env: KEY}}\n    {more}\n    \
         models: [{{id: m, context: 100000, price: {{input: 1, output: 1}}}}]\n"
    ))
}

#[test]
fn calls_and_streams_pass_over_http_2_and_tls() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path());
    let chunks = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    let upstream = Upstream::start(move |_, body| {
        let streams = String::from_utf8_lossy(body).contains("\"stream\":true");
        if streams {
            stream(&chunks, Duration::from_millis(5), true)
        } else {
            json(200, "", ANSWER)
        }
    });
    let inner = World::start_with(&config(&[&upstream], ""), |options| {
        options.tls = Some(files.clone());
    });
    let outer = outer(&inner, &format!("tls: {{ca_file: {}}}", files.certificate.display()));
    let long = "word ".repeat(60_000);
    for text in ["hi", &long] {
        let (head, body) = outer.chat(&prompt(text, ""));
        assert!(head.starts_with("HTTP/1.1 200") && body.contains("hello"), "{head} {body}");
        let (head, body) = outer.chat(&prompt(text, ",\"stream\":true"));
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(body.contains("hel") && body.ends_with("data: [DONE]\n\n"), "{body}");
    }
    assert_eq!(upstream.requests().len(), 4);
    assert!(soon(|| inner.admin("/metrics").contains("openshell_router_connections 1\n")));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path());
    let upstream = Upstream::start(|_, _| json(200, "", ANSWER));
    let inner = World::start_with(&config(&[&upstream], ""), |options| {
        options.tls = Some(files.clone());
    });
    let outer = outer(&inner, "");
    let (head, _) = outer.chat(&prompt("hi", ""));
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_key_of_another_certificate_is_an_error_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let key = certificate(other.path()).key;
    let upstream = Upstream::start(|_, _| json(200, "", ANSWER));
    let file = folder.path().join("router.yaml");
    std::fs::write(&file, config(&[&upstream], "")).unwrap();
    let listen = proxy::server::ListenAddr::Tcp(([127, 0, 0, 1], 0).into());
    let mut options = proxy::server::Options::new(&file, listen);
    options.tls = Some(TlsFiles { key, ..files });
    let error = proxy::server::Running::start(&options).unwrap_err();
    assert!(error.to_string().contains("certificate and key"), "{error}");
}
