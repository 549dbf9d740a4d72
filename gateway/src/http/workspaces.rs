//! Workspaces. `default` is always there; every other one is made before anything can be in it, so that a mistyped name is no new
//! place.

use std::sync::Arc;

use api::{
    page::{Page as Shown, PageQuery},
    problem::Fault,
    workspace::{NewWorkspace, Workspace},
};
use axum::{
    Json as Body,
    extract::{Path, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{
    App, Refusal,
    read::{Json, Query, page},
    tagged,
};
use crate::{
    auth::{access::Permit, principal},
    names,
    records::{EVERYWHERE, ProviderRecord, SandboxRecord, WorkspaceRecord},
    store::{Object, Page, Stored},
    time,
};

/// Lets a request about a workspace through when there is such a one.
///
/// # Errors
/// 404 when there is none.
pub(super) async fn known(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let permit = request.extensions().get::<Permit>();
    let workspace = permit.and_then(|permit| permit.workspace().ok()).cloned();
    let Some(name) = workspace.filter(|name| *name != principal::Workspace::default()) else {
        return next.run(request).await;
    };
    // Nothing is put into a workspace that is being removed.
    let _open = match *request.method() {
        Method::GET | Method::HEAD => None,
        _ => Some(app.records.workspaces.read().await),
    };
    match app.store.find::<WorkspaceRecord>(EVERYWHERE, name.as_str()).await {
        Ok(Some(_)) => next.run(request).await,
        Ok(None) => Refusal::not_found("workspace", name.as_str())
            .next_step("an administrator makes one with POST /v1/workspaces")
            .into_response(),
        Err(error) => Refusal::from(error).into_response(),
    }
}

/// The workspaces that one has a role in, by name.
#[utoipa::path(
    get, path = "/v1/workspaces", tag = "workspaces", params(PageQuery),
    responses((status = 200, body = Shown<Workspace>)),
)]
pub(super) async fn list(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Shown<Workspace>>, Refusal> {
    let listed = app.store.list::<WorkspaceRecord>(Some(EVERYWHERE), &page(&query)?).await?;
    let sees = |name: &str| {
        let name = name.parse::<principal::Workspace>().ok();
        permit.user().zip(name).is_some_and(|(user, name)| user.grants.role_in(&name).is_some())
    };
    let items = listed.items.iter().filter(|stored| sees(&stored.name)).map(shown).collect();
    Ok(Body(Shown { items, next: listed.next }))
}

/// A new workspace.
#[utoipa::path(
    post, path = "/v1/workspaces", tag = "workspaces", request_body = NewWorkspace,
    responses((status = 201, body = Workspace), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn create(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Json(new): Json<NewWorkspace>,
) -> Result<(StatusCode, HeaderMap, Body<Workspace>), Refusal> {
    if !names::is_workspace(&new.name) {
        return Err(Refusal::faults(vec![Fault::new("/name", names::WORKSPACE)]));
    }
    let stored = app.store.create(EVERYWHERE, &new.name, &WorkspaceRecord {}).await?;
    let mut headers = tagged(stored.version);
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/workspaces/{}", stored.name)) {
        headers.insert(header::LOCATION, place);
    }
    Ok((StatusCode::CREATED, headers, Body(shown(&stored))))
}

/// Removes a workspace that nothing is in.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}", tag = "workspaces",
    responses((status = 204), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn delete(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
) -> Result<StatusCode, Refusal> {
    if workspace == principal::Workspace::default().as_str() {
        let detail = "the default workspace is always there";
        return Err(Refusal::new(StatusCode::CONFLICT, "default_workspace", detail));
    }
    let _alone = app.records.workspaces.write().await;
    if has_any::<SandboxRecord>(&app, &workspace).await?
        || has_any::<ProviderRecord>(&app, &workspace).await?
    {
        let detail = format!("workspace {workspace} holds sandboxes or providers");
        return Err(
            Refusal::new(StatusCode::CONFLICT, "not_empty", detail).next_step("delete them first")
        );
    }
    if !app.store.remove::<WorkspaceRecord>(EVERYWHERE, &workspace, None).await? {
        return Err(Refusal::not_found("workspace", &workspace));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn has_any<T: Object>(app: &App, workspace: &str) -> Result<bool, Refusal> {
    let page = Page { after: None, limit: 1 };
    Ok(!app.store.list::<T>(Some(workspace), &page).await?.items.is_empty())
}

fn shown(stored: &Stored<WorkspaceRecord>) -> Workspace {
    Workspace { name: stored.name.clone(), created: time::point(stored.created_ms) }
}
