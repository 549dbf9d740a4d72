//! Typed settings. One of the gateway is stronger than one of a sandbox, and locks it.

use std::sync::Arc;

use api::{
    page::Page as Shown,
    problem::Fault,
    setting::{NewSetting, Setting, SettingScope, SettingValue},
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use http::StatusCode;

use super::{App, Refusal, read::Json};
use crate::{
    auth::access::Permit,
    records::{EVERYWHERE, SettingRecord},
};

/// A setting that there is: its name, the value when nobody sets one, what it does, and what it may be.
struct Known {
    key: &'static str,
    default: fn() -> SettingValue,
    about: &'static str,
    may_be: fn(&SettingValue) -> Result<(), &'static str>,
}

/// Every setting.
const KNOWN: [Known; 2] = [
    Known {
        key: "log_level",
        default: || SettingValue::Text("info".to_owned()),
        about: "how much supervisors log: error, warn, info, debug or trace",
        may_be: |value| match value {
            SettingValue::Text(text)
                if ["error", "warn", "info", "debug", "trace"].contains(&text.as_str()) =>
            {
                Ok(())
            }
            _ => Err("has to be error, warn, info, debug or trace"),
        },
    },
    Known {
        key: "audit_days",
        default: || SettingValue::Number(90),
        about: "for how many days the record of decisions is kept",
        may_be: |value| match value {
            SettingValue::Number(days) if (1..=3650).contains(days) => Ok(()),
            _ => Err("has to be a number of days from 1 to 3650"),
        },
    },
];

/// All settings with the values in force.
#[utoipa::path(
    get, path = "/v1/settings", tag = "settings", responses((status = 200, body = Shown<Setting>)),
)]
pub(super) async fn list(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<Body<Shown<Setting>>, Refusal> {
    let mut items = Vec::new();
    for known in &KNOWN {
        let stored = app.store.find::<SettingRecord>(EVERYWHERE, known.key).await?;
        items.push(shown(known, stored.map(|stored| stored.body.0)));
    }
    Ok(Body(Shown { items, next: None }))
}

/// Sets a setting of the gateway.
#[utoipa::path(
    put, path = "/v1/settings/{key}", tag = "settings", request_body = NewSetting,
    responses((status = 200, body = Setting), (status = 422, body = api::problem::Problem)),
)]
pub(super) async fn set(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    Json(new): Json<NewSetting>,
) -> Result<Body<Setting>, Refusal> {
    let known = known(&key)?;
    (known.may_be)(&new.value)
        .map_err(|detail| Refusal::faults(vec![Fault::new("/value", detail)]))?;
    let record = SettingRecord(new.value.clone());
    match app.store.find::<SettingRecord>(EVERYWHERE, known.key).await? {
        Some(stored) => drop(app.store.replace(&stored, &record).await?),
        None => drop(app.store.create(EVERYWHERE, known.key, &record).await?),
    }
    Ok(Body(shown(known, Some(new.value))))
}

/// Gives a setting back its default.
#[utoipa::path(
    delete, path = "/v1/settings/{key}", tag = "settings", responses((status = 204)),
)]
pub(super) async fn delete(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
) -> Result<StatusCode, Refusal> {
    let known = known(&key)?;
    app.store.remove::<SettingRecord>(EVERYWHERE, known.key, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn known(key: &str) -> Result<&'static Known, Refusal> {
    KNOWN.iter().find(|known| known.key == key).ok_or_else(|| {
        let all: Vec<&str> = KNOWN.iter().map(|known| known.key).collect();
        Refusal::not_found("setting", key).next_step(format!("there are {}", all.join(", ")))
    })
}

fn shown(known: &Known, value: Option<SettingValue>) -> Setting {
    let scope = if value.is_some() { SettingScope::Gateway } else { SettingScope::Default };
    Setting {
        key: known.key.to_owned(),
        value: value.unwrap_or_else(known.default),
        scope,
        about: known.about.to_owned(),
    }
}
