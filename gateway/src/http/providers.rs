//! Providers. No answer has a secret.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    page::{Page, PageQuery, WorkspaceQuery},
    problem::Fault,
    provider::{NewProvider, Provider, ProviderChange},
    secret::Secret,
};
use axum::{
    Json as Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;

use super::{
    App, Refusal,
    read::{self, IfMatch, Json, Query, page, workspace},
    sandboxes, tagged,
};
use crate::{
    auth::access::Permit,
    names,
    providers::{self, owner},
    records::{ProviderRecord, SandboxRecord},
    store::{Store, Stored},
    time,
};

/// Providers, by name.
#[utoipa::path(
    get, path = "/v1/providers", tag = "providers", params(PageQuery),
    responses((status = 200, body = Page<Provider>)),
)]
pub(super) async fn list(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Page<Provider>>, Refusal> {
    let listed =
        app.store.list::<ProviderRecord>(Some(workspace(&permit)?), &page(&query)?).await?;
    let items = listed.items.iter().map(shown).collect();
    Ok(Body(Page { items, next: listed.next }))
}

/// A new provider.
#[utoipa::path(
    post, path = "/v1/providers", tag = "providers", params(WorkspaceQuery), request_body = NewProvider,
    responses((status = 201, body = Provider), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn create(
    permit: Permit,
    State(app): State<Arc<App>>,
    Json(new): Json<NewProvider>,
) -> Result<impl IntoResponse, Refusal> {
    let mut faults = Vec::new();
    if !names::is_provider(&new.name) {
        faults.push(Fault::new("/name", names::PROVIDER));
    }
    faults.extend(providers::faults((&new.name, &new.kind), &new.credentials, &new.config));
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    let keys = new.credentials.keys().cloned().collect();
    let record = ProviderRecord { kind: new.kind, keys, config: new.config };
    let stored = app.store.create(workspace(&permit)?, &new.name, &record).await?;
    if let Err(error) = keep(&app.store, &stored, new.credentials).await {
        // Without its secrets it would be something else than what was asked for.
        app.store.remove::<ProviderRecord>(workspace(&permit)?, &new.name, None).await?;
        return Err(error);
    }
    Ok((StatusCode::CREATED, tagged(stored.version), Body(shown(&stored))))
}

/// A provider.
#[utoipa::path(
    get, path = "/v1/providers/{provider}", tag = "providers", params(WorkspaceQuery),
    responses((status = 200, body = Provider)),
)]
pub(super) async fn get(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
) -> Result<(HeaderMap, Body<Provider>), Refusal> {
    let stored = find(&app, workspace(&permit)?, &provider).await?;
    Ok((tagged(stored.version), Body(shown(&stored))))
}

/// Changes a provider; sandboxes that use it have the new credentials in force without a restart.
#[utoipa::path(
    patch, path = "/v1/providers/{provider}", tag = "providers", params(WorkspaceQuery),
    request_body = ProviderChange,
    responses((status = 200, body = Provider), (status = 412, body = api::problem::Problem)),
)]
pub(super) async fn change(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    IfMatch(version): IfMatch,
    Json(change): Json<ProviderChange>,
) -> Result<(HeaderMap, Body<Provider>), Refusal> {
    let stored = find(&app, workspace(&permit)?, &provider).await?;
    read::unchanged(stored.version, version)?;
    let mut config = stored.body.config.clone();
    for (key, value) in change.config {
        match value {
            Some(value) => drop(config.insert(key, value)),
            None => drop(config.remove(&key)),
        }
    }
    let mut keys = stored.body.keys.clone();
    let (mut given, mut dropped) = (BTreeMap::new(), Vec::new());
    for (key, secret) in change.credentials {
        keys.retain(|known| *known != key);
        match secret {
            Some(secret) => {
                keys.push(key.clone());
                given.insert(key, secret);
            }
            None => dropped.push(key),
        }
    }
    keys.sort_unstable();
    let faults = providers::faults((&provider, &stored.body.kind), &given, &config);
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    // The record last: whoever sees its new version finds the secrets.
    keep(&app.store, &stored, given).await?;
    let record = ProviderRecord { kind: stored.body.kind.clone(), keys, config };
    let stored = app.store.replace(&stored, &record).await?;
    for key in dropped {
        app.store.remove_secret(owner(&stored.id.to_string()), &key).await?;
    }
    for user in users(&app.store, workspace(&permit)?, &provider).await? {
        app.keeper.touch(workspace(&permit)?, &user);
    }
    Ok((tagged(stored.version), Body(shown(&stored))))
}

/// Removes a provider with its secrets. One that a sandbox uses stays.
#[utoipa::path(
    delete, path = "/v1/providers/{provider}", tag = "providers", params(WorkspaceQuery),
    responses((status = 204), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn delete(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Refusal> {
    let stored = find(&app, workspace(&permit)?, &provider).await?;
    let users = users(&app.store, workspace(&permit)?, &provider).await?;
    if !users.is_empty() {
        let detail = format!("provider {provider} is used by {}", users.join(", "));
        return Err(Refusal::new(StatusCode::CONFLICT, "in_use", detail)
            .next_step("detach it from these sandboxes first"));
    }
    app.store.remove::<ProviderRecord>(workspace(&permit)?, &provider, version).await?;
    app.store.remove_secrets(owner(&stored.id.to_string())).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn keep(
    store: &Store,
    stored: &Stored<ProviderRecord>,
    secrets: BTreeMap<String, Secret>,
) -> Result<(), Refusal> {
    let secrets: Vec<(String, SecretString)> =
        secrets.into_iter().map(|(key, secret)| (key, secret.into_inner())).collect();
    let values: Vec<(&str, &SecretString)> =
        secrets.iter().map(|(key, secret)| (key.as_str(), secret)).collect();
    Ok(store.put_secrets(owner(&stored.id.to_string()), &values).await?)
}

async fn find(app: &App, workspace: &str, name: &str) -> Result<Stored<ProviderRecord>, Refusal> {
    let found = providers::find(&app.store, workspace, name).await?;
    found.ok_or_else(|| Refusal::not_found("provider", name))
}

/// The sandboxes that use it.
async fn users(store: &Store, workspace: &str, provider: &str) -> Result<Vec<String>, Refusal> {
    let uses = |stored: &Stored<SandboxRecord>| {
        stored.body.spec.providers.iter().any(|name| name == provider)
    };
    let all = sandboxes::all(store, workspace).await?;
    Ok(all.into_iter().filter(uses).map(|stored| stored.name).collect())
}

fn shown(stored: &Stored<ProviderRecord>) -> Provider {
    Provider {
        id: stored.id.to_string(),
        name: stored.name.clone(),
        workspace: stored.workspace.clone(),
        kind: stored.body.kind.clone(),
        credential_keys: stored.body.keys.clone(),
        config: stored.body.config.clone(),
        created: time::point(stored.created_ms),
        updated: time::point(stored.updated_ms),
    }
}
