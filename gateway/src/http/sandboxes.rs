//! Sandboxes: what is wanted of them is written down; `lifecycle` sees to the rest.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    page::{Page as Shown, PageQuery, WorkspaceQuery},
    problem::Fault,
    sandbox::{NewSandbox, ProviderNames, Sandbox, SandboxSpec, Stop},
};
use axum::{
    Json as Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::{
    App, Refusal,
    read::{IfMatch, Json, JsonOrNone, Query, caller, page, unchanged, workspace},
    tagged,
};
use crate::{
    auth::access::Permit,
    lifecycle::Desired,
    names, policies, providers,
    records::SandboxRecord,
    settings,
    store::{Page, Store, StoreError, Stored},
    time,
};

/// How long a main command may take to end by itself when nobody says, in milliseconds.
const GRACE_MS: u64 = 10_000;
/// The longest that it may be given.
const GRACE_MS_MAX: u64 = 3_600_000;
/// The most arguments of a main command, with its name.
const ARGUMENTS_MAX: usize = 1024;
/// The longest argument, bytes.
const ARGUMENT_BYTES_MAX: usize = 32 << 10;
/// The longest command, bytes.
const COMMAND_BYTES_MAX: usize = 256 << 10;
/// The most environment variables, and the most labels.
const ENTRIES_MAX: usize = 128;
/// The longest name of one, bytes.
const KEY_BYTES_MAX: usize = 256;
/// The longest value of one, bytes.
const VALUE_BYTES_MAX: usize = 8192;
/// The most providers of a sandbox.
const PROVIDERS_MAX: usize = 32;
/// How often a random name is drawn.
const NAMES_MAX: usize = 20;

/// Sandboxes, by name.
#[utoipa::path(
    get, path = "/v1/sandboxes", tag = "sandboxes", params(PageQuery),
    responses((status = 200, body = Shown<Sandbox>)),
)]
pub(super) async fn list(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Body<Shown<Sandbox>>, Refusal> {
    let listed = app.store.list::<SandboxRecord>(Some(workspace(&permit)?), &page(&query)?).await?;
    let items = listed.items.iter().map(|stored| shown(&app, stored)).collect();
    Ok(Body(Shown { items, next: listed.next }))
}

/// A new sandbox. The answer comes before it stands; `/v1/watch` tells when it does.
#[utoipa::path(
    post, path = "/v1/sandboxes", tag = "sandboxes", params(WorkspaceQuery), request_body = NewSandbox,
    responses((status = 201, body = Sandbox), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn create(
    permit: Permit,
    State(app): State<Arc<App>>,
    Json(new): Json<NewSandbox>,
) -> Result<impl IntoResponse, Refusal> {
    let mut faults = faults(&new.spec);
    if let Some(name) = new.name.as_deref().filter(|name| !names::is_sandbox(name)) {
        faults.push(Fault::new("/name", format!("{name:?} {}", names::SANDBOX)));
    }
    let policy = match new.policy {
        Some(policy) => Some(policy),
        None => settings::current(&app.store).await?.default_policy,
    };
    let new = NewSandbox { policy, ..new };
    let policy = new.policy.as_deref().map(policies::parse);
    if let Some(Err(found)) = &policy {
        faults.extend(found.iter().cloned());
    }
    let places = ("/spec/providers", new.spec.providers.as_slice());
    faults.extend(unfit(&app, workspace(&permit)?, places).await?);
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    let record = SandboxRecord {
        spec: new.spec,
        owner: caller(&permit).to_owned(),
        desired: if new.policy.is_some() { Desired::Draft } else { Desired::Running },
        grace_ms: GRACE_MS,
        held: new.hold,
    };
    let mut stored = named(&app.store, workspace(&permit)?, new.name.as_deref(), &record).await?;
    if let Some(text) = &new.policy {
        if let Err(error) = policies::first(&app.store, stored.id, text).await {
            // It is not to stand without what it was to be held to.
            app.store.remove::<SandboxRecord>(workspace(&permit)?, &stored.name, None).await?;
            return Err(error);
        }
        let record = SandboxRecord { desired: Desired::Running, ..record };
        stored = app.store.replace(&stored, &record).await?;
    }
    app.keeper.touch(workspace(&permit)?, &stored.name);
    let mut headers = tagged(stored.version);
    let place = format!("/v1/sandboxes/{}?workspace={}", stored.name, stored.workspace);
    if let Ok(place) = HeaderValue::from_str(&place) {
        headers.insert(header::LOCATION, place);
    }
    Ok((StatusCode::CREATED, headers, Body(shown(&app, &stored))))
}

/// A sandbox.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}", tag = "sandboxes", params(WorkspaceQuery),
    responses((status = 200, body = Sandbox)),
)]
pub(super) async fn get(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
) -> Result<(HeaderMap, Body<Sandbox>), Refusal> {
    let stored = find(&app, &permit, &sandbox).await?;
    Ok((tagged(stored.version), Body(shown(&app, &stored))))
}

/// Deletes a sandbox with its files. It is gone when `/v1/watch` says so.
#[utoipa::path(
    delete, path = "/v1/sandboxes/{sandbox}", tag = "sandboxes", params(WorkspaceQuery),
    responses((status = 202, body = Sandbox), (status = 412, body = api::problem::Problem)),
)]
pub(super) async fn delete(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<(StatusCode, Body<Sandbox>), Refusal> {
    let changed = want(&app, &permit, (&sandbox, version), |record| {
        record.desired = Desired::Deleted;
    });
    Ok((StatusCode::ACCEPTED, Body(changed.await?)))
}

/// Stops a sandbox; its files and its policy stay.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/stop", tag = "sandboxes", params(WorkspaceQuery),
    request_body = Option<Stop>, responses((status = 202, body = Sandbox)),
)]
pub(super) async fn stop(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
    JsonOrNone(stop): JsonOrNone<Stop>,
) -> Result<(StatusCode, Body<Sandbox>), Refusal> {
    let grace_ms = stop.grace_ms.unwrap_or(GRACE_MS);
    if grace_ms > GRACE_MS_MAX {
        let detail = format!("has to be at most {GRACE_MS_MAX}");
        return Err(Refusal::faults(vec![Fault::new("/grace_ms", detail)]));
    }
    let changed = want(&app, &permit, (&sandbox, version), |record| {
        record.desired = Desired::Stopped;
        record.grace_ms = grace_ms;
    });
    Ok((StatusCode::ACCEPTED, Body(changed.await?)))
}

/// Starts a stopped sandbox with its main command.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/start", tag = "sandboxes", params(WorkspaceQuery),
    responses((status = 202, body = Sandbox)),
)]
pub(super) async fn start(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<(StatusCode, Body<Sandbox>), Refusal> {
    let changed = want(&app, &permit, (&sandbox, version), |record| {
        record.desired = Desired::Running;
        record.held = false;
    });
    Ok((StatusCode::ACCEPTED, Body(changed.await?)))
}

/// Lets a main command begin that waits for that. One that has begun is left as it is.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/launch", tag = "sandboxes", params(WorkspaceQuery),
    responses((status = 202, body = Sandbox)),
)]
pub(super) async fn launch(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<(StatusCode, Body<Sandbox>), Refusal> {
    let changed = want(&app, &permit, (&sandbox, version), |record| record.held = false);
    Ok((StatusCode::ACCEPTED, Body(changed.await?)))
}

/// Notes that the main command of a sandbox was launched by somebody who stays with it.
pub(super) async fn launched(app: &App, id: Uuid) -> Result<(), StoreError> {
    loop {
        let Some(stored) = app.store.find_by_id::<SandboxRecord>(id).await? else { return Ok(()) };
        let record = SandboxRecord { held: false, ..stored.body.clone() };
        if record == stored.body {
            return Ok(());
        }
        match app.store.replace(&stored, &record).await {
            // Somebody else was faster with something else.
            Err(StoreError::Stale) => {}
            other => {
                other?;
                app.keeper.touch(&stored.workspace, &stored.name);
                return Ok(());
            }
        }
    }
}

/// Gives providers to a sandbox; programs that run already do not see their variables.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/providers/attach", tag = "sandboxes", params(WorkspaceQuery),
    request_body = ProviderNames, responses((status = 202, body = Sandbox)),
)]
pub(super) async fn attach(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
    Json(names): Json<ProviderNames>,
) -> Result<(StatusCode, Body<Sandbox>), Refusal> {
    let stored = find(&app, &permit, &sandbox).await?;
    unchanged(stored.version, version)?;
    let mut all = names.providers;
    all.extend_from_slice(&stored.body.spec.providers);
    let faults = unfit(&app, workspace(&permit)?, ("/providers", &all)).await?;
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    all.sort_unstable();
    all.dedup();
    // What was attached or detached meanwhile is not undone.
    let seen = Some(stored.version);
    let changed = want(&app, &permit, (&sandbox, seen), |record| {
        record.spec.providers = all;
    });
    Ok((StatusCode::ACCEPTED, Body(changed.await?)))
}

/// Takes providers away from a sandbox.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/providers/detach", tag = "sandboxes", params(WorkspaceQuery),
    request_body = ProviderNames, responses((status = 202, body = Sandbox)),
)]
pub(super) async fn detach(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
    Json(names): Json<ProviderNames>,
) -> Result<(StatusCode, Body<Sandbox>), Refusal> {
    let changed = want(&app, &permit, (&sandbox, version), |record| {
        record.spec.providers.retain(|name| !names.providers.contains(name));
    });
    Ok((StatusCode::ACCEPTED, Body(changed.await?)))
}

/// Changes what is wanted of a sandbox. One that is being deleted is past wanting.
async fn want(
    app: &App,
    permit: &Permit,
    (name, version): (&str, Option<i64>),
    change: impl FnOnce(&mut SandboxRecord),
) -> Result<Sandbox, Refusal> {
    let stored = find(app, permit, name).await?;
    unchanged(stored.version, version)?;
    let mut record = stored.body.clone();
    change(&mut record);
    if stored.body.desired == Desired::Deleted && record.desired != Desired::Deleted {
        return Err(being_deleted(name));
    }
    if record == stored.body {
        return Ok(shown(app, &stored));
    }
    let stored = app.store.replace(&stored, &record).await?;
    app.keeper.touch(&stored.workspace, &stored.name);
    Ok(shown(app, &stored))
}

/// Nothing more can be wanted of it.
pub(super) fn being_deleted(name: &str) -> Refusal {
    let detail = format!("sandbox {name} is being deleted");
    Refusal::new(StatusCode::CONFLICT, "being_deleted", detail)
        .next_step("create another one when it is gone")
}

/// The sandbox of that name.
pub(super) async fn find(
    app: &App,
    permit: &Permit,
    name: &str,
) -> Result<Stored<SandboxRecord>, Refusal> {
    let found = app.store.find::<SandboxRecord>(workspace(permit)?, name).await?;
    found.ok_or_else(|| Refusal::not_found("sandbox", name))
}

/// Every sandbox of a workspace.
pub(super) async fn all(
    store: &Store,
    workspace: &str,
) -> Result<Vec<Stored<SandboxRecord>>, StoreError> {
    let (mut all, mut page) = (Vec::new(), Page { after: None, limit: 500 });
    loop {
        let listed = store.list::<SandboxRecord>(Some(workspace), &page).await?;
        all.extend(listed.items);
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Keeps a new sandbox under the name asked for, or one that is free.
async fn named(
    store: &Store,
    workspace: &str,
    asked: Option<&str>,
    record: &SandboxRecord,
) -> Result<Stored<SandboxRecord>, Refusal> {
    if let Some(name) = asked {
        return store.create(workspace, name, record).await.map_err(|error| match error {
            StoreError::Exists => Refusal::taken("sandbox", name),
            error => error.into(),
        });
    }
    for number in 0..NAMES_MAX {
        match store.create(workspace, &drivers::random_name(number), record).await {
            Err(StoreError::Exists) => {}
            other => return Ok(other?),
        }
    }
    Err(StoreError::Exists.into())
}

/// What keeps these providers from being used in one sandbox.
async fn unfit(
    app: &App,
    workspace: &str,
    (place, names): (&str, &[String]),
) -> Result<Vec<Fault>, Refusal> {
    if names.len() > PROVIDERS_MAX {
        return Ok(vec![Fault::new(place, format!("has more than {PROVIDERS_MAX}"))]);
    }
    let found = super::providers::records(app, workspace, names).await?;
    let mut faults = Vec::new();
    for (number, name) in names.iter().enumerate() {
        if !found.iter().any(|one| one.name == *name) {
            let detail = format!("there is no provider {name:?}");
            faults.push(Fault::new(format!("{place}/{number}"), detail));
        }
    }
    let all = found.iter().map(|one| (one.name.as_str(), one.body.keys.as_slice()));
    faults.extend(providers::clash(all).map(|clash| Fault::new(place, clash)));
    Ok(faults)
}

/// What is wrong with what is asked for.
fn faults(spec: &SandboxSpec) -> Vec<Fault> {
    let mut faults = Vec::new();
    if spec.command.len() > ARGUMENTS_MAX
        || spec.command.iter().map(String::len).sum::<usize>() > COMMAND_BYTES_MAX
    {
        let detail = format!("has to be at most {ARGUMENTS_MAX} words, {COMMAND_BYTES_MAX} bytes");
        faults.push(Fault::new("/spec/command", detail));
    }
    for (place, word) in spec.command.iter().enumerate() {
        if word.len() > ARGUMENT_BYTES_MAX || word.contains('\0') {
            let detail = format!("has to be at most {ARGUMENT_BYTES_MAX} bytes without NUL");
            faults.push(Fault::new(format!("/spec/command/{place}"), detail));
        }
    }
    entries("/spec/environment", &spec.environment, &mut faults);
    entries("/spec/labels", &spec.labels, &mut faults);
    faults
}

fn entries(place: &str, entries: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    if entries.len() > ENTRIES_MAX {
        faults.push(Fault::new(place, format!("has more than {ENTRIES_MAX} entries")));
    }
    for (key, value) in entries {
        let sound = !key.is_empty()
            && key.len() <= KEY_BYTES_MAX
            && value.len() <= VALUE_BYTES_MAX
            && !key.chars().any(|c| c.is_control() || c == '=')
            && !value.contains('\0');
        if !sound {
            let detail = format!(
                "has to be a name of 1 to {KEY_BYTES_MAX} bytes without = and control characters, and a value of at \
                 most {VALUE_BYTES_MAX} without NUL"
            );
            faults.push(Fault::new(format!("{place}/{}", key.escape_default()), detail));
        }
    }
}

fn shown(app: &App, stored: &Stored<SandboxRecord>) -> Sandbox {
    Sandbox {
        id: stored.id.to_string(),
        name: stored.name.clone(),
        workspace: stored.workspace.clone(),
        spec: stored.body.spec.clone(),
        status: app.keeper.status(stored),
        owner: stored.body.owner.clone(),
        created: time::point(stored.created_ms),
        updated: time::point(stored.updated_ms),
    }
}
