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
    providers::{self, OWNER},
    records::{ProviderRecord, SandboxRecord},
    store::{SecretChanges, Store, StoreError, Stored},
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
    let secrets = kept(new.credentials);
    let put: Vec<(&str, &SecretString)> = secrets.iter().map(|(key, one)| (&**key, one)).collect();
    let changes = SecretChanges { owner_kind: OWNER, put: &put, remove: &[] };
    let made = app.store.create_with_secrets(workspace(&permit)?, &new.name, &record, &changes);
    let stored = made.await.map_err(|error| match error {
        StoreError::Exists => Refusal::taken("provider", &new.name),
        error => error.into(),
    })?;
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
    let users = users(&app.store, workspace(&permit)?, &provider).await?;
    for user in &users {
        let mut others = user.body.spec.providers.clone();
        others.retain(|name| *name != provider);
        let others = records(&app, workspace(&permit)?, &others).await?;
        let all = others.iter().map(|one| (one.name.as_str(), one.body.keys.as_slice()));
        if let Some(clash) = providers::clash(all.chain([(provider.as_str(), keys.as_slice())])) {
            let detail = format!("does not fit into sandbox {}: {clash}", user.name);
            return Err(Refusal::faults(vec![Fault::new("/credentials", detail)]));
        }
    }
    let secrets = kept(given);
    let put: Vec<(&str, &SecretString)> = secrets.iter().map(|(key, one)| (&**key, one)).collect();
    let remove: Vec<&str> = dropped.iter().map(String::as_str).collect();
    let changes = SecretChanges { owner_kind: OWNER, put: &put, remove: &remove };
    let record = ProviderRecord { kind: stored.body.kind.clone(), keys, config };
    let stored = app.store.replace_with_secrets(&stored, &record, &changes).await?;
    for user in &users {
        app.keeper.touch(&user.workspace, &user.name);
    }
    app.inference.provider_changed(workspace(&permit)?, &provider).await;
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
    find(&app, workspace(&permit)?, &provider).await?;
    let users = users(&app.store, workspace(&permit)?, &provider).await?;
    if !users.is_empty() {
        let users: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        let detail = format!("provider {provider} is used by {}", users.join(", "));
        return Err(Refusal::new(StatusCode::CONFLICT, "in_use", detail)
            .next_step("detach it from these sandboxes first"));
    }
    if app.inference.uses(workspace(&permit)?, &provider).await? {
        let detail = format!("model calls go to provider {provider}");
        return Err(Refusal::new(StatusCode::CONFLICT, "in_use", detail)
            .next_step("let them go elsewhere first, as `openshell inference set` does"));
    }
    let removed = app.store.remove_with_secrets::<ProviderRecord>(
        workspace(&permit)?,
        &provider,
        version,
        OWNER,
    );
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn kept(secrets: BTreeMap<String, Secret>) -> Vec<(String, SecretString)> {
    secrets.into_iter().map(|(key, secret)| (key, secret.into_inner())).collect()
}

/// The providers of these names; those that are gone are left out.
pub(super) async fn records(
    app: &App,
    workspace: &str,
    names: &[String],
) -> Result<Vec<Stored<ProviderRecord>>, Refusal> {
    let mut records = Vec::new();
    for name in names {
        records.extend(providers::find(&app.store, workspace, name).await?);
    }
    Ok(records)
}

async fn find(app: &App, workspace: &str, name: &str) -> Result<Stored<ProviderRecord>, Refusal> {
    let found = providers::find(&app.store, workspace, name).await?;
    found.ok_or_else(|| Refusal::not_found("provider", name))
}

/// The sandboxes that use it.
async fn users(
    store: &Store,
    workspace: &str,
    provider: &str,
) -> Result<Vec<Stored<SandboxRecord>>, Refusal> {
    let uses = |stored: &Stored<SandboxRecord>| {
        stored.body.spec.providers.iter().any(|name| name == provider)
    };
    let all = sandboxes::all(store, workspace).await?;
    Ok(all.into_iter().filter(uses).collect())
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
