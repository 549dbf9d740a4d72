//! The secrets of providers, where each may go, and placeholders that become secrets there and nowhere else.
//!
//! The environment of an agent holds `openshell:resolve:env:KEY` where others hold a secret. A request to an endpoint that
//! is bound to the provider of `KEY` leaves with the real value; everywhere else a placeholder refuses the request.
//!
//! Here: one snapshot of all secrets ([`Credentials`]) and what one request may use of it ([`Scope`]). The head is
//! rewritten in `head`, bodies and WebSocket messages in `body`; what comes back passes through `reflect`. Not here: sockets,
//! and where secrets are kept.
//!
//! Invariant: a secret enters a request only through `Scope::resolve`, and that asks for the binding.

mod body;
mod head;
mod secret;
mod text;

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range, sync::Arc};

pub use body::{BODY_BYTES_MAX, Rewriter};
use domain::Destination;
pub use head::Edits;
use policy::{Glob, HostPattern, Place, Protocol, model::Signing};
pub use secret::{SECRET_BYTES_MAX, Secret, SecretError};

use super::reflect::Needles;

/// What policies and records see where a placeholder stands.
const VEILED: &str = "[CREDENTIAL]";

/// Most secrets of one sandbox. Each has its place in the search for reflected ones.
pub const SECRETS_MAX: usize = 1024;

/// A provider: its secrets by the names of their variables, and where they may go without a word of the policy.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, as `credential_binding.provider` says it.
    pub name: String,
    /// Its secrets.
    pub secrets: Vec<(String, Secret)>,
    /// The provider's own endpoints.
    pub endpoints: Vec<OwnEndpoint>,
}

/// A place that belongs to a provider.
#[derive(Clone, Debug)]
pub struct OwnEndpoint {
    /// The hosts.
    pub host: HostPattern,
    /// The ports; none is every port.
    pub ports: Vec<u16>,
}

/// Why secrets cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The name is none of a variable.
    #[error("provider {provider}: {key:?} is no name of an environment variable")]
    Key {
        /// The provider.
        provider: String,
        /// The name.
        key: String,
    },
    /// Two providers give the same variable.
    #[error(
        "the variable {key} is given by the providers {first} and {second}; rename one of them"
    )]
    Twice {
        /// The variable.
        key: String,
        /// The one that gave it first.
        first: String,
        /// The other.
        second: String,
    },
    /// More than [`SECRETS_MAX`].
    #[error("a sandbox has at most {SECRETS_MAX} secrets")]
    Many,
}

/// Why a request with a placeholder is refused. Says nothing that the caller wrote, and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The credential belongs elsewhere.
    #[error("the request carries a credential that is not bound to this endpoint")]
    Mismatch,
    /// The endpoint is bound, but its requests are not looked at.
    #[error("the request carries a credential, and requests to this endpoint are not inspected")]
    Uninspected,
    /// No provider of this sandbox gives that variable.
    #[error("the request carries a placeholder that names no credential of this sandbox")]
    Unknown,
    /// A placeholder stands where none is replaced.
    #[error("the request carries a placeholder in {0}, where credentials are not put in")]
    Misplaced(&'static str),
    /// A placeholder is spelled with escapes that mean nothing where it stands.
    #[error("the request carries a placeholder that is hidden by an encoding")]
    Hidden,
    /// The value cannot stand where the placeholder does.
    #[error("the value of the credential cannot stand in {0}")]
    Unfit(&'static str),
    /// A body in which placeholders should be replaced is compressed.
    #[error("the request's body is compressed, so that credentials cannot be put in")]
    Encoded,
    /// A placeholder stands behind the part of a body that is rewritten.
    #[error("a placeholder stands behind the first {BODY_BYTES_MAX} bytes of the body")]
    Large,
}

impl CredentialError {
    /// The word in answers and records; stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Mismatch => "credential_endpoint_mismatch",
            _ => "credential_injection_failed",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Mismatch | Self::Uninspected => 403,
            _ => 500,
        }
    }

    /// What the caller, or whoever writes the policy, can do.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Mismatch => {
                "send the credential only to its own service, or set `credential_binding.provider` on this endpoint of the policy"
            }
            Self::Uninspected => {
                "set `protocol: rest` on the endpoint, or `allow_uninspected_credentials: true`"
            }
            Self::Unknown => {
                "use the variable as the environment holds it; attach the provider to the sandbox if it is missing"
            }
            Self::Misplaced("the body") => {
                "send the credential in a header, or set `request_body_credential_rewrite: true` on the endpoint and send JSON, a form or plain text"
            }
            Self::Misplaced("a WebSocket message") => {
                "send the credential in the upgrade request, or set `websocket_credential_rewrite: true` on the endpoint"
            }
            Self::Misplaced(_) | Self::Hidden => {
                "put the placeholder, as the environment holds it, into a header value, a path segment or the value of a parameter"
            }
            Self::Unfit(_) => "send the credential in a header",
            Self::Encoded => "send the body without `content-encoding`",
            Self::Large => "put the placeholder at the beginning of the body, or into a header",
        }
    }
}

/// All secrets of a sandbox, for one or many requests. Cheap to clone; a change makes a new one.
#[derive(Clone, Default)]
pub struct Credentials(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By the name of the variable: the secret and the index of its provider.
    secrets: BTreeMap<Box<str>, (Secret, usize)>,
    providers: Vec<(Box<str>, Vec<OwnEndpoint>)>,
    needles: Option<Needles>,
}

impl Credentials {
    /// The secrets of these providers.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is taken then.
    pub fn new(providers: Vec<Provider>) -> Result<Self, LoadError> {
        let mut inner = Inner::default();
        for provider in providers {
            for (key, secret) in provider.secrets {
                inner.add(&provider.name, key, secret)?;
            }
            inner.providers.push((provider.name.into(), provider.endpoints));
        }
        let known = inner.secrets.iter().map(|(key, (secret, _))| (placeholder(key), secret));
        inner.needles = Needles::new(known);
        Ok(Self(Arc::new(inner)))
    }

    /// What stands in the environment of the agent, by the names of the variables.
    pub fn environment(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.secrets.keys().map(|key| (&**key, placeholder(key)))
    }

    /// What a request to `to` may use. `path` is its canonical path; `places` are the endpoints that open the
    /// destination to the caller ([`policy::Grant::each`]).
    pub fn scope(&self, to: &Destination, path: &str, places: &[Place<'_>]) -> Scope {
        let speaks = |place: &&Place<'_>| {
            place.endpoint.path.as_ref().is_none_or(|glob: &Glob| glob.matches(path))
        };
        let speaking = || places.iter().filter(speaks).map(|place| place.endpoint);
        let named = |name: &str| {
            speaking().any(|endpoint| endpoint.credentials.provider.as_deref() == Some(name))
        };
        let owned = |endpoints: &[OwnEndpoint]| {
            let port = |ports: &[u16]| ports.is_empty() || ports.contains(&to.port());
            endpoints.iter().any(|own| own.host.matches(&to.host) && port(&own.ports))
        };
        let open = speaking().next().is_some();
        let bound = |(_, (name, own)): &(usize, &(Box<str>, Vec<OwnEndpoint>))| {
            open && (named(name) || owned(own))
        };
        let providers =
            self.0.providers.iter().enumerate().filter(bound).map(|(index, _)| index).collect();
        let inspected = speaking().any(|endpoint| {
            endpoint.protocol.is_some_and(Protocol::is_inspected)
                || endpoint.credentials.uninspected
        });
        Scope {
            credentials: self.clone(),
            providers,
            inspected,
            in_body: speaking().any(|endpoint| endpoint.credentials.in_body),
            in_websocket: speaking().any(|endpoint| endpoint.credentials.in_websocket),
            signing: speaking().find_map(|endpoint| endpoint.credentials.signing.clone()),
        }
    }
}

impl Inner {
    fn add(&mut self, provider: &str, key: String, secret: Secret) -> Result<(), LoadError> {
        if !text::is_key(&key) {
            return Err(LoadError::Key { provider: provider.to_owned(), key });
        }
        if self.secrets.len() >= SECRETS_MAX {
            return Err(LoadError::Many);
        }
        if let Some((_, owner)) = self.secrets.get(&*key) {
            let first = self.providers.get(*owner).map_or(provider, |(name, _)| name).to_owned();
            return Err(LoadError::Twice { key, first, second: provider.to_owned() });
        }
        self.secrets.insert(key.into(), (secret, self.providers.len()));
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} secrets)", self.0.secrets.len())
    }
}

fn placeholder(key: &str) -> String {
    format!("{}{key}", text::MARKER)
}

/// What one request may use: the secrets whose providers are bound to its endpoint.
#[derive(Clone, Debug)]
pub struct Scope {
    credentials: Credentials,
    /// Indexes of the providers that are bound.
    providers: Vec<usize>,
    inspected: bool,
    in_body: bool,
    in_websocket: bool,
    signing: Option<Signing>,
}

impl Scope {
    /// Whether no secret belongs here; answers need no guard then.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// How requests here are signed anew, where the policy asks for it.
    pub fn signing(&self) -> Option<&Signing> {
        self.signing.as_ref()
    }

    /// What to look for in answers from here; `None` where no secret belongs.
    pub fn needles(&self) -> Option<&Needles> {
        self.credentials.0.needles.as_ref().filter(|_| !self.is_empty())
    }

    /// The secret that the variable `key` stands for.
    ///
    /// # Errors
    /// When there is none, or it does not belong here.
    pub(in crate::egress) fn resolve(&self, key: &str) -> Result<&Secret, CredentialError> {
        let (secret, owner) =
            self.credentials.0.secrets.get(key).ok_or(CredentialError::Unknown)?;
        if !self.providers.contains(owner) {
            return Err(CredentialError::Mismatch);
        }
        if self.inspected { Ok(secret) } else { Err(CredentialError::Uninspected) }
    }
}

/// Whether `span` of `bytes` is a placeholder, or part of one.
pub(in crate::egress) fn is_placeholder(bytes: &[u8], span: &Range<usize>) -> bool {
    let reach = text::MARKER.len().saturating_add(text::KEY_BYTES_MAX);
    let first = span.start.saturating_sub(reach);
    let end = span.end.saturating_add(reach).min(bytes.len());
    let part = bytes.get(first..end).unwrap_or_default();
    let mut from = 0;
    while let Some((at, found)) = text::find(part, from, true) {
        let text::Found::Whole { end, .. } = found else { return false };
        if first.saturating_add(at) <= span.start && span.end <= first.saturating_add(end) {
            return true;
        }
        from = end;
    }
    false
}

/// `text` of a path or query with `[CREDENTIAL]` where placeholders stand: what policies judge and records keep.
pub fn veiled(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut from = 0;
    while let Some((at, found)) = text::find(bytes, from, true) {
        let text::Found::Whole { end, .. } = found else { break };
        out.push_str(text.get(from..at).unwrap_or_default());
        out.push_str(VEILED);
        from = end;
    }
    if from == 0 {
        return text.into();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests;
