//! Connections that were captured on their way: where they were meant to go, and by which name.
//!
//! An address that the sandbox got from our name server stands for its name, and what TLS or HTTP say must be that name.
//! Another address stands for itself, unless TLS or HTTP name a server: then that name is asked about and resolved by us.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{Destination, Host};
use tokio::{net::TcpStream, time::timeout};

use super::{
    caller::Connection,
    explicit::unread,
    head::Head,
    link::{About, Admitted, Link},
    names::Names,
    refusal::Refusal,
    service::Shared,
    sniff::Spoken,
    tunnel::{self, Client},
};

/// How long the first bytes are waited for where only they can tell a name.
const FIRST: Duration = Duration::from_secs(5);

/// Where the kernel says a redirected connection was meant to go; IPv4 arrives at the socket as mapped addresses.
///
/// # Errors
/// When it was not redirected.
pub(super) fn original(stream: &std::net::TcpStream) -> io::Result<SocketAddr> {
    if stream.local_addr()?.ip().to_canonical().is_ipv4() {
        return Ok(SocketAddr::V4(rustix::net::sockopt::ip_original_dst(stream)?));
    }
    Ok(SocketAddr::V6(rustix::net::sockopt::ipv6_original_dst(stream)?))
}

/// Serves one connection from its first byte to its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    own: SocketAddr,
) {
    let from = canonical(from);
    let Some((to, mut client)) = meant(&shared, stream, own) else {
        let detail = "this connection was not captured on its way to anywhere";
        unread(&shared, from, &Refusal::new(403, "policy_denied", "not_captured", detail));
        return;
    };
    let connection = Connection { from, to };
    let host = match shared.names.name(to.ip()) {
        Some(host) => host,
        // It stands for a name that is no longer known, or never was: nobody can say what was meant.
        None if Names::is_synthetic(to.ip()) => to.ip().into(),
        // Whatever it says, nothing opens the port: no need to wait for a caller whose server would speak first.
        None if !could_open(&shared, to.port()) => to.ip().into(),
        None => said(&mut client).await.unwrap_or_else(|| to.ip().into()),
    };
    let Some(to) = Destination::new(host, to.port()) else { return };
    let link = Arc::new(Link::open(Arc::clone(&shared), connection, to).await);
    let snapshot = shared.snapshot.load_full();
    let grant = match link.admit(&snapshot, About::Open) {
        Ok(Admitted::Server(grant)) => grant,
        Ok(Admitted::Router) => return tunnel::to_router(Arc::clone(&link), client).await,
        Err(refusal) => return tunnel::tell(client, &refusal).await,
    };
    let server = match link.dial(&grant).await {
        Ok(server) => server,
        Err(error) => {
            let refusal = link.unreachable(snapshot.revision, &error, About::Open);
            return tunnel::tell(client, &refusal).await;
        }
    };
    link.allowed(&snapshot, &grant, About::Open);
    let begun = Instant::now();
    tunnel::to_server(Arc::clone(&link), client, server).await;
    link.closed(grant.name(), begun);
}

/// Where the connection was meant to go, unless that is the very socket that takes what is captured.
fn meant(shared: &Shared, stream: TcpStream, own: SocketAddr) -> Option<(SocketAddr, Client)> {
    let stream = stream.into_std().ok()?;
    let to = canonical((shared.original)(&stream).ok()?);
    let itself = to.port() == own.port() && to.ip().is_loopback();
    let client = Client::new(TcpStream::from_std(stream).ok()?);
    (!itself && to.port() > 0).then_some((to, client))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a connection to this port could be allowed to some name.
fn could_open(shared: &Shared, port: u16) -> bool {
    shared.inference.is_some() || shared.snapshot.load().policy.has_port(port)
}

/// The server that the first bytes name, if they do.
async fn said(client: &mut Client) -> Option<Host> {
    match timeout(FIRST, client.sniff(None)).await.ok()?? {
        Spoken::Tls(name) => name?.parse().ok(),
        Spoken::Http => {
            let length = timeout(FIRST, client.head()).await.ok()?.ok()?;
            let head = Head::parse(client.seen.get(..length)?).ok()?;
            host_of(head.host?)
        }
        Spoken::BrokenTls | Spoken::Http2 | Spoken::Other => None,
    }
}

/// The host of a host header, with or without its port.
fn host_of(text: &str) -> Option<Host> {
    if let Ok(to) = text.parse::<Destination>() {
        return Some(to.host);
    }
    text.parse().ok()
}
