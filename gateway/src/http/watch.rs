//! What changes, as it does: server-sent events with numbers, so that who was away goes on where it was.

use std::{convert::Infallible, sync::Arc, time::Duration};

use api::sandbox::WatchQuery;
use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, future::ready, stream};
use http::{HeaderMap, StatusCode};

use super::{
    App, Refusal,
    read::{self, Query},
};
use crate::{auth::access::Permit, lifecycle::Change};

/// Between two signs of life where nothing changes.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Changes of sandboxes. `Last-Event-ID` brings what came after that event; 410 when that is no longer known, and everything
/// has to be listed again.
#[utoipa::path(
    get, path = "/v1/watch", tag = "sandboxes", params(WatchQuery),
    responses(
        (status = 200, description = "`event: sandbox` with its status, `event: deleted` when it is gone",
         content_type = "text/event-stream"),
        (status = 410, body = api::problem::Problem),
    ),
)]
pub(super) async fn watch(
    permit: Permit,
    State(app): State<Arc<App>>,
    Query(query): Query<WatchQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let last = headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| {
            let detail = "last-event-id is no number of an event";
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_event_id", detail)
        })
    });
    let Some((missed, receiver)) = app.keeper.changes.after(last.transpose()?) else {
        let detail = "what came after that event is no longer known";
        return Err(Refusal::new(StatusCode::GONE, "too_old", detail)
            .next_step("list the sandboxes, and watch without last-event-id"));
    };
    let workspace = read::workspace(&permit)?.to_owned();
    let wanted = move |change: &Change| {
        change.told.workspace == workspace
            && query.sandbox.as_ref().is_none_or(|name| *name == change.told.name)
    };
    // It ends when too much came at once: who comes back with the last number gets what it missed, or is told that it is too
    // old.
    let coming = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.ok().map(|change| (change, receiver))
    });
    let events = stream::iter(missed)
        .chain(coming)
        .filter(move |change| ready(wanted(change)))
        .map(|change| Ok::<_, Infallible>(event(&change)))
        .take_until(app.records.stopping.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response())
}

fn event(change: &Change) -> Event {
    let kind = if change.is_last() { "deleted" } else { "sandbox" };
    let event = Event::default().id(change.number.to_string()).event(kind);
    // A change is plain data: it can be written.
    event.json_data(&change.told).unwrap_or_default()
}
