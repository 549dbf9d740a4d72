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

/// Tunnels of one side of one round; each carries one request.
const TUNNELS: u32 = 300;

/// What one spliced tunnel carries, MB.
const SPLICED_MB: u32 = 256;

const CONNECT: &str = "CONNECT router.internal:443 HTTP/1.1\r\nHost: router.internal:443\r\n\r\n";
const CONNECT_RAW: &str =
    "CONNECT router.internal:7000 HTTP/1.1\r\nHost: router.internal:7000\r\n\r\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: router.internal\r\nConnection: close\r\n\r\n";

/// Figures of the egress proxy.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Cost {
    /// A request in an inspected tunnel without TLS, beside the bare proxy.
    pub(crate) request: CpuRow,
    /// A new inspected tunnel with TLS on both sides and one request, beside a proxy that does nothing but TLS.
    pub(crate) tunnel: Pairs,
    /// A megabyte in a spliced tunnel, beside a proxy that does nothing.
    pub(crate) spliced: Pairs,
}

/// CPU time of something beside the same of a bare proxy, microseconds, in each round.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Pairs {
    bare_us: Vec<f64>,
    egress_us: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, bare: Duration, egress: Duration, count: u32) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(count);
        self.bare_us.push(each(bare));
        self.egress_us.push(each(egress));
    }

    /// The medians, and the median of the ratios.
    pub(crate) fn line(&self) -> String {
        let ratios: Vec<f64> =
            self.egress_us.iter().zip(&self.bare_us).map(|(own, bare)| own / bare).collect();
        let (bare, own) = (median(&self.bare_us), median(&self.egress_us));
        format!("bare {bare:.0} us  egress {own:.0} us  ratio {:.2}", median(&ratios))
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Measures it.
///
/// # Errors
/// When a process does not start or an answer is no success.
pub(crate) async fn run(bounds: &Bounds) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let model = Child::model()?;
    let secure = Child::secure_model(folder.path())?;
    let bytes = source().await?;
    let bare = Child::bare(model.address, bounds.threads)?;
    let bare_tunnel = Child::bare_tunnel((secure.address, bytes), folder.path(), bounds.threads)?;
    let to = (model.address, secure.address, bytes);
    let egress = Child::egress(to, folder.path(), bounds.threads)?;
    let bare_trust = connector(&folder.path().join("bare.pem"))?;
    let trust = connector(&folder.path().join("sandbox.pem"))?;
    let shape = Shape { bytes: 1_024, last_bytes: 700, new: New::Everything, stream_tokens: 0 };
    let conversation = Arc::new(Conversation::new(&shape));
    let (tunnel, spliced) = (Pairs::default(), Pairs::default());
    let mut cost = Cost { request: CpuRow::new("egress-1k"), tunnel, spliced };
    for round in 0..=bounds.rounds {
        let one = load(&bare, &conversation, (REQUESTS, Way::Direct), bounds).await?;
        let other = load(&egress, &conversation, (REQUESTS, Way::Tunnel), bounds).await?;
        let tunnel = (tunnels(&bare_tunnel, &bare_trust).await?, tunnels(&egress, &trust).await?);
        let spliced = (splice(&bare_tunnel).await?, splice(&egress).await?);
        // The first round warms pools, leaves and pages.
        if round > 0 {
            cost.request.add(conversation.bytes(), one, other);
            cost.tunnel.add(tunnel.0, tunnel.1, TUNNELS);
            cost.spliced.add(spliced.0, spliced.1, SPLICED_MB);
            let (request, tunnel) = (cost.request.line(), cost.tunnel.line());
            say(&format!("round {round}: {request}; tunnel {tunnel}; MB {}", cost.spliced.line()));
        }
    }
    Ok(cost)
}

/// CPU time of the proxy for all tunnels of a round.
async fn tunnels(proxy: &Child, connector: &TlsConnector) -> anyhow::Result<Duration> {
    let before = proxy.used()?;
    let limit = Instant::now() + Duration::from_mins(1);
    for _ in 0..TUNNELS {
        anyhow::ensure!(Instant::now() < limit, "the tunnels take too long");
        tunnel(proxy.address, connector).await?;
    }
    Ok(proxy.used()?.since(&before))
}

async fn tunnel(proxy: SocketAddr, connector: &TlsConnector) -> anyhow::Result<()> {
    let stream = connect(proxy, CONNECT).await?;
    let mut stream = connector.connect(ServerName::try_from("router.internal")?, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    // A server may end without a last word of TLS.
    drop(stream.read_to_end(&mut answer).await);
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// A tunnel that was granted.
async fn connect(proxy: SocketAddr, head: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = [0; 39];
    stream.read_exact(&mut answer).await?;
    let granted = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"\r\n\r\n");
    anyhow::ensure!(granted, "refused");
    Ok(stream)
}

/// CPU time of the proxy for the bytes of one tunnel.
async fn splice(proxy: &Child) -> anyhow::Result<Duration> {
    let before = proxy.used()?;
    let mut stream = connect(proxy.address, CONNECT_RAW).await?;
    // What no protocol begins with.
    stream.write_all(b"\0").await?;
    let (mut left, mut buffer) = (u64::from(SPLICED_MB) << 20, vec![0; 256 << 10]);
    while left > 0 {
        let read =
            tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await??;
        anyhow::ensure!(read > 0, "the bytes were cut");
        left = left.saturating_sub(u64::try_from(read)?);
    }
    drop(stream);
    Ok(proxy.used()?.since(&before))
}

/// A server of this process that gives bytes to whoever says something.
async fn source() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "ends with this process")]
    tokio::spawn(async move {
        let piece = vec![7; 1 << 20];
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0];
            if stream.read_exact(&mut first).await.is_err() {
                continue;
            }
            for _ in 0..SPLICED_MB {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
            }
        }
    });
    Ok(address)
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
