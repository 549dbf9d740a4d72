//! The explicit proxy: `CONNECT host:port`, or requests that name their server in absolute form.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Destination;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use super::{
    caller::Connection,
    head::{self, Head, HeadError, Length},
    inspect,
    link::{About, Admitted, Link},
    refusal::Refusal,
    service::Shared,
    tunnel::{self, Client},
};
use crate::audit::{Activity, Engine, Event, Outcome};

/// How long a caller may take for its first head.
const HEAD: Duration = Duration::from_secs(10);

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Serves one connection from its first byte to its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    own: SocketAddr,
) {
    let to = stream.local_addr().unwrap_or(own);
    let connection = Connection { from, to };
    let mut client = Client::new(stream);
    let read = timeout(HEAD, head::read(&mut client.stream, &mut client.seen)).await;
    let length = match read.unwrap_or(Err(HeadError::Timeout)) {
        Ok(0) => return,
        Ok(length) => length,
        Err(error) => return malformed(&shared, from, client, error).await,
    };
    let raw = client.seen.get(..length).unwrap_or_default();
    let target = match Head::parse(raw) {
        Ok(head) if head.method != "CONNECT" => {
            return Box::pin(inspect::forward(shared, connection, client)).await;
        }
        // The bytes after the head belong to the tunnel: a body would have no end.
        Ok(head) if head.length != Length::None => {
            return malformed(&shared, from, client, HeadError::Length).await;
        }
        Ok(head) => head.target.parse::<Destination>(),
        Err(error) => return malformed(&shared, from, client, error).await,
    };
    let _head = client.seen.split_to(length);
    match target {
        Ok(to) => connect(Link::open(shared, connection, to).await, client).await,
        Err(error) => {
            let detail = format!("CONNECT needs host:port: {error}");
            let refusal = Refusal::new(400, "invalid_request_target", "malformed_target", detail);
            unread(&shared, from, &refusal);
            client.refuse(&refusal).await;
        }
    }
}

async fn connect(link: Link, mut client: Client) {
    let link = Arc::new(link);
    let snapshot = link.shared.snapshot.load_full();
    if link.takes_model_calls(&snapshot) {
        if client.stream.write_all(ESTABLISHED).await.is_ok() {
            tunnel::to_model_calls(link, client).await;
        }
        return;
    }
    let grant = match link.admit(&snapshot, About::Open) {
        Ok(Admitted::Server(grant)) => grant,
        Ok(Admitted::Router) => {
            if client.stream.write_all(ESTABLISHED).await.is_ok() {
                tunnel::to_router(Arc::clone(&link), client).await;
            }
            return;
        }
        Err(refusal) => return client.refuse(&refusal).await,
    };
    let server = match link.dial(&grant).await {
        Ok(server) => server,
        Err(error) => {
            let refusal = link.unreachable(snapshot.revision, &error, About::Open);
            return client.refuse(&refusal).await;
        }
    };
    link.allowed(&snapshot, &grant, About::Open);
    let begun = Instant::now();
    if client.stream.write_all(ESTABLISHED).await.is_ok() {
        tunnel::to_server(Arc::clone(&link), client, server).await;
    }
    link.closed(grant.name(), begun);
}

/// Refuses what is no request.
async fn malformed(shared: &Shared, from: SocketAddr, client: Client, error: HeadError) {
    let refusal =
        Refusal::new(error.status(), "invalid_request", error.as_str(), error.to_string());
    unread(shared, from, &refusal);
    client.refuse(&refusal).await;
}

/// Puts on record what named no destination.
pub(super) fn unread(shared: &Shared, from: SocketAddr, refusal: &Refusal) {
    let sandbox = Arc::clone(&shared.sandbox);
    let revision = shared.snapshot.load().revision;
    let mut event = Event::new(sandbox, revision, Activity::Open, Outcome::Denied);
    event.from = Some(from);
    event.engine = Engine::Proxy;
    event.reason = Some(refusal.reason);
    shared.record.record(event);
}
