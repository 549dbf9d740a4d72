//! Where model calls go: the router file in revisions, its backends, and what each change does before it is done.

use std::{sync::Arc, time::Instant};

use api::{
    inference::{
        BackendTest, Backends, Inference, InferencePageQuery, InferenceQuery, InferenceRevision,
        InferenceSet, NewBackend, NewInference, NewRoute, Route,
    },
    page::{Page as Shown, PageQuery},
    problem::Fault,
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use backends::file::{self, EditError};
use http::{HeaderMap, StatusCode};

use super::{
    App, Refusal,
    read::{IfMatch, Json, Query, page},
    tagged,
};
use crate::{
    auth::access::Permit,
    inference::{self, Verify, Wish, made},
    providers,
    store::PolicyRevision,
};

/// Where model calls go. The tag is that of the newest revision.
#[utoipa::path(
    get, path = "/v1/inference", tag = "inference", params(InferenceQuery),
    responses((status = 200, body = Inference)),
)]
pub(super) async fn get(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
) -> Result<(HeaderMap, Body<Inference>), Refusal> {
    let shown = app.inference.shown(query.route).await?;
    let version = shown.newest.as_ref().map_or(0, |newest| newest.version);
    Ok((tagged(i64::try_from(version).unwrap_or(i64::MAX)), Body(shown)))
}

/// A router file. When the answer comes, the router works by it; calls under way go on as they began.
#[utoipa::path(
    put, path = "/v1/inference", tag = "inference", params(InferenceQuery), request_body = NewInference,
    responses(
        (status = 200, body = InferenceSet), (status = 412, body = api::problem::Problem),
        (status = 422, body = api::problem::Problem),
    ),
)]
pub(super) async fn set(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
    IfMatch(seen): IfMatch,
    Json(new): Json<NewInference>,
) -> Result<Body<InferenceSet>, Refusal> {
    let wish = Wish {
        route: query.route,
        text: new.config,
        base: base(new.base, seen),
        dry_run: query.dry_run,
        verify: if new.verify { Verify::AnyModel } else { Verify::Not },
    };
    app.inference.put(wish).await.map(Body)
}

/// Says of a route that nobody answers its calls.
#[utoipa::path(
    delete, path = "/v1/inference", tag = "inference", params(InferenceQuery),
    responses((status = 200, body = InferenceSet)),
)]
pub(super) async fn delete(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
) -> Result<Body<InferenceSet>, Refusal> {
    app.inference.clear(query.route, query.dry_run).await.map(Body)
}

/// The revisions of the router file, the newest first.
#[utoipa::path(
    get, path = "/v1/inference/revisions", tag = "inference", params(InferencePageQuery),
    responses((status = 200, body = Shown<InferenceRevision>)),
)]
pub(super) async fn list(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferencePageQuery>,
) -> Result<Body<Shown<InferenceRevision>>, Refusal> {
    let scope = inference::scope(query.route);
    let query = PageQuery { limit: query.limit, after: query.after, workspace: None };
    let listed = app.store.policies(scope, &page(&query)?).await?;
    let items = listed.items.iter().map(|one| inference::revision_shown(one, false)).collect();
    Ok(Body(Shown { items, next: listed.next }))
}

/// A revision with its file; 0 is the newest.
#[utoipa::path(
    get, path = "/v1/inference/revisions/{revision}", tag = "inference", params(InferenceQuery),
    responses((status = 200, body = InferenceRevision), (status = 404, body = api::problem::Problem)),
)]
pub(super) async fn revision(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(revision): Path<u64>,
    Query(query): Query<InferenceQuery>,
) -> Result<Body<InferenceRevision>, Refusal> {
    let scope = inference::scope(query.route);
    let found = match revision {
        0 => app.store.newest_policy(scope).await?,
        version => app.store.policy(scope, i64::try_from(version).unwrap_or(i64::MAX)).await?,
    };
    let found = found.ok_or_else(|| Refusal::not_found("revision", &revision.to_string()))?;
    Ok(Body(inference::revision_shown(&found, true)))
}

/// One provider and one model that answer all calls of a route. A file that was written by hand is not replaced so.
#[utoipa::path(
    put, path = "/v1/inference/route", tag = "inference", params(InferenceQuery), request_body = NewRoute,
    responses(
        (status = 200, body = InferenceSet), (status = 409, body = api::problem::Problem),
        (status = 422, body = api::problem::Problem),
    ),
)]
pub(super) async fn set_route(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
    IfMatch(seen): IfMatch,
    Json(new): Json<NewRoute>,
) -> Result<Body<InferenceSet>, Refusal> {
    let before = app.inference.wanted(query.route).await?;
    let made = before.as_ref().and_then(|before| made::read(&before.text));
    if before.is_some() && made.as_ref().is_none_or(|made| made.edited) {
        return Err(by_hand());
    }
    let made = made.map(|made| made.wanted);
    let newest = app.store.newest_policy(inference::scope(query.route)).await?;
    let wanted = wanted(&new, made.as_ref(), newest.as_ref())?;
    let provider = wanted.provider.clone();
    let found = providers::find(&app.store, inference::WORKSPACE, &provider).await?;
    let Some(opened) = found else {
        let detail = format!("there is no provider {provider}");
        return Err(Refusal::faults(vec![Fault::new("/provider", detail)])
            .next_step("`openshell provider create` makes one"));
    };
    let plain = sandbox::providers::Provider {
        name: provider.clone(),
        kind: opened.body.kind.parse().map_err(|_| Refusal::not_found("provider", &provider))?,
        credentials: std::collections::BTreeMap::new(),
        config: opened.body.config.clone(),
        created: 0,
    };
    let credential = format!("{{provider: {}}}", made::quoted(&provider));
    let credential = (!opened.body.keys.is_empty()).then_some(credential.as_str());
    let text = made::text(&wanted, &plain, made::Places { credential, audit: None });
    let text = text.map_err(|error| {
        Refusal::faults(vec![Fault::new("/provider", error.message)]).next_step(error.hint)
    })?;
    let wish = Wish {
        route: query.route,
        text: text.text,
        // What was read here is what is replaced.
        base: base(new.base, seen)
            .or_else(|| Some(newest.as_ref().map_or(0, |newest| newest.version.unsigned_abs()))),
        dry_run: query.dry_run,
        verify: if new.verify { Verify::Model(wanted.model.clone()) } else { Verify::Not },
    };
    let mut set = app.inference.put(wish).await?;
    if text.price_assumed {
        set.notices.push(format!(
            "Nobody knows what {} costs; it is booked as dear as the dearest. Say what it costs in USD per million tokens: openshell provider update {provider} --config price=INPUT/OUTPUT",
            wanted.model
        ));
    }
    Ok(Body(set))
}

/// What the file is to be made of.
fn wanted(
    new: &NewRoute,
    made: Option<&made::Wanted>,
    newest: Option<&PolicyRevision>,
) -> Result<made::Wanted, Refusal> {
    let mut faults = Vec::new();
    let mut of = |given: &Option<String>, before: Option<&String>, place: &str| {
        let found = given.as_ref().or(before).filter(|text| !text.is_empty()).cloned();
        if found.is_none() {
            faults.push(Fault::new(place, "is needed, because nothing is set yet"));
        }
        found.unwrap_or_default()
    };
    let provider = of(&new.provider, made.map(|made| &made.provider), "/provider");
    let model = of(&new.model, made.map(|made| &made.model), "/model");
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    let timeout_secs = new.timeout_secs.or(made.map(|made| made.timeout_secs)).unwrap_or(0);
    // The same again is no new revision.
    let same = made.is_some_and(|made| {
        (&made.provider, &made.model, made.timeout_secs) == (&provider, &model, timeout_secs)
    });
    let next = newest.map_or(1, |newest| newest.version.unsigned_abs().saturating_add(1));
    let version = if same { made.map_or(next, |made| made.version) } else { next };
    Ok(made::Wanted { provider, model, timeout_secs, version })
}

/// The backends of the router file.
#[utoipa::path(
    get, path = "/v1/inference/backends", tag = "inference", params(InferenceQuery),
    responses((status = 200, body = Backends)),
)]
pub(super) async fn backends(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
) -> Result<Body<Backends>, Refusal> {
    let items = app.inference.backends(query.route).await?;
    let version = app.inference.wanted(query.route).await?.map(|one| one.version.unsigned_abs());
    Ok(Body(Backends { items, version }))
}

/// Adds a backend to the router file, whose other lines stay as they are; makes a file where there is none.
#[utoipa::path(
    post, path = "/v1/inference/backends", tag = "inference", params(InferenceQuery), request_body = NewBackend,
    responses(
        (status = 200, body = InferenceSet), (status = 409, body = api::problem::Problem),
        (status = 422, body = api::problem::Problem),
    ),
)]
pub(super) async fn add_backend(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
    IfMatch(seen): IfMatch,
    Json(new): Json<NewBackend>,
) -> Result<Body<InferenceSet>, Refusal> {
    let entry = entry(&new);
    let set = app.inference.edit(edited(&query, base(new.base, seen)), |there| {
        let Some(there) = there else { return Ok(format!("version: 1\nbackends:\n  - {entry}\n")) };
        match file::add_backend(&there.text, &new.name, &entry) {
            Err(EditError::Exists) if new.replace => {
                file::replace_backend(&there.text, &new.name, &entry)
            }
            other => other,
        }
        .map_err(|error| not_edited(error, &new.name))
    });
    set.await.map(Body)
}

/// Takes a backend out of the router file, whose other lines stay as they are.
#[utoipa::path(
    delete, path = "/v1/inference/backends/{backend}", tag = "inference", params(InferenceQuery),
    responses(
        (status = 200, body = InferenceSet), (status = 404, body = api::problem::Problem),
        (status = 409, body = api::problem::Problem),
    ),
)]
pub(super) async fn remove_backend(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(backend): Path<String>,
    Query(query): Query<InferenceQuery>,
    IfMatch(seen): IfMatch,
) -> Result<Body<InferenceSet>, Refusal> {
    let set = app.inference.edit(edited(&query, base(None, seen)), |there| {
        let there = there.ok_or_else(|| Refusal::not_found("backend", &backend))?;
        file::remove_backend(&there.text, &backend).map_err(|error| not_edited(error, &backend))
    });
    set.await.map(Body)
}

/// Makes one real call to a backend, with a word that says nothing; nothing of it is on record.
#[utoipa::path(
    post, path = "/v1/inference/backends/{backend}/test", tag = "inference", params(InferenceQuery),
    responses((status = 200, body = BackendTest), (status = 404, body = api::problem::Problem)),
)]
pub(super) async fn test_backend(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(backend): Path<String>,
    Query(query): Query<InferenceQuery>,
) -> Result<Body<BackendTest>, Refusal> {
    let unknown = || Refusal::not_found("backend", &backend);
    let there = app.inference.wanted(query.route).await?.ok_or_else(unknown)?;
    let (configuration, _) = file::parse(&there.text).map_err(|_| unknown())?;
    let alone = inference::alone(&there.text, &configuration, &backend);
    let found = configuration.backends.iter().find(|one| one.name.as_str() == backend);
    let model = found.and_then(|found| found.models.first()).ok_or_else(unknown)?;
    let model = format!("{backend}/{}", model.id.as_str());
    let limit = configuration.timeouts.answer.min(TEST_MAX);
    let started = Instant::now();
    let tried = app.inference.attempt(alone, Some(model), limit).await?;
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (ok, detail) = match tried {
        Ok(by) if by.starts_with(&format!("{backend}/")) => (true, by),
        Ok(by) => (false, format!("it did not answer; {by} did in its place")),
        Err(why) => (false, why),
    };
    Ok(Body(BackendTest { ok, detail, took_ms }))
}

/// The longest that a test waits for a model.
const TEST_MAX: std::time::Duration = std::time::Duration::from_secs(50);

fn edited(query: &InferenceQuery, base: Option<u64>) -> Wish {
    let (route, dry_run): (Route, bool) = (query.route, query.dry_run);
    Wish { route, text: String::new(), base, dry_run, verify: Verify::Not }
}

/// The version that is replaced, by the body or by `If-Match`.
fn base(given: Option<u64>, seen: Option<i64>) -> Option<u64> {
    given.or_else(|| seen.map(i64::unsigned_abs))
}

/// A backend as a line of the router file.
fn entry(new: &NewBackend) -> String {
    let models: Vec<serde_json::Value> = new
        .models
        .iter()
        .map(|model| {
            let price = model
                .price
                .map(|price| serde_json::json!({"input": price.input, "output": price.output}));
            without_nothing(serde_json::json!({
                "id": model.id, "context": model.context, "quality": model.quality, "price": price,
            }))
        })
        .collect();
    let credential = new.credential_of.as_ref().map(|name| serde_json::json!({"provider": name}));
    without_nothing(serde_json::json!({
        "name": new.name, "provider": new.provider, "base_url": new.base_url, "zone": new.zone,
        "credential": credential, "models": models,
    }))
    .to_string()
}

fn without_nothing(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

fn not_edited(error: EditError, name: &str) -> Refusal {
    match error {
        EditError::Unknown => Refusal::not_found("backend", name),
        EditError::Exists => {
            Refusal::new(StatusCode::CONFLICT, "exists", format!("there is a backend {name}"))
                .next_step("choose another name, or replace it with --replace")
        }
        EditError::Last => Refusal::new(
            StatusCode::CONFLICT,
            "last_backend",
            format!("{name} is the last backend, and a router file has at least one"),
        )
        .next_step("`openshell inference route remove` ends the route"),
        EditError::Form => Refusal::new(
            StatusCode::CONFLICT,
            "not_by_lines",
            "the backends of the router file are not written one below the other",
        )
        .next_step("change the file, and put it in force with `openshell inference apply -f FILE`"),
    }
}

fn by_hand() -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        "written_by_hand",
        "the router file was written by hand and is not overwritten",
    )
    .next_step("change it with `openshell inference apply -f FILE` or `inference backend`, or end the route with `openshell inference route remove` first")
}
