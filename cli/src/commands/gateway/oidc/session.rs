//! What is kept of a login: the token that the gateway is shown, and what gets the next one.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use api::gateway::OidcLogin;
use oauth2::{
    RefreshToken, RequestTokenError, TokenResponse as _,
    basic::BasicErrorResponseType::InvalidGrant,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    super::registry::{read, write},
    Issuer, Tokens, refused,
};
use crate::failure::Failure;

/// How long before its end a token is exchanged for the next, seconds.
const EARLY_S: i64 = 30;

/// A login that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct Session {
    #[serde(serialize_with = "written", deserialize_with = "taken")]
    token: SecretString,
    /// When it ends, seconds since 1970.
    expires: i64,
    #[serde(default, serialize_with = "maybe_written", deserialize_with = "maybe_taken")]
    refresh: Option<SecretString>,
}

impl Session {
    /// What is kept of these tokens; the refresh token of before where there is no new one.
    pub(super) fn of(
        issuer: &Issuer,
        tokens: &Tokens,
        nonce: Option<&str>,
        before: Option<SecretString>,
    ) -> Result<Self, Failure> {
        let access = tokens.access_token().secret();
        let id = tokens.extra_fields().id_token.as_deref();
        let claims = |token: &str| claims(token);
        if let (Some(nonce), Some(id)) = (nonce, id)
            && claims(id)
                .and_then(|all| all.get("nonce").and_then(Value::as_str).map(|said| said != nonce))
                .unwrap_or(true)
        {
            return Err(Failure::new("the issuer answered another login than this one"));
        }
        // An access token where that is for the gateway, as it should be; many issuers have only the id token for it.
        let mut all = [Some(access.as_str()), id].into_iter().flatten();
        let fits =
            |token: &&str| claims(token).is_some_and(|all| is_for(&all, &issuer.login.audience));
        let token = all.find(fits).ok_or_else(|| {
            Failure::new(format!(
                "the issuer gave no token for {}, which is what the gateway wants",
                issuer.login.audience
            ))
            .hint("set up the issuer so that tokens of this client are for that audience, or the gateway with --oidc-audience of the client id")
        })?;
        let ends = claims(token).and_then(|all| all.get("exp").and_then(Value::as_i64));
        let refresh =
            tokens.refresh_token().map(|token| SecretString::from(token.secret().clone()));
        Ok(Self {
            token: SecretString::from(token.to_owned()),
            expires: ends.unwrap_or_default(),
            refresh: refresh.or(before),
        })
    }

    /// The token for the gateway.
    pub(in super::super) fn token(&self) -> &SecretString {
        &self.token
    }

    /// Whether it can be renewed without anybody.
    pub(in super::super) fn is_renewable(&self) -> bool {
        self.refresh.is_some()
    }

    fn is_over(&self) -> bool {
        self.expires - EARLY_S <= jiff::Timestamp::now().as_second()
    }

    /// What is kept there.
    fn load(path: &Path) -> Result<Self, Failure> {
        match read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(logged_out()),
            other => {
                let text = other.with_context(|| format!("cannot read {}", path.display()))?;
                let read = serde_json::from_str(&text);
                Ok(read.with_context(|| format!("{} is damaged", path.display()))?)
            }
        }
    }

    /// Keeps it there, for its owner alone.
    pub(in super::super) fn keep(&self, path: &Path) -> Result<(), Failure> {
        write(path, &serde_json::to_vec(self)?)
    }
}

fn logged_out() -> Failure {
    Failure::new("you are not logged in at this gateway")
        .hint("`openshell gateway login` does that")
}

fn over() -> Failure {
    Failure::new("your login at this gateway is over").hint("`openshell gateway login` begins anew")
}

/// The login that is kept there, renewed where it is over. Whoever renews it keeps others waiting: many issuers take a login
/// back whose renewal is used twice.
pub(in super::super) async fn fresh(
    path: &Path,
    login: &OidcLogin,
    ca_pem: Option<&str>,
) -> Result<Session, Failure> {
    let session = Session::load(path)?;
    if !session.is_over() {
        return Ok(session);
    }
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))
        .context("cannot lock what is kept of the login")?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
    let _lock = lock.context("cannot wait")?.context("cannot lock what is kept of the login")?;
    let session = Session::load(path)?;
    if !session.is_over() {
        return Ok(session);
    }
    let Some(refresh) = session.refresh else {
        return Err(over());
    };
    let issuer = Issuer::find(login.clone(), ca_pem).await?;
    #[expect(clippy::disallowed_methods, reason = "it goes back to who made it")]
    let token = RefreshToken::new(refresh.expose_secret().to_owned());
    let flow = issuer.flow()?;
    let mut exchange = flow.exchange_refresh_token(&token);
    for (name, value) in issuer.wanted() {
        exchange = exchange.add_extra_param(name, value);
    }
    let tokens = exchange.request_async(&issuer.http).await.map_err(|error| match &error {
        RequestTokenError::ServerResponse(said) if *said.error() == InvalidGrant => over(),
        _ => refused(error),
    })?;
    let session = Session::of(&issuer, &tokens, None, Some(refresh))?;
    session.keep(path)?;
    Ok(session)
}

/// What a token says, unchecked: only whether it is worth to be shown to the gateway.
fn claims(token: &str) -> Option<Value> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut parts = token.split('.');
    let (_, payload) = (parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn is_for(claims: &Value, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one == audience),
        _ => false,
    }
}

fn written<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::disallowed_methods, reason = "into a file for its owner alone")]
    to.serialize_str(secret.expose_secret())
}

fn taken<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

#[expect(clippy::ref_option, reason = "so serde hands it over")]
fn maybe_written<S: Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => written(secret, to),
        None => to.serialize_none(),
    }
}

fn maybe_taken<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
}
