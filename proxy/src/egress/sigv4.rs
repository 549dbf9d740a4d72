//! Signs requests to AWS anew: the caller signed with placeholders, the upstream sees a signature made with the real key.
//!
//! Signature Version 4 as AWS documents it ("Create a signed AWS API request", 2026-11). The steps of the sender: make a
//! [`Plan`] from the head as the caller sent it, make the edits of `credentials` (they take the old signature out), give
//! the body to [`Plan::hash`] where that asks for it, then add the headers of [`Plan::sign`].
//!
//! Not here: sockets and clocks. Invariant: a key is used only where its provider is bound; what is signed is what is sent.

mod canonical;

use std::time::SystemTime;

use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use policy::model::{SignedBody, Signing};
use sha2::{Digest, Sha256};

use super::credentials::{CredentialError, Scope};
use canonical::is_word;

/// Largest body that is hashed before it is sent, bytes.
pub const BODY_BYTES_MAX: usize = domain::limits::EGRESS_SIGNED_BYTES_MAX;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key does not belong here, or there is none.
    #[error("the key for signing cannot be used")]
    Credential(#[source] CredentialError),
    /// Neither the policy nor the caller's own signature says for which service and region.
    #[error("the service or region of the signature is not known")]
    Scope,
    /// Each piece of the body has a signature of its own.
    #[error("the body is signed in pieces, which cannot be signed anew")]
    Pieces,
    /// The signature stands in the query.
    #[error("the request is signed in its query, which cannot be signed anew")]
    Presigned,
    /// The body has more than [`BODY_BYTES_MAX`].
    #[error("the body has more than {BODY_BYTES_MAX} bytes and cannot be signed")]
    Large,
    /// The body was not given, the time is out of range, or a header cannot be written.
    #[error("the request cannot be signed")]
    Unfit,
}

impl SignError {
    /// The word in answers and records; stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Credential(error) => error.code(),
            _ => "credential_injection_failed",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Credential(error) => error.status(),
            Self::Large => 413,
            _ => 500,
        }
    }

    /// What the caller, or whoever writes the policy, can do.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Credential(CredentialError::Unknown) => {
                "give the provider AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            Self::Credential(error) => error.next_step(),
            Self::Scope => "set `signing_service` and `signing_region` on the endpoint",
            Self::Pieces => "send the body in one piece, or with the payload unsigned",
            Self::Presigned => "sign in the `authorization` header",
            Self::Large => {
                "set `credential_signing: sigv4:no_body` on the endpoint, or send less at once"
            }
            Self::Unfit => "send the request as the SDK makes it",
        }
    }
}

/// What of the body a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Payload {
    /// What the caller says about it; the upstream checks it.
    Given(HeaderValue),
    /// Nothing.
    Unsigned,
    /// Its hash, which is still to be made.
    Whole,
}

/// How one request will be signed.
#[derive(Clone, Debug)]
pub struct Plan {
    service: String,
    region: String,
    payload: Payload,
    /// Whether the hash of the body is sent in a header of its own.
    hash_is_sent: bool,
    /// Headers that the caller signed.
    signed: Vec<HeaderName>,
}

/// A request that is ready to go but for its signature.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'r> {
    /// The method.
    pub method: &'r str,
    /// The path and query, exactly as they are sent.
    pub target: &'r str,
    /// What `host` or `:authority` says.
    pub authority: &'r str,
    /// All headers, without the caller's signature.
    pub headers: &'r HeaderMap,
}

/// The hash of a body that is collected before its head goes.
#[derive(Clone, Debug, Default)]
pub struct BodyHash {
    hash: Sha256,
    length: usize,
}

impl BodyHash {
    /// Adds a piece.
    ///
    /// # Errors
    /// [`SignError::Large`] when the body grows beyond [`BODY_BYTES_MAX`].
    pub fn push(&mut self, piece: &[u8]) -> Result<(), SignError> {
        self.length = self.length.saturating_add(piece.len());
        if self.length > BODY_BYTES_MAX {
            return Err(SignError::Large);
        }
        self.hash.update(piece);
        Ok(())
    }
}

impl Plan {
    /// How a request will be signed; `target` and `headers` as the caller sent them.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn new(signing: &Signing, target: &str, headers: &HeaderMap) -> Result<Self, SignError> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let presigned = |pair: &str| pair.to_ascii_lowercase().starts_with("x-amz-signature=");
        if query.split('&').any(presigned) {
            return Err(SignError::Presigned);
        }
        let own = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let own = own.filter(|text| text.starts_with("AWS4-")).unwrap_or_default();
        let (region, service) = scope_of(own).unzip();
        let word = |set: &Option<String>, own: Option<&str>| {
            let word = set.as_deref().or(own).filter(|word| is_word(word));
            word.map(str::to_owned).ok_or(SignError::Scope)
        };
        let service = word(&signing.service, service)?;
        let region = word(&signing.region, region)?;
        let given = headers.get(CONTENT_HASH);
        Ok(Self {
            payload: payload(signing.body, given)?,
            hash_is_sent: given.is_some() || service == "s3",
            signed: signed_by(own),
            service,
            region,
        })
    }

    /// Where the body goes before it is sent; `None` if the signature does not need it.
    pub fn hash(&self) -> Option<BodyHash> {
        (self.payload == Payload::Whole).then(BodyHash::default)
    }

    /// The headers that carry the signature; each takes the place of one of the same name.
    ///
    /// # Errors
    /// When the key does not belong here, or what [`Plan::hash`] asked for is missing.
    pub fn sign(
        &self,
        scope: &Scope,
        request: &Unsigned<'_>,
        body: Option<BodyHash>,
        now: SystemTime,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let resolve = |key| scope.resolve(key).map_err(SignError::Credential);
        let access = resolve("AWS_ACCESS_KEY_ID")?.open();
        let secret = resolve("AWS_SECRET_ACCESS_KEY")?.open();
        let token = match scope.resolve("AWS_SESSION_TOKEN") {
            Ok(token) => Some(token.open()),
            Err(CredentialError::Unknown) => None,
            Err(error) => return Err(SignError::Credential(error)),
        };
        let time = time(now)?;
        let day = time.get(..8).ok_or(SignError::Unfit)?;
        let payload = match (&self.payload, body) {
            (Payload::Given(value), _) => value.to_str().map_err(|_| SignError::Unfit)?.to_owned(),
            (Payload::Unsigned, _) => UNSIGNED.to_owned(),
            (Payload::Whole, Some(body)) => hex::encode(body.hash.finalize()),
            (Payload::Whole, None) => return Err(SignError::Unfit),
        };
        let mut headers = vec![(DATE, plain(&time)?)];
        if self.hash_is_sent || self.payload == Payload::Unsigned {
            headers.push((CONTENT_HASH, plain(&payload)?));
        }
        headers.extend(token.map(hidden).transpose()?.map(|value| (TOKEN, value)));
        let (names, canonical) = canonical::request(self, request, &headers, &payload);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");
        let mut key = keyed(format!("AWS4{secret}").as_bytes(), day)?;
        for part in [&*self.region, &*self.service, "aws4_request", &*text] {
            key = keyed(&key, part)?;
        }
        let signature = hex::encode(key);
        let value = format!(
            "{ALGORITHM} Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        headers.push((header::AUTHORIZATION, hidden(&value)?));
        Ok(headers)
    }
}

fn payload(body: SignedBody, given: Option<&HeaderValue>) -> Result<Payload, SignError> {
    let text = given.map_or(&b""[..], |value| value.as_bytes());
    let pieces = text.starts_with(b"STREAMING-");
    match (body, given) {
        (SignedBody::Unsigned, _) if !pieces => Ok(Payload::Unsigned),
        (SignedBody::AsSent, Some(value)) if text == b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" => {
            Ok(Payload::Given(value.clone()))
        }
        _ if pieces => Err(SignError::Pieces),
        (SignedBody::AsSent, Some(_)) if text == UNSIGNED.as_bytes() => Ok(Payload::Unsigned),
        (SignedBody::AsSent, Some(value)) if is_hash(text) => Ok(Payload::Given(value.clone())),
        _ => Ok(Payload::Whole),
    }
}

fn is_hash(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit)
}

/// Region and service in the caller's own signature.
fn scope_of(authorization: &str) -> Option<(&str, &str)> {
    let credential = part(authorization, "Credential=")?;
    let mut parts = credential.rsplit('/');
    (parts.next() == Some("aws4_request")).then_some(())?;
    let (service, region) = (parts.next()?, parts.next()?);
    Some((region, service))
}

/// The headers that the caller's own signature covers.
fn signed_by(authorization: &str) -> Vec<HeaderName> {
    let list = part(authorization, "SignedHeaders=").unwrap_or_default();
    list.split(';').filter_map(|name| HeaderName::try_from(name).ok()).collect()
}

fn part<'t>(authorization: &'t str, name: &str) -> Option<&'t str> {
    let (_, parts) = authorization.split_once(' ')?;
    parts.split(',').find_map(|part| part.trim().strip_prefix(name))
}

/// `20150830T123600Z`
fn time(now: SystemTime) -> Result<String, SignError> {
    let stamp = jiff::Timestamp::try_from(now).map_err(|_| SignError::Unfit)?;
    Ok(stamp.strftime("%Y%m%dT%H%M%SZ").to_string())
}

fn keyed(key: &[u8], text: &str) -> Result<Vec<u8>, SignError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SignError::Unfit)?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn plain(text: &str) -> Result<HeaderValue, SignError> {
    HeaderValue::from_str(text).map_err(|_| SignError::Unfit)
}

fn hidden(text: &str) -> Result<HeaderValue, SignError> {
    let mut value = plain(text)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
