//! Client certificates: made for a user, known by their serial numbers, and revoked.

use std::sync::Arc;

use api::{
    page::Page as Shown,
    user::{Certificate, IssuedCertificate},
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use http::StatusCode;

use super::{App, Doors, Refusal, read::caller, users};
use crate::{
    auth::{access::Permit, peer::Identity, principal::UserName, revoked::Serial},
    lifecycle::written,
    records::{CertificateRecord, EVERYWHERE},
    store::{Page, Store, StoreError, Stored},
    time,
};

/// The most certificates of one user that are in force; one is good for 90 days.
const CERTIFICATES_MAX: usize = 30;

/// A new certificate for oneself: the next one before this one ends. Its key is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/me/certificate", tag = "users",
    responses((status = 201, body = IssuedCertificate), (status = 403, body = api::problem::Problem)),
)]
pub(super) async fn create_mine(
    permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, Body<IssuedCertificate>), Refusal> {
    issue(&app, &permit, caller(&permit)).await
}

/// The certificates of a user that are not over.
#[utoipa::path(
    get, path = "/v1/users/{user}/certificates", tag = "users",
    responses((status = 200, body = Shown<Certificate>)),
)]
pub(super) async fn list(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
) -> Result<Body<Shown<Certificate>>, Refusal> {
    users::find(&app, &user).await?;
    let all = all(&app.store).await?;
    let items = all.iter().filter(|stored| stored.body.user == user).map(shown).collect();
    Ok(Body(Shown { items, next: None }))
}

/// A new certificate for a user. Its key is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/users/{user}/certificates", tag = "users",
    responses((status = 201, body = IssuedCertificate), (status = 403, body = api::problem::Problem)),
)]
pub(super) async fn create(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
) -> Result<(StatusCode, Body<IssuedCertificate>), Refusal> {
    users::find(&app, &user).await?;
    issue(&app, &permit, &user).await
}

/// Revokes a certificate; connections that use it end.
#[utoipa::path(
    delete, path = "/v1/users/{user}/certificates/{serial}", tag = "users", responses((status = 204)),
)]
pub(super) async fn revoke(
    _permit: Permit,
    State(app): State<Arc<App>>,
    Path((user, serial)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let found = app.store.find::<CertificateRecord>(EVERYWHERE, &serial).await?;
    let found = found.filter(|stored| stored.body.user == user);
    let stored = found.ok_or_else(|| Refusal::not_found("certificate", &serial))?;
    end(&app.store, &app.doors, &stored).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes every certificate of a user.
pub(super) async fn revoke_all(store: &Store, doors: &Doors, user: &str) -> Result<(), StoreError> {
    for stored in all(store).await?.iter().filter(|stored| stored.body.user == user) {
        end(store, doors, stored).await?;
    }
    Ok(())
}

/// The serial numbers of every revoked certificate that is not over by itself.
pub(crate) async fn revoked(store: &Store) -> Result<Vec<Serial>, StoreError> {
    let all = all(store).await?;
    let revoked = all.iter().filter(|stored| stored.body.revoked);
    // A name that is no number was never one of ours.
    Ok(revoked.filter_map(|stored| stored.name.parse().ok()).collect())
}

async fn end(
    store: &Store,
    doors: &Doors,
    stored: &Stored<CertificateRecord>,
) -> Result<(), StoreError> {
    if !stored.body.revoked {
        let record = CertificateRecord { revoked: true, ..stored.body.clone() };
        store.replace(stored, &record).await?;
    }
    if let Ok(serial) = stored.name.parse::<Serial>() {
        doors.revoked.add(serial);
        doors.live.end(&Identity::Certificate(serial));
    }
    Ok(())
}

async fn issue(
    app: &App,
    permit: &Permit,
    user: &str,
) -> Result<(StatusCode, Body<IssuedCertificate>), Refusal> {
    permit.may_have_certificate()?;
    let name: UserName = user.parse().map_err(|_| Refusal::not_found("user", user))?;
    let theirs =
        |stored: &&Stored<CertificateRecord>| stored.body.user == user && !stored.body.revoked;
    if all(&app.store).await?.iter().filter(theirs).count() >= CERTIFICATES_MAX {
        let detail = format!("{user} has {CERTIFICATES_MAX} certificates in force");
        return Err(Refusal::new(StatusCode::CONFLICT, "too_many_certificates", detail)
            .next_step("revoke those that are not used"));
    }
    let now = time::now_ms();
    let bundle = app.doors.authority.client(&name, u64::try_from(now / 1000).unwrap_or_default());
    let bundle = bundle.map_err(|error| {
        tracing::error!(error = %written(error), "a certificate cannot be made");
        let detail = "a certificate cannot be made; the log tells why";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "certificate_unavailable", detail)
    })?;
    let serial = bundle.serial.to_string();
    let expires_ms = i64::try_from(bundle.expires).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
    let record = CertificateRecord { user: user.to_owned(), expires_ms, revoked: false };
    app.store.create(EVERYWHERE, &serial, &record).await?;
    Ok((
        StatusCode::CREATED,
        Body(IssuedCertificate {
            user: user.to_owned(),
            serial,
            expires: time::point(expires_ms),
            ca_pem: bundle.ca_pem,
            certificate_pem: bundle.certificate_pem,
            key_pem: bundle.key_pem.into(),
        }),
    ))
}

/// Every certificate that is not over. Those that are over are forgotten on the way.
async fn all(store: &Store) -> Result<Vec<Stored<CertificateRecord>>, StoreError> {
    let (mut all, mut page, now) = (Vec::new(), Page { after: None, limit: 500 }, time::now_ms());
    loop {
        let listed = store.list::<CertificateRecord>(Some(EVERYWHERE), &page).await?;
        for stored in listed.items {
            if stored.body.expires_ms > now {
                all.push(stored);
            } else {
                store.remove::<CertificateRecord>(EVERYWHERE, &stored.name, None).await?;
            }
        }
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}

fn shown(stored: &Stored<CertificateRecord>) -> Certificate {
    Certificate {
        serial: stored.name.clone(),
        user: stored.body.user.clone(),
        created: time::point(stored.created_ms),
        expires: time::point(stored.body.expires_ms),
        revoked: stored.body.revoked,
    }
}
