//! Connections that were captured on their way.

use std::process::Stdio;

use proxy::audit::Outcome;
use tokio::process::Command;

use crate::lab::{Lab, path};

#[tokio::test]
async fn http_goes_to_the_host_it_names_whatever_the_address_was() {
    let lab = Lab::new().await;
    let mut peer = lab.capture("198.51.100.7:80").await;
    peer.send("GET /public/a HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n").await;
    let answer = peer.rest().await;
    assert!(answer.contains("ok GET /public/a 0"), "{answer}");
    let event = lab.journal.all()[0].clone();
    assert_eq!((event.outcome, event.to.as_str()), (Outcome::Allowed, "api.example.com:80"));
    assert_eq!(path(&event), None);
    let asked = lab.callers.asked.lock()[0];
    assert_eq!(asked.to, "198.51.100.7:80".parse().unwrap(), "as the caller saw it");
    let mut peer = lab.capture("198.51.100.7:80").await;
    peer.send("GET /secret HTTP/1.1\r\nHost: api.example.com\r\n\r\n").await;
    assert!(peer.rest().await.starts_with("HTTP/1.1 403 "));
    let mut peer = lab.capture("198.51.100.7:80").await;
    peer.send("GET / HTTP/1.1\r\nHost: denied.example.com\r\n\r\n").await;
    assert!(peer.rest().await.contains("endpoint_not_allowed"));
    assert_eq!(lab.plain.lock().len(), 1);
}

#[tokio::test]
async fn tls_goes_to_the_name_it_asks_for() {
    let lab = Lab::new().await;
    *lab.meant.lock() = Some("198.51.100.7:443".parse().unwrap());
    let captured = lab.captured.to_string();
    let curl = async |url: &str, host: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--cacert"]).arg(lab.folder.path().join("ca.pem"));
        command.args(["--connect-to", &format!("{host}:443:{captured}"), url]);
        command.env_clear().env("PATH", "/usr/bin:/bin").stderr(Stdio::piped()).kill_on_drop(true);
        let done = command.output().await.unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    };
    let text = curl("https://api.example.com/public/a", "api.example.com").await;
    assert!(text.contains("ok GET /public/a 0"), "{text}");
    let text = curl("https://denied.example.com/", "denied.example.com").await;
    assert!(text.contains("access denied"), "the alert of TLS tells: {text}");
    let event = lab.journal.last();
    assert_eq!((event.outcome, event.to.as_str()), (Outcome::Denied, "denied.example.com:443"));
}

#[tokio::test]
async fn an_address_without_a_name_stays_an_address() {
    let lab = Lab::new().await;
    for meant in ["169.254.169.254:80", "[::ffff:169.254.169.254]:80", "127.0.0.1:22"] {
        let mut peer = lab.capture(meant).await;
        peer.send("\0").await;
        assert_eq!(peer.rest().await, "");
        let event = lab.journal.last();
        assert_eq!(event.outcome, Outcome::Denied);
        assert_eq!(event.to, meant.replace("[::ffff:169.254.169.254]", "169.254.169.254"));
    }
}

#[tokio::test]
async fn a_port_that_nothing_opens_is_refused_before_its_caller_speaks() {
    let lab = Lab::new().await;
    let begun = std::time::Instant::now();
    let mut peer = lab.capture("198.51.100.7:25").await;
    // A caller whose server speaks first says nothing.
    assert_eq!(peer.rest().await, "");
    assert!(begun.elapsed().as_secs() < 4, "{:?}", begun.elapsed());
    let event = lab.journal.last();
    assert_eq!((event.outcome, event.to.as_str()), (Outcome::Denied, "198.51.100.7:25"));
    // One that speaks is told in its words.
    let mut peer = lab.capture("198.51.100.7:8081").await;
    peer.send("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n").await;
    let answer = peer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("CONNECT 198.51.100.7:8081 not permitted by policy"), "{answer}");
}

#[tokio::test]
async fn a_connection_to_the_capture_itself_is_refused() {
    let lab = Lab::new().await;
    let mut peer = lab.capture(&lab.captured.to_string()).await;
    assert_eq!(peer.rest().await, "");
    assert_eq!(lab.journal.last().reason, Some("not_captured"));
}

#[tokio::test]
async fn an_address_from_the_name_server_stands_for_its_name() {
    let lab = Lab::new().await;
    assert_eq!(lab.look_up("denied.example.com").await, None);
    let raw = lab.look_up("raw.example.com").await.unwrap();
    let mut peer = lab.capture(&format!("{raw}:7000")).await;
    peer.send("\0hello").await;
    assert_eq!(peer.take(6).await, b"\0hello");
    let event = lab.journal.last();
    assert_eq!((event.outcome, event.to.as_str()), (Outcome::Allowed, "raw.example.com:7000"));
    // What is said must be what the address stands for.
    let api = lab.look_up("api.example.com").await.unwrap();
    let mut peer = lab.capture(&format!("{api}:80")).await;
    peer.send("GET /public/a HTTP/1.1\r\nHost: plain.example.com\r\n\r\n").await;
    assert!(peer.rest().await.starts_with("HTTP/1.1 421 "));
    let mut peer = lab.capture(&format!("{api}:80")).await;
    peer.send("GET /public/a HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n").await;
    assert!(peer.rest().await.contains("ok GET /public/a 0"));
    // An address of the same kind that was never given out leads nowhere, whatever is said.
    let [a, b, c, _] = api.octets();
    let mut peer = lab.capture(&format!("{a}.{b}.{c}.250:80")).await;
    peer.send("GET /public/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n").await;
    assert!(peer.rest().await.starts_with("HTTP/1.1 403 "));
}
