//! Connections that were captured on their way.

use std::process::Stdio;

use proxy::egress::Outcome;
use tokio::process::Command;

use crate::lab::Lab;

#[tokio::test]
async fn http_goes_to_the_host_it_names_whatever_the_address_was() {
    let lab = Lab::new().await;
    let mut peer = lab.capture("198.51.100.7:80").await;
    peer.send("GET /public/a HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n").await;
    let answer = peer.rest().await;
    assert!(answer.contains("ok GET /public/a 0"), "{answer}");
    let event = lab.journal.all()[0].clone();
    assert_eq!((event.outcome, event.to.as_str()), (Outcome::Allowed, "api.example.com:80"));
    assert_eq!(event.method, None);
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
async fn a_connection_to_the_capture_itself_is_refused() {
    let lab = Lab::new().await;
    let mut peer = lab.capture(&lab.captured.to_string()).await;
    assert_eq!(peer.rest().await, "");
    assert_eq!(lab.journal.last().reason, Some("not_captured"));
}
