//! People and their tokens.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    page::{Page, PageQuery},
    problem::Fault,
    user::{Me, NewUser, OidcUser, Role, User, UserChange},
};
use axum::{
    Json as Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, StatusCode};

use super::{
    App, Doors, Refusal, certificates,
    read::{IfMatch, Json, Query, caller, page, unchanged},
    tagged,
};
use crate::{
    auth::{access::Permit, peer::Identity},
    identities::{self, Outside},
    names,
    records::{EVERYWHERE, UserRecord},
    store::{Store, StoreError, Stored},
    time,
};

/// Who is asking.
#[utoipa::path(get, path = "/v1/me", tag = "users", responses((status = 200, body = Me)))]
pub(super) async fn me(permit: Permit) -> Result<Body<Me>, Refusal> {
    let user = permit.user().ok_or_else(|| Refusal::not_found("user", ""))?;
    let workspaces = user.grants.workspaces.iter();
    Ok(Body(Me {
        name: user.name.to_string(),
        by: user.how.as_str().to_owned(),
        role: user.grants.everywhere,
        workspaces: workspaces.map(|(name, role)| (name.to_string(), *role)).collect(),
        scopes: user.scopes.words().map(str::to_owned).collect(),
    }))
}

/// Users, by name.
#[utoipa::path(
    get, path = "/v1/users", tag = "users", params(PageQuery),
    responses((status = 200, body = Page<User>)),
)]
pub(super) async fn list(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Page<User>>, Refusal> {
    let listed = app.store.list::<UserRecord>(Some(EVERYWHERE), &page(&query)?).await?;
    let items = listed.items.iter().map(shown).collect();
    Ok(Body(Page { items, next: listed.next }))
}

/// A new user. It has no way to prove itself until it is given a token or a certificate.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", request_body = NewUser,
    responses((status = 201, body = User), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn create(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Json(new): Json<NewUser>,
) -> Result<impl IntoResponse, Refusal> {
    let mut faults = Vec::new();
    if !names::is_user(&new.name) {
        faults.push(Fault::new("/name", names::USER));
    }
    check_workspaces(&new.workspaces, &mut faults);
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    let outside = new.oidc.then_some(Outside::Awaited);
    let record = UserRecord { role: new.role, workspaces: new.workspaces, outside };
    if app.store.find::<UserRecord>(EVERYWHERE, &new.name).await?.is_none() {
        // Whoever had that name before proves nothing under it, also where somebody was killed while removing it.
        revoke_all(&app.store, &app.doors, &new.name).await?;
    }
    let stored = app.store.create(EVERYWHERE, &new.name, &record).await?;
    Ok((StatusCode::CREATED, tagged(stored.version), Body(shown(&stored))))
}

/// A user.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users", responses((status = 200, body = User)))]
pub(super) async fn get(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
) -> Result<(HeaderMap, Body<User>), Refusal> {
    let stored = find(&app, &user).await?;
    Ok((tagged(stored.version), Body(shown(&stored))))
}

/// Changes what a user may do.
#[utoipa::path(
    patch, path = "/v1/users/{user}", tag = "users", request_body = UserChange,
    responses((status = 200, body = User), (status = 412, body = api::problem::Problem)),
)]
pub(super) async fn change(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    IfMatch(version): IfMatch,
    Json(change): Json<UserChange>,
) -> Result<(HeaderMap, Body<User>), Refusal> {
    let stored = find(&app, &user).await?;
    unchanged(stored.version, version)?;
    let mut record = stored.body.clone();
    if let Some(role) = change.role {
        record.role = role;
    }
    if let Some(workspaces) = change.workspaces {
        let mut faults = Vec::new();
        check_workspaces(&workspaces, &mut faults);
        if !faults.is_empty() {
            return Err(Refusal::faults(faults));
        }
        record.workspaces = workspaces;
    }
    if change.role.is_some()
        && let Some(Outside::Bound { role_of, .. }) = &mut record.outside
    {
        // From now on the role is what was said here, whatever tokens say.
        *role_of = None;
    }
    match (change.oidc, &record.outside) {
        (Some(true), None) => record.outside = Some(Outside::Awaited),
        (Some(false), Some(_)) => record.outside = None,
        _ => {}
    }
    if caller(&permit) == user && record.role < stored.body.role {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "own_role",
            "nobody takes a role from themselves, so that somebody is left who has it",
        )
        .next_step("let another administrator do it"));
    }
    let old = stored.body.clone();
    let stored = app.store.replace(&stored, &record).await?;
    if stored.body.outside.is_none() {
        identities::forget(&app.store, &old).await?;
    }
    if let Ok(name) = user.parse()
        && caller(&permit) != user
    {
        // What was begun with the roles of before ends.
        app.doors.live.end(&Identity::User(name));
    }
    Ok((tagged(stored.version), Body(shown(&stored))))
}

/// Removes a user with its tokens.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "users", responses((status = 204)))]
pub(super) async fn delete(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Refusal> {
    if caller(&permit) == user {
        let detail = "nobody removes themselves, so that somebody is left";
        return Err(Refusal::new(StatusCode::CONFLICT, "own_user", detail)
            .next_step("let another administrator do it"));
    }
    let stored = find(&app, &user).await?;
    unchanged(stored.version, version)?;
    // The user first: a request that is under way makes no proof for one that is gone, and what it had proves nobody any more.
    if !app.store.remove::<UserRecord>(EVERYWHERE, &user, Some(stored.version)).await? {
        return Err(Refusal::not_found("user", &user));
    }
    identities::forget(&app.store, &stored.body).await?;
    revoke_all(&app.store, &app.doors, &user).await?;
    if let Ok(name) = user.parse() {
        app.doors.live.end(&Identity::User(name));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes all that a user proves itself with.
///
/// # Errors
/// When the store fails.
pub(crate) async fn revoke_all(store: &Store, doors: &Doors, user: &str) -> Result<(), StoreError> {
    store.revoke_tokens_of(user, time::now_ms()).await?;
    certificates::revoke_all(store, doors, user).await
}

pub(super) async fn find(app: &App, user: &str) -> Result<Stored<UserRecord>, Refusal> {
    let found = app.store.find::<UserRecord>(EVERYWHERE, user).await?;
    found.ok_or_else(|| Refusal::not_found("user", user))
}

fn check_workspaces(workspaces: &BTreeMap<String, Role>, faults: &mut Vec<Fault>) {
    for name in workspaces.keys().filter(|name| !names::is_workspace(name)) {
        faults.push(Fault::new(format!("/workspaces/{name}"), names::WORKSPACE));
    }
}

fn shown(stored: &Stored<UserRecord>) -> User {
    User {
        name: stored.name.clone(),
        role: stored.body.role,
        workspaces: stored.body.workspaces.clone(),
        oidc: stored.body.outside.as_ref().map(|outside| match outside {
            Outside::Awaited => OidcUser::default(),
            Outside::Bound { issuer, subject, role_of } => OidcUser {
                issuer: Some(issuer.clone()),
                subject: Some(subject.clone()),
                role_by_issuer: role_of.is_some(),
            },
        }),
        created: time::point(stored.created_ms),
    }
}
