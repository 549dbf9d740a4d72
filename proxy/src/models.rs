//! What is answered without any backend: the list of models, and token counts.
//!
//! Shapes are those of `GET /v1/models` at OpenAI and Anthropic (their API references, 2026-11), with one member of our
//! own. Not here: which model answers a prompt.

use std::collections::BTreeMap;

use pingora::protocols::http::ServerSession;
use router::{candidate::Candidate, decide::Counted, wire::Manner};
use serde_json::{Value, json};

use crate::{
    call::Call,
    connection::{Stop, answer},
    snapshot::Snapshot,
};

/// The list of all models and aliases in the caller's manner.
pub(crate) fn list(snapshot: &Snapshot, manner: Manner) -> Vec<u8> {
    let data: Vec<Value> =
        offers(snapshot).iter().map(|(id, offers)| entry(id, offers, manner)).collect();
    let list = match manner {
        Manner::OpenAi => json!({"object": "list", "data": data}),
        Manner::Anthropic => {
            let id = |entry: Option<&Value>| entry.and_then(|entry| entry.get("id")).cloned();
            let (first, last) = (id(data.first()), id(data.last()));
            json!({"data": data, "has_more": false, "first_id": first, "last_id": last})
        }
    };
    list.to_string().into_bytes()
}

/// One entry of the list; `None` if nothing has this name.
pub(crate) fn one(snapshot: &Snapshot, manner: Manner, id: &str) -> Option<Vec<u8>> {
    let offers = offers(snapshot);
    let found = offers.get(id)?;
    Some(entry(id, found, manner).to_string().into_bytes())
}

/// Answers a token count from our own counting; no backend sees the prompt.
pub(crate) async fn count(
    session: &mut ServerSession,
    call: &mut Call,
    counted: Counted,
) -> Result<(), Stop> {
    call.record.status = 200;
    call.record.ended = "done";
    let body = json!({"input_tokens": counted.tokens.0}).to_string();
    let mut headers = call.headers();
    let kind = if counted.exact { "exact" } else { "estimated" };
    headers.push((http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json")));
    headers.push((
        http::HeaderName::from_static("x-openshell-token-count"),
        http::HeaderValue::from_static(kind),
    ));
    Ok(answer(session, 200, headers, body.into()).await?)
}

/// Names that callers may use, each with the candidates of that name; an alias has none of its own.
fn offers(snapshot: &Snapshot) -> BTreeMap<&str, Vec<&Candidate>> {
    let settings = snapshot.engine.settings();
    let mut offers: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for alias in &settings.aliases {
        offers.entry(&alias.name).or_default();
    }
    for candidate in &settings.candidates {
        offers.entry(candidate.model.as_str()).or_default().push(candidate);
    }
    offers
}

fn entry(id: &str, offers: &[&Candidate], manner: Manner) -> Value {
    let own = json!({
        "alias": offers.is_empty(),
        "offers": offers.iter().map(|candidate| offer(candidate)).collect::<Vec<_>>(),
    });
    match manner {
        Manner::OpenAi => json!({
            "id": id, "object": "model", "created": 0, "owned_by": owner(offers), "x_openshell": own,
        }),
        Manner::Anthropic => json!({
            "type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z",
            "x_openshell": own,
        }),
    }
}

fn owner<'a>(offers: &[&'a Candidate]) -> &'a str {
    offers.first().map_or("openshell", |candidate| candidate.backend.as_str())
}

fn offer(candidate: &Candidate) -> Value {
    let price = candidate.prices.map(|prices| {
        json!({
            "input": prices.input.usd_per_million(),
            "cached_input": prices.cached_input.usd_per_million(),
            "output": prices.output.usd_per_million(),
        })
    });
    json!({
        "backend": candidate.backend.as_str(),
        "zone": candidate.zone.as_str(),
        "quality": candidate.quality,
        "context": candidate.context.map(|tokens| tokens.0),
        "price_usd_per_million": price,
    })
}
