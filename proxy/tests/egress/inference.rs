//! Calls of models go to the router, with the proof of the sandbox.

use std::sync::Arc;

use http::HeaderValue;
use proxy::{
    audit::Outcome,
    egress::{InferenceTarget, RouterAddress, Unidentified},
};

use crate::{
    lab::{Lab, POLICY, method, path},
    server::{self, Log},
};

/// A lab with a server that stands in for the router, and what came to it.
async fn lab() -> (Lab, Log, tokio::task::JoinSet<()>) {
    let log = Log::default();
    let (address, tasks) = server::http(Arc::clone(&log), None).await;
    let token = HeaderValue::from_static("proof");
    let target = InferenceTarget::new(RouterAddress::Tcp(address), token);
    assert!(!format!("{target:?}").contains("proof"));
    (Lab::with(POLICY, Some(target)).await, log, tasks)
}

#[tokio::test]
async fn the_routers_name_and_known_model_apis_lead_to_the_router() {
    let (lab, log, _router) = lab().await;
    let urls = [
        ("https://inference.local/v1/messages", "--http1.1"),
        ("https://inference.local/v1/messages", "--http2"),
        ("http://inference.local/v1/messages", "--http1.1"),
        ("https://api.openai.com/v1/messages", "--http2"),
    ];
    for (url, flag) in urls {
        let (text, content) = lab
            .curl(&[
                flag,
                "-H",
                "x-openshell-sandbox-token: forged",
                "-d",
                "{\"model\":\"m\"}",
                url,
            ])
            .await;
        assert!(content && text.contains("ok POST /v1/messages 13"), "{url}: {text}");
        let seen = log.lock().pop().unwrap();
        let tokens: Vec<_> = seen.headers.get_all("x-openshell-sandbox-token").iter().collect();
        assert_eq!(tokens, ["proof"], "{url}");
        assert!(log.lock().is_empty(), "once");
    }
    let events = lab.journal.all();
    assert!(events.iter().all(|event| event.outcome == Outcome::Inference), "{events:?}");
    let opened = events.iter().filter(|event| event.caller.is_some()).count();
    assert!(opened >= urls.len(), "each call is on record with its caller: {events:?}");
    assert!(lab.secure.lock().is_empty() && lab.plain.lock().is_empty());
}

#[tokio::test]
async fn what_a_policy_opens_is_not_rerouted_and_what_is_no_model_api_is_refused() {
    let (lab, log, _router) = lab().await;
    let (text, _) = lab.curl(&["https://api.example.com/public/v1/chat/completions"]).await;
    assert!(text.contains("ok GET"), "{text}");
    let (text, _) = lab.curl(&["https://denied.example.com/v1/chat/completions"]).await;
    assert!(
        text.contains("GET denied.example.com:443/v1/chat/completions not permitted"),
        "{text}"
    );
    assert!(log.lock().is_empty());
}

#[tokio::test]
async fn a_call_with_the_shape_of_a_model_call_is_routed_whatever_its_host() {
    let (lab, log, _router) = lab().await;
    for flag in ["--http1.1", "--http2"] {
        let url = "https://models.denied.example/v1/chat/completions";
        let (text, _) = lab.curl(&[flag, "-d", "{\"model\":\"m\"}", url]).await;
        assert!(text.contains("ok POST /v1/chat/completions 13"), "{text}");
        let seen = log.lock().pop().unwrap();
        assert_eq!(seen.headers["x-openshell-sandbox-token"], "proof");
        let event = lab.journal.last();
        assert_eq!(event.outcome, Outcome::Inference);
        assert_eq!((method(&event), path(&event)), (Some("POST"), Some("/v1/chat/completions")));
    }
    // Everything else is refused inside, told and on record, also after a call that went through.
    let urls = ["https://models.denied.example/v1/models", "https://models.denied.example/upload"];
    let (text, _) = lab.curl(&["-w", "%{http_code}", urls[0], urls[1]]).await;
    assert!(text.contains("ok GET /v1/models 0"), "{text}");
    assert!(text.contains("policy_denied") && text.ends_with("403"), "{text}");
    let event = lab.journal.last();
    assert_eq!((event.outcome, path(&event)), (Outcome::Denied, Some("/upload")));
    assert_eq!(event.to, "models.denied.example:443");
    let seen: Vec<_> = lab.egress.denials().into_iter().map(|denial| denial.host).collect();
    assert_eq!(seen, ["models.denied.example"]);
    assert_eq!(log.lock().len(), 1);
    assert!(lab.secure.lock().is_empty() && lab.plain.lock().is_empty(), "nothing was dialled");
}

#[tokio::test]
async fn other_ports_addresses_and_protocols_carry_no_model_calls() {
    let (lab, log, _router) = lab().await;
    for to in ["denied.example.com:8443", "127.0.0.1:443", "93.184.215.14:443"] {
        let answer = lab.say(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{to}: {answer}");
    }
    let mut peer = lab.tunnel("denied.example.com:443").await;
    peer.send("POST /v1/messages HTTP/1.1\r\nHost: denied.example.com:443\r\n\r\n").await;
    assert!(peer.rest().await.starts_with("HTTP/1.1 403 "), "not without TLS");
    let mut peer = lab.tunnel("denied.example.com:443").await;
    peer.send("SSH-2.0-x\r\n").await;
    assert_eq!(peer.rest().await, "");
    let event = lab.journal.last();
    assert_eq!((event.outcome, event.to.as_str()), (Outcome::Denied, "denied.example.com:443"));
    assert!(log.lock().is_empty());
}

#[tokio::test]
async fn the_routers_own_name_is_for_every_caller_and_a_model_api_only_for_known_ones() {
    let (lab, log, _router) = lab().await;
    *lab.callers.unknown.lock() = Some(Unidentified::NotFound);
    let (text, _) = lab.curl(&["https://inference.local/v1/models"]).await;
    assert!(text.contains("ok GET /v1/models 0"), "{text}");
    let (text, _) = lab.curl(&["https://api.openai.com/v1/models"]).await;
    assert!(text.contains("403"), "{text}");
    assert_eq!(log.lock().len(), 1);
}

#[tokio::test]
async fn a_router_that_is_gone_is_a_clear_failure() {
    let path = tempfile::tempdir().unwrap().path().join("gone.sock");
    let target = InferenceTarget::new(RouterAddress::Unix(path), HeaderValue::from_static("x"));
    let lab = Lab::with(POLICY, Some(target)).await;
    let (text, _) = lab.curl(&["-w", "%{http_code}", "https://inference.local/v1/models"]).await;
    assert!(text.contains("router_unreachable") && text.ends_with("503"), "{text}");
    assert_eq!(lab.journal.last().reason, Some("router_unreachable"));
}

#[tokio::test]
async fn a_path_is_canonical_for_the_router_too() {
    let (lab, log, _router) = lab().await;
    let (text, _) =
        lab.curl(&["--path-as-is", "https://inference.local/v1/../v1/models/a%2fb"]).await;
    assert!(text.contains("ok GET /v1/models/a%2Fb 0"), "{text}");
    assert_eq!(log.lock().len(), 1);
}

#[tokio::test]
async fn a_websocket_to_the_router_is_told_what_is_spoken() {
    let (lab, log, _router) = lab().await;
    let mut peer = lab.tunnel("inference.local:80").await;
    peer.send(
        "GET /v1/responses HTTP/1.1\r\nHost: inference.local\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .await;
    let head = peer.head().await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 426 ") && head.contains("\r\nupgrade: http/1.1\r\n"),
        "{head}"
    );
    assert!(log.lock().is_empty());
}
