//! The gateway's own certificate authority: it vouches for the gateway to its callers, and for its users to the gateway.
//!
//! Made on the first start, in a folder that only its owner enters. Leaves for users are made with their key, handed to the
//! user, and not kept; what is kept of them, the serial number, is the caller's business.
//! Invariant: a leaf is for one side only: that of the gateway never names a user, that of a user never ends TLS.

use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::auth::{files, peer::USER_URI, principal::UserName, revoked::Serial};

pub mod server;

/// The file of the authority's key and certificate: one, so that they fit.
const AUTHORITY_FILE: &str = "authority.pem";
/// The certificate alone, for clients.
const CERTIFICATE_FILE: &str = "ca.crt";

const DAY_S: u64 = 24 * 60 * 60;
/// How long the authority is good, seconds: ten years.
pub const AUTHORITY_LIFE_S: u64 = 3652 * DAY_S;
/// How long a leaf is good, seconds.
pub const LEAF_LIFE_S: u64 = 90 * DAY_S;
/// Clocks of clients may be behind ours.
const BEFORE_S: u64 = 60 * 60;

/// Why the authority cannot be used, or cannot make a certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its folder or file.
    #[error("cannot use the folder of the certificate authority")]
    File(#[from] io::Error),
    /// The file is not what was written.
    #[error("{0} is damaged: it does not hold the key and the certificate of an authority")]
    Damaged(PathBuf),
    /// A key or certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot use it.
    #[error("cannot use a certificate for TLS")]
    Tls(#[from] rustls::Error),
    /// The system has no randomness.
    #[error("the system has no randomness")]
    Random,
}

/// A certificate authority.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a user needs to call the gateway. It exists here and with that user, nowhere else.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The number of the certificate.
    pub serial: Serial,
    /// When it ends, seconds since 1970.
    pub expires: u64,
    /// The authority that vouches for the gateway.
    pub ca_pem: String,
    /// The certificate of the user.
    pub certificate_pem: String,
    /// Its private key, PKCS #8 PEM.
    pub key_pem: SecretString,
}

impl Authority {
    /// The authority in this folder; made there, good from `now` (seconds since 1970), when there is none.
    ///
    /// # Errors
    /// A folder or file that others can reach, a damaged file, or no randomness.
    pub fn open(folder: &Path, now: u64) -> Result<Self, AuthorityError> {
        files::folder(folder)?;
        let path = folder.join(AUTHORITY_FILE);
        if files::read(&path)?.is_none() {
            // Of two that start at once, the later takes what the earlier made.
            files::create(&path, Self::draft(now)?.as_bytes())?;
        }
        let damaged = || AuthorityError::Damaged(path.clone());
        let text = files::read(&path)?.ok_or_else(damaged)?;
        let text = std::str::from_utf8(&text).map_err(|_| damaged())?;
        let authority = Self::read(text).ok_or_else(damaged)?;
        files::replace(&folder.join(CERTIFICATE_FILE), authority.pem.as_bytes())?;
        Ok(authority)
    }

    /// Key and certificate of a new authority, PEM.
    fn draft(now: u64) -> Result<Zeroizing<String>, AuthorityError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let (mut params, serial) = params(now, AUTHORITY_LIFE_S)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // With a name of its own, so that a client which knows several gateways can tell them apart.
        let name = serial.to_string();
        let name = format!("OpenShell gateway {}", name.get(..8).unwrap_or_default());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Zeroizing::new(Zeroizing::new(key.serialize_pem()).to_string() + &certificate))
    }

    /// `None` when key and certificate are not there or do not belong together.
    fn read(text: &str) -> Option<Self> {
        let key = KeyPair::from_pem(text).ok()?;
        let der = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
        if certificate.public_key().subject_public_key.data != key.public_key_raw() {
            return None;
        }
        let at = text.find("-----BEGIN CERTIFICATE-----")?;
        let pem = text.get(at..)?.to_owned();
        let issuer = Issuer::from_ca_cert_der(&der, key).ok()?;
        Some(Self { pem, der, issuer })
    }

    /// Its certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Makes a certificate that says who its holder is, good from `now` (seconds since 1970) for 90 days. Whether the user may
    /// have one is decided before.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn client(&self, user: &UserName, now: u64) -> Result<Bundle, AuthorityError> {
        let (mut params, serial) = params(now, LEAF_LIFE_S)?;
        params.distinguished_name.push(DnType::CommonName, user.as_str());
        let uri = format!("{USER_URI}{user}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Bundle {
            serial,
            expires: now.saturating_add(LEAF_LIFE_S),
            ca_pem: self.pem.clone(),
            certificate_pem: leaf(params).signed_by(&key, &self.issuer)?.pem(),
            key_pem: SecretString::from(key.serialize_pem()),
        })
    }

    /// Makes a certificate under which the gateway answers for these names and addresses.
    fn server(&self, names: &[String], now: u64) -> Result<CertifiedKey, AuthorityError> {
        let (mut params, _) = params(now, LEAF_LIFE_S)?;
        params.distinguished_name.push(DnType::CommonName, "OpenShell gateway");
        params.subject_alt_names =
            names.iter().map(|name| subject(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = leaf(params).signed_by(&key, &self.issuer)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = rustls::crypto::ring::sign::any_ecdsa_type(&der)?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], signing))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn subject(name: &str) -> Result<SanType, rcgen::Error> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

/// What all certificates have: a random number, a time, and a subject that is not there yet.
fn params(now: u64, life_s: u64) -> Result<(CertificateParams, Serial), AuthorityError> {
    let random = ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new());
    let serial = Serial::of_random(random.map_err(|_| AuthorityError::Random)?.expose());
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_bytes()));
    params.distinguished_name = DistinguishedName::new();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(BEFORE_S));
    params.not_after = epoch + Duration::from_secs(now.saturating_add(life_s));
    Ok((params, serial))
}

fn leaf(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests;
