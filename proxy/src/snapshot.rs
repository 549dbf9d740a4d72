//! Everything that one call is decided and sent with: the configuration, destinations, credentials. Immutable.
//!
//! Invariant: a call holds one snapshot from its head to its end; a reload makes a new one and swaps a pointer.

use std::{fmt::Write, sync::Arc, time::Duration};

use backends::{
    configuration::{Backend, Configuration, CredentialSource},
    file::Fault,
    prepare,
};
use http::{HeaderName, HeaderValue};
use router::{
    classify::Term,
    decide::{Engine, EngineError},
    wire::Dialect,
};
use sha2::{Digest, Sha256};

use crate::{
    credentials::{self, Credential, Environment},
    pool::Pool,
    upstream::{AuthorityError, Pools, Target},
};

/// One configuration, ready to be used.
pub(crate) struct Snapshot {
    /// What the file says.
    pub(crate) configuration: Configuration,
    /// What decides by it.
    pub(crate) engine: Engine,
    /// Its backends as destinations, in the same order.
    pub(crate) reaches: Vec<Reach>,
    /// For each candidate, how each of its dialects is addressed.
    routes: Vec<Vec<Route>>,
    /// Hash of the file, 12 hexadecimal digits.
    pub(crate) revision: String,
}

/// How one backend is reached.
pub(crate) struct Reach {
    /// Where it is.
    pub(crate) target: Target,
    /// Its connections.
    pub(crate) pool: Arc<Pool>,
    /// What proves who we are; `None` if nothing is needed.
    pub(crate) credential: Option<Credential>,
    /// Why it cannot be used at all, such as a credential that is not there.
    pub(crate) missing: Option<String>,
    /// How it is asked whether it is up.
    pub(crate) probe: Route,
}

/// Path and headers of requests in one dialect; nothing of them depends on the request.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The dialect; that of a probe means nothing.
    pub(crate) dialect: Dialect,
    /// Path and query.
    pub(crate) path: String,
    /// Headers that a header of the caller takes precedence over.
    pub(crate) weak: Vec<(HeaderName, HeaderValue)>,
    /// The operator's headers and the credential, which take precedence over all others.
    pub(crate) strong: Vec<(HeaderName, HeaderValue)>,
}

/// Why a file makes no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read.
    #[error("cannot read the configuration")]
    Read(#[source] std::io::Error),
    /// The file has faults.
    #[error("the configuration has faults:{}", list(.0))]
    Faults(Vec<Fault>),
    /// The rules for deciding cannot be used.
    #[error("the rules of the configuration cannot be used")]
    Engine(#[source] EngineError),
    /// Authorities of a backend cannot be read.
    #[error("cannot use the certificate authorities of backend {backend}")]
    Authorities {
        /// The backend.
        backend: String,
        /// Why.
        #[source]
        source: AuthorityError,
    },
}

fn engine(configuration: &Configuration, revision: &str) -> Result<Engine, EngineError> {
    let terms = configuration
        .terms
        .iter()
        .map(|(name, patterns)| Term { name: name.clone(), patterns: patterns.clone() })
        .collect();
    let version = u64::from_str_radix(revision, 16).unwrap_or_default();
    Engine::new(configuration.settings.clone(), terms, version)
}

fn list(faults: &[Fault]) -> String {
    faults.iter().fold(String::new(), |mut text, fault| {
        // Writing to a string cannot fail.
        if write!(text, "\n  {fault}").is_err() {
            text.push_str("\n  …");
        }
        text
    })
}

impl Snapshot {
    /// The snapshot that the text of a router file makes. Reads credentials and certificate authorities.
    ///
    /// # Errors
    /// When the text has faults or a file of authorities cannot be used. A credential that is not there only makes its
    /// backend unusable.
    pub(crate) fn build(
        text: &str,
        environment: &Environment,
        pools: &Pools,
    ) -> Result<Self, SnapshotError> {
        let (configuration, notices) =
            backends::file::parse(text).map_err(SnapshotError::Faults)?;
        for notice in notices {
            tracing::warn!(line = notice.line, path = notice.path, "{}", notice.message);
        }
        let connect = configuration.timeouts.connect;
        let reach = |backend| Reach::new(backend, connect, environment, pools);
        let reaches: Vec<Reach> =
            configuration.backends.iter().map(reach).collect::<Result<_, _>>()?;
        let routes = (0..configuration.settings.candidates.len())
            .map(|candidate| routes(&configuration, &reaches, candidate))
            .collect();
        let revision = revision(text);
        let engine = engine(&configuration, &revision).map_err(SnapshotError::Engine)?;
        Ok(Self { configuration, engine, reaches, routes, revision })
    }

    /// The backend of a candidate and how it is reached.
    pub(crate) fn place(&self, candidate: usize) -> Option<(&Backend, &Reach)> {
        let (backend, _) = self.configuration.indexes(candidate)?;
        Some((self.configuration.backends.get(backend)?, self.reaches.get(backend)?))
    }

    /// `name` if it is an alias, a model of the file, or a model that the catalogue lists. Any other name is text that
    /// the caller made up, and is not told to anybody.
    pub(crate) fn known<'n>(&self, name: &'n str) -> Option<&'n str> {
        let settings = self.engine.settings();
        let here = settings.aliases.iter().any(|alias| alias.name == name)
            || settings.candidates.iter().any(|candidate| {
                let rest = name.strip_prefix(candidate.backend.as_str());
                let qualified = rest.and_then(|rest| rest.strip_prefix('/'));
                [Some(name), qualified].contains(&Some(candidate.model.as_str()))
            });
        (here || backends::catalogue::is_listed(name)).then_some(name)
    }

    /// The name under which a candidate's backend knows its model.
    pub(crate) fn model(&self, candidate: usize) -> Option<&str> {
        let (backend, model) = self.configuration.indexes(candidate)?;
        let model = self.configuration.backends.get(backend)?.models.get(model)?;
        Some(model.wire_name().as_str())
    }

    /// The ways in which a candidate can be asked, its preferred dialect first.
    pub(crate) fn routes(&self, candidate: usize) -> &[Route] {
        self.routes.get(candidate).map_or(&[], Vec::as_slice)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl Reach {
    fn new(
        backend: &Backend,
        connect: Duration,
        environment: &Environment,
        pools: &Pools,
    ) -> Result<Self, SnapshotError> {
        let pool = pools.of(backend.ca_file.as_deref()).map_err(|source| {
            SnapshotError::Authorities { backend: backend.name.as_str().to_owned(), source }
        })?;
        let (credential, missing) = match &backend.credential {
            None => (None, None),
            Some(source) => credential(backend, source, environment),
        };
        let probe =
            route(backend, prepare::probe(backend), Dialect::OpenAiChat, credential.as_ref());
        let target = Target::new(backend, connect);
        Ok(Self { target, pool, credential, missing, probe })
    }
}

fn credential(
    backend: &Backend,
    source: &CredentialSource,
    environment: &Environment,
) -> (Option<Credential>, Option<String>) {
    match credentials::read(source, environment) {
        Ok(key) => (credentials::place(&key, &backend.placement), None),
        Err(error) => {
            tracing::warn!(backend = %backend.name, "{error}; the backend is not used");
            (None, Some(error.to_string()))
        }
    }
}

fn routes(configuration: &Configuration, reaches: &[Reach], candidate: usize) -> Vec<Route> {
    let place = || {
        let (backend, model) = configuration.indexes(candidate)?;
        let reach = reaches.get(backend)?;
        let backend = configuration.backends.get(backend)?;
        let facts = configuration.settings.candidates.get(candidate)?;
        Some((backend, backend.models.get(model)?, reach, facts))
    };
    let Some((backend, model, reach, facts)) = place() else { return Vec::new() };
    let one = |dialect: &Dialect| {
        let target = prepare::target(backend, model, *dialect);
        route(backend, target, *dialect, reach.credential.as_ref())
    };
    facts.dialects.iter().map(one).collect()
}

fn route(
    backend: &Backend,
    target: prepare::Target,
    dialect: Dialect,
    credential: Option<&Credential>,
) -> Route {
    let header = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    let weak = target.headers.iter().filter_map(|(name, value)| header(name, value)).collect();
    let fixed = backend.headers.iter().filter_map(|(name, value)| header(name, value));
    let strong = fixed.chain(credential.map(|credential| credential.header.clone())).collect();
    Route { dialect, path: target.path_and_query, weak, strong }
}

/// Twelve hexadecimal digits of the SHA-256 of a text.
pub(crate) fn revision(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(6).fold(String::new(), |mut out, byte| {
        for nibble in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(u32::from(nibble), 16));
        }
        out
    })
}
