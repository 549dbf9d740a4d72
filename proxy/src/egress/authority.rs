//! The certificate authority of one sandbox: made for it, trusted by it alone, gone with it.
//!
//! Leaves are minted before the handshake, for the name that was allowed, and kept for a while. All share one key: minting
//! one is a single signature. Invariant: the keys exist only in this process.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use domain::Host;
use lru::LruCache;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use super::tls::{HTTP1, HTTP2, provider};

/// Names whose leaves are kept.
const LEAVES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// How long a leaf is handed out, and how long it is valid; clients refuse leaves of more than 398 days.
const LEAF_USED: Duration = Duration::from_hours(24);
const LEAF_VALID: Duration = Duration::from_hours(24 * 30);

/// How long the authority is valid: longer than any sandbox lives.
const AUTHORITY_VALID: Duration = Duration::from_hours(24 * 3650);

/// Clocks of clients may be behind ours.
const BEFORE: Duration = Duration::from_hours(24);

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A key or certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot use it.
    #[error("cannot use a certificate for TLS")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    signing: Arc<dyn rustls::sign::SigningKey>,
    leaves: Mutex<LruCache<Host, Leaf>>,
}

struct Leaf {
    acceptor: TlsAcceptor,
    made: Instant,
}

impl Authority {
    /// Makes a new authority for a sandbox of this name.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(sandbox: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(Vec::new(), AUTHORITY_VALID)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("OpenShell sandbox {sandbox}"));
        let pem = params.self_signed(&key)?.pem();
        let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let signing = rustls::crypto::ring::sign::any_ecdsa_type(&der)?;
        let leaves = Mutex::new(LruCache::new(LEAVES_MAX));
        Ok(Self { pem, issuer: Issuer::new(params, key), leaf_key, signing, leaves })
    }

    /// The certificate that the sandbox must trust, as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Ends TLS in the name of `host`, with HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When no leaf can be made for it.
    pub(super) fn acceptor(&self, host: &Host) -> Result<TlsAcceptor, AuthorityError> {
        if let Some(leaf) = self.leaves.lock().get(host)
            && leaf.made.elapsed() < LEAF_USED
        {
            return Ok(leaf.acceptor.clone());
        }
        let acceptor = TlsAcceptor::from(Arc::new(self.config(host)?));
        let leaf = Leaf { acceptor: acceptor.clone(), made: Instant::now() };
        self.leaves.lock().put(host.clone(), leaf);
        Ok(acceptor)
    }

    fn config(&self, host: &Host) -> Result<ServerConfig, AuthorityError> {
        let mut params = params(vec![host.to_string()], LEAF_VALID)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let leaf = One(Arc::new(CertifiedKey::new(chain, Arc::clone(&self.signing))));
        let provider = Arc::new(provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(leaf));
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        // Ours, which is the cheapest that both have.
        config.ignore_client_order = true;
        // A resumed session would be one more thing that outlives a decision.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn params(names: Vec<String>, valid: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BEFORE);
    params.not_after = epoch + now.saturating_add(valid);
    Ok(params)
}

/// Answers with one certificate, whatever name was asked for: which names may be asked for was decided before.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
