//! What the egress proxy of a sandbox costs: a request inside a tunnel beside the bare proxy, and a new tunnel whose TLS is
//! ended and begun anew, turn by turn.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use openshell_benches::conversation::{Conversation, New, Shape};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{
    children::Child,
    measure::{Bounds, Way, load},
    report::CpuRow,
    say,
};

/// Requests of one side of one round.
const REQUESTS: u32 = 3_000;

/// Tunnels of one round; each carries one request.
const TUNNELS: u32 = 300;

const CONNECT: &str = "CONNECT router.internal:443 HTTP/1.1\r\nHost: router.internal:443\r\n\r\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: router.internal\r\nConnection: close\r\n\r\n";

/// Figures of the egress proxy.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Cost {
    /// A request in an inspected tunnel without TLS, beside the bare proxy.
    pub(crate) request: CpuRow,
    /// CPU time of a new inspected tunnel with TLS on both sides and one request, microseconds, in each round.
    pub(crate) tunnel_us: Vec<f64>,
}

impl Cost {
    /// The median of the tunnels.
    pub(crate) fn tunnel_median_us(&self) -> f64 {
        let mut sorted = self.tunnel_us.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// Measures it.
///
/// # Errors
/// When a process does not start or an answer is no success.
pub(crate) async fn run(bounds: &Bounds) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let model = Child::model()?;
    let secure = Child::secure_model(folder.path())?;
    let bare = Child::bare(model.address, bounds.threads)?;
    let egress = Child::egress((model.address, secure.address), folder.path(), bounds.threads)?;
    let connector = connector(&folder.path().join("sandbox.pem"))?;
    let shape = Shape { bytes: 1_024, last_bytes: 700, new: New::Everything, stream_tokens: 0 };
    let conversation = Arc::new(Conversation::new(&shape));
    let mut cost = Cost { request: CpuRow::new("egress-1k"), tunnel_us: Vec::new() };
    for round in 0..=bounds.rounds {
        let one = load(&bare, &conversation, (REQUESTS, Way::Direct), bounds).await?;
        let other = load(&egress, &conversation, (REQUESTS, Way::Tunnel), bounds).await?;
        let tunnel = tunnels(&egress, &connector).await?;
        // The first round warms pools, leaves and pages.
        if round > 0 {
            cost.request.add(conversation.bytes(), one, other);
            cost.tunnel_us.push(tunnel.as_secs_f64() * 1e6 / f64::from(TUNNELS));
            let line = cost.request.line();
            say(&format!("round {round}: {line}; tunnel {:.0} us", cost.tunnel_median_us()));
        }
    }
    Ok(cost)
}

/// CPU time of the proxy for all tunnels of a round.
async fn tunnels(egress: &Child, connector: &TlsConnector) -> anyhow::Result<Duration> {
    let before = egress.used()?;
    let limit = Instant::now() + Duration::from_mins(1);
    for _ in 0..TUNNELS {
        anyhow::ensure!(Instant::now() < limit, "the tunnels take too long");
        tunnel(egress.address, connector).await?;
    }
    Ok(egress.used()?.since(&before))
}

async fn tunnel(proxy: SocketAddr, connector: &TlsConnector) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    stream.write_all(CONNECT.as_bytes()).await?;
    let mut head = [0; 39];
    stream.read_exact(&mut head).await?;
    anyhow::ensure!(head.starts_with(b"HTTP/1.1 200 ") && head.ends_with(b"\r\n\r\n"), "refused");
    let mut stream = connector.connect(ServerName::try_from("router.internal")?, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    // A server may end without a last word of TLS.
    drop(stream.read_to_end(&mut answer).await);
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Trusts the sandbox's authority.
fn connector(pem: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(pem)?;
    let certificate = CertificateDer::pem_slice_iter(&pem).next().context("no certificate")?;
    roots.add(certificate?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // Each tunnel is a full handshake, as of a program that starts anew.
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
