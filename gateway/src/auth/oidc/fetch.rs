//! What an issuer says of itself, over HTTPS: its description (`OpenID` Connect Discovery 1.0 §4) and its keys.

use std::time::Duration;

use reqwest::{Certificate, Client, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    ConfigError,
    keys::{Key, KeySet},
};

/// How long each answer may take.
const ANSWER_MAX: Duration = Duration::from_millis(2_500);
/// Largest answer, bytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Asks an issuer.
#[derive(Debug)]
pub(super) struct Fetch {
    client: Client,
    description: String,
}

/// Why an issuer tells no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// It does not answer, or not with what it was asked for.
    #[error("{url} does not answer")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// What it says is too long.
    #[error("{0} says more than 256 KiB")]
    Long(String),
    /// What it says is not understood.
    #[error("{url} says what is not understood")]
    Malformed {
        url: String,
        #[source]
        source: serde_json::Error,
    },
    /// It describes another issuer than it is.
    #[error("the issuer calls itself {0:?}; give exactly that name if it is right")]
    Other(String),
    /// Its keys would come over a connection that anybody can change.
    #[error("the issuer keeps its keys at an address that is not https")]
    Plain,
    /// It has no key for signatures that are taken.
    #[error("the issuer has no key for RS256, PS256, ES256 or EdDSA")]
    NoKeys,
}

#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Fetch {
    pub(super) fn new(issuer: &str, ca_pem: Option<&str>) -> Result<Self, ConfigError> {
        let address: http::Uri = issuer.parse().map_err(|_| ConfigError::Issuer)?;
        let has_host = address.host().is_some_and(|host| !host.is_empty());
        if address.scheme_str() != Some("https") || !has_host || issuer.contains(['?', '#']) {
            return Err(ConfigError::Issuer);
        }
        // Whoever was first has installed the same one.
        rustls::crypto::ring::default_provider().install_default().ok();
        // An issuer that sends us elsewhere is not followed: what is believed comes from the address that was written down.
        let mut builder =
            Client::builder().https_only(true).redirect(Policy::none()).timeout(ANSWER_MAX);
        if let Some(pem) = ca_pem {
            builder = builder.tls_built_in_root_certs(false);
            for ca in Certificate::from_pem_bundle(pem.as_bytes()).map_err(ConfigError::Ca)? {
                builder = builder.add_root_certificate(ca);
            }
        }
        let client = builder.build().map_err(ConfigError::Ca)?;
        let description =
            format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        Ok(Self { client, description })
    }

    /// The keys of the issuer now.
    pub(super) async fn keys(&self, issuer: &str) -> Result<Vec<Key>, FetchError> {
        let said: Description = self.get(&self.description).await?;
        if said.issuer != issuer {
            return Err(FetchError::Other(said.issuer.chars().take(200).collect()));
        }
        if !said.jwks_uri.starts_with("https://") {
            return Err(FetchError::Plain);
        }
        let keys = self.get::<KeySet>(&said.jwks_uri).await?.usable();
        if keys.is_empty() { Err(FetchError::NoKeys) } else { Ok(keys) }
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let unreachable = |source| FetchError::Unreachable { url: url.to_owned(), source };
        let mut answer = self.client.get(url).send().await.map_err(unreachable)?;
        if let Err(source) = answer.error_for_status_ref() {
            return Err(unreachable(source));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(FetchError::Long(url.to_owned()));
            }
            bytes.extend(piece);
        }
        let malformed = |source| FetchError::Malformed { url: url.to_owned(), source };
        serde_json::from_slice(&bytes).map_err(malformed)
    }
}
