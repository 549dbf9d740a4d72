//! The gateway itself: whether it lives, whether it can work, what it is, and how its API is described.

use std::{collections::BTreeMap, sync::Arc};

use api::gateway::{Info, Readiness};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, Uri, header};

use super::{App, Refusal};
use crate::{auth::access::Permit, lifecycle::written};

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
    let store = match app.store.ping().await {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            // Nobody has proven who they are: what exactly is wrong stands in the log.
            tracing::warn!(error = %written(error), "the store does not answer");
            "does not answer".to_owned()
        }
    };
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
