//! The gateway itself: whether it lives, whether it can work, what it is, and how its API is described.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::gateway::{Info, Login, Readiness};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, Uri, header};
use tokio::sync::Mutex;

use super::{App, Refusal};
use crate::{auth::access::Permit, lifecycle::written, store::Store};

/// How long an answer of the store counts.
const PULSE_LIFE: Duration = Duration::from_secs(1);

/// Whether the store answers. Anybody may ask, as often as they like: it is asked by one at a time, and about once a second.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Option<(Instant, bool)>>);

impl Pulse {
    async fn beats(&self, store: &Store) -> bool {
        // Others wait for the one that asks.
        let mut last = self.0.lock().await;
        if let Some((at, beats)) = *last
            && at.elapsed() < PULSE_LIFE
        {
            return beats;
        }
        let asked = store.ping().await;
        let beats = asked.is_ok();
        if let Err(error) = asked {
            // Nobody has proven who they are: what exactly is wrong stands in the log.
            tracing::warn!(error = %written(error), "the store does not answer");
        }
        *last = Some((Instant::now(), beats));
        beats
    }
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "gateway", responses((status = 200, description = "It lives")))]
pub(super) async fn healthz() -> StatusCode {
    StatusCode::OK
}

/// Whether the gateway can work.
#[utoipa::path(
    get, path = "/readyz", tag = "gateway",
    responses(
        (status = 200, description = "It can work", body = Readiness),
        (status = 503, description = "It cannot", body = Readiness),
    ),
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let store = if app.pulse.beats(&app.store).await { "ok" } else { "does not answer" };
    let store = store.to_owned();
    let sandboxes = if app.keeper.is_keeping() { "ok" } else { "are not kept" };
    let inference =
        if app.inference.is_well().await { "ok" } else { "does not work by the newest file" };
    let ready = store == "ok" && sandboxes == "ok" && inference == "ok";
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let parts = BTreeMap::from([
        ("store".to_owned(), store),
        ("sandboxes".to_owned(), sandboxes.to_owned()),
        ("inference".to_owned(), inference.to_owned()),
    ]);
    let version = app.info.version.clone();
    (status, Json(Readiness { ready, version, parts })).into_response()
}

/// What this gateway is.
#[utoipa::path(get, path = "/v1/info", tag = "gateway", responses((status = 200, body = Info)))]
pub(super) async fn info(_permit: Permit, State(app): State<Arc<App>>) -> Json<Info> {
    Json(app.info.clone())
}

/// How to log in, for whoever has no proof yet.
#[utoipa::path(get, path = "/v1/login", tag = "gateway", responses((status = 200, body = Login)))]
pub(super) async fn login(State(app): State<Arc<App>>) -> Json<Login> {
    Json(app.login.clone())
}

/// The description of this API.
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, app.description.clone()).into_response()
}

/// What is not there.
pub(super) async fn nothing(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at {}", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, "no_such_path", detail)
        .next_step("/openapi.json lists what there is")
}

/// What is there under another method.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{method} is no method of {}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        .next_step("/openapi.json lists what there is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secrets::Keys, store::Place};

    #[tokio::test]
    async fn a_crowd_that_asks_for_readiness_asks_the_store_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("gateway.db"));
        let store = Store::open(&place, Keys::random().unwrap()).await.unwrap();
        let pulse = Pulse::default();
        assert!(pulse.beats(&store).await);
        store.close().await;
        // What was heard counts for a moment, and no longer.
        assert!(pulse.beats(&store).await);
        *pulse.0.lock().await = Instant::now().checked_sub(PULSE_LIFE).map(|at| (at, true));
        assert!(!pulse.beats(&store).await);
        let crowd = futures_util::future::join_all((0..1000).map(|_| pulse.beats(&store)));
        assert!(crowd.await.into_iter().all(|beats| !beats));
    }
}
