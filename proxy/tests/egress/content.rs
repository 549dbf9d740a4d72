//! Credentials, sensitive data, and operations in bodies.

use proxy::audit::Outcome;

use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::lab::{Lab, SOON, credentials};

const SECRET: &str = "sk-live-0123456789abcdef";
const PLACEHOLDER: &str = "openshell:resolve:env:KEY";

#[tokio::test]
async fn a_placeholder_becomes_the_credential_only_where_it_belongs() {
    let lab = Lab::new().await;
    let bearer = format!("Authorization: Bearer {PLACEHOLDER}");
    let url = format!("http://keys.example.com/a/{PLACEHOLDER}?key={PLACEHOLDER}");
    let body = format!("{{\"key\":\"{PLACEHOLDER}\"}}");
    let json = "Content-Type: application/json";
    let (text, _) = lab.curl(&["-H", &bearer, "-H", json, "-d", &body, &url]).await;
    assert!(text.starts_with("ok POST "), "{text}");
    assert!(!text.contains(SECRET), "the answer has the target: {text}");
    let seen = lab.plain.lock().pop().unwrap();
    assert_eq!(seen.headers["authorization"], format!("Bearer {SECRET}"));
    assert_eq!(seen.target, format!("/a/{SECRET}?key={SECRET}"));
    assert_eq!(seen.body, format!("{{\"key\":\"{SECRET}\"}}"));
    assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    let (text, _) = lab.curl(&["-H", &bearer, "http://plain.example.com/a"]).await;
    assert!(text.contains("credential_endpoint_mismatch"), "{text}");
    assert!(lab.plain.lock().is_empty());
    let events = format!("{:?}", lab.journal.all());
    assert!(!events.contains("0123456789abcdef"), "{events}");
}

#[tokio::test]
async fn a_credential_does_not_come_back() {
    let lab = Lab::new().await;
    let bearer = format!("Authorization: Bearer {PLACEHOLDER}");
    let url = "http://keys.example.com/reflect";
    let (text, content) = lab.curl(&["-H", &bearer, url]).await;
    assert!(content && text.contains(&format!("Bearer {PLACEHOLDER}")), "{text}");
    lab.egress.replace_credentials(credentials("sk-other-0123456789abcdef"));
    let (text, _) = lab.curl(&["-H", &bearer, url]).await;
    assert!(text.contains(PLACEHOLDER), "{text}");
    let seen = lab.plain.lock().pop().unwrap();
    assert_eq!(seen.headers["authorization"], "Bearer sk-other-0123456789abcdef");
}

#[tokio::test]
async fn sensitive_data_is_blocked_or_hidden_where_the_endpoint_asks_for_it() {
    let lab = Lab::new().await;
    let body = "write to anna.berg@lindenhof-praxis.de, thanks";
    let send = async |host: &str, framing: &str| {
        let url = format!("http://{host}.example.com/a");
        lab.curl(&["-H", framing, "-H", "Content-Type: text/plain", "-d", body, &url]).await.0
    };
    for framing in ["X-Framing: length", "Transfer-Encoding: chunked"] {
        let text = send("careful", framing).await;
        assert!(text.contains("sensitive_content"), "{framing}: {text}");
        assert!(!text.contains("anna"), "{text}");
        assert!(send("hidden", framing).await.starts_with("ok POST /a "));
        let seen = lab.plain.lock().pop().unwrap();
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(!body.contains("anna.berg") && body.ends_with(", thanks"), "{framing}: {body}");
        assert!(send("audited", framing).await.starts_with("ok POST /a 46"), "nobody asked");
        lab.plain.lock().clear();
        let events = lab.journal.all();
        let found = events.iter().rev().find(|event| event.outcome == Outcome::Audited).unwrap();
        assert_eq!(found.reason, Some("no_rule"), "the audited endpoint allows reading only");
        assert!(events.iter().any(|event| {
            event.reason == Some("sensitive_content") && event.outcome == Outcome::Audited
        }));
        assert!(!format!("{events:?}").contains("anna"), "labels, never values");
    }
}

#[tokio::test]
async fn operations_in_bodies_are_judged_and_the_body_arrives() {
    let lab = Lab::new().await;
    let send = async |body: &str| {
        let url = "http://graph.example.com/graphql";
        lab.curl(&["-H", "Content-Type: application/json", "-d", body, url]).await.0
    };
    let query = r#"{"query":"query Me { viewer { login } }"}"#;
    assert!(send(query).await.starts_with("ok POST /graphql 41"));
    assert_eq!(lab.plain.lock().pop().unwrap().body, query);
    let refused = [
        r#"{"query":"mutation { deleteAll }"}"#.to_owned(),
        r#"{"query":"query { secrets }"}"#.to_owned(),
        "no json".to_owned(),
        format!(r#"{{"query":"query {{ viewer }}", "x": "{}"}}"#, "a".repeat(70_000)),
    ];
    for body in refused {
        let text = send(&body).await;
        assert!(text.contains("policy_denied"), "{text}");
        assert_eq!(lab.journal.last().outcome, Outcome::Denied);
    }
    assert!(lab.plain.lock().is_empty());
}

#[tokio::test]
async fn bodies_that_are_collected_have_room_together() {
    let lab = Lab::new().await;
    let (length, most) = (256 << 10, domain::limits::EGRESS_BODIES_BYTES_MAX);
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: keys.example.com\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    // Each lacks its last byte, so all are held.
    let part = [head.as_bytes(), &vec![b'a'; length - 1]].concat();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..=most / length + 8 {
        let mut peer = lab.tunnel("keys.example.com:80").await;
        let part = part.clone();
        waiting.spawn(async move {
            // It may be refused before all of it is taken.
            drop(peer.0.write_all(&part).await);
            peer.head().await
        });
    }
    let refused = timeout(SOON, waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let events = lab.journal.all();
    assert!(events.iter().any(|event| event.reason == Some("too_many_bodies")));
    // Room comes back with what held it.
    waiting.shutdown().await;
    let whole = [&part[..], b"a"].concat();
    let taken = async {
        loop {
            let mut peer = lab.tunnel("keys.example.com:80").await;
            peer.send(&whole).await;
            if peer.head().await.starts_with("HTTP/1.1 200 ") {
                return;
            }
        }
    };
    timeout(SOON, taken).await.unwrap();
}
