//! Services with their credentials.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::secret::Secret;

/// A provider, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// What tells it from every other, also from one of the same name.
    pub id: String,
    /// The name.
    pub name: String,
    /// The workspace.
    pub workspace: String,
    /// The type, such as `github`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The names of the variables that hold its credentials.
    pub credential_keys: Vec<String>,
    /// What else is known of it; no secrets.
    pub config: BTreeMap<String, String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
}

/// A provider to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvider {
    /// The name: letters, digits, `-`, `_` and `.`, at most 63.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The secrets by the names of their variables.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub credentials: BTreeMap<String, Secret>,
    /// What else is known of it; no secrets.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// What changes of a provider: entries are added or replaced; those with no value are removed. The type stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderChange {
    /// The secrets by the names of their variables.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub credentials: BTreeMap<String, Option<Secret>>,
    /// What else is known of it.
    pub config: BTreeMap<String, Option<String>>,
}
