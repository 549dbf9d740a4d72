//! The gateway itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Where sandboxes run: `local`.
    pub driver: String,
    /// What keeps its state: `sqlite` or `postgres`.
    pub store: String,
    /// Whether it answers model calls itself.
    pub router: bool,
}

/// How people log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Login {
    /// Where to get a token that the gateway takes; none when it takes only its own.
    pub oidc: Option<OidcLogin>,
}

/// What a client has to know of the OIDC issuer of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OidcLogin {
    /// The issuer; its description is at `/.well-known/openid-configuration` below.
    pub issuer: String,
    /// What the client is called there; none when everybody has to know that by themselves.
    pub client_id: Option<String>,
    /// What a token has to be for.
    pub audience: String,
    /// What to ask for.
    pub scopes: Vec<String>,
}

/// What came of another key above the secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rotated {
    /// How many secrets are sealed under it now.
    pub resealed: u64,
}

/// Whether it can work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether everything below is well.
    pub ready: bool,
    /// The version of the program.
    pub version: String,
    /// Each part with what is wrong with it; `ok` when nothing is.
    pub parts: std::collections::BTreeMap<String, String>,
}
