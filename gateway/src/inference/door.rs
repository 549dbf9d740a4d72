//! How the process of the gateway runs routers. Not here: a router; whoever runs the gateway brings it.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc, time::Duration};

use api::inference::Route;
use domain::ApiKey;

use super::books::Books;

/// Credentials by the names of their providers.
pub type Keys = BTreeMap<String, ApiKey>;

/// What a router is to work by.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose calls it answers.
    pub route: Route,
    /// The router file.
    pub text: String,
    /// The credentials that it names.
    pub keys: Keys,
    /// Where it books calls, for the one that is started.
    pub books: Books,
}

/// A router works by what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The backends that it cannot ask, each with why.
    pub missing: Vec<(String, String)>,
}

/// Why a router does not work by what it was told; it goes on as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplied(pub String);

/// A file that is to be tried by one real call.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The router file.
    pub text: String,
    /// The credentials that it names.
    pub keys: Keys,
    /// The model to ask; `None` for any.
    pub model: Option<String>,
    /// The longest that the model may take.
    pub limit: Duration,
}

/// Who answered, or why nobody did.
pub type Trying = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// How routers are run.
#[derive(Clone)]
pub struct Door {
    /// Has the router of a route work by this from now on, and starts it where it does not run. Calls under way go on as they
    /// began. Blocks.
    pub apply: Arc<dyn Fn(Order) -> Result<Applied, NotApplied> + Send + Sync>,
    /// Ends the router of a route. Blocks until its calls have ended.
    pub clear: Arc<dyn Fn(Route) + Send + Sync>,
    /// Makes one call by a router of its own.
    pub attempt: Arc<dyn Fn(Trial) -> Trying + Send + Sync>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}
