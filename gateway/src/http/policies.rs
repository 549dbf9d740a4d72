//! Revisions of policies: of a sandbox, and of the gateway.

use std::sync::Arc;

use api::{
    page::{Page as Shown, PageQuery, WorkspaceQuery},
    policy::{NewPolicy, PolicyRevision, PolicySet},
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use http::StatusCode;

use super::{
    App, Refusal,
    read::{Json, Query, page},
    sandboxes,
};
use crate::{
    auth::access::Permit,
    lifecycle::Desired,
    policies,
    records::SandboxRecord,
    store::{GLOBAL_SCOPE, Page},
};

/// The revisions of a sandbox's policy, the newest first.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/policy/revisions", tag = "policies", params(PageQuery),
    responses((status = 200, body = Shown<PolicyRevision>)),
)]
pub(super) async fn list(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Shown<PolicyRevision>>, Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    revisions(&app, &stored.id.to_string(), &query).await
}

/// A policy for a sandbox. It is on its way when the answer comes; the revision tells when it is in force.
#[utoipa::path(
    put, path = "/v1/sandboxes/{sandbox}/policy", tag = "policies", params(WorkspaceQuery),
    request_body = NewPolicy,
    responses((status = 202, body = PolicySet), (status = 422, body = api::problem::Problem)),
)]
pub(super) async fn set(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    Json(new): Json<NewPolicy>,
) -> Result<(StatusCode, Body<PolicySet>), Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    if stored.body.desired == Desired::Deleted {
        return Err(sandboxes::being_deleted(&sandbox));
    }
    let set = policies::add(&app.store, stored.id, &new.policy, new.base).await?;
    app.keeper.touch(&stored.workspace, &stored.name);
    Ok((StatusCode::ACCEPTED, Body(set)))
}

/// A revision with its file; 0 is the newest.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/policy/revisions/{revision}", tag = "policies", params(WorkspaceQuery),
    responses((status = 200, body = PolicyRevision)),
)]
pub(super) async fn get(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path((sandbox, revision)): Path<(String, u64)>,
) -> Result<Body<PolicyRevision>, Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    one(&app, &stored.id.to_string(), revision).await
}

/// The newest revision with its file.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/policy", tag = "policies", params(WorkspaceQuery),
    responses((status = 200, body = PolicyRevision), (status = 404, body = api::problem::Problem)),
)]
pub(super) async fn newest(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
) -> Result<Body<PolicyRevision>, Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    one(&app, &stored.id.to_string(), 0).await
}

/// The newest revision of the gateway's policy with its file.
#[utoipa::path(
    get, path = "/v1/policy", tag = "policies",
    responses((status = 200, body = PolicyRevision), (status = 404, body = api::problem::Problem)),
)]
pub(super) async fn newest_global(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<Body<PolicyRevision>, Refusal> {
    one(&app, GLOBAL_SCOPE, 0).await
}

/// The revisions of the gateway's policy, the newest first.
#[utoipa::path(
    get, path = "/v1/policy/revisions", tag = "policies", params(PageQuery),
    responses((status = 200, body = Shown<PolicyRevision>)),
)]
pub(super) async fn list_global(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Shown<PolicyRevision>>, Refusal> {
    revisions(&app, GLOBAL_SCOPE, &query).await
}

/// A policy for every sandbox of the gateway, stronger than their own.
#[utoipa::path(
    put, path = "/v1/policy", tag = "policies", request_body = NewPolicy,
    responses((status = 202, body = PolicySet), (status = 422, body = api::problem::Problem)),
)]
pub(super) async fn set_global(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Json(new): Json<NewPolicy>,
) -> Result<(StatusCode, Body<PolicySet>), Refusal> {
    let set = policies::add_global(&app.store, &new.policy, new.base).await?;
    touch_all(&app).await?;
    Ok((StatusCode::ACCEPTED, Body(set)))
}

/// Removes the gateway's policy; every sandbox is held to its own again.
#[utoipa::path(delete, path = "/v1/policy", tag = "policies", responses((status = 204)))]
pub(super) async fn delete_global(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Refusal> {
    app.store.forget_policies(GLOBAL_SCOPE).await?;
    touch_all(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A revision with its file; the newest for 0.
async fn one(app: &App, scope: &str, version: u64) -> Result<Body<PolicyRevision>, Refusal> {
    let row = match version {
        0 => app.store.newest_policy(scope).await?,
        version => {
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            app.store.policy(scope, version).await?
        }
    };
    let row = row.ok_or_else(|| Refusal::not_found("revision", &version.to_string()))?;
    let text = row.text.clone();
    Ok(Body(policies::shown(&row, Some(text))))
}

async fn revisions(
    app: &App,
    scope: &str,
    query: &PageQuery,
) -> Result<Body<Shown<PolicyRevision>>, Refusal> {
    let listed = app.store.policies(scope, &page(query)?).await?;
    let items = listed.items.iter().map(|row| policies::shown(row, None)).collect();
    Ok(Body(Shown { items, next: listed.next }))
}

async fn touch_all(app: &App) -> Result<(), Refusal> {
    let mut page = Page { after: None, limit: 500 };
    loop {
        let listed = app.store.list::<SandboxRecord>(None, &page).await?;
        for stored in &listed.items {
            app.keeper.touch(&stored.workspace, &stored.name);
        }
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(()),
        }
    }
}
