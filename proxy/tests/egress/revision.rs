//! A policy that changes under what is open.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    duplex::server,
    lab::{Lab, POLICY, SOON, path, policy},
};

/// The policy without any block.
const NOTHING: &str = "version: 1\nnetwork_policies: {}\n";

#[tokio::test]
async fn a_spliced_tunnel_ends_when_its_policy_does_and_not_before() {
    let lab = Lab::new().await;
    let mut peer = lab.tunnel("raw.example.com:7000").await;
    peer.send("\0one").await;
    assert_eq!(peer.take(4).await, b"\0one");
    lab.egress.replace_policy(policy(POLICY), 2);
    peer.send("two").await;
    assert_eq!(peer.take(3).await, b"two", "the new policy still allows it");
    // Bytes could be a request now, and nobody would have looked at it.
    let inspected = POLICY.replace(
        "{host: raw.example.com, port: 7000}",
        "{host: raw.example.com, port: 7000, protocol: rest, access: full}",
    );
    lab.egress.replace_policy(policy(&inspected), 3);
    assert_eq!(timeout(SOON, peer.rest()).await.unwrap(), "");
}

#[tokio::test]
async fn a_tunnel_ends_when_its_address_is_no_longer_listed() {
    let lab = Lab::new().await;
    let listed = |networks: &str| {
        POLICY.replace(
            "{host: raw.example.com, port: 7000}",
            &format!("{{host: raw.example.com, port: 7000, allowed_ips: [{networks}]}}"),
        )
    };
    let mut peer = lab.tunnel("raw.example.com:7000").await;
    peer.send("\0one").await;
    assert_eq!(peer.take(4).await, b"\0one");
    lab.egress.replace_policy(policy(&listed("93.184.215.0/24")), 2);
    peer.send("two").await;
    assert_eq!(peer.take(3).await, b"two", "the address is among those listed");
    lab.egress.replace_policy(policy(&listed("192.0.2.0/24")), 3);
    assert_eq!(timeout(SOON, peer.rest()).await.unwrap(), "");
}

#[tokio::test]
async fn a_tunnel_that_waits_for_its_first_byte_ends_too() {
    let lab = Lab::new().await;
    let mut peer = lab.tunnel("api.example.com:80").await;
    lab.egress.replace_policy(policy(NOTHING), 2);
    assert_eq!(timeout(SOON, peer.rest()).await.unwrap(), "");
}

#[tokio::test]
async fn the_next_request_of_a_connection_is_judged_by_the_new_policy() {
    let lab = Lab::new().await;
    let mut peer = lab.tunnel("api.example.com:80").await;
    let get = "GET /public/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    peer.send(get).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(peer.take("ok GET /public/a 0\n".len()).await, b"ok GET /public/a 0\n");
    lab.egress.replace_policy(policy(&POLICY.replace("/public/**", "/other/**")), 2);
    peer.send(get).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 403 "));
    assert_eq!(lab.journal.last().revision, 2);
}

#[tokio::test]
async fn an_idle_connection_and_a_request_under_way_end_with_their_policy() {
    let lab = Lab::new().await;
    let mut idle = lab.tunnel("api.example.com:80").await;
    idle.send("GET /public/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n").await;
    assert!(idle.head().await.starts_with("HTTP/1.1 200 "));
    let _body = idle.take("ok GET /public/a 0\n".len()).await;
    let mut busy = lab.tunnel("api.example.com:80").await;
    busy.send("POST /public/a HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 9\r\n\r\nhalf")
        .await;
    // Both are known to be where they should be once the second is on record.
    let begun = async {
        while lab.journal.all().iter().filter(|event| path(event).is_some()).count() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, begun).await.unwrap();
    // The connection still stands, this request no longer does.
    lab.egress.replace_policy(policy(&POLICY.replace("method: POST", "method: PUT")), 2);
    assert_eq!(timeout(SOON, busy.rest()).await.unwrap(), "");
    lab.egress.replace_policy(policy(NOTHING), 3);
    assert_eq!(timeout(SOON, idle.rest()).await.unwrap(), "");
    assert_eq!(lab.plain.lock().len(), 1, "only what was whole");
}

#[tokio::test]
async fn a_caller_that_takes_nothing_does_not_keep_its_tunnel() {
    let (address, _server) = server(false).await;
    let lab = Lab::at(POLICY, None, (7000, address)).await;
    let mut peer = lab.tunnel("raw.example.com:7000").await;
    peer.send("GET /a HTTP/1.1\r\nHost: raw.example.com:7000\r\n\r\n").await;
    // The answer has begun, and is larger than what all sockets hold.
    let _head = peer.head().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    lab.egress.replace_policy(policy(NOTHING), 2);
    assert!(lab.journal.close().await.revision == 2, "it has ended");
}

#[tokio::test]
async fn everything_ends_when_the_proxy_is_stopped() {
    let lab = Lab::new().await;
    let mut peer = lab.tunnel("raw.example.com:7000").await;
    peer.send("\0").await;
    let _echo = peer.take(1).await;
    lab.egress.stop().await;
    assert_eq!(timeout(SOON, peer.rest()).await.unwrap(), "");
}
