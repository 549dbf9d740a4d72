//! Logging in at the OIDC issuer of a gateway, with a browser here or on another device.
//!
//! Below: the code with PKCE that a browser brings back (`browser`), the code that is typed elsewhere (`device`), and what is
//! kept of it (`session`). Not here: whether the token is good; the gateway judges that.

mod browser;
mod device;
mod session;

use std::{fmt::Display, time::Duration};

use anyhow::Context as _;
use api::gateway::OidcLogin;
use oauth2::{
    AuthType, AuthUrl, Client as Oauth, ClientId, DeviceAuthorizationUrl, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, ExtraTokenFields, RequestTokenError, StandardRevocableToken,
    StandardTokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use reqwest::{Certificate, Client as Http, redirect::Policy};
use serde::{Deserialize, Serialize};

pub(super) use self::session::{Session, fresh};
use crate::failure::Failure;

/// How long each answer of the issuer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What a token response has beside what every one has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct WithIdToken {
    #[serde(default)]
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

type Tokens = StandardTokenResponse<WithIdToken, BasicTokenType>;

type Flow = Oauth<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointMaybeSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What an issuer says of itself.
#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
    #[serde(default)]
    scopes_supported: Option<Vec<String>>,
}

/// An issuer that can be asked, as the client that the gateway expects.
struct Issuer {
    login: OidcLogin,
    http: Http,
    description: Description,
}

impl Issuer {
    /// Asks it what it is.
    async fn find(login: OidcLogin, ca_pem: Option<&str>) -> Result<Self, Failure> {
        if !login.issuer.starts_with("https://") {
            return Err(Failure::new(format!("the issuer {} is no https address", login.issuer)));
        }
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder =
            Http::builder().https_only(true).redirect(Policy::none()).timeout(ANSWER_MAX);
        if let Some(pem) = ca_pem {
            let all = Certificate::from_pem_bundle(pem.as_bytes());
            builder = builder.tls_built_in_root_certs(false);
            for ca in all.context("the authority of the issuer cannot be used")? {
                builder = builder.add_root_certificate(ca);
            }
        }
        let http = builder.build().context("cannot ask the issuer")?;
        let url =
            format!("{}/.well-known/openid-configuration", login.issuer.trim_end_matches('/'));
        let asked = async { http.get(&url).send().await?.error_for_status()?.json().await };
        let description: Description = asked.await.map_err(|error| {
            Failure::from(anyhow::Error::new(error).context(format!(
                "the issuer {} does not say how to log in",
                login.issuer
            )))
            .hint("give its authority with `openshell gateway add --oidc-ca` if it has one of its own")
        })?;
        if description.issuer != login.issuer {
            return Err(Failure::new(format!(
                "the issuer calls itself {}, and the gateway knows it as {}",
                description.issuer, login.issuer
            )));
        }
        Ok(Self { login, http, description })
    }

    /// What asks it for tokens.
    fn flow(&self) -> Result<Flow, Failure> {
        let Some(client) = self.login.client_id.clone() else {
            return Err(Failure::new("nobody says which client of the issuer openshell is")
                .hint("add the gateway again with --oidc-client-id"));
        };
        let said = &self.description;
        let no_address = "the issuer names an address that is none";
        let device = said.device_authorization_endpoint.clone().map(DeviceAuthorizationUrl::new);
        let flow = Oauth::new(ClientId::new(client))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(said.authorization_endpoint.clone()).context(no_address)?)
            .set_token_uri(TokenUrl::new(said.token_endpoint.clone()).context(no_address)?)
            .set_device_authorization_url_option(device.transpose().context(no_address)?);
        Ok(flow)
    }

    /// The scopes to ask for: those that the gateway wants and the issuer has.
    fn scopes(&self) -> impl Iterator<Item = oauth2::Scope> {
        let has = |scope: &&String| {
            self.description.scopes_supported.as_ref().is_none_or(|known| known.contains(scope))
        };
        self.login.scopes.iter().filter(has).map(|scope| oauth2::Scope::new(scope.clone()))
    }

    /// For whom the token is to be, in the words of different issuers; nothing where it is for the client itself.
    fn wanted(&self) -> Vec<(&'static str, String)> {
        let audience = &self.login.audience;
        if self.login.client_id.as_ref() == Some(audience) {
            return Vec::new();
        }
        let mut all = vec![("audience", audience.clone())];
        if audience.contains(':') {
            all.push(("resource", audience.clone())); // RFC 8707: an absolute address
        }
        all
    }
}

/// Logs in, and gives what is to be kept of it.
pub(super) async fn login(
    login: OidcLogin,
    ca_pem: Option<&str>,
    way: Way,
) -> Result<Session, Failure> {
    let issuer = Issuer::find(login, ca_pem).await?;
    let (tokens, nonce) = match way {
        Way::Browser { open } => browser::login(&issuer, open).await?,
        Way::Device => (device::login(&issuer).await?, None),
    };
    Session::of(&issuer, &tokens, nonce.as_deref(), None)
}

/// How somebody logs in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// With a browser on this machine.
    Browser {
        /// Whether it is started.
        open: bool,
    },
    /// With a browser anywhere.
    Device,
}

/// Why an issuer gave no tokens.
fn refused<
    E: std::error::Error + Send + Sync + 'static,
    T: oauth2::ErrorResponse + Display + 'static,
>(
    error: RequestTokenError<E, T>,
) -> Failure {
    let failure = match error {
        RequestTokenError::ServerResponse(said) => {
            Failure::new(format!("the issuer said no: {said}"))
        }
        RequestTokenError::Request(error) => {
            Failure::from(anyhow::Error::new(error).context("the issuer does not answer"))
        }
        RequestTokenError::Parse(error, _) => Failure::from(
            anyhow::Error::new(error).context("the answer of the issuer cannot be read"),
        ),
        RequestTokenError::Other(error) => {
            Failure::new(format!("the issuer gave no token: {error}"))
        }
    };
    failure.hint("`openshell gateway login` begins anew")
}
