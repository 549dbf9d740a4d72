//! What an admitted connection carries: found out by its first bytes, then spliced or looked into.
//!
//! Invariants: the name that TLS asks for is the name that was allowed; bytes that cannot be looked into do not pass where
//! requests must be; spliced bytes stop as soon as the policy no longer lets them pass unseen.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use policy::{Protocol, Verdict, model::Tls};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf,
        copy_bidirectional_with_sizes,
    },
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use super::{
    head::{self, HeadError},
    inspect, linger,
    link::{About, Carried, Link},
    refusal::Refusal,
    service::Snapshot,
    sniff::{Sniffer, Spoken},
    socket::{Socket, Wire},
    tls::{self, Offer},
    upstream::Upstream,
};

/// How long a tunnel may wait for its first byte, and how long it may carry nothing.
const IDLE: Duration = Duration::from_hours(1);

/// How long the first message may take once it has begun.
const FIRST: Duration = Duration::from_secs(10);

/// How long a caller that is refused may take to say in which protocol it wants to be told.
const SPEAK: Duration = Duration::from_millis(500);

/// How long a caller that is refused may take to read why.
const TELL: Duration = Duration::from_secs(1);

/// Bytes that one direction of a tunnel carries at once.
const SPLICED_BYTES: usize = 32 << 10;

/// Fatal alerts of TLS (RFC 8446, section 6.2): the name is not the one that was allowed; the policy says no.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// The caller's side of a connection, and what was read of it without being used.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) seen: BytesMut,
}

impl Client {
    /// A connection of which nothing was read.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, seen: BytesMut::new() }
    }

    /// The same for whoever reads requests on it.
    pub(super) fn into_wire(self) -> Wire {
        Wire::plain(Socket::tcp(self.stream, self.seen))
    }

    /// What it speaks; `None` when it ends, or stays silent, or when `server` speaks first.
    pub(super) async fn sniff(&mut self, server: Option<&TcpStream>) -> Option<Spoken> {
        let mut sniffer = Sniffer::default();
        let mut deadline = Instant::now() + IDLE;
        loop {
            if let Some(spoken) = sniffer.look(&self.seen) {
                return Some(spoken);
            }
            self.seen.reserve(4 << 10);
            let silent = self.seen.is_empty();
            let first = async {
                match server {
                    Some(server) if silent => drop(server.readable().await),
                    _ => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                read = self.stream.read_buf(&mut self.seen) => read,
                () = first => return None,
                () = sleep_until(deadline) => return None,
            };
            match read {
                Ok(0) | Err(_) => return None,
                Ok(_) if silent => deadline = Instant::now() + FIRST,
                Ok(_) => {}
            }
        }
    }

    /// Reads until a whole head is there; gives its length.
    ///
    /// # Errors
    /// When none comes.
    pub(super) async fn head(&mut self) -> Result<usize, HeadError> {
        head::read(&mut self.stream, &mut self.seen).await
    }

    /// Tells a refusal to a caller that speaks HTTP/1, and ends the connection.
    pub(super) async fn refuse(self, refusal: &Refusal) {
        self.end(&refusal.http1()).await;
    }

    /// Says `last` and takes what the caller still sends.
    async fn end(mut self, last: &[u8]) {
        let told = async {
            self.stream.write_all(last).await?;
            self.stream.shutdown().await
        };
        if matches!(timeout(TELL, told).await, Ok(Ok(()))) {
            linger::bytes(&mut self.stream).await;
        }
    }
}

/// Tells a refusal in what the caller speaks. One that waits for its server to speak is told by the end of the connection.
pub(super) async fn tell(mut client: Client, refusal: &Refusal) {
    let speaks = !client.seen.is_empty() || timeout(SPEAK, client.stream.readable()).await.is_ok();
    if !speaks {
        return;
    }
    match timeout(FIRST, client.sniff(None)).await {
        Ok(Some(Spoken::Tls(_))) => client.end(&ACCESS_DENIED).await,
        Ok(Some(Spoken::Http)) => client.refuse(refusal).await,
        _ => {}
    }
}

/// Carries a connection to the server that it was allowed to.
pub(super) async fn to_server(link: Arc<Link>, mut client: Client, server: TcpStream) {
    let Some((skip, inspected)) = manner(&link, &link.shared.snapshot.load()) else { return };
    if skip {
        return splice(&link, client, server).await;
    }
    // Where nothing is looked into, a server may speak first.
    let spoken = {
        let watched = (!inspected).then_some(&server);
        let waiting = client.sniff(watched);
        tokio::select! {
            biased;
            () = link.revoked(|snapshot| manner(&link, snapshot) == Some((false, inspected))) => return,
            spoken = waiting => spoken,
        }
    };
    match spoken {
        Some(Spoken::Tls(name)) => {
            let Some(client) = named(&link, client, name.as_deref()).await else { return };
            if is_native(&link, &link.shared.snapshot.load()) {
                return splice(&link, client, server).await;
            }
            let host = &link.to.host;
            let Some(wire) = tls::accept(&link.shared.authority, host, client).await else {
                return;
            };
            let offer = if wire.is_http2 { Offer::Http2 } else { Offer::Http1 };
            let upstream = Upstream::server(Some(server), Some(offer));
            Box::pin(inspect::tunnel(link, wire, upstream)).await;
        }
        Some(Spoken::Http) => {
            let upstream = Upstream::server(Some(server), None);
            Box::pin(inspect::tunnel(link, client.into_wire(), upstream)).await;
        }
        Some(Spoken::Other | Spoken::Http2) if !inspected => splice(&link, client, server).await,
        Some(Spoken::Other | Spoken::Http2 | Spoken::BrokenTls) => unsupported(&link, client).await,
        None if !inspected && client.seen.is_empty() => splice(&link, client, server).await,
        None => {}
    }
}

/// Carries a connection to the router.
pub(super) async fn to_router(link: Arc<Link>, mut client: Client) {
    match client.sniff(None).await {
        Some(Spoken::Tls(name)) => {
            let Some(client) = named(&link, client, name.as_deref()).await else { return };
            let host = &link.to.host;
            let Some(wire) = tls::accept(&link.shared.authority, host, client).await else {
                return;
            };
            Box::pin(inspect::tunnel(link, wire, Upstream::router())).await;
        }
        Some(Spoken::Http) => {
            Box::pin(inspect::tunnel(link, client.into_wire(), Upstream::router())).await;
        }
        Some(Spoken::BrokenTls | Spoken::Http2 | Spoken::Other) => unsupported(&link, client).await,
        None => {}
    }
}

/// Looks for model calls in a tunnel that is refused otherwise: nothing is resolved or dialled for it.
pub(super) async fn to_model_calls(link: Arc<Link>, mut client: Client) {
    let spoken = timeout(FIRST, client.sniff(None)).await.ok().flatten();
    let client = match spoken {
        Some(Spoken::Tls(name)) => {
            let Some(client) = named(&link, client, name.as_deref()).await else { return };
            let host = &link.to.host;
            if let Some(wire) = tls::accept(&link.shared.authority, host, client).await {
                let upstream = Upstream::model_calls();
                Box::pin(inspect::tunnel(Arc::clone(&link), wire, upstream)).await;
            }
            None
        }
        _ => Some(client),
    };
    // Whoever asked for nothing was refused the connection itself.
    if !link.carried.is_empty() {
        return;
    }
    let refusal = link.admit(&link.shared.snapshot.load(), About::Open).err();
    if let Some((client, refusal)) = client.zip(refusal) {
        tell(client, &refusal).await;
    }
}

/// Whether bytes are to be left alone, and whether requests are looked into; `None` where the policy opens nothing.
fn manner(link: &Link, snapshot: &Snapshot) -> Option<(bool, bool)> {
    let grant = link.grant(snapshot)?;
    Some((grant.tls() == Tls::Skip, grant.is_inspected()))
}

/// Whether every endpoint is of a protocol that is carried as it is: its TLS is between the caller and its server.
fn is_native(link: &Link, snapshot: &Snapshot) -> bool {
    let mut native = true;
    let Some(grant) = link.grant(snapshot) else { return false };
    grant.each(|place| {
        native &= matches!(place.endpoint.protocol, Some(Protocol::Tcp | Protocol::Sql));
    });
    native
}

/// Gives the client back if TLS asks for the host that was allowed, by its name.
async fn named(link: &Link, client: Client, name: Option<&str>) -> Option<Client> {
    let host = name.map(str::parse::<domain::Host>);
    let same = match (&host, link.to.host.name()) {
        (Some(Ok(host)), _) => *host == link.to.host,
        (None, name) => name.is_none(),
        (Some(Err(_)), _) => false,
    };
    if same {
        return Some(client);
    }
    let detail = "the name in the TLS handshake is not the one that was asked for";
    let refusal = Refusal::new(421, "request_authority_mismatch", "sni_mismatch", detail);
    link.refused(&refusal, About::Open);
    client.end(&UNRECOGNIZED_NAME).await;
    None
}

/// Refuses what cannot be looked into.
async fn unsupported(link: &Link, client: Client) {
    let detail = format!("{}: only HTTP/1.1, or HTTP over TLS, can be looked into here", link.to);
    let refusal = Refusal::new(403, "unsupported_l7_protocol", "unsupported_l7_protocol", detail);
    link.refused(&refusal, About::Open);
    client.refuse(&refusal).await;
}

/// Carries bytes unseen until one side ends, both are silent for long, or the policy says otherwise.
async fn splice(link: &Link, client: Client, mut server: TcpStream) {
    let Client { stream, seen } = client;
    let still = |snapshot: &Snapshot| match link.verdict(snapshot) {
        Some(Verdict::Allow(grant)) => {
            link.may_stay(&grant) && (grant.tls() == Tls::Skip || !grant.is_inspected())
        }
        Some(Verdict::Inference(_) | Verdict::Deny(_)) | None => false,
    };
    let clock = Clock::default();
    let mut client = Watched { stream, clock: &clock, carried: &link.carried };
    let copy = async {
        server.write_all(&seen).await?;
        link.carried.sent(seen.len());
        drop(seen);
        let size = SPLICED_BYTES;
        copy_bidirectional_with_sizes(&mut client, &mut server, size, size).await
    };
    let is_whole = tokio::select! {
        biased;
        () = link.revoked(still) => {
            tracing::info!(to = %link.to, "a tunnel was closed: the policy changed");
            false
        }
        () = clock.idle() => true,
        copied = copy => {
            copied.inspect_err(|error| tracing::debug!(%error, "a tunnel broke off")).is_ok()
        }
    };
    if !is_whole {
        // Neither side is to take what it got for all there was.
        linger::reset(&client.stream);
        linger::reset(&server);
    }
}

/// When a tunnel last carried something.
#[derive(Debug)]
struct Clock {
    start: Instant,
    last_ms: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Clock {
    fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// Returns after nothing was carried for [`IDLE`].
    async fn idle(&self) {
        loop {
            let last = self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            if Instant::now() >= last + IDLE {
                return;
            }
            sleep_until(last + IDLE).await;
        }
    }
}

/// A stream that notes when it moves, and how much.
struct Watched<'c> {
    stream: TcpStream,
    clock: &'c Clock,
    carried: &'c Carried,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.carried.sent(buffer.filled().len().saturating_sub(before));
            self.clock.touch();
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(done) = &written {
            self.carried.received(*done.as_ref().unwrap_or(&0));
            self.clock.touch();
        }
        written
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
