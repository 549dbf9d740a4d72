//! People who log in at an `OpenID` Connect issuer: bearer tokens that the gateway did not make itself.
//!
//! | module | what it does |
//! |---|---|
//! | `claims` | what a token says of a person: name, role |
//! | `fetch` | the issuer's description and keys over HTTPS, within limits |
//! | `keys` | public keys, and which algorithm each is for |
//! | `ring` | signatures, checked by the library that TLS uses |
//!
//! A token is believed when a key of the issuer signed it, with the algorithm of that key, for this gateway, in its time. There
//! is no unsigned form and none with a shared key. Not here: which user of the gateway that is (`identities`).
//! Invariants: no request waits for the issuer but for a key that is not known, and then a bounded time; how often the issuer
//! is asked does not depend on how many tokens strangers make up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::user::Role;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    claims::{Claims, UserClaim},
    fetch::Fetch,
    keys::{ALGORITHMS, Key},
};
use crate::auth::principal::UserName;

pub mod claims;
mod fetch;
mod keys;
mod ring;

/// Longest token, bytes; the heads of requests have 64 KiB.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far the clock of the issuer may be from ours, seconds.
const SKEW_S: u64 = 30;
/// Between two questions to the issuer, at least. So long a new key may be unknown.
const ASK_PAUSE: Duration = Duration::from_secs(5);
/// After which time keys are asked for again without a need: so long a key that the issuer has dropped is believed.
const KEYS_LIFE: Duration = Duration::from_mins(10);
/// How long keys are believed while the issuer does not answer.
const KEYS_STALE_MAX: Duration = Duration::from_hours(24);
/// How long a request waits for a key that is not known.
const WAIT_MAX: Duration = Duration::from_secs(6);

/// Whom the gateway believes, and what it takes from their tokens.
#[derive(Clone, Debug)]
pub struct Config {
    /// The issuer, exactly as it stands in its tokens: an `https` address.
    pub issuer: String,
    /// What a token must be for.
    pub audience: String,
    /// The clients that a token may have been made for; any when empty. The first is what `openshell gateway login` is.
    pub clients: Vec<String>,
    /// What `openshell gateway login` asks for.
    pub scopes: Vec<String>,
    /// Who vouches for the issuer, PEM; the authorities of this system when `None`.
    pub ca_pem: Option<String>,
    /// What names a user.
    pub user_claim: UserClaim,
    /// Where roles stand in a token: a claim, or a path of claims with dots between. Without one nobody is made by logging in.
    pub roles_claim: Option<String>,
    /// Which role each word there gives.
    pub roles: BTreeMap<String, Role>,
}

/// What a token says that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who made it.
    pub issuer: Arc<str>,
    /// What tells this person from every other there, for ever.
    pub subject: String,
    /// What the person is called; `None` when nothing says so, or not in a way that a user may be called.
    pub name: Option<UserName>,
    /// The highest role that it gives.
    pub role: Option<Role>,
    /// When it was made, seconds since 1970.
    pub issued: u64,
    /// When it ends.
    pub expires: u64,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// It has not the form of one, or says something that is not understood.
    #[error("the token is malformed")]
    Malformed,
    /// An algorithm that is not taken, or not for that key.
    #[error("the token is signed in a way that is not taken; RS256, PS256, ES256 and EdDSA are")]
    Algorithm,
    /// No key of the issuer is called so.
    #[error("the key that signed the token is not one of the issuer's")]
    UnknownKey,
    /// The signature is not one.
    #[error("the signature of the token is not good")]
    Forged,
    /// Another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// For something else.
    #[error("the token is not for this gateway: its audience is another one")]
    Audience,
    /// Made for another client.
    #[error("the token was made for another client")]
    Client,
    /// Its time is over.
    #[error("the token has expired; run `openshell gateway login`")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet; check the clocks")]
    Untimely,
    /// The issuer has not said what its keys are.
    #[error("the issuer does not tell its keys")]
    Unavailable,
}

impl OidcError {
    /// What tells it from others.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "oidc_token_malformed",
            Self::Algorithm => "oidc_algorithm_refused",
            Self::UnknownKey => "oidc_key_unknown",
            Self::Forged => "oidc_signature_invalid",
            Self::Issuer => "oidc_issuer_foreign",
            Self::Audience => "oidc_audience_foreign",
            Self::Client => "oidc_client_foreign",
            Self::Expired => "oidc_token_expired",
            Self::Untimely => "oidc_token_untimely",
            Self::Unavailable => "oidc_issuer_unavailable",
        }
    }
}

/// What is known of the issuer's keys.
#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<[Key]>,
    /// When they were told.
    told: Option<Instant>,
    /// When they were last asked for, successfully or not.
    asked: Option<Instant>,
}

impl Known {
    fn may_ask(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= ASK_PAUSE)
    }

    /// The keys, while they are believed.
    fn believed(&self) -> Option<&[Key]> {
        let told = self.told.filter(|told| told.elapsed() < KEYS_STALE_MAX);
        told.map(|_| self.keys.as_ref())
    }
}

/// An issuer whose tokens are believed.
#[derive(Debug)]
pub struct Issuer {
    config: Config,
    name: Arc<str>,
    fetch: Fetch,
    known: watch::Sender<Known>,
    wanted: Notify,
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address is none.
    #[error("the OIDC issuer has to be an https address, exactly as it stands in its tokens")]
    Issuer,
    /// The authorities cannot be read.
    #[error("the authority of the OIDC issuer cannot be used")]
    Ca(#[source] reqwest::Error),
    /// Words for roles, and no claim to find them in; or the other way around.
    #[error("roles of OIDC users need both: the claim, and at least one VALUE=ROLE")]
    Roles,
}

impl Issuer {
    /// An issuer of which nothing is known yet: [`Issuer::run`] asks it.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.roles_claim.is_some() == config.roles.is_empty() {
            return Err(ConfigError::Roles);
        }
        ring::install();
        let fetch = Fetch::new(&config.issuer, config.ca_pem.as_deref())?;
        let (known, _) = watch::channel(Known::default());
        let name = config.issuer.as_str().into();
        Ok(Self { config, name, fetch, known, wanted: Notify::new() })
    }

    /// What it was made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Keeps its keys at hand until it is stopped.
    pub async fn run(&self, stopped: CancellationToken) {
        while !stopped.is_cancelled() {
            let told = tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                told = self.fetch.keys(&self.config.issuer) => told,
            };
            let now = Instant::now();
            let next = match told {
                Ok(keys) => {
                    let known = Known { keys: keys.into(), told: Some(now), asked: Some(now) };
                    self.known.send_replace(known);
                    now + KEYS_LIFE
                }
                Err(error) => {
                    tracing::warn!(error = %crate::lifecycle::written(error), "the oidc issuer does not tell its keys");
                    self.known.send_modify(|known| known.asked = Some(now));
                    now + ASK_PAUSE * 6
                }
            };
            loop {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => return,
                    () = sleep_until(next) => break,
                    // A wish that came while it was asked is fulfilled.
                    () = self.wanted.notified() => if self.known.borrow().may_ask() { break },
                }
            }
        }
    }

    /// What a token says, if it is good now.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn judge(&self, text: &str) -> Result<Verified, OidcError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(OidcError::Malformed);
        }
        let header = decode_header(text).map_err(|error| match error.kind() {
            // A word for an algorithm that the library does not know, such as `none`.
            ErrorKind::Json(_) => OidcError::Algorithm,
            _ => OidcError::Malformed,
        })?;
        if header.crit.is_some() || !header.typ.as_deref().is_none_or(is_for_access) {
            return Err(OidcError::Malformed);
        }
        if !ALGORITHMS.contains(&header.alg) {
            return Err(OidcError::Algorithm);
        }
        let key = self.key(header.kid.as_deref(), header.alg).await?;
        self.verify(text, header.alg, &key)
    }

    /// The key of that name; asks the issuer for it where that was not done a moment ago.
    async fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, OidcError> {
        let mut changes = self.known.subscribe();
        let may_ask = {
            let known = changes.borrow_and_update();
            let found = keys::find(known.believed().unwrap_or_default(), id, algorithm);
            match found {
                Ok(key) => return Ok(key.clone()),
                Err(OidcError::UnknownKey) => {}
                Err(error) => return Err(error),
            }
            known.may_ask()
        };
        if may_ask {
            self.wanted.notify_one();
            // That nothing came is told below.
            timeout(WAIT_MAX, changes.changed()).await.ok();
        }
        let known = self.known.borrow();
        let keys = known.believed().ok_or(OidcError::Unavailable)?;
        keys::find(keys, id, algorithm).cloned()
    }

    fn verify(&self, text: &str, algorithm: Algorithm, key: &Key) -> Result<Verified, OidcError> {
        let mut validation = Validation::new(algorithm);
        validation.leeway = SKEW_S;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        let token = decode::<Claims>(text, &key.public, &validation);
        let claims = token.map_err(|error| refusal(error.kind()))?.claims;
        let (issued, expires) = claims.times().ok_or(OidcError::Malformed)?;
        if issued > jsonwebtoken::get_current_timestamp().saturating_add(SKEW_S) {
            return Err(OidcError::Untimely);
        }
        // The library takes a list of issuers too.
        if claims.issuer != self.config.issuer {
            return Err(OidcError::Issuer);
        }
        if !claims.is_for(&self.config.clients, &self.config.audience) {
            return Err(OidcError::Client);
        }
        if claims.subject.is_empty() {
            return Err(OidcError::Malformed);
        }
        let roles = self.config.roles_claim.as_deref();
        Ok(Verified {
            issuer: Arc::clone(&self.name),
            name: claims.name(self.config.user_claim),
            role: roles.and_then(|claim| claims.role(claim, &self.config.roles)),
            subject: claims.subject,
            issued,
            expires,
        })
    }
}

/// Whether a token of that type opens anything: logout tokens and the like are signed by the same keys.
fn is_for_access(kind: &str) -> bool {
    ["jwt", "at+jwt", "application/at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

fn refusal(kind: &ErrorKind) -> OidcError {
    match kind {
        ErrorKind::InvalidSignature => OidcError::Forged,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => OidcError::Algorithm,
        ErrorKind::InvalidIssuer => OidcError::Issuer,
        ErrorKind::InvalidAudience => OidcError::Audience,
        ErrorKind::ExpiredSignature => OidcError::Expired,
        ErrorKind::ImmatureSignature => OidcError::Untimely,
        _ => OidcError::Malformed,
    }
}
