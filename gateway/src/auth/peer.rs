//! What is known of a connection before its first request, and what ends it before its last.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

use crate::auth::{
    principal::{NameError, UserName},
    revoked::Serial,
    token::TokenHash,
};

/// What the address of a user in a certificate begins with: `openshell:user:NAME`.
pub const USER_URI: &str = "openshell:user:";

/// Callers that one connection may carry. A client has one; a proxy in front of many has a connection for each.
const IDENTITIES_MAX: usize = 32;

/// Which way a connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Over TLS, from that address.
    Tls(SocketAddr),
    /// Over the Unix socket, from a process of the gateway's own user, which was checked.
    OwnUser,
}

/// What a client certificate says. That our authority signed it, the handshake has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whose it is.
    pub user: UserName,
    /// Its number.
    pub serial: Serial,
    /// From when it is good, seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

/// Why a certificate names no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is no certificate.
    #[error("the certificate is malformed")]
    Malformed,
    /// It is of our authority, but not for a user.
    #[error("the certificate names no user")]
    NoUser,
    /// The name in it is none.
    #[error("the certificate names no possible user")]
    Name(#[from] NameError),
}

impl ClientCertificate {
    /// Reads it.
    ///
    /// # Errors
    /// When it does not name exactly one user.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let serial = Serial::of_der(certificate.raw_serial()).ok_or(CertificateError::Malformed)?;
        let (valid, user) = (certificate.validity(), user(&certificate)?);
        let (not_before, not_after) = (valid.not_before.timestamp(), valid.not_after.timestamp());
        Ok(Self { user, serial, not_before, not_after })
    }

    /// Whether it is good at `now`, seconds since 1970.
    pub fn is_timely(&self, now: u64) -> bool {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        (self.not_before..=self.not_after).contains(&now)
    }
}

fn user(certificate: &X509Certificate<'_>) -> Result<UserName, CertificateError> {
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let mut users = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(USER_URI),
        _ => None,
    });
    match (users.next(), users.next()) {
        (Some(user), None) => Ok(user.parse()?),
        _ => Err(CertificateError::NoUser),
    }
}

/// Something that a caller proved itself with, for as long as it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A client certificate.
    Certificate(Serial),
    /// A bearer token of a user, known before it is looked up.
    Token(TokenHash),
    /// A user, however it proved that.
    User(UserName),
    /// A sandbox.
    Sandbox(Uuid),
}

/// An open connection: who used it, and how it is ended.
#[derive(Debug, Default)]
pub struct Connection {
    identities: Mutex<Vec<(Identity, Option<u64>)>>,
    ended: CancellationToken,
}

impl Connection {
    /// Notes that this caller uses the connection, before its request is judged; so that whoever revokes it and then looks
    /// for its connections misses none. With when its proof ends, seconds since 1970, once that is known; what is open
    /// ends then, too. `false` when there are too many callers on it.
    pub fn note(&self, identity: Identity, expires: Option<u64>) -> bool {
        let mut identities = self.identities.lock();
        if let Some((_, known)) = identities.iter_mut().find(|(known, _)| *known == identity) {
            *known = expires.or(*known);
            return true;
        }
        let fits = identities.len() < IDENTITIES_MAX;
        if fits {
            identities.push((identity, expires));
        }
        fits
    }

    /// Whether that caller used it.
    pub fn is_used_by(&self, identity: &Identity) -> bool {
        self.identities.lock().iter().any(|(known, _)| known == identity)
    }

    /// Whether a caller used it whose proof is over at `now`, seconds since 1970.
    pub fn is_over(&self, now: u64) -> bool {
        let is_over = |expires: &Option<u64>| expires.is_some_and(|expires| expires <= now);
        self.identities.lock().iter().any(|(_, expires)| is_over(expires))
    }

    /// Ends it at once, with everything that is under way on it.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// What says that it is to end.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// The other side of a connection; in the extensions of every request that came over it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which way it comes.
    pub via: Via,
    /// The certificate that it showed, read; `None` when it showed none.
    pub certificate: Option<Result<ClientCertificate, CertificateError>>,
    /// The connection itself.
    pub connection: Arc<Connection>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_knows_its_callers_and_takes_no_endless_number() {
        let connection = Connection::default();
        let sandbox = |id| Identity::Sandbox(Uuid::from_u128(id));
        for id in 0..32 {
            assert!(connection.note(sandbox(id), None), "{id}");
        }
        assert!(!connection.note(sandbox(99), None));
        assert!(!connection.is_over(u64::MAX));
        assert!(connection.note(sandbox(5), Some(10)));
        assert!(connection.note(sandbox(5), None));
        assert!(connection.is_over(10) && !connection.is_over(9));
        assert!(connection.is_used_by(&sandbox(31)) && !connection.is_used_by(&sandbox(99)));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for der in [&[][..], &[0x30, 0x00], &[0xff; 40]] {
            assert_eq!(ClientCertificate::read(der), Err(CertificateError::Malformed));
        }
    }
}
