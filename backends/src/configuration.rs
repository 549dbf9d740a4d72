//! What a router file becomes: backends, the settings for deciding, limits and budgets.
//!
//! Not here: reading the text (`file`). Invariant: values of these types come from [`crate::file::parse`] and
//! are sound; no backend without a model, and every candidate belongs to exactly one backend and model.

use std::{net::IpAddr, time::Duration};

use domain::{BackendName, Cost, ModelName, Zone, limits};
use router::{
    decide::Settings,
    ledger::{Budget, OnExceed, Period, Scope},
};

use crate::{
    provider::{Placement, Provider},
    translate::LateSystem,
};

/// A whole router file. Immutable; a reload makes a new one.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The backends, in the order of the file.
    pub backends: Vec<Backend>,
    /// What deciding needs; its candidates are all models of all backends, in order.
    pub settings: Settings,
    /// The operator's own words: the name of a term and its patterns (regular expressions that compile).
    pub terms: Vec<(String, Vec<String>)>,
    /// Time limits of one exchange with a backend.
    pub timeouts: Timeouts,
    /// Limits towards callers.
    pub server: ServerLimits,
    /// Where audit events go.
    pub audit: AuditSettings,
    /// Backend and model of each candidate.
    pub(crate) places: Vec<(usize, usize)>,
}

/// A budget in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetLine {
    /// `sandbox`, `workspace`, `backend` or `total`.
    pub scope: &'static str,
    /// The one that it is for; each of them where it is `None`.
    pub name: Option<String>,
    /// The most that may be spent in a period.
    pub limit: Cost,
    /// `day` or `month`.
    pub per: &'static str,
    /// `downgrade` or `block`.
    pub on_exceed: &'static str,
}

impl Configuration {
    /// The budgets, in the words of the file.
    pub fn budgets(&self) -> Vec<BudgetLine> {
        let line = |budget: &Budget| BudgetLine {
            scope: match budget.scope {
                Scope::Sandbox => "sandbox",
                Scope::Workspace => "workspace",
                Scope::Backend => "backend",
                Scope::Total => "total",
            },
            name: budget.name.clone(),
            limit: budget.limit,
            per: match budget.period {
                Period::Day => "day",
                Period::Month => "month",
            },
            on_exceed: match budget.on_exceed {
                OnExceed::Downgrade => "downgrade",
                OnExceed::Block => "block",
            },
        };
        self.settings.budgets.iter().map(line).collect()
    }

    /// The backend of a candidate, which is an index into [`Settings::candidates`].
    pub fn place(&self, candidate: usize) -> Option<&Backend> {
        self.backends.get(self.places.get(candidate)?.0)
    }

    /// The model of a candidate.
    pub fn model(&self, candidate: usize) -> Option<&Model> {
        let (backend, model) = self.indexes(candidate)?;
        self.backends.get(backend)?.models.get(model)
    }

    /// The backend and model of a candidate, as indexes into [`Configuration::backends`] and [`Backend::models`].
    pub fn indexes(&self, candidate: usize) -> Option<(usize, usize)> {
        self.places.get(candidate).copied()
    }
}

/// One place that answers requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name, unique in the file.
    pub name: BackendName,
    /// Who runs it.
    pub provider: Provider,
    /// Where it is.
    pub base_url: BaseUrl,
    /// Who can see what is sent there.
    pub zone: Zone,
    /// Where its credential is kept; `None` when it needs none.
    pub credential: Option<CredentialSource>,
    /// Where the credential goes; [`Placement::None`] without a credential.
    pub placement: Placement,
    /// Its models, at least one.
    pub models: Vec<Model>,
    /// Azure's `api-version`; `None` speaks its version-free `/openai/v1` API.
    pub api_version: Option<String>,
    /// Fixed headers for every request there, names in lower case; never credentials.
    pub headers: Vec<(String, String)>,
    /// A file with certificate authorities to trust instead of the built-in ones.
    pub ca_file: Option<String>,
    /// Where what the system says in the middle of a conversation goes; `None` is the provider's own way.
    pub late_system: Option<LateSystem>,
}

/// One model of a backend; what choosing knows of it is in its candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name as the file gives it, under which it is chosen and reported.
    pub id: ModelName,
    /// Azure's name for the deployment that serves it, if that is another one.
    pub deployment: Option<ModelName>,
}

impl Model {
    /// The name that the backend expects in a request.
    pub fn wire_name(&self) -> &ModelName {
        self.deployment.as_ref().unwrap_or(&self.id)
    }
}

/// Scheme, host, port and path of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// A DNS name in lower case or an IP address without brackets.
    pub host: String,
    /// The port, the scheme's default filled in.
    pub port: u16,
    /// Empty, or with a slash in front and none at the end.
    pub path: String,
}

impl BaseUrl {
    /// Whether the host is this machine: a loopback address or `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// The value of the `host` header: brackets around IPv6, the port unless it is the scheme's own.
    pub fn host_header(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Where a credential is kept. The edge of the program reads it; this only names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialSource {
    /// An environment variable of the router.
    Env(String),
    /// A file, its white space at the ends ignored.
    File(String),
    /// A provider record of the gateway.
    Record(String),
}

/// Time limits of one exchange with a backend. All are real: none is extended by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the end of the request to the first byte of a stream.
    pub first_byte: Duration,
    /// The same for an answer that is no stream: its first byte comes when the model has written all of it.
    pub answer: Duration,
    /// Between two reads of an answer.
    pub idle: Duration,
    /// From the caller's request to the end of the answer, all attempts together.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_mins(1),
            // What the client libraries of the providers wait for by default.
            answer: Duration::from_mins(10),
            idle: Duration::from_mins(2),
            total: Duration::from_mins(30),
        }
    }
}

/// Limits towards callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Largest request body, bytes.
    pub body_bytes_max: usize,
    /// Most connections at once.
    pub connections_max: usize,
    /// From the start of a connection or the end of the last request to the end of a request's head.
    pub head_timeout: Duration,
    /// Between two reads of a request's body.
    pub body_timeout: Duration,
    /// How long requests in flight may go on after the order to stop.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: limits::BODY_BYTES_MAX,
            connections_max: 4096,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_mins(1),
            grace: Duration::from_secs(30),
        }
    }
}

/// Where audit events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// A file of JSON lines; `None` writes none.
    pub file: Option<String>,
    /// The file is set aside when it reaches this many bytes.
    pub rotate_bytes: u64,
    /// How many files set aside are kept.
    pub keep: u32,
    /// Whether events are printed as well.
    pub stdout: bool,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { file: None, rotate_bytes: 64 << 20, keep: 8, stdout: false }
    }
}
