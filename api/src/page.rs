//! Lists in pages: a page says where the next one begins, so that what is added or removed meanwhile neither repeats nor hides
//! an item that was there all the time.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Items of a page when nobody says how many.
pub const LIMIT: u32 = 100;
/// The most items of a page.
pub const LIMIT_MAX: u32 = 1000;

/// Which page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most, 1 to 1000; 100 when not given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// The workspace; `default` when not given.
    pub workspace: Option<String>,
}

/// Some items of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, by name.
    pub items: Vec<T>,
    /// Where the next page begins; none when this is the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// Which workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WorkspaceQuery {
    /// The workspace; `default` when not given.
    pub workspace: Option<String>,
}
