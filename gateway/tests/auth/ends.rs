//! What is open ends with the right to it, and with the server.

use std::sync::Arc;

use api::user::Role;
use gateway::{auth::peer::Identity, serve::Limits};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{WATCH, With, World, shown, soon};

/// A TLS connection with that certificate, and nothing said on it.
pub(crate) async fn connect(
    world: &World,
    bundle: Option<&gateway::auth::authority::Bundle>,
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(world.authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match bundle {
        None => builder.with_no_client_auth(),
        Some(bundle) => {
            let pem = bundle.certificate_pem.as_bytes();
            let chain = vec![CertificateDer::from_pem_slice(pem).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(shown(&bundle.key_pem).as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(world.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Reads until that text is there.
async fn read_until(stream: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

/// Waits until the other side has closed, in whatever way.
async fn closed(stream: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    drop(soon(stream.read_to_end(&mut rest)).await);
}

const WEBSOCKET: &str = "GET /try/terminal HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
    connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
/// `hi`, masked with zeros (RFC 6455 §5.2), and how it comes back.
const SAID: &[u8] = b"\x81\x82\0\0\0\0hi";
const HEARD: &[u8] = b"\x81\x02hi";

#[tokio::test]
async fn a_revoked_certificate_ends_what_it_has_open() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", Role::Operator), world.user("bob", Role::Operator));
    let client = world.client_of(&alice);
    let mut watch = client.get(world.url(WATCH)).send().await.unwrap();
    assert_eq!(watch.chunk().await.unwrap().unwrap(), "data: first\n\n");
    let mut sockets = Vec::new();
    for bundle in [&alice, &bob] {
        let mut socket = connect(&world, Some(bundle)).await;
        socket.write_all(WEBSOCKET.as_bytes()).await.unwrap();
        assert!(read_until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
        sockets.push(socket);
    }
    let mut quiet = connect(&world, Some(&alice)).await;

    world.revoked.add(alice.serial);
    assert_eq!(world.live.end(&Identity::Certificate(alice.serial)), 2);
    assert!(watch.chunk().await.is_err(), "a stream that was cut is no stream that ended");
    closed(&mut sockets[0]).await;
    sockets[1].write_all(SAID).await.unwrap();
    let mut heard = [0; 4];
    sockets[1].read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, HEARD, "another's terminal goes on");
    // A connection that had said nothing yet is refused by its first request.
    quiet.write_all(b"GET /v1/sandboxes HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = read_until(&mut quiet, "}").await;
    assert!(
        answer.contains("401 Unauthorized") && answer.contains("certificate_revoked"),
        "{answer}"
    );
    let again = client.get(world.url("/v1/sandboxes")).send().await.unwrap();
    assert_eq!(again.status(), 401);
}

#[tokio::test]
async fn a_revoked_token_or_a_deleted_sandbox_ends_what_it_has_open() {
    let world = World::new();
    let (token, hash) = world.token("bob", &[], 100);
    let client = world.client(|builder| builder);
    let mut watch = client.get(world.url(WATCH)).bearer_auth(&token).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    let (id, sandbox) = world.sandbox();
    let client = world.client(|builder| builder);
    let session = client.get(world.url("/v1/supervisor/session")).bearer_auth(sandbox);
    assert_eq!(session.send().await.unwrap().status(), 200);
    assert_eq!(world.live.end(&Identity::Sandbox(id)), 1);
    assert_eq!(world.live.end(&Identity::Token(hash)), 1);
    assert!(watch.chunk().await.is_err());
    world.empty().await;
    let mut watch = client.get(world.url(WATCH)).bearer_auth(&token).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    assert_eq!(world.live.end(&Identity::User("bob".parse().unwrap())), 1);
    assert!(watch.chunk().await.is_err());
}

#[tokio::test]
async fn what_a_token_has_open_ends_when_the_token_does() {
    let limits = Limits { recheck: std::time::Duration::from_millis(50), ..Limits::default() };
    let world = World::with(With { limits, ..With::default() });
    let open = async |life| {
        let (token, _) = world.token("bob", &[], life);
        let client = world.client(|builder| builder);
        let mut watch = client.get(world.url(WATCH)).bearer_auth(token).send().await.unwrap();
        // On a busy machine a short time may be over before it is asked.
        let first = watch.status().is_success().then_some(watch.chunk().await);
        first.is_some_and(|first| first.is_ok_and(|piece| piece.is_some())).then_some(watch)
    };
    let _long = open(3000).await.unwrap();
    let mut short = None;
    for life in [4, 15, 45] {
        short = open(life).await;
        if short.is_some() {
            break;
        }
    }
    assert!(soon(short.unwrap().chunk()).await.is_err());
    assert_eq!(world.live.count(), 1, "the other goes on");
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_waits_for_no_stream() {
    let limits = Limits { grace: std::time::Duration::from_millis(300), ..Limits::default() };
    let mut world = World::with(With { limits, ..With::default() });
    let alice = world.user("alice", Role::Operator);
    let client = world.client_of(&alice);
    let mut watch = client.get(world.url(WATCH)).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    let mut socket = connect(&world, Some(&alice)).await;
    socket.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    assert!(read_until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    // A request whose body is still on its way.
    let mut slow = connect(&world, Some(&alice)).await;
    let head = "POST /v1/sandboxes HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut slow, "\r\n\r\n").await.contains("100 Continue"));

    world.stop();
    slow.write_all(b"body").await.unwrap();
    let answer = read_until(&mut slow, " 4").await;
    assert!(answer.contains("200 OK"), "{answer}");
    world.stopped().await;
    assert!(TcpStream::connect(world.address).await.is_err());
    assert!(!world.socket().exists());
    closed(&mut socket).await;
    assert!(watch.chunk().await.is_err());
    world.empty().await;
}
