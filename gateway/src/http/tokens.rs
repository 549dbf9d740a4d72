//! Bearer tokens: those of oneself, and for an administrator those of everybody.

use std::sync::Arc;

use api::{
    page::{Page, PageQuery},
    problem::Fault,
    user::{IssuedToken, NewToken, Token},
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use http::StatusCode;

use super::{
    App, Refusal,
    read::{JsonOrNone, Query, caller, page},
    users,
};
use crate::{
    auth::{
        access::Permit,
        peer::Identity,
        scope::{Scope, Scopes},
        token,
    },
    store, time,
};

/// How many days a token is good for when nobody says.
const DAYS: u32 = 30;
/// The most days that a token is good for.
const DAYS_MAX: u32 = 365;
/// The most tokens of one user.
const TOKENS_MAX: u32 = 100;
/// The longest label of a token, bytes.
const LABEL_BYTES_MAX: usize = 200;

/// One's own tokens.
#[utoipa::path(
    get, path = "/v1/me/tokens", tag = "users", params(PageQuery),
    responses((status = 200, body = Page<Token>)),
)]
pub(super) async fn list_mine(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Page<Token>>, Refusal> {
    all(&app, caller(&permit), &query).await
}

/// A new token for oneself, for no more than one may do now. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/me/tokens", tag = "users", request_body = Option<NewToken>,
    responses((status = 201, body = IssuedToken)),
)]
pub(super) async fn create_mine(
    permit: Permit,
    State(app): State<Arc<App>>,
    JsonOrNone(new): JsonOrNone<NewToken>,
) -> Result<(StatusCode, Body<IssuedToken>), Refusal> {
    issue(&app, caller(&permit), new, &may(&permit)?).await
}

/// Ends one of one's own tokens.
#[utoipa::path(
    delete, path = "/v1/me/tokens/{token}", tag = "users", responses((status = 204)),
)]
pub(super) async fn delete_mine(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<StatusCode, Refusal> {
    end(&app, caller(&permit), &token).await
}

/// The tokens of a user.
#[utoipa::path(
    get, path = "/v1/users/{user}/tokens", tag = "users", params(PageQuery),
    responses((status = 200, body = Page<Token>)),
)]
pub(super) async fn list(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Page<Token>>, Refusal> {
    users::find(&app, &user).await?;
    all(&app, &user, &query).await
}

/// A new token for a user. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/users/{user}/tokens", tag = "users", request_body = Option<NewToken>,
    responses((status = 201, body = IssuedToken)),
)]
pub(super) async fn create(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    JsonOrNone(new): JsonOrNone<NewToken>,
) -> Result<(StatusCode, Body<IssuedToken>), Refusal> {
    users::find(&app, &user).await?;
    issue(&app, &user, new, &may(&permit)?).await
}

/// Ends a token of a user.
#[utoipa::path(
    delete, path = "/v1/users/{user}/tokens/{token}", tag = "users", responses((status = 204)),
)]
pub(super) async fn delete(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path((user, token)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    end(&app, &user, &token).await
}

/// What whoever asks may do, and until when.
struct May {
    scopes: Scopes,
    /// Milliseconds since 1970; `None` for who can go on by itself.
    until_ms: Option<i64>,
}

fn may(permit: &Permit) -> Result<May, Refusal> {
    let detail = "only a user makes tokens";
    let nobody = || Refusal::new(StatusCode::FORBIDDEN, "not_a_user", detail);
    let user = permit.user().ok_or_else(nobody)?;
    let ms = |seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    Ok(May { scopes: user.scopes, until_ms: user.expires.map(ms) })
}

async fn all(app: &App, user: &str, query: &PageQuery) -> Result<Body<Page<Token>>, Refusal> {
    let listed = app.store.tokens(Some(user), &page(query)?).await?;
    let live = listed.items.iter().filter(|token| token.revoked_ms.is_none());
    Ok(Body(Page { items: live.map(shown).collect(), next: listed.next }))
}

/// Makes a token for a user, for no more and no longer than whoever makes it may do something.
async fn issue(
    app: &App,
    user: &str,
    new: NewToken,
    may: &May,
) -> Result<(StatusCode, Body<IssuedToken>), Refusal> {
    let days = new.days.unwrap_or(DAYS);
    let mut faults = Vec::new();
    if days == 0 || days > DAYS_MAX {
        faults.push(Fault::new("/days", format!("has to be 1 to {DAYS_MAX}")));
    }
    if new.label.len() > LABEL_BYTES_MAX || new.label.chars().any(char::is_control) {
        let detail =
            format!("has to be at most {LABEL_BYTES_MAX} bytes without control characters");
        faults.push(Fault::new("/label", detail));
    }
    let scopes = match Scopes::read(new.scopes.iter().map(String::as_str)) {
        Ok(_) if new.scopes.is_empty() => may.scopes,
        Ok(scopes) => scopes,
        Err(unknown) => {
            let known: Vec<&str> = Scope::all().map(Scope::as_str).collect();
            faults
                .push(Fault::new("/scopes", format!("{unknown}; there are {}", known.join(", "))));
            may.scopes
        }
    };
    if !scopes.is_within(may.scopes) {
        faults.push(Fault::new("/scopes", "has more than what asks for it may do itself"));
    }
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    let mut random = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).map_err(
        |_| {
            let detail = "the system gives no randomness";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_randomness", detail)
        },
    )?;
    let minted = token::mint(&random);
    let words: Vec<String> = scopes.words().map(str::to_owned).collect();
    let now = time::now_ms();
    let row = store::NewToken {
        hash: minted.hash.as_bytes(),
        holder: user,
        label: &new.label,
        scopes: &words,
        // What a token makes ends with it, or whoever took one for an hour would have one for a year.
        expires_ms: Some(
            may.until_ms.unwrap_or(i64::MAX).min(now + i64::from(days) * time::DAY_MS),
        ),
    };
    let made = app.store.create_token_within(&row, TOKENS_MAX, now).await;
    let row = made.map_err(|error| match error {
        store::StoreError::TooMany => {
            let detail = format!("{user} has {TOKENS_MAX} tokens in force");
            Refusal::new(StatusCode::CONFLICT, "too_many_tokens", detail)
                .next_step("delete those that are not used")
        }
        error => error.into(),
    })?;
    Ok((StatusCode::CREATED, Body(IssuedToken { token: shown(&row), secret: minted.text.into() })))
}

async fn end(app: &App, user: &str, token: &str) -> Result<StatusCode, Refusal> {
    let unknown = || Refusal::not_found("token", token);
    let id = token.parse().map_err(|_| unknown())?;
    let ended = app.store.end_token(id, Some(user), time::now_ms()).await?;
    // What it has open ends; what the user has open by other proofs goes on.
    app.doors.live.end(&Identity::Token(ended.ok_or_else(unknown)?.into()));
    Ok(StatusCode::NO_CONTENT)
}

fn shown(row: &store::Token) -> Token {
    Token {
        id: row.id.to_string(),
        user: row.holder.clone(),
        label: row.label.clone(),
        scopes: row.scopes.clone(),
        created: time::point(row.created_ms),
        expires: time::point(row.expires_ms.unwrap_or(i64::MAX)),
        last_used: row.used_ms.map(time::point),
    }
}
