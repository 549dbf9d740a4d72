//! What a connection may take, of time, of room, and of patience.

use std::time::Duration;

use api::user::Role;
use gateway::serve::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    ends::connect,
    support::{FILE, WATCH, With, World, soon},
};

fn world(change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    change(&mut limits);
    World::with(With { limits, ..With::default() })
}

/// All that comes until the other side closes.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    // However it ends: closed, reset, or cut within TLS.
    drop(soon(stream.read_to_end(&mut read)).await);
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let world = world(|limits| limits.handshake = Duration::from_millis(200));
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let mut slow = TcpStream::connect(world.address).await.unwrap();
    slow.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    rest(&mut slow).await;
    assert_eq!(world.live.count(), 0);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let world = world(|limits| limits.head = Duration::from_millis(300));
    let mut silent = connect(&world, None).await;
    assert_eq!(rest(&mut silent).await, "");
    let mut slow = connect(&world, None).await;
    let drip = async {
        for byte in b"GET /healthz HTTP/1.1\r\nx: ".iter().cycle() {
            if slow.write_all(&[*byte]).await.is_err() || slow.flush().await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    drip.await;
    world.empty().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let world = world(|limits| {
        limits.head = Duration::from_mins(10);
        limits.idle = Duration::from_millis(300);
    });
    let alice = world.user("alice", Role::Viewer);
    // Over HTTP/2, with a client that would keep its connection.
    let keeping = world.client_of(&alice);
    assert_eq!(keeping.get(world.url("/v1/sandboxes")).send().await.unwrap().status(), 200);
    world.empty().await;
    let mut idle = connect(&world, Some(&alice)).await;
    let request = b"GET /v1/sandboxes HTTP/1.1\r\nhost: localhost\r\n\r\n";
    idle.write_all(request).await.unwrap();
    let client = world.client_of(&alice);
    let mut busy = client.get(world.url(WATCH)).send().await.unwrap();
    assert!(busy.chunk().await.unwrap().is_some());
    let answer = rest(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let more = tokio::time::timeout(Duration::from_millis(900), busy.chunk()).await;
    assert!(more.is_err(), "the stream still waits: {more:?}");
}

#[tokio::test]
async fn who_takes_nothing_of_its_answer_is_not_waited_for() {
    let world = world(|limits| limits.stalled = Duration::from_millis(300));
    let alice = world.user("alice", Role::Viewer);
    let mut lazy = connect(&world, Some(&alice)).await;
    lazy.write_all(b"GET /try/much HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    lazy.read_u8().await.unwrap();
    world.empty().await;
    let mut read = Vec::new();
    assert!(lazy.read_to_end(&mut read).await.is_err(), "the answer was cut");
    assert!(read.len() < 64 << 20);
}

#[tokio::test]
async fn one_source_does_not_take_all_the_room() {
    let world = world(|limits| limits.connections_per_source = 2);
    let (one, two) = (connect(&world, None).await, connect(&world, None).await);
    let mut third = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(rest(&mut third).await, "");
    drop((one, two));
    world.empty().await;
    connect(&world, None).await;
}

#[tokio::test]
async fn who_finds_no_room_waits_for_it() {
    let world = world(|limits| limits.connections = 1);
    let alice = world.user("alice", Role::Viewer);
    let first = connect(&world, Some(&alice)).await;
    let client = world.client_of(&alice);
    let waiting = client.get(world.url("/v1/sandboxes")).send();
    let mut waiting = std::pin::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn heads_and_bodies_have_a_size() {
    let world = World::new();
    let alice = world.user("alice", Role::Operator);
    let client = world.client_of(&alice);
    let post = |path: &str| client.post(world.url(path));
    let most = usize::try_from(gateway::auth::layer::BODY_BYTES_MAX).unwrap();
    let fits = post("/v1/sandboxes").body(vec![b'x'; most]).send().await.unwrap();
    assert!(fits.text().await.unwrap().ends_with(&format!(" {most}")));
    let over = post("/v1/sandboxes").body(vec![b'x'; most + 1]).send().await.unwrap();
    assert_eq!(over.status(), 413);
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = (0..5).map(move |_| Ok::<_, std::convert::Infallible>(piece.clone()));
    let unannounced = reqwest::Body::wrap_stream(tokio_stream::iter(pieces));
    let over = post("/v1/sandboxes").body(unannounced).send().await.unwrap();
    assert_eq!(over.status(), 413);
    let file = client.put(world.url(FILE)).body(vec![b'x'; most + 1]);
    assert_eq!(file.send().await.unwrap().status(), 200, "files have limits of their own");

    let mut large = connect(&world, Some(&alice)).await;
    let head =
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    drop(large.write_all(head.as_bytes()).await);
    let answer = rest(&mut large).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = (0..120).fold(client.get(world.url("/healthz")), |request, number| {
        request.header(format!("x-{number}"), "y".repeat(1000))
    });
    // Over HTTP/2 the stream is refused, or answered with the same status.
    let verdict = many.send().await.map(|response| response.status().as_u16());
    assert!(matches!(verdict, Ok(431) | Err(_)), "{verdict:?}");
    assert_eq!(client.get(world.url("/healthz")).send().await.unwrap().status(), 200);
}
