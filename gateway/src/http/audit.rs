//! The audit: read a page at a time or as it grows, verified, begun anew.

use std::{convert::Infallible, sync::Arc, time::Duration};

use api::{
    audit::{AuditEvent, AuditQuery as Asked, AuditReport as ShownReport, AuditRestart},
    page::{Page as Shown, PageQuery},
    problem::Fault,
};
use axum::{
    Json as Body,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use super::{
    App, Refusal, logs,
    read::{Json, Query, caller, page, workspace},
};
use crate::{
    auth::access::Permit,
    lifecycle::written,
    records::SandboxRecord,
    store::{AuditFault, AuditOrder, AuditQuery, AuditRecord, OWN_STREAM, Page, Store},
    time,
};

/// Events that are read at once for somebody who follows.
const PIECE: u32 = 200;
/// Between two looks where another gateway may have stored something.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two signs of life where nothing happens.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// The longest reason, bytes.
const REASON_BYTES_MAX: usize = 1000;

/// Events, the oldest first unless asked otherwise; `next` is where to ask for what comes later. With `follow=true` they come as
/// `event: audit`, from now on, or after the position that `Last-Event-ID` names.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(Asked),
    responses(
        (status = 200, content((Shown<AuditEvent> = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = api::problem::Problem),
    ),
)]
pub(super) async fn list(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let order = match asked.newest {
        Some(true) => AuditOrder::NewestFirst,
        Some(false) | None => AuditOrder::OldestFirst,
    };
    let query = AuditQuery {
        sandbox: whose(&app.store, &permit, asked.sandbox.as_deref()).await?,
        kind: asked.kind.clone(),
        since_ms: asked
            .since
            .as_deref()
            .map(logs::since)
            .transpose()?
            .map(Timestamp::as_millisecond),
        until_ms: None,
        order,
    };
    let pages = PageQuery { limit: asked.limit, after: asked.after, workspace: asked.workspace };
    let page = page(&pages)?;
    if asked.follow == Some(true) {
        return follow(&app, query, page, &headers).await;
    }
    let listed = app.store.audit(&query, &page).await?;
    let items = listed.items.iter().map(shown).collect();
    Ok(Body(Shown { items, next: listed.next }).into_response())
}

/// Reads the whole chain and holds every line against its hash.
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit",
    responses((status = 200, body = ShownReport), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn verify(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<Body<ShownReport>, Refusal> {
    // It reads everything: one at a time.
    let _one = app.records.verifying.try_lock().map_err(|_| {
        Refusal::new(StatusCode::CONFLICT, "verifying", "somebody else verifies the audit now")
            .next_step("ask again in a moment")
    })?;
    let report = app.store.verify_audit().await?;
    let fault = report.fault.map(|fault| match fault {
        AuditFault::Changed { position } => format!("the line at position {position} was changed"),
        AuditFault::Missing { position } => format!("the line at position {position} is missing"),
        AuditFault::Ends => "the ends of the chain were written by somebody else".to_owned(),
    });
    Ok(Body(ShownReport {
        sound: fault.is_none(),
        fault: fault.unwrap_or_default(),
        lines: report.lines,
        first_position: report.first_position.unsigned_abs(),
        last_position: report.last_position.unsigned_abs(),
        last_hash: report.last_hash,
    }))
}

/// Begins anew behind what somebody else has changed; what is there stays, and a line says who did this and why.
#[utoipa::path(
    post, path = "/v1/audit/restart", tag = "audit", request_body = AuditRestart,
    responses((status = 204), (status = 422, body = api::problem::Problem)),
)]
pub(super) async fn restart(
    permit: Permit,
    State(app): State<Arc<App>>,
    Json(asked): Json<AuditRestart>,
) -> Result<StatusCode, Refusal> {
    if !(1..=REASON_BYTES_MAX).contains(&asked.reason.len()) {
        let detail = format!("has to be 1 to {REASON_BYTES_MAX} bytes");
        return Err(Refusal::faults(vec![Fault::new("/reason", detail)]));
    }
    let line = serde_json::json!({
        "time": time::now_ms(), "user": caller(&permit), "reason": asked.reason,
    });
    app.store.restart_audit(&line.to_string()).await?;
    app.records.broker.tell();
    Ok(StatusCode::NO_CONTENT)
}

/// The sandbox whose events are asked for. Who may see one workspace alone sees those of its sandboxes.
async fn whose(
    store: &Store,
    permit: &Permit,
    sandbox: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let sees_all = permit.user().is_some_and(|user| user.grants.everywhere.is_some());
    let Some(name) = sandbox else {
        if sees_all {
            return Ok(None);
        }
        let detail = "only who has a role for the whole gateway sees all events";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "role_missing", detail)
            .next_step("name a sandbox of your workspace"));
    };
    if let Some(found) = store.find::<SandboxRecord>(workspace(permit)?, name).await? {
        return Ok(Some(found.id.to_string()));
    }
    let is_known = name == OWN_STREAM.sandbox || name.parse::<Uuid>().is_ok();
    if sees_all && is_known {
        Ok(Some(name.to_owned()))
    } else {
        Err(Refusal::not_found("sandbox", name))
    }
}

/// Somebody who follows.
struct Follow {
    store: Store,
    query: AuditQuery,
    page: Page,
    waiting: std::vec::IntoIter<AuditRecord>,
    news: watch::Receiver<u64>,
}

async fn follow(
    app: &App,
    query: AuditQuery,
    page: Page,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    if query.order == AuditOrder::NewestFirst {
        let detail = "what follows comes the oldest first";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
    }
    let news = app.records.broker.news();
    let last = headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.parse::<i64>().ok());
        number.filter(|number| *number >= 0).ok_or_else(|| {
            let detail = "last-event-id is no position";
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_event_id", detail)
        })
    });
    let after = match (last.transpose()?, page.after) {
        (Some(last), _) => Page::behind(last),
        (None, Some(after)) => Some(after),
        // A point of time brings what came since; without one, only what comes.
        (None, None) if query.since_ms.is_some() => None,
        (None, None) => Page::behind(app.store.last_audit_position().await?),
    };
    let page = Page { after, limit: PIECE };
    // What no page said is told before the stream begins.
    app.store.audit(&query, &Page { limit: 1, ..page.clone() }).await?;
    let store = app.store.clone();
    let follow = Follow { store, query, page, waiting: Vec::new().into_iter(), news };
    let events = stream::unfold(follow, async |mut follow| {
        let event = follow.next().await?;
        Some((Ok::<_, Infallible>(event), follow))
    });
    let events = events.take_until(app.records.stopping.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response())
}

impl Follow {
    /// The next event; none when the store fails: who comes back with the last position misses nothing.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(record) = self.waiting.next() {
                let event = Event::default().id(record.position.to_string()).event("audit");
                // An event is plain data: it can be written.
                return Some(event.json_data(shown(&record)).unwrap_or_default());
            }
            self.news.mark_unchanged();
            match self.store.audit(&self.query, &self.page).await {
                Ok(listed) => {
                    self.page.after = listed.next.or_else(|| self.page.after.take());
                    if listed.items.is_empty() {
                        timeout(LOOK_EVERY, self.news.changed()).await.ok();
                    }
                    self.waiting = listed.items.into_iter();
                }
                Err(error) => {
                    tracing::warn!(error = %written(error), "a stream of the audit ends");
                    return None;
                }
            }
        }
    }
}

fn shown(record: &AuditRecord) -> AuditEvent {
    AuditEvent {
        position: record.position.unsigned_abs(),
        sandbox: record.sandbox.clone(),
        instance: record.instance.clone(),
        sequence: record.sequence.unsigned_abs(),
        kind: record.kind.clone(),
        time: time::point(record.at_ms),
        stored: time::point(record.stored_ms),
        hash: record.hash.clone(),
        event: serde_json::from_str(&record.line).unwrap_or(Value::Null),
    }
}
