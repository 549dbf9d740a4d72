//! Where model calls of sandboxes go: revisions of the router file, and its backends.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::policy::RevisionStatus;

/// Whose model calls are meant.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Those of sandboxes.
    #[default]
    Sandboxes,
    /// Those of programs of the user who runs the gateway, outside of sandboxes. No sandbox reaches it.
    System,
}

impl Route {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sandboxes, Self::System];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sandboxes => "sandboxes",
            Self::System => "system",
        }
    }
}

/// Which route, and whether a change is only tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct InferenceQuery {
    /// Whose model calls are meant; those of sandboxes when not given.
    #[param(inline)]
    pub route: Route,
    /// Whether only to tell what would change and for whom; nothing is kept then.
    pub dry_run: bool,
}

/// A page of revisions of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct InferencePageQuery {
    /// Whose model calls are meant; those of sandboxes when not given.
    #[param(inline)]
    pub route: Route,
    /// How many items at most, 1 to 1000; 100 when not given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// Where model calls go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Inference {
    /// Whose.
    pub route: Route,
    /// Whether somebody has said it.
    pub configured: bool,
    /// Whether the gateway answers them itself, and does so now.
    pub running: bool,
    /// The revision that the router works by; none when it does not run.
    pub in_force: Option<u64>,
    /// The newest revision.
    pub newest: Option<InferenceRevision>,
    /// What the newest one is made of, where it is for one provider and one model.
    pub made_of: Option<MadeOf>,
    /// The backends of the one in force, else of the newest one.
    pub backends: Vec<Backend>,
    /// What an administrator should know of it, such as a credential that is missing.
    pub notices: Vec<String>,
    /// The socket of the router on the machine of the gateway.
    pub socket: Option<String>,
}

/// A router file that is made of a provider and a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeOf {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// What a request may take, in seconds.
    pub timeout_secs: u64,
}

/// A revision of the router file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InferenceRevision {
    /// Its number, from 1, for each route on its own.
    pub version: u64,
    /// What tells it from others, 64 hexadecimal digits.
    pub hash: String,
    /// What became of it.
    pub status: RevisionStatus,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When the router took it over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub loaded: Option<Timestamp>,
    /// Why it could not.
    pub error: Option<String>,
    /// The file, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config: Option<String>,
}

/// A router file to be put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInference {
    /// The file, YAML.
    pub config: String,
    /// The version that it replaces; any if not given, none if 0.
    #[serde(default)]
    pub base: Option<u64>,
    /// Whether one real call is made with it first.
    #[serde(default)]
    pub verify: bool,
}

/// One provider and one model, to answer all model calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoute {
    /// The provider; what is set stays where it is not given.
    #[serde(default)]
    pub provider: Option<String>,
    /// The model, as the provider knows it; what is set stays where it is not given.
    #[serde(default)]
    pub model: Option<String>,
    /// What a request may take, in seconds; 0 for what is usual. What is set stays where it is not given.
    #[serde(default)]
    pub timeout_secs: Option<u64>,
    /// The version that it replaces; any if not given, none if 0.
    #[serde(default)]
    pub base: Option<u64>,
    /// Whether one real call is made with it first.
    #[serde(default = "yes")]
    pub verify: bool,
}

fn yes() -> bool {
    true
}

/// What came of a change, or what would come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InferenceSet {
    /// The revision that holds it; none when it was only tried.
    pub revision: Option<InferenceRevision>,
    /// False when it was the newest one already.
    pub changed: bool,
    /// What of it changes where model calls go, for people.
    pub changes: Vec<String>,
    /// The sandboxes whose model calls go elsewhere by that.
    pub sandboxes: Vec<AffectedSandbox>,
    /// What an administrator should know of it.
    pub notices: Vec<String>,
    /// Who answered the call that was made first.
    pub validated: Option<String>,
}

/// A sandbox whose model calls go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct AffectedSandbox {
    /// Its workspace.
    pub workspace: String,
    /// Its name.
    pub name: String,
}

/// A backend of the router file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Who runs it, as the router file names them.
    pub provider: String,
    /// Where it is.
    pub base_url: String,
    /// Who can see what is sent there: `local`, `private` or `public`.
    pub zone: String,
    /// Where its credential is kept, such as `provider openai`; none when it needs none.
    pub credential: Option<String>,
    /// Its models.
    pub models: Vec<String>,
    /// Why it cannot be asked.
    pub missing: Option<String>,
}

/// The backends of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backends {
    /// In the order of the file.
    pub items: Vec<Backend>,
    /// The revision that has them.
    pub version: Option<u64>,
}

/// A backend to be added to the router file, or to take the place of the one of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackend {
    /// Its name.
    pub name: String,
    /// Who runs it, such as `openai` or `ollama`.
    pub provider: String,
    /// Where it is; the provider's own where it has one.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Who can see what is sent there: `local`, `private` or `public`.
    #[serde(default)]
    pub zone: Option<String>,
    /// The provider record of this gateway that has its credential.
    #[serde(default)]
    pub credential_of: Option<String>,
    /// Its models.
    pub models: Vec<NewModel>,
    /// Whether it may take the place of one of that name.
    #[serde(default)]
    pub replace: bool,
    /// The version of the router file that it changes; any if not given.
    #[serde(default)]
    pub base: Option<u64>,
}

/// A model of a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// The name that the backend knows.
    pub id: String,
    /// Tokens of prompt and answer together.
    #[serde(default)]
    pub context: Option<u64>,
    /// 0 to 100.
    #[serde(default)]
    pub quality: Option<u64>,
    /// What it costs; the catalogue's price where it has one.
    #[serde(default)]
    pub price: Option<ModelPrice>,
}

/// What a model costs, USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
}

/// What came of a call to one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackendTest {
    /// Whether a model answered.
    pub ok: bool,
    /// Which one, or why none did.
    pub detail: String,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
}
