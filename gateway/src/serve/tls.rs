//! TLS of the port: which certificate is shown, which are asked for, and a word for those who speak plain HTTP.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::auth::{
    authority::{Authority, server::ServerLeaf},
    peer::{CertificateError, ClientCertificate},
};

/// The first byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// What plain HTTP is answered.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
    content-length: 60\r\n\r\nThis port speaks TLS. Use https:// in the gateway's address.";
/// What is read of it before the connection is closed, so that the answer arrives, bytes; and how long.
const PLAIN_BYTES_MAX: usize = 64 << 10;
const PLAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Whether callers must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// They may; those who do not bring a token.
    MayShow,
    /// They must, or TLS ends at once. Supervisors with tokens are then out, too.
    MustShow,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority cannot be asked for client certificates.
    #[error("cannot check client certificates")]
    Clients(#[from] rustls::server::VerifierBuilderError),
    /// Anything else.
    #[error("cannot set up tls")]
    Tls(#[from] rustls::Error),
}

/// TLS 1.3 and 1.2 for HTTP/2 and HTTP/1.1, with the gateway's leaf, and with client certificates of its authority alone.
///
/// # Errors
/// When rustls cannot use the authority.
pub fn config(
    authority: &Authority,
    leaf: Arc<ServerLeaf>,
    clients: Clients,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = match clients {
        Clients::MayShow => verifier.allow_unauthenticated(),
        Clients::MustShow => verifier,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build()?)
        .with_cert_resolver(leaf);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A session that is taken up again would skip the look at the certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Shakes hands; `None` when the other side says nothing, or does not speak TLS and was told so.
pub(super) async fn accept(
    config: &Arc<ServerConfig>,
    stream: TcpStream,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Ok(None),
        _ if first == [HANDSHAKE] => {
            TlsAcceptor::from(Arc::clone(config)).accept(stream).await.map(Some)
        }
        _ => tell_plain(stream).await.map(|()| None),
    }
}

async fn tell_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    // A close with bytes unread would throw the answer away.
    let drain = async {
        let (mut buffer, mut left) = ([0; 4096], PLAIN_BYTES_MAX);
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(read @ 1..) => left = left.saturating_sub(read),
                Ok(0) | Err(_) => break,
            }
        }
    };
    // Whether it was all or not, it is closed now.
    tokio::time::timeout(PLAIN_TIME_MAX, drain).await.unwrap_or(());
    Ok(())
}

/// What the certificate says that the other side showed.
pub(super) fn certificate(
    stream: &TlsStream<TcpStream>,
) -> Option<Result<ClientCertificate, CertificateError>> {
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates()?.first()?;
    Some(ClientCertificate::read(leaf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_well_framed() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
