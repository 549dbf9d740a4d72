//! `CONNECT` and absolute-form requests.

use proxy::{
    audit::{Activity, Outcome},
    egress::Unidentified,
};

use tokio::io::AsyncWriteExt as _;

use crate::lab::{Lab, SOON, path};

#[tokio::test]
async fn an_allowed_tunnel_carries_bytes_also_those_sent_with_its_head() {
    let lab = Lab::new().await;
    let mut peer = lab.connect().await;
    let head = "CONNECT raw.example.com:7000 HTTP/1.1\r\nHost: raw.example.com:7000\r\n\r\n\0early";
    peer.send(head).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 200 Connection Established\r\n"));
    assert_eq!(peer.take(6).await, b"\0early");
    peer.send(vec![7; 100_000]).await;
    assert_eq!(peer.take(100_000).await, vec![7; 100_000]);
    let events = lab.journal.all();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].outcome, events[0].policy.as_deref()), (Outcome::Allowed, Some("web")));
    assert_eq!(events[0].to, "raw.example.com:7000");
    let asked = lab.callers.asked.lock().clone();
    assert_eq!(asked[0].to, lab.proxy);
    assert_eq!(asked[0].from, peer.0.local_addr().unwrap());
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_a_reason_and_put_on_record() {
    let lab = Lab::new().await;
    let cases = [
        ("denied.example.com:443", 403, "policy_denied", "endpoint_not_allowed"),
        ("api.example.com:22", 403, "policy_denied", "endpoint_not_allowed"),
        ("other.example.com:80", 403, "policy_denied", "binary_not_allowed"),
        ("loop.example.com:80", 403, "ssrf_denied", "ssrf_denied"),
        ("private.example.com:80", 403, "ssrf_denied", "ssrf_denied"),
        ("127.0.0.1:80", 403, "policy_denied", "endpoint_not_allowed"),
        ("169.254.169.254:80", 403, "policy_denied", "endpoint_not_allowed"),
        ("dead.example.com:81", 502, "upstream_unreachable", "unreachable"),
        ("inference.local:443", 503, "inference_unavailable", "inference_unconfigured"),
        ("api.openai.com:443", 403, "policy_denied", "endpoint_not_allowed"),
    ];
    for (to, status, error, reason) in cases {
        let answer = lab.say(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{to}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.contains("connection: close"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["error"], &body["reason"]), (&error.into(), &reason.into()), "{to}");
        let event = lab.journal.last();
        let outcome = if status == 403 { Outcome::Denied } else { event.outcome };
        assert_ne!(event.outcome, Outcome::Allowed);
        assert_eq!((event.outcome, event.to.as_str()), (outcome, to));
        assert_eq!(event.reason, Some(reason));
    }
    assert_eq!(lab.journal.all().len(), cases.len());
}

#[tokio::test]
async fn how_an_allowed_connection_ended_goes_on_record_once() {
    let get = "GET /public/a HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
    for (to, text) in [("raw.example.com:7000", "\0hello"), ("api.example.com:80", get)] {
        let lab = Lab::new().await;
        let mut peer = lab.tunnel(to).await;
        peer.send(text).await;
        let got = if to == "raw.example.com:7000" {
            let got = peer.take(6).await.len();
            drop(peer);
            got
        } else {
            let answer = peer.rest().await;
            drop(peer);
            answer.split_once("\r\n\r\n").unwrap().1.len()
        };
        let event = lab.journal.close().await;
        let Activity::Close { sent, received, .. } = event.activity else { panic!("{event:?}") };
        assert_eq!((event.to.as_str(), event.policy.as_deref()), (to, Some("web")));
        assert_eq!(received, u64::try_from(got).unwrap(), "{to}");
        let expected = if to == "raw.example.com:7000" { text.len() } else { 0 };
        assert_eq!(
            sent,
            u64::try_from(expected).unwrap(),
            "bodies alone, where there are requests"
        );
        assert_eq!(lab.journal.count_closes(), 1, "{to}");
    }
    // What was refused was never open.
    let lab = Lab::new().await;
    drop(lab.say("CONNECT denied.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert_eq!(lab.journal.count_closes(), 0);
}

#[tokio::test]
async fn a_refused_request_is_told_with_its_canonical_path_and_without_its_query() {
    let lab = Lab::new().await;
    let cases = [
        ("/x?key=secret", "/x"),
        ("/a/../b", "/b"),
        ("", "/"),
        ("/openshell:resolve:env:KEY/x", "/%5BCREDENTIAL%5D/x"),
    ];
    for (target, path) in cases {
        let url = format!("http://denied.example.com{target}");
        let answer =
            lab.say(format!("GET {url} HTTP/1.1\r\nHost: denied.example.com\r\n\r\n")).await;
        let detail = format!("GET denied.example.com:80{path} not permitted by policy");
        assert!(answer.contains(&format!("\"{detail}\"")), "{target}: {answer}");
        assert_eq!(self::path(&lab.journal.last()), Some(path), "{target}");
    }
}

#[tokio::test]
async fn what_is_no_request_of_a_proxy_is_told_so_and_costs_little() {
    let lab = Lab::new().await;
    let long = "a".repeat(1 << 20);
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let get = |target: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\n{more}\r\n")
    };
    let cases = [
        (connect("api.example.com:0"), 400, "malformed_target"),
        (connect("api.example.com"), 400, "malformed_target"),
        (connect("2130706433:80"), 400, "malformed_target"),
        (connect("ex\u{e4}mple.com:443"), 400, "malformed_request"),
        (connect("a\0b:443"), 400, "malformed_line"),
        ("CONNECT a.b:1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n".to_owned(), 400, "ambiguous_length"),
        (get("/x", ""), 400, "malformed_target"),
        (get("https://api.example.com/", ""), 400, "malformed_target"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET http://api.example.com/ HTTP/1.1\nHost: a\n\n".to_owned(), 400, "malformed_line"),
        (get("http://api.example.com/", &format!("X: {long}\r\n")), 431, "head_too_large"),
        (get(&format!("http://api.example.com/{}", "a".repeat(5000)), ""), 400, "malformed_target"),
    ];
    for (text, status, reason) in cases {
        let answer = lab.say(&text).await;
        let short = text.chars().take(60).collect::<String>();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{short}: {answer}");
        assert!(answer.contains(reason), "{short}: {answer}");
        let event = lab.journal.last();
        assert_eq!((event.outcome, event.reason), (Outcome::Denied, Some(reason)), "{short}");
    }
    assert!(lab.plain.lock().is_empty());
}

#[tokio::test]
async fn a_caller_that_nobody_knows_is_refused() {
    let lab = Lab::new().await;
    *lab.callers.unknown.lock() = Some(Unidentified::NoFile("memfd:x".into()));
    let answer = lab.say("CONNECT raw.example.com:7000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("binary_deleted"), "{answer}");
    let event = lab.journal.last();
    assert_eq!((event.reason, event.caller), (Some("binary_deleted"), None));
}

#[tokio::test]
async fn every_request_in_absolute_form_is_asked_about_on_its_own() {
    let lab = Lab::new().await;
    let (text, _) = lab
        .curl(&[
            "-w",
            "%{http_code} %{num_connects}\n",
            "http://api.example.com/public/a?x=1",
            "http://plain.example.com/any",
            "http://api.example.com/secret",
        ])
        .await;
    assert!(text.contains("ok GET /public/a?x=1 0\n200 1\n"), "{text}");
    assert!(text.contains("ok GET /any 0\n200 0\n"), "one connection serves both: {text}");
    assert!(text.contains("\"rule\":\"GET /secret\""), "{text}");
    let events = lab.journal.all();
    let outcomes: Vec<_> =
        events.iter().map(|event| (event.outcome, path(event).unwrap())).collect();
    let expected =
        [(Outcome::Allowed, "/public/a"), (Outcome::Allowed, "/any"), (Outcome::Denied, "/secret")];
    assert_eq!(outcomes, expected);
    let seen = lab.plain.lock().clone();
    let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, ["/public/a?x=1", "/any"]);
    assert!(!seen[0].headers.contains_key("proxy-connection"), "{:?}", seen[0].headers);
    assert_eq!(seen[0].headers["host"], "api.example.com");
}

#[tokio::test]
async fn pipelined_requests_may_go_to_one_server_after_another() {
    let lab = Lab::new().await;
    let get = |url: &str, host: &str, end: &str| {
        format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{end}\r\n")
    };
    let all = [
        get("http://api.example.com/public/1", "api.example.com", ""),
        get("http://api.example.com/public/2", "api.example.com", ""),
        get("http://plain.example.com/3", "plain.example.com", "Connection: close\r\n"),
    ];
    let answer = lab.say(all.concat()).await;
    for text in ["ok GET /public/1 0", "ok GET /public/2 0", "ok GET /3 0"] {
        assert!(answer.contains(text), "{answer}");
    }
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
}

#[tokio::test]
async fn a_smuggled_request_does_not_arrive() {
    let lab = Lab::new().await;
    let hidden = "GET /secret HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let start = "POST http://api.example.com/public/a HTTP/1.1\r\nHost: api.example.com\r\n";
    let size = hidden.len() + 5;
    let te = "Transfer-Encoding: chunked\r\n";
    let cases = [
        format!("{start}Content-Length: {size}\r\n{te}\r\n0\r\n\r\n{hidden}"),
        format!("{start}Content-Length: 0\r\nContent-Length: {size}\r\n\r\n{hidden}"),
        format!("{start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{start}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{start}{te}\r\n0;a\n\r\n\r\n{hidden}"),
        format!("{start}X: y\n{te}\r\n0\r\n\r\n{hidden}"),
        format!("{start}X: y\r\n {te}\r\n0\r\n\r\n{hidden}"),
        format!("{start}Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n{hidden}"),
        format!("{start}HTTP2-Settings: AAMAAABk\r\n\r\n{hidden}"),
        format!("{start}Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n{hidden}"),
        format!("{start}Content-Length: 0\r\n\r\n{hidden}"),
    ];
    for text in &cases {
        let answer = tokio::time::timeout(SOON, lab.say(text)).await.unwrap();
        assert!(!answer.contains("/secret 0"), "{text}: {answer}");
    }
    let seen = lab.plain.lock().clone();
    assert!(seen.iter().all(|seen| seen.target == "/public/a"), "{seen:?}");
}

#[tokio::test]
async fn headers_that_are_not_the_callers_to_say_do_not_arrive() {
    let lab = Lab::new().await;
    let gone = [
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /secret",
        "X-OpenShell-Sandbox-Token: mine",
        "X-Sandbox-Id: other",
        "Proxy-Authorization: Basic YTpi",
        "Connection: X-Hop",
        "X-Hop: 1",
    ];
    let mut arguments = vec!["-H", "X-Kept: yes", "http://api.example.com/public/a"];
    for header in gone {
        arguments.extend(["-H", header]);
    }
    let (text, _) = lab.curl(&arguments).await;
    assert!(text.contains("ok GET"), "{text}");
    let headers = lab.plain.lock()[0].headers.clone();
    for header in gone {
        let (name, _) = header.split_once(':').unwrap();
        assert!(!headers.contains_key(name), "{name}: {headers:?}");
    }
    assert_eq!(headers["x-kept"], "yes");
}

#[tokio::test]
async fn another_host_than_the_one_asked_about_is_refused() {
    let lab = Lab::new().await;
    let text = "GET http://api.example.com/public/a HTTP/1.1\r\nHost: plain.example.com\r\n\r\n";
    let answer = lab.say(text).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert_eq!(lab.journal.last().reason, Some("host_mismatch"));
    assert!(lab.plain.lock().is_empty());
}

#[tokio::test]
async fn spellings_of_a_path_are_judged_and_sent_in_one_form() {
    let lab = Lab::new().await;
    let get = |path: &str| {
        format!(
            "GET http://api.example.com{path} HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"
        )
    };
    let refused = [
        "/public/../secret",
        "/public/%2e%2e/secret",
        "//secret",
        "/public/..;/secret",
        "/secret#/public/",
        "/public/..%2fsecret",
        "/public\\..\\secret",
    ];
    for path in refused {
        let answer = lab.say(get(path)).await;
        let status = answer.get(9..12).unwrap_or_default();
        assert!(matches!(status, "400" | "403"), "{path}: {answer}");
    }
    assert!(lab.plain.lock().is_empty());
    let answer = lab.say(get("/x/..//%70ublic/./a")).await;
    assert!(answer.contains("ok GET /public/a 0"), "{answer}");
}

#[tokio::test]
async fn an_endpoint_that_only_records_forwards_and_records() {
    let lab = Lab::new().await;
    let (text, _) = lab.curl(&["-d", "x=1", "http://audited.example.com/a"]).await;
    assert!(text.contains("ok POST /a 3"), "{text}");
    let event = lab.journal.last();
    assert_eq!((event.outcome, event.reason), (Outcome::Audited, Some("no_rule")));
}

#[tokio::test]
async fn bodies_of_any_framing_arrive_whole() {
    let lab = Lab::new().await;
    std::fs::write(lab.folder.path().join("large"), vec![b'a'; 3 << 20]).unwrap();
    let url = "http://api.example.com/public/a";
    let body = ["--data-binary", "@large", url];
    let framings: [&[&str]; 3] = [
        &[],
        &["-H", "Transfer-Encoding: chunked"],
        &["-H", "Expect: 100-continue", "--expect100-timeout", "15"],
    ];
    for framing in framings {
        let (text, _) = lab.curl(&[framing, &body].concat()).await;
        assert!(text.contains("ok POST /public/a 3145728"), "{framing:?}: {text}");
    }
    let (text, content) = lab.curl(&["-I", url]).await;
    assert!(content && text.starts_with("HTTP/1.1 200"), "{text}");
    let empty = "http://api.example.com/public/empty";
    let (text, content) = lab.curl(&["-w", "%{http_code}", empty]).await;
    assert!(content && text == "204", "{text}");
    let (text, content) = lab.curl(&["-0", "http://api.example.com/public/large"]).await;
    assert!(content && text.len() == 1 << 20, "{}", text.len());
}

#[tokio::test]
async fn bytes_that_are_no_http_do_not_pass_where_requests_must_be_judged() {
    let lab = Lab::new().await;
    let cases = [
        "\0\x01binary",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\nGET /secret HTTP/1.1\r\n",
        "SSH-2.0-x\r\n",
    ];
    for bytes in cases {
        let mut peer = lab.tunnel("api.example.com:80").await;
        peer.send(bytes).await;
        let answer = peer.rest().await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{bytes:?}: {answer}");
        assert!(answer.contains("unsupported_l7_protocol"), "{bytes:?}: {answer}");
    }
    let mut peer = lab.tunnel("api.example.com:80").await;
    peer.send("GET /secret HTTP/1.1\r\nHost: api.example.com\r\n\r\n").await;
    assert!(peer.rest().await.starts_with("HTTP/1.1 403 "));
    assert!(lab.plain.lock().is_empty());
}

#[tokio::test]
async fn what_was_refused_is_remembered_with_the_rule_that_would_allow_it() {
    let lab = Lab::new().await;
    for path in ["secret", "secret"] {
        let _refused = lab.curl(&[&format!("http://api.example.com/{path}")]).await;
    }
    let _refused = lab.curl(&["https://denied.example.com/"]).await;
    let denials = lab.egress.denials();
    let found: Vec<_> =
        denials.iter().map(|one| (one.host.as_str(), one.port, one.count)).collect();
    assert_eq!(found, [("denied.example.com", 443, 1), ("api.example.com", 80, 2)]);
    assert!(denials.iter().all(|one| one.binary.as_deref() == Some("/usr/bin/curl")));
    assert!(lab.egress.forget_denial(&denials[0].id));
    assert_eq!(lab.egress.denials().len(), 1);
}

/// Whatever a program sends first: it is answered soundly or let go, within the time of a head, and the proxy lives on.
#[tokio::test]
async fn hostile_first_bytes_end_soundly() {
    let lab = Lab::new().await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let line = "(CONNECT|GET|POST|\\PC{0,3}) ?(http://|https://|)(api.example.com|[a-z.\\[\\]:@]{0,9})(:[0-9]{0,6})?(/[ -~]{0,9})? ?(HTTP/1.[019])?\r?\n";
    let headers = "((Host|Content-Length|Transfer-Encoding|Connection|Upgrade|X) ?:[ -~]{0,12}\r?\n){0,4}(\r\n)?";
    let strategy = format!("{line}{headers}\\PC{{0,8}}");
    let strategy = proptest::string::string_regex(&strategy).unwrap();
    for _ in 0..300 {
        use proptest::strategy::{Strategy as _, ValueTree as _};
        let text = strategy.new_tree(&mut runner).unwrap().current();
        let mut peer = lab.connect().await;
        drop(peer.0.write_all(text.as_bytes()).await);
        drop(peer.0.shutdown().await);
        let answer = tokio::time::timeout(SOON, peer.rest()).await.unwrap();
        let sound = answer.is_empty() || answer.starts_with("HTTP/1.1 ");
        assert!(sound, "{text:?}: {answer:?}");
    }
    let answer = lab.say("CONNECT nowhere.test:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}
