//! TLS: ended towards the sandbox, verified towards servers, HTTP/1.1 and HTTP/2 on both sides.

use std::{process::Stdio, time::Duration};

use proxy::audit::Outcome;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::lab::{Lab, POLICY, SOON, path};

#[tokio::test]
async fn requests_within_tls_are_judged_over_both_versions_of_http() {
    for (flag, version) in
        [("--http1.1", http::Version::HTTP_11), ("--http2", http::Version::HTTP_2)]
    {
        let lab = Lab::new().await;
        let (text, _) = lab
            .curl(&[
                flag,
                "-w",
                "%{http_code} %{http_version} %{num_connects} %{ssl_verify_result}\n",
                "https://api.example.com/public/a?x=1",
                "https://api.example.com/public/b",
                "https://api.example.com/secret",
            ])
            .await;
        let number = if flag == "--http2" { "2" } else { "1.1" };
        assert!(text.contains(&format!("ok GET /public/a?x=1 0\n200 {number} 1 0\n")), "{text}");
        assert!(text.contains(&format!("ok GET /public/b 0\n200 {number} 0 0\n")), "{text}");
        assert!(text.contains("\"rule\":\"GET /secret\""), "{text}");
        assert!(text.contains(&format!("403 {number} 0 0\n")), "{text}");
        let seen = lab.secure.lock().clone();
        let targets: Vec<_> =
            seen.iter().map(|seen| (seen.target.as_str(), seen.version)).collect();
        assert_eq!(targets, [("/public/a?x=1", version), ("/public/b", version)]);
        let events = lab.journal.all();
        let outcomes: Vec<_> = events.iter().map(|event| (event.outcome, path(event))).collect();
        let expected = [
            (Outcome::Allowed, None),
            (Outcome::Allowed, Some("/public/a")),
            (Outcome::Allowed, Some("/public/b")),
            (Outcome::Denied, Some("/secret")),
        ];
        assert_eq!(outcomes, expected);
    }
}

#[tokio::test]
async fn bodies_flow_over_both_versions_of_http() {
    for flag in ["--http1.1", "--http2"] {
        let lab = Lab::new().await;
        std::fs::write(lab.folder.path().join("large"), vec![b'a'; 3 << 20]).unwrap();
        let url = "https://api.example.com/public/a";
        let (text, _) = lab.curl(&[flag, "--data-binary", "@large", url]).await;
        assert!(text.contains("ok POST /public/a 3145728"), "{flag}: {text}");
        let (text, content) = lab.curl(&[flag, "https://api.example.com/public/large"]).await;
        assert!(content && text.len() == 1 << 20, "{flag}: {}", text.len());
        let (text, content) = lab.curl(&[flag, "-I", url]).await;
        assert!(content && text.contains(" 200"), "{flag}: {text}");
        let empty = "https://api.example.com/public/empty";
        let (text, content) = lab.curl(&[flag, "-w", "%{http_code}", empty]).await;
        assert!(content && text == "204", "{flag}: {text}");
    }
}

#[tokio::test]
async fn many_requests_at_once_share_a_connection() {
    let lab = Lab::new().await;
    let (text, content) =
        lab.curl(&["--http2", "-Z", "https://api.example.com/public/[1-60]"]).await;
    assert!(content, "{text}");
    for number in 1..=60 {
        assert!(text.contains(&format!("ok GET /public/{number} 0")), "{number}: {text}");
    }
}

#[tokio::test]
async fn another_host_within_tls_is_refused() {
    for flag in ["--http1.1", "--http2"] {
        let lab = Lab::new().await;
        let (text, _) = lab
            .curl(&[flag, "-H", "Host: plain.example.com", "https://api.example.com/public/a"])
            .await;
        assert!(text.contains("request_authority_mismatch"), "{flag}: {text}");
        assert!(lab.secure.lock().is_empty());
        assert_eq!(lab.journal.last().reason, Some("host_mismatch"));
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let lab = Lab::new().await;
    let (text, _) = lab.curl(&["-w", "%{http_code}", "https://untrusted.example.com/"]).await;
    assert!(text.contains("upstream_tls_failed") && text.ends_with("502"), "{text}");
    assert!(lab.secure.lock().is_empty());
    assert_eq!(lab.journal.last().reason, Some("upstream_tls_failed"));
}

#[tokio::test]
async fn tls_that_is_skipped_or_native_reaches_the_server_itself() {
    let lab = Lab::new().await;
    let outside = lab.folder.path().join("outside.pem");
    for host in ["skip", "native"] {
        let url = format!("https://{host}.example.com/secret");
        let (text, content) = lab.curl(&["--cacert", outside.to_str().unwrap(), &url]).await;
        assert!(content && text.contains("ok GET /secret 0"), "{text}");
        let (text, content) = lab.curl(&[&url]).await;
        assert!(!content, "the sandbox's authority did not sign it: {text}");
    }
    // Where TLS is only carried, its name must be the one that was allowed all the same.
    let text = openssl(&lab, "native.example.com:443", &["-servername", "api.example.com"]).await;
    assert!(text.contains("unrecognized name"), "{text}");
}

/// What openssl says about a handshake through a tunnel to `to` that asks for `name`.
async fn openssl(lab: &Lab, to: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-proxy", &lab.proxy.to_string(), "-connect", to, "-CAfile"])
        .arg(lab.folder.path().join("ca.pem"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may have ended before it reads anything.
    drop(input.write_all(b"GET /secret HTTP/1.0\r\nHost: api.example.com\r\n\r\n").await);
    let done = timeout(SOON, child.wait_with_output()).await.unwrap().unwrap();
    drop(input);
    let output = [done.stdout, done.stderr].concat();
    String::from_utf8_lossy(&output).into_owned()
}

#[tokio::test]
async fn the_name_in_the_handshake_must_be_the_one_that_was_allowed() {
    let lab = Lab::new().await;
    let to = "api.example.com:443";
    let text = openssl(&lab, to, &["-servername", "api.example.com", "-verify_return_error"]).await;
    assert!(text.contains("Verify return code: 0"), "{text}");
    assert!(text.contains("HTTP/1.1 403"), "{text}");
    for arguments in [&["-servername", "plain.example.com"][..], &["-noservername"]] {
        let text = openssl(&lab, to, arguments).await;
        assert!(!text.contains("BEGIN CERTIFICATE"), "{arguments:?}: {text}");
        assert!(text.contains("unrecognized name"), "{arguments:?}: {text}");
        assert_eq!(lab.journal.last().reason, Some("sni_mismatch"));
    }
    assert!(lab.secure.lock().is_empty());
}

#[tokio::test]
async fn a_broken_hello_is_refused() {
    let lab = Lab::new().await;
    let mut peer = lab.tunnel("api.example.com:443").await;
    peer.send(b"\x16\x03\x01\x00\x05hello").await;
    assert!(peer.rest().await.contains("unsupported_l7_protocol"));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_hello_is_not_waited_for_for_long() {
    let lab = Lab::new().await;
    let mut peer = lab.tunnel("api.example.com:443").await;
    peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    let start = std::time::Instant::now();
    assert_eq!(peer.rest().await, "");
    assert!(start.elapsed() < SOON);
    assert!(start.elapsed() > Duration::from_secs(1), "it was given some time");
}

#[tokio::test]
async fn authorities_that_are_named_are_those_at_the_start_or_there_is_none() {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let lab = Lab::made(POLICY, None, (7000, nowhere), |settings, folder| {
        let file = folder.join("named.pem");
        std::fs::write(&file, settings.extra_ca_pem.take().unwrap()).unwrap();
        settings.authorities.file = Some(file);
    });
    let lab = lab.await.unwrap();
    // Whoever replaces it later, before anybody was verified, changes nothing.
    std::fs::write(lab.folder.path().join("named.pem"), "").unwrap();
    let (text, content) = lab.curl(&["https://api.example.com/public/a"]).await;
    assert!(content && text.contains("ok GET /public/a"), "{text}");

    for (content, told) in [(None, "No such file"), (Some("no certificate"), "no certificate")] {
        let lab = Lab::made(POLICY, None, (7000, nowhere), |settings, folder| {
            let file = folder.join("named.pem");
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            settings.authorities.file = Some(file);
        });
        let Err(error) = lab.await else { panic!("{content:?}: it starts") };
        let error = error.to_string();
        assert!(error.contains("named.pem") && error.contains(told), "{error}");
    }
}
