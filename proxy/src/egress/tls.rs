//! TLS on both sides: ended towards the sandbox by a leaf of its authority, verified for real towards the server.

use std::{fmt, sync::Arc, time::Duration};

use domain::Host;
use pingora::{
    protocols::{Stream, l4, tls::client},
    tls::{ClientConfig, RootCertStore, TlsConnector, load_platform_certs_incl_env_into_store},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{net::TcpStream, time::timeout};

use super::{authority::Authority, tunnel::Client};

/// Longest handshake, on either side.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The protocols of HTTP in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, else HTTP/1.1.
    Http2,
}

/// Why a server is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unverified {
    /// This machine trusts nobody.
    #[error(
        "this machine has no certificate authorities: install its package `ca-certificates` (a bundle in /etc/ssl/certs or \
         /etc/pki/tls/certs, or named by SSL_CERT_FILE) and start the sandbox again"
    )]
    NoAuthorities,
    /// It is not the one it should be, or does not speak TLS, or not in time.
    #[error("{0}")]
    Handshake(String),
}

/// Verifies servers by the authorities of the system and those of the operator.
pub(super) struct Verifier {
    /// Whether nobody is trusted, so that no server can be verified.
    empty: bool,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Verifier {
    /// Trusts the system's authorities and those in `extra`, a PEM text.
    ///
    /// # Errors
    /// When `extra` holds no certificate, or something else.
    pub(super) fn new(extra: Option<&str>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Err(error) = load_platform_certs_incl_env_into_store(&mut roots) {
            tracing::warn!(error = %error, "the system has no usable certificate authorities");
        }
        if let Some(pem) = extra {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            if roots.len() == before {
                return Err("the extra authorities hold no certificate in PEM format".to_owned());
            }
        }
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Self, String> {
        let empty = roots.is_empty();
        let roots = Arc::new(roots);
        let connector = |protocols: &[&[u8]]| -> Result<TlsConnector, String> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?;
            let mut config =
                builder.with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config).into())
        };
        let (http1, http2) = (connector(&[b"http/1.1"])?, connector(&[b"h2", b"http/1.1"])?);
        Ok(Self { empty, http1, http2 })
    }

    /// Speaks TLS with the server and believes it only if it is `host`.
    ///
    /// # Errors
    /// When it is not, or not in time.
    pub(super) async fn connect(
        &self,
        server: TcpStream,
        host: &Host,
        offer: Offer,
    ) -> Result<Stream, Unverified> {
        if self.empty {
            return Err(Unverified::NoAuthorities);
        }
        let connector = match offer {
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
        };
        let name = host.to_string();
        let stream = l4::stream::Stream::from(server);
        let handshake = timeout(HANDSHAKE, client::handshake(connector, &name, stream)).await;
        let broken = |why: String| Unverified::Handshake(why);
        let done = handshake.map_err(|_| broken("the TLS handshake took too long".to_owned()))?;
        Ok(Box::new(done.map_err(|error| broken(error.to_string()))?))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Ends the caller's TLS in the name of `host`; `None` when there is nobody to go on with.
pub(super) async fn accept(authority: &Authority, host: &Host, client: Client) -> Option<Stream> {
    let acceptor = match authority.acceptor(host) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::warn!(host = %host, error = %error, "no leaf could be made");
            return None;
        }
    };
    let mut stream = l4::stream::Stream::from(client.stream);
    stream.rewind(&client.seen);
    match timeout(HANDSHAKE, acceptor.tls_handshake(stream)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(host = %host, error = %error, "a caller broke off its handshake");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_without_authorities_is_told_what_to_install() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let verifier = Verifier::of(RootCertStore::empty()).unwrap();
        let host = "a.example".parse().unwrap();
        let Err(error) = verifier.connect(server, &host, Offer::Http1).await else {
            panic!("nobody is trusted");
        };
        assert!(error.to_string().contains("ca-certificates"), "{error}");
    }
}
