//! The door as curl sees it.

use std::{ffi::OsStr, process::Stdio};

use api::user::Role;
use tokio::process::Command;

use crate::support::{World, foreign_authority};

/// Exit code, answer with its head, and what was complained about.
struct Ran {
    code: i32,
    answer: String,
    errors: String,
}

async fn curl(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "60"]).args(arguments);
    let ran = command.stdin(Stdio::null()).output().await.expect("curl is installed");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: ran.status.code().unwrap(), answer: text(&ran.stdout), errors: text(&ran.stderr) }
}

/// Arguments that trust the gateway.
fn trusting(world: &World, more: &[&str]) -> Vec<String> {
    let ca = world.ca_file().to_string_lossy().into_owned();
    let all = ["--cacert", &ca].into_iter().chain(more.iter().copied());
    all.map(str::to_owned).collect()
}

#[tokio::test]
async fn curl_shows_its_certificate_over_both_versions_of_http() {
    let world = World::new();
    let (certificate, key) = world.files_of(&world.user("alice", Role::Viewer));
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    for (flag, first) in [("--http1.1", "HTTP/1.1 200 OK"), ("--http2", "HTTP/2 200")] {
        let url = world.url("/v1/sandboxes");
        let ran =
            curl(trusting(&world, &[flag, "--cert", &certificate, "--key", &key, &url])).await;
        assert_eq!(ran.code, 0, "{}", ran.errors);
        assert!(ran.answer.starts_with(first), "{}", ran.answer);
        assert!(ran.answer.ends_with("alice certificate default Some(Viewer) 0"), "{}", ran.answer);
    }
}

#[tokio::test]
async fn curl_without_a_certificate_is_told_what_to_bring() {
    let world = World::new();
    let ran = curl(trusting(&world, &["--http1.1", &world.url("/v1/sandboxes")])).await;
    assert_eq!(ran.code, 0, "{}", ran.errors);
    assert!(ran.answer.starts_with("HTTP/1.1 401 Unauthorized"), "{}", ran.answer);
    assert!(ran.answer.contains("application/problem+json"), "{}", ran.answer);
    assert!(ran.answer.contains("with a client certificate or"), "{}", ran.answer);
}

#[tokio::test]
async fn curl_that_trusts_another_gateway_does_not_trust_this_one() {
    let world = World::new();
    foreign_authority(world.folder.path());
    let foreign = world.folder.path().join("foreign/ca.crt");
    let url = world.url("/healthz");
    let ran = curl([OsStr::new("--cacert"), foreign.as_os_str(), OsStr::new(&url)]).await;
    assert_eq!((ran.code, ran.answer.as_str()), (60, ""), "{}", ran.errors);
}

#[tokio::test]
async fn plain_http_is_told_that_this_is_tls() {
    let world = World::new();
    let url = world.url("/v1/sandboxes").replace("https:", "http:");
    for more in [&[][..], &["--data", "@/proc/self/maps"], &["--http2-prior-knowledge"]] {
        let ran = curl(more.iter().copied().chain([url.as_str()])).await;
        if more.contains(&"--http2-prior-knowledge") {
            assert_ne!(ran.code, 0, "what it is told is no HTTP/2");
            continue;
        }
        assert_eq!(ran.code, 0, "{}", ran.errors);
        assert!(ran.answer.starts_with("HTTP/1.1 400 Bad Request"), "{}", ran.answer);
        assert!(ran.answer.contains("Use https://"), "{}", ran.answer);
    }
}

#[tokio::test]
async fn a_stranger_sends_no_body() {
    let world = World::new();
    let file = world.folder.path().join("large");
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    let data = format!("@{}", file.to_string_lossy());
    let url = world.url("/v1/sandboxes");
    let arguments = [
        "--http1.1",
        "--header",
        "Expect: 100-continue",
        "--data-binary",
        &data,
        "--write-out",
        "|sent %{size_upload}",
        &url,
    ];
    let ran = curl(trusting(&world, &arguments)).await;
    assert_eq!(ran.code, 0, "{}", ran.errors);
    assert!(ran.answer.starts_with("HTTP/1.1 401 Unauthorized"), "{}", ran.answer);
    assert!(ran.answer.ends_with("|sent 0"), "{}", ran.answer);
    // The same from somebody who may, to see that the question was asked and answered.
    let (token, _) = world.token("bob", &[], 100);
    let bearer = format!("Authorization: Bearer {token}");
    let ran = curl(trusting(
        &world,
        &["--header", &bearer].into_iter().chain(arguments).collect::<Vec<_>>(),
    ))
    .await;
    assert!(ran.answer.starts_with("HTTP/1.1 100 Continue"), "{} {}", ran.answer, ran.errors);
    assert!(ran.answer.ends_with("|sent 3145728"), "{}", ran.answer);
}

#[tokio::test]
async fn a_page_of_another_origin_is_no_caller() {
    let world = World::new();
    let (certificate, key) = world.files_of(&world.user("alice", Role::Admin));
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let own = format!("Origin: https://localhost:{}", world.address.port());
    let cases = [
        (&["--request", "POST", "--header", "Origin: https://evil.example"][..], 403),
        (&["--request", "POST", "--header", "Sec-Fetch-Site: cross-site"], 403),
        (&["--header", "Upgrade: websocket", "--header", "Origin: null"], 403),
        (&["--request", "POST", "--header", &own], 200),
        (&["--header", "Origin: https://evil.example"], 200),
    ];
    for (more, status) in cases {
        let url = world.url("/v1/sandboxes");
        let identity = ["--http1.1", "--cert", &certificate, "--key", &key, &url];
        let all: Vec<_> = more.iter().copied().chain(identity).collect();
        let ran = curl(trusting(&world, &all)).await;
        assert!(ran.answer.starts_with(&format!("HTTP/1.1 {status}")), "{more:?}: {}", ran.answer);
        assert!(!ran.answer.to_lowercase().contains("access-control"), "{}", ran.answer);
    }
}
