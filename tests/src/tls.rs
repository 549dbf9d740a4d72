//! TLS in front of an upstream, with authorities of its own that live for one test.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// Somebody who vouches for servers.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// One that nobody has heard of.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        // Another name than that of leaves, or OpenSSL takes these for their own authorities.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("it vouches for itself");
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file can be written");
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Its certificate as a PEM file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// Takes TLS and passes on what is inside; ends with its value.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    _runtime: Runtime,
}

impl TlsFront {
    /// Starts one in front of `inner`, for which `authority` vouches under the name `name`.
    pub fn start(authority: &Authority, name: &str, inner: SocketAddr) -> Self {
        let outer = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        Self::on(outer.expect("loopback has a free port"), authority, name, inner)
    }

    /// The same on a listener that is there already.
    pub fn on(
        listener: std::net::TcpListener,
        authority: &Authority,
        name: &str,
        inner: SocketAddr,
    ) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        let leaf = params.signed_by(&key, &authority.issuer).expect("an authority signs");
        let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![leaf.der().clone()], secret);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("key and certificate fit")));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        listener.set_nonblocking(true).expect("it can be waited for");
        let listener = runtime.block_on(async { TcpListener::from_std(listener) });
        let listener = listener.expect("the runtime takes it");
        let address = listener.local_addr().expect("a listener has an address");
        drop(runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A peer that does not trust us ends its own connection only.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "ends with the runtime of this value"
                )]
                drop(tokio::spawn(pass(acceptor.clone(), stream, inner)));
            }
        }));
        Self { address, _runtime: runtime }
    }

    /// `https://HOST:PORT`
    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, inner: SocketAddr) {
    let Ok(mut outer) = acceptor.accept(stream).await else { return };
    if let Ok(mut inner) = TcpStream::connect(inner).await {
        drop(copy_bidirectional(&mut outer, &mut inner).await);
    }
}
