//! TLS on both sides: ended towards the sandbox by a leaf of its authority, verified for real towards the server.

use std::{fmt, sync::Arc, time::Duration};

use domain::Host;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, SupportedCipherSuite,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{
    authority::Authority,
    roots::Authorities,
    socket::{Socket, Wire},
    tunnel::Client,
};

/// HTTP/2 in the handshake (RFC 9113, section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// HTTP/1.1 in the handshake.
pub(super) const HTTP1: &[u8] = b"http/1.1";

/// Longest handshake, on either side.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The cryptography of both sides. AES with 128 bits comes first: nobody breaks either, and its SHA-256 has instructions of
/// its own, which SHA-384 has not.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    let is_later = |suite: CipherSuite| {
        !matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(|suite| {
        let is_old = !matches!(suite, SupportedCipherSuite::Tls13(_));
        (is_old, is_later(suite.suite()))
    });
    provider
}

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
    /// Trusts these authorities and those in `extra`, a PEM text.
    ///
    /// # Errors
    /// When authorities that were named cannot be read, or `extra` holds no certificate, or something else.
    pub(super) fn new(authorities: &Authorities, extra: Option<&str>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let (used, _) = roots.add_parsable_certificates(authorities.read()?);
        if used == 0 && authorities.are_named() {
            return Err(
                "the files that SSL_CERT_FILE and SSL_CERT_DIR name hold no authority".to_owned()
            );
        }
        if used == 0 {
            tracing::warn!("the system has no usable certificate authorities");
        }
        let mut given = Vec::new();
        if let Some(pem) = extra {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                given.push(certificate.clone());
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            if given.is_empty() {
                return Err("the extra authorities hold no certificate in PEM format".to_owned());
            }
        }
        Self::of(roots, given)
    }

    /// Trusts `roots`, and servers that show a certificate of `given`.
    fn of(roots: RootCertStore, given: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let empty = roots.is_empty();
        let provider = Arc::new(provider());
        // Without any authority nobody is believed, and connections say so one by one.
        let verifier = if empty { None } else { Some(Given::new(roots, given)?) };
        let connector = |protocols: &[&[u8]]| -> Result<TlsConnector, String> {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?;
            let verified = match verifier.clone() {
                Some(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
                None => builder.with_root_certificates(RootCertStore::empty()),
            };
            let mut config = verified.with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(TlsConnector::from(Arc::new(config)))
        };
        let (http1, http2) = (connector(&[HTTP1])?, connector(&[HTTP2, HTTP1])?);
        Ok(Self { empty, http1, http2 })
    }

    /// Speaks TLS with the server and believes it only if it is `host`.
    ///
    /// # Errors
    /// When it is not, or not in time.
    pub(super) async fn connect(
        &self,
        server: Socket,
        host: &Host,
        offer: Offer,
    ) -> Result<Wire, Unverified> {
        if self.empty {
            return Err(Unverified::NoAuthorities);
        }
        let connector = match offer {
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
        };
        let broken = |why: String| Unverified::Handshake(why);
        let name = ServerName::try_from(host.to_string());
        let name = name.map_err(|error| broken(error.to_string()))?;
        let backlog = server.backlog();
        let done = timeout(HANDSHAKE, connector.connect(name, server)).await;
        let done = done.map_err(|_| broken("the TLS handshake took too long".to_owned()))?;
        let stream = done.map_err(|error| broken(error.to_string()))?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok(Wire::of(stream, backlog, is_http2))
    }
}

/// What webpki verifies, and a server that shows the very certificate which the operator gave: `openssl req -x509` makes
/// certificates for servers that call themselves authorities, which webpki takes from no server.
#[derive(Debug)]
struct Given {
    webpki: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Given {
    fn new(roots: RootCertStore, given: Vec<CertificateDer<'static>>) -> Result<Arc<Self>, String> {
        let provider = Arc::new(provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let webpki = webpki.map_err(|error| error.to_string())?;
        Ok(Arc::new(Self { webpki, given }))
    }
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        // The time of a certificate is looked at before its kind: one that is too old has another error.
        let wrong_kind =
            matches!(verified, Err(Error::InvalidCertificate(CertificateError::Other(_))));
        if wrong_kind && self.given.iter().any(|given| given == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Ends the caller's TLS in the name of `host`; `None` when there is nobody to go on with.
pub(super) async fn accept(authority: &Authority, host: &Host, client: Client) -> Option<Wire> {
    let acceptor = match authority.acceptor(host) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::warn!(host = %host, error = %error, "no leaf could be made");
            return None;
        }
    };
    let socket = Socket::tcp(client.stream, client.seen);
    let backlog = socket.backlog();
    match timeout(HANDSHAKE, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            Some(Wire::of(stream, backlog, is_http2))
        }
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
        let server = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = Socket::tcp(server, bytes::BytesMut::new());
        let verifier = Verifier::of(RootCertStore::empty(), Vec::new()).unwrap();
        let host = "a.example".parse().unwrap();
        let Err(error) = verifier.connect(server, &host, Offer::Http1).await else {
            panic!("nobody is trusted");
        };
        assert!(error.to_string().contains("ca-certificates"), "{error}");
    }
}
