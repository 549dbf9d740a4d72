//! Settings: of the whole gateway, and of single sandboxes. What is set for all is managed there alone.

use std::sync::Arc;

use api::{
    page::WorkspaceQuery,
    problem::Fault,
    settings::{
        BoolSetting, SandboxSettings, SandboxSettingsChange, SettingSource, Settings,
        SettingsChange,
    },
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use http::{HeaderMap, StatusCode};

use super::{
    App, Refusal,
    read::{IfMatch, Json, unchanged},
    sandboxes, tagged,
};
use crate::{
    auth::access::Permit,
    lifecycle::Desired,
    policies,
    records::SandboxRecord,
    settings::{self, SettingsRecord},
    store::Stored,
};

/// The most days that the audit is kept.
const DAYS_MAX: u32 = 3650;
/// The least bytes of the audit that are kept, and the most.
const BYTES_MIN: u64 = 1 << 20;
const BYTES_MAX: u64 = 1 << 50;

/// What is set for the whole gateway.
#[utoipa::path(get, path = "/v1/settings", tag = "settings", responses((status = 200, body = Settings)))]
pub(super) async fn get(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<(HeaderMap, Body<Settings>), Refusal> {
    let stored = settings::find(&app.store).await?;
    let version = stored.as_ref().map_or(0, |stored| stored.version);
    let record = stored.map(|stored| stored.body).unwrap_or_default();
    Ok((tagged(version), Body(shown(&record))))
}

/// Changes what is set for the whole gateway.
#[utoipa::path(
    patch, path = "/v1/settings", tag = "settings", request_body = SettingsChange,
    responses(
        (status = 200, body = Settings), (status = 412, body = api::problem::Problem),
        (status = 422, body = api::problem::Problem),
    ),
)]
pub(super) async fn change(
    _permit: Permit,
    State(app): State<Arc<App>>,
    IfMatch(version): IfMatch,
    Json(change): Json<SettingsChange>,
) -> Result<(HeaderMap, Body<Settings>), Refusal> {
    let faults = faults(&change);
    if !faults.is_empty() {
        return Err(Refusal::faults(faults));
    }
    let stored = settings::find(&app.store).await?;
    unchanged(stored.as_ref().map_or(0, |stored| stored.version), version)?;
    let old = stored.as_ref().map(|stored| stored.body.clone()).unwrap_or_default();
    let record = SettingsRecord {
        audit_days: change.audit_days.unwrap_or(old.audit_days),
        audit_bytes: change.audit_bytes.unwrap_or(old.audit_bytes),
        default_policy: change.default_policy.unwrap_or(old.default_policy),
        strict_callers: change.strict_callers.unwrap_or(old.strict_callers),
    };
    let stored = settings::keep(&app.store, stored.as_ref(), &record).await?;
    app.records.broker.keep_as_set();
    Ok((tagged(stored.version), Body(shown(&stored.body))))
}

fn faults(change: &SettingsChange) -> Vec<Fault> {
    let mut faults = Vec::new();
    if change.audit_days.flatten().is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        faults.push(Fault::new("/audit_days", format!("has to be 1 to {DAYS_MAX}")));
    }
    if change.audit_bytes.flatten().is_some_and(|bytes| !(BYTES_MIN..=BYTES_MAX).contains(&bytes)) {
        faults.push(Fault::new("/audit_bytes", format!("has to be {BYTES_MIN} to {BYTES_MAX}")));
    }
    if let Some(Some(text)) = &change.default_policy
        && let Err(found) = policies::parse(text)
    {
        faults.extend(found.into_iter().map(|fault| Fault::new("/default_policy", fault.detail)));
    }
    faults
}

fn shown(record: &SettingsRecord) -> Settings {
    Settings {
        audit_days: record.audit_days,
        audit_bytes: record.audit_bytes,
        default_policy: record.default_policy.clone(),
        strict_callers: record.strict_callers,
    }
}

/// The settings of a sandbox, and who has set them.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/settings", tag = "settings", params(WorkspaceQuery),
    responses((status = 200, body = SandboxSettings)),
)]
pub(super) async fn of_sandbox(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
) -> Result<(HeaderMap, Body<SandboxSettings>), Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    let record = settings::current(&app.store).await?;
    Ok((tagged(stored.version), Body(held(&record, &stored))))
}

/// Changes the settings of a sandbox; what is set for the whole gateway cannot be.
#[utoipa::path(
    patch, path = "/v1/sandboxes/{sandbox}/settings", tag = "settings", params(WorkspaceQuery),
    request_body = SandboxSettingsChange,
    responses(
        (status = 200, body = SandboxSettings), (status = 409, body = api::problem::Problem),
        (status = 412, body = api::problem::Problem),
    ),
)]
pub(super) async fn change_sandbox(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    IfMatch(version): IfMatch,
    Json(change): Json<SandboxSettingsChange>,
) -> Result<(HeaderMap, Body<SandboxSettings>), Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    if stored.body.desired == Desired::Deleted {
        return Err(sandboxes::being_deleted(&sandbox));
    }
    unchanged(stored.version, version)?;
    let settings = settings::current(&app.store).await?;
    let Some(strict_callers) = change.strict_callers else {
        return Ok((tagged(stored.version), Body(held(&settings, &stored))));
    };
    if settings.strict_callers.is_some() {
        let detail = "setting 'strict_callers' is managed globally";
        return Err(Refusal::new(StatusCode::CONFLICT, "managed_globally", detail)
            .next_step("delete the global setting before sandbox update"));
    }
    let mut record = stored.body.clone();
    record.spec.strict_callers = strict_callers;
    let stored = app.store.replace(&stored, &record).await?;
    app.keeper.touch(&stored.workspace, &stored.name);
    Ok((tagged(stored.version), Body(held(&settings, &stored))))
}

fn held(settings: &SettingsRecord, stored: &Stored<SandboxRecord>) -> SandboxSettings {
    let (value, source) = match settings.strict_callers {
        Some(value) => (value, SettingSource::Gateway),
        None => (stored.body.spec.strict_callers, SettingSource::Sandbox),
    };
    SandboxSettings { strict_callers: BoolSetting { value, source } }
}
