//! People and their tokens.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    page::{Page, PageQuery},
    problem::Fault,
    user::{IssuedToken, Me, NewToken, NewUser, Role, Token, User, UserChange},
};
use axum::{
    Json as Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, StatusCode};

use super::{
    App, Refusal,
    read::{IfMatch, Json, JsonOrNone, Query, page},
    tagged,
};
use crate::{
    auth::{Permit, SCOPES, Token as Secret},
    names,
    records::{EVERYWHERE, UserRecord},
    store::{NewTokenRow, Stored, TokenRow},
    time,
};

/// How many days a token is good for when nobody says.
const TOKEN_DAYS: u32 = 30;
/// The most days that a token is good for.
const TOKEN_DAYS_MAX: u32 = 365;
/// The most tokens of one user.
const TOKENS_MAX: usize = 100;
/// The longest label of a token, bytes.
const LABEL_BYTES_MAX: usize = 200;

/// Who is asking.
#[utoipa::path(get, path = "/v1/me", tag = "users", responses((status = 200, body = Me)))]
pub(super) async fn me(permit: Permit) -> Body<Me> {
    Body(permit.me())
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
    let record = UserRecord { role: new.role, workspaces: new.workspaces };
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
    super::read::unchanged(stored.version, version)?;
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
    if permit.is_user(&user) && record.role < stored.body.role {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "own_role",
            "nobody takes a role from themselves, so that somebody is left who has it",
        )
        .next_step("let another administrator do it"));
    }
    let stored = app.store.replace(&stored, &record).await?;
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
    if permit.is_user(&user) {
        let detail = "nobody removes themselves, so that somebody is left";
        return Err(Refusal::new(StatusCode::CONFLICT, "own_user", detail)
            .next_step("let another administrator do it"));
    }
    // The tokens first: a user that is made again under that name has none of them.
    app.store.revoke_tokens(&user).await?;
    if app.store.remove::<UserRecord>(EVERYWHERE, &user, version).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::not_found("user", &user))
    }
}

/// The tokens of a user.
#[utoipa::path(
    get, path = "/v1/users/{user}/tokens", tag = "users",
    responses((status = 200, body = Page<Token>)),
)]
pub(super) async fn tokens(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
) -> Result<Body<Page<Token>>, Refusal> {
    permit.own_or_admin(&user)?;
    find(&app, &user).await?;
    let items = app.store.tokens(&user).await?.iter().map(token).collect();
    Ok(Body(Page { items, next: None }))
}

/// A new token. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/users/{user}/tokens", tag = "users", request_body = Option<NewToken>,
    responses((status = 201, body = IssuedToken)),
)]
pub(super) async fn create_token(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    JsonOrNone(new): JsonOrNone<NewToken>,
) -> Result<(StatusCode, Body<IssuedToken>), Refusal> {
    permit.own_or_admin(&user)?;
    find(&app, &user).await?;
    let days = new.days.unwrap_or(TOKEN_DAYS);
    let mut faults = Vec::new();
    if days == 0 || days > TOKEN_DAYS_MAX {
        faults.push(Fault::new("/days", format!("has to be 1 to {TOKEN_DAYS_MAX}")));
    }
    if new.label.len() > LABEL_BYTES_MAX || new.label.chars().any(char::is_control) {
        let detail =
            format!("has to be at most {LABEL_BYTES_MAX} bytes without control characters");
        faults.push(Fault::new("/label", detail));
    }
    for (place, scope) in new.scopes.iter().enumerate() {
        if !SCOPES.contains(&scope.as_str()) {
            let known = SCOPES.join(", ");
            faults.push(Fault::new(format!("/scopes/{place}"), format!("has to be one of {known}")));
        }
    }
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    if app.store.tokens(&user).await?.len() >= TOKENS_MAX {
        let detail = format!("{user} has {TOKENS_MAX} tokens, and nobody has more");
        return Err(Refusal::new(StatusCode::CONFLICT, "too_many_tokens", detail)
            .next_step("delete those that are not used"));
    }
    let secret = Secret::new();
    let row = NewTokenRow {
        hash: secret.hash(),
        user,
        label: new.label,
        scopes: permit.narrowed(new.scopes),
        expires_ms: time::now_ms() + i64::from(days) * time::DAY_MS,
    };
    let row = app.store.create_token(row).await?;
    let issued = IssuedToken { token: token(&row), secret: secret.into_secret().into() };
    Ok((StatusCode::CREATED, Body(issued)))
}

/// Ends a token.
#[utoipa::path(
    delete, path = "/v1/users/{user}/tokens/{token}", tag = "users", responses((status = 204)),
)]
pub(super) async fn delete_token(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path((user, token)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    permit.own_or_admin(&user)?;
    if app.store.revoke_token(&user, &token).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::not_found("token", &token))
    }
}

async fn find(app: &App, user: &str) -> Result<Stored<UserRecord>, Refusal> {
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
        created: time::point(stored.created_ms),
    }
}

fn token(row: &TokenRow) -> Token {
    Token {
        id: row.id.to_string(),
        user: row.user.clone(),
        label: row.label.clone(),
        scopes: row.scopes.clone(),
        created: time::point(row.created_ms),
        expires: time::point(row.expires_ms),
        last_used: row.last_used_ms.map(time::point),
    }
}
