//! An egress proxy whose sandbox is this machine's loopback device, and a model server behind TLS for it.
//!
//! Only the sandbox is missing: every caller is said to be the same program.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use clap::Args;
use domain::Host;
use policy::{Policy, PolicyFile};
use proxy::{
    audit::{AuditOptions, Sink},
    egress::{
        Authority, Connection, Egress, Ends, Identify, Identity, Settings, Unidentified,
        dial::Dialer,
        resolve::{Resolve, ResolveError},
    },
};
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// What is reached: by plain HTTP and over TLS with rules, and as bytes.
const POLICY: &str = "\
version: 1
network_policies:
  bench:
    endpoints:
      - {host: router.internal, ports: [80, 443], protocol: rest, enforcement: enforce, access: full}
      - {host: router.internal, port: 7000}
    binaries: [{path: /usr/bin/bench}]
";

/// Arguments of the egress proxy.
#[derive(Clone, Debug, Args)]
pub(crate) struct EgressArgs {
    /// The model server.
    pub(crate) plain: SocketAddr,
    /// The one behind TLS.
    pub(crate) secure: SocketAddr,
    /// The one that gives bytes.
    pub(crate) bytes: SocketAddr,
    /// The folder with its certificate, where the proxy's own authority and its audit go too.
    pub(crate) folder: PathBuf,
    /// Threads.
    pub(crate) workers: usize,
}

/// Whoever calls is this program.
struct Harness(Arc<Identity>);

#[async_trait]
impl Identify for Harness {
    async fn identify(&self, _: &Connection) -> Result<Arc<Identity>, Unidentified> {
        Ok(Arc::clone(&self.0))
    }
}

/// A public address that is reached on loopback, by its port.
#[derive(Debug)]
struct Places {
    plain: SocketAddr,
    secure: SocketAddr,
    bytes: SocketAddr,
}

#[async_trait]
impl Resolve for Places {
    async fn resolve(&self, _: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        Ok(vec![IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14))])
    }

    fn reach(&self, checked: SocketAddr) -> SocketAddr {
        match checked.port() {
            443 => self.secure,
            7000 => self.bytes,
            _ => self.plain,
        }
    }
}

/// Starts the proxy on the current runtime.
///
/// # Errors
/// When it does not start.
pub(super) async fn start(args: &EgressArgs) -> anyhow::Result<(SocketAddr, Egress)> {
    let file = PolicyFile::parse(POLICY).map_err(|faults| anyhow::anyhow!("{faults:?}"))?.0;
    let authority = Arc::new(Authority::new("bench")?);
    fs::write(args.folder.join("sandbox.pem"), authority.certificate_pem())?;
    let binary = "/usr/bin/bench".to_owned();
    let identity = Identity { binary, ancestors: Vec::new(), process: 1, sha256: None };
    let file_of_audit = Some(args.folder.join("egress.jsonl"));
    let audit = Sink::open(&AuditOptions { file: file_of_audit, ..AuditOptions::default() })?;
    let identify = Arc::new(Harness(Arc::new(identity)));
    let policy = Arc::new(Policy::new(file));
    let mut settings = Settings::new("bench", policy, identify, authority, Arc::new(audit));
    let places = Places { plain: args.plain, secure: args.secure, bytes: args.bytes };
    settings.dial = Dialer::new(Arc::new(places), None);
    settings.extra_ca_pem = Some(fs::read_to_string(args.folder.join("model.pem"))?);
    let any = (Ipv4Addr::LOCALHOST, 0);
    let proxy = TcpListener::bind(any)?;
    let address = proxy.local_addr()?;
    let ends = Ends {
        proxy,
        captured: TcpListener::bind(any)?,
        dns: vec![UdpSocket::bind(any)?],
        dns_tcp: Vec::new(),
    };
    Ok((address, Egress::start(ends, settings).await?))
}

/// Puts TLS in front of the model server of this process; its certificate goes into `folder`.
///
/// # Errors
/// When there is no port.
pub(super) async fn secure(folder: &Path) -> anyhow::Result<SocketAddr> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["router.internal".to_owned()])?;
    let certificate = certificate.self_signed(&key)?;
    fs::write(folder.join("model.pem"), certificate.pem())?;
    let secret = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "ends with this process")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
            tokio::spawn(behind(acceptor.clone(), stream));
        }
    });
    Ok(address)
}

async fn behind(acceptor: TlsAcceptor, stream: TcpStream) {
    // A proxy that closes a connection is no news.
    if stream.set_nodelay(true).is_ok()
        && let Ok(stream) = acceptor.accept(stream).await
    {
        super::model::serve(stream).await;
    }
}
