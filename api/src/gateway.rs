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
