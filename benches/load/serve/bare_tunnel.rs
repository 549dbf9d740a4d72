//! What a tunnel costs at least: `CONNECT`, a handshake on each side, and bytes that are copied. Nobody is asked about anything.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use rcgen::{CertificateParams, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
        server::NoServerSessionStorage,
    },
};

/// Arguments of the bare tunnel.
#[derive(Clone, Debug, Args)]
pub(crate) struct BareTunnelArgs {
    /// The model server behind TLS.
    pub(crate) secure: SocketAddr,
    /// The server that gives bytes.
    pub(crate) bytes: SocketAddr,
    /// The folder with the certificate of the first; the proxy's own goes there too.
    pub(crate) folder: PathBuf,
    /// Threads.
    pub(crate) workers: usize,
}

/// Where tunnels lead, and the TLS of both sides.
struct Tunnels {
    secure: SocketAddr,
    bytes: SocketAddr,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// Starts the proxy on the current runtime.
///
/// # Errors
/// When there is no port.
pub(super) async fn start(args: &BareTunnelArgs) -> anyhow::Result<SocketAddr> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["router.internal".to_owned()])?;
    let certificate = certificate.self_signed(&key)?;
    fs::write(args.folder.join("bare.pem"), certificate.pem())?;
    let secret = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    let pem = fs::read(args.folder.join("model.pem"))?;
    roots.add(CertificateDer::pem_slice_iter(&pem).next().context("no certificate")??)?;
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tunnels = Arc::new(Tunnels {
        secure: args.secure,
        bytes: args.bytes,
        acceptor: TlsAcceptor::from(Arc::new(server)),
        connector: TlsConnector::from(Arc::new(client)),
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "ends with this process")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
            tokio::spawn(serve(Arc::clone(&tunnels), stream));
        }
    });
    Ok(address)
}

async fn serve(tunnels: Arc<Tunnels>, caller: TcpStream) {
    // The caller is told by the end of the connection.
    drop(carry(&tunnels, caller).await);
}

async fn carry(tunnels: &Tunnels, mut caller: TcpStream) -> anyhow::Result<()> {
    caller.set_nodelay(true)?;
    let mut head = Vec::with_capacity(1_024);
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(caller.read_buf(&mut head).await? > 0, "no head");
    }
    let is_tls = head.starts_with(b"CONNECT router.internal:443 ");
    let to = if is_tls { tunnels.secure } else { tunnels.bytes };
    let mut server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    caller.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
    if !is_tls {
        copy_bidirectional(&mut caller, &mut server).await?;
        return Ok(());
    }
    let mut caller = tunnels.acceptor.accept(caller).await?;
    let name = ServerName::try_from("router.internal")?;
    let mut server = tunnels.connector.connect(name, server).await?;
    copy_bidirectional(&mut caller, &mut server).await?;
    Ok(())
}
