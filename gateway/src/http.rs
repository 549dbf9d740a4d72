//! The API over HTTP: what is asked under which path, and what is answered.
//!
//! Below: a file for each kind of object, how requests are read (`read`), how errors are told (`refusal`). Not here: who is
//! asking (`auth`), what comes of it (`lifecycle`, `store`). Invariant: a handler gets a permit that only `auth` makes, so none
//! works for somebody who was not asked.

mod audit;
mod certificates;
mod changing;
mod conversation;
mod cost;
mod described;
mod inference;
mod logs;
pub(crate) mod metrics;
mod open;
mod policies;
mod proposals;
mod providers;
mod read;
mod refusal;
mod sandboxes;
mod settings;
mod tokens;
mod upkeep;
mod users;
mod watch;
mod workspaces;

use std::{sync::Arc, time::Duration};

use api::gateway::{Info, Login};
use axum::{Router, middleware::from_fn_with_state};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use tokio::{
    sync::{Mutex, RwLock},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::{
    certificates::revoked, open::Pulse, refusal::Refusal, upkeep::Upkeep, users::revoke_all,
};
use crate::{
    auth::{authority::Authority, revoked::Revocations},
    broker::Broker,
    inference::Inference,
    lifecycle::Keeper,
    serve::live::Live,
    store::Store,
};

/// How long requests that change something may go on when the gateway stops.
const CHANGES_MAX: Duration = Duration::from_secs(10);

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct App {
    /// What is kept.
    pub(crate) store: Store,
    /// Who keeps sandboxes as they should be.
    pub(crate) keeper: Arc<Keeper>,
    /// Where model calls go.
    pub(crate) inference: Arc<Inference>,
    /// Who may come in.
    pub(crate) doors: Arc<Doors>,
    /// What is on record.
    pub(crate) records: Arc<Records>,
    /// What this gateway is.
    pub(crate) info: Info,
    /// Whether the store answers.
    pub(crate) pulse: Pulse,
    /// Copies, and the key above the secrets.
    pub(crate) upkeep: Upkeep,
    /// How people prove themselves who have nothing of it yet.
    pub(crate) login: Login,
    /// The description of the API, JSON.
    pub(crate) description: String,
}

/// What is on record, and what is under way.
#[derive(Debug)]
pub(crate) struct Records {
    /// Who brings events into the audit.
    pub(crate) broker: Arc<Broker>,
    /// What is counted.
    pub(crate) metrics: Arc<metrics::Metrics>,
    /// Requests that change something, which end also when their callers leave.
    tasks: TaskTracker,
    /// That the gateway stops: streams of events, which have no end of their own, end then.
    pub(crate) stopping: CancellationToken,
    /// Held to put something into a workspace, and alone to remove one.
    workspaces: RwLock<()>,
    /// Held by who verifies the audit.
    verifying: Mutex<()>,
}

impl Records {
    /// Nothing is under way yet.
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self {
            broker,
            metrics: Arc::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            workspaces: RwLock::default(),
            verifying: Mutex::default(),
        }
    }

    /// Waits for requests that change something, when no more come.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        if timeout(CHANGES_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("changes that were under way were cut off");
        }
    }
}

/// What handlers change of who may come in.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Who vouches for users.
    pub(crate) authority: Arc<Authority>,
    /// Certificates that are good no more.
    pub(crate) revoked: Arc<Revocations>,
    /// The open connections.
    pub(crate) live: Arc<Live>,
}

/// Every route, with its description.
fn all() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(described())
        .routes(routes!(open::healthz))
        .routes(routes!(open::readyz))
        .routes(routes!(open::info))
        .routes(routes!(open::login))
        .routes(routes!(upkeep::rotate))
        .routes(routes!(upkeep::backup))
        .routes(routes!(users::me))
        .routes(routes!(tokens::list_mine, tokens::create_mine))
        .routes(routes!(tokens::delete_mine))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::change, users::delete))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete))
        .routes(routes!(certificates::create_mine))
        .routes(routes!(certificates::list, certificates::create))
        .routes(routes!(certificates::revoke))
        .routes(routes!(providers::list, providers::create))
        .routes(routes!(providers::get, providers::change, providers::delete))
        .routes(routes!(sandboxes::list, sandboxes::create))
        .routes(routes!(sandboxes::get, sandboxes::delete))
        .routes(routes!(sandboxes::start))
        .routes(routes!(sandboxes::launch))
        .routes(routes!(sandboxes::stop))
        .routes(routes!(sandboxes::attach))
        .routes(routes!(sandboxes::detach))
        .routes(routes!(policies::newest, policies::set))
        .routes(routes!(policies::list))
        .routes(routes!(policies::get))
        .routes(routes!(policies::newest_global, policies::set_global, policies::delete_global))
        .routes(routes!(policies::list_global))
        .routes(routes!(inference::get, inference::set, inference::delete))
        .routes(routes!(inference::list))
        .routes(routes!(inference::revision))
        .routes(routes!(inference::set_route))
        .routes(routes!(inference::backends, inference::add_backend))
        .routes(routes!(inference::remove_backend))
        .routes(routes!(inference::test_backend))
        .routes(routes!(cost::report))
        .routes(routes!(watch::watch))
        .routes(routes!(logs::logs))
        .routes(routes!(proposals::list, proposals::clear))
        .routes(routes!(proposals::approve))
        .routes(routes!(proposals::reject))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::restart))
        .routes(routes!(settings::get, settings::change))
        .routes(routes!(settings::of_sandbox, settings::change_sandbox))
        .routes(routes!(workspaces::list, workspaces::create))
        .routes(routes!(workspaces::delete))
        .routes(routes!(metrics::metrics))
        .routes(routes!(conversation::exec))
        .routes(routes!(conversation::attach))
        .routes(routes!(conversation::upload))
        .routes(routes!(conversation::download))
        .routes(routes!(conversation::forward))
}

/// The routes of the API; its description is served too.
pub(crate) fn routes(app: App) -> Router {
    let (router, _) = all().split_for_parts();
    let app = Arc::new(app);
    router
        .route("/openapi.json", axum::routing::get(open::openapi))
        .layer(from_fn_with_state(Arc::clone(&app), workspaces::known))
        .layer(from_fn_with_state(Arc::clone(&app), changing::change))
        .fallback(open::nothing)
        .method_not_allowed_fallback(open::no_such_method)
        .with_state(app)
}

/// The description of the API, in the words of `OpenAPI` 3.1.
pub(crate) fn description() -> Value {
    described::completed(&all().into_openapi())
}

/// The tag of a version: what `If-Match` of a change has to say.
pub(crate) fn tagged(version: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(header::ETAG, tag);
    }
    headers
}

fn described() -> OpenApi {
    let info = InfoBuilder::new()
        .title("OpenShell gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One control plane for sandboxes, policies, credentials and backends. Errors are problem details (RFC 9457).",
        ))
        .build();
    OpenApiBuilder::new().info(info).build()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::description;
    use crate::auth::access::table;

    #[test]
    fn every_route_is_described_and_has_a_row_that_says_who_may() {
        let description = description();
        assert_eq!(description["openapi"], "3.1.0");
        let rows = table::rows();
        let paths = description["paths"].as_object().unwrap();
        assert!(paths.len() > 25, "{}", paths.len());
        for (path, methods) in paths {
            for method in methods.as_object().unwrap().keys() {
                let method: Method = method.to_ascii_uppercase().parse().unwrap();
                let row = rows.iter().find(|row| row.method == method && row.path == path);
                assert!(row.is_some(), "{method} {path} has no row");
            }
        }
    }

    #[test]
    fn every_row_is_for_a_route_that_is_served() {
        let description = serde_json::to_value(description()).unwrap();
        for row in table::rows() {
            let method = row.method.as_str().to_ascii_lowercase();
            let is_served = description["paths"][row.path].get(&method).is_some()
                || row.path == "/openapi.json";
            assert!(is_served, "nobody serves {row}");
        }
    }

    #[test]
    fn the_description_is_what_clients_were_told() {
        insta::assert_json_snapshot!("openapi", description());
    }

    #[test]
    fn no_answer_has_a_field_for_a_secret_but_those_that_hand_one_over() {
        let description = description();
        let schemas = description["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas {
            let takes = name.starts_with("New") || name.ends_with("Change");
            let hands_over = name.starts_with("Issued");
            let fields = schema["properties"].as_object();
            for field in fields.into_iter().flat_map(|fields| fields.keys()) {
                let secret = ["secret", "key_pem", "credentials"].contains(&field.as_str());
                assert!(!secret || takes || hands_over, "{name}.{field}");
            }
        }
    }
}
