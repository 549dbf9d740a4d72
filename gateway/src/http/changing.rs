//! Requests that change something: done to their end whether their caller stays or not, once where it gave them a key, and put
//! on record.
//!
//! Not here: what they do (the handlers), how answers are kept (`store`). Invariants: an answer that is kept lies sealed, because
//! it may hold a new token; it is given to the same caller, with the same proof, and to nobody else; a request that was refused
//! is forgotten, so that it may be tried again at once.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{App, Refusal, read};
use crate::{
    auth::{access::Permit, principal::How},
    broker::own::Done,
    lifecycle::written,
    store::{Answer, Claim, Claimed, Request as Claiming, StoreError},
    time,
};

/// What names a request: the same key, the same answer.
pub(super) const KEY: &str = "idempotency-key";
/// What tells an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest answer that is kept, bytes; the envelope has room beside it.
const KEPT_BYTES_MAX: usize = 1_000_000;
/// The longest text of a refusal that is no problem yet, bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// The largest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Does a request; whatever refuses it, it is told as a problem.
pub(super) async fn change(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = changed(app, request, next).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_text = kind.is_some_and(|kind| kind.starts_with("text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !is_text {
        return response;
    }
    // Of a path or a handshake that could not even be read.
    let text = to_bytes(response.into_body(), TEXT_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    Refusal::new(status, "malformed_request", text).into_response()
}

/// Does what changes something, in a task of its own.
async fn changed(app: Arc<App>, request: Request, next: Next) -> Response {
    let method = request.method();
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return opened(&app, request, next).await;
    }
    let tasks = app.records.tasks.clone();
    let done = tasks.spawn(async move {
        let (parts, body) = request.into_parts();
        let done = async {
            // Read as a whole whoever needs it: a body that is left unread costs its caller the connection.
            let body = read::bytes(body).await?;
            match parts.headers.get(KEY).cloned() {
                Some(key) if parts.method == Method::POST => {
                    once(&app, &key, (parts, body), next).await
                }
                _ => {
                    let request = Request::from_parts(parts, Body::from(body));
                    Ok(recorded(&app, request, next).await)
                }
            }
        };
        done.await.unwrap_or_else(Refusal::into_response)
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request has failed");
        let detail = "the gateway has failed; its log tells where";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail).into_response()
    })
}

/// A conversation is on record when it is opened; nothing else that is read is.
async fn opened(app: &App, request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::UPGRADE)
        && request.extensions().get::<hyper::ext::Protocol>().is_none()
    {
        return next.run(request).await;
    }
    recorded(app, request, next).await
}

/// Does a request and puts it on record, if it came to something.
async fn recorded(app: &App, request: Request, next: Next) -> Response {
    let done = Done::of(&request);
    let is_tunnel = request.extensions().get::<hyper::ext::Protocol>().is_some();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    let status = response.status();
    let came_to_something = match status {
        StatusCode::SWITCHING_PROTOCOLS => true,
        // Who asks for an upgrade where there is none has read something, as anybody may.
        _ if is_read && !is_tunnel => false,
        _ => status.is_success() || status.is_server_error(),
    };
    if let Some(done) = done
        && came_to_something
    {
        let place = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
        let (kind, line) = done.told(status.as_u16(), place);
        match app.store.record_audit(kind, time::now_ms(), &line).await {
            Ok(()) => app.records.broker.tell(),
            Err(error) => {
                tracing::error!(error = %written(error), "a change cannot be put on record");
            }
        }
    }
    response
}

/// Does a request once: a second one with its key gets the first answer.
async fn once(
    app: &App,
    key: &HeaderValue,
    (parts, bytes): (Parts, Bytes),
    next: Next,
) -> Result<Response, Refusal> {
    let key = key.to_str().map_err(|_| unusable())?.to_owned();
    let principal = principal(&parts).ok_or_else(unusable)?;
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let route = format!("{} {route}", parts.method);
    let fingerprint = fingerprint(&parts, &bytes);
    let claiming =
        Claiming { principal: &principal, route: &route, key: &key, fingerprint: &fingerprint };
    let claim = match app.store.claim_request(&claiming, time::now_ms()).await {
        Err(StoreError::Invalid(_)) => return Err(unusable()),
        Err(error) => return Err(error.into()),
        Ok(Claimed::New(claim)) => claim,
        Ok(Claimed::Answered(answer)) => return replayed(&answer),
        Ok(Claimed::Running) => {
            let detail = "the first request with this key is not answered yet";
            return Err(Refusal::new(StatusCode::CONFLICT, "request_running", detail)
                .next_step("ask again in a moment, with the same key"));
        }
        Ok(Claimed::Conflict) => {
            let detail = "this key was used for another request";
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_used",
                detail,
            )
            .next_step("make up another key for every request that is to be done"));
        }
    };
    let response = recorded(app, Request::from_parts(parts, Body::from(bytes)), next).await;
    keep(app, claim, response).await
}

/// Keeps an answer; one that is none is forgotten with its claim.
async fn keep(app: &App, claim: Claim, response: Response) -> Result<Response, Refusal> {
    if !response.status().is_success() {
        if let Err(error) = app.store.abandon_request(claim).await {
            tracing::warn!(error = %written(error), "a request that was refused stays claimed");
        }
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(|_| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the answer cannot be read")
    })?;
    let kept = match sealed(&parts.headers, &body) {
        Some(envelope) => {
            app.store.answer_request(&claim, parts.status.as_u16(), &envelope).await.map(drop)
        }
        None => app.store.abandon_request(claim).await,
    };
    if let Err(error) = kept {
        // It was done, and its caller is told so now; a second one is told what it makes of that.
        tracing::warn!(error = %written(error), "an answer cannot be kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// What is kept of an answer beside its status and body.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    kind: Option<String>,
    place: Option<String>,
    tag: Option<String>,
}

/// An answer as it is kept: its head as a line of JSON, and its body. None when it is too long.
fn sealed(headers: &HeaderMap, body: &Bytes) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let head = Head {
        kind: text(header::CONTENT_TYPE),
        place: text(header::LOCATION),
        tag: text(header::ETAG),
    };
    let mut envelope = zeroize::Zeroizing::new(serde_json::to_vec(&head).ok()?);
    envelope.push(b'\n');
    envelope.extend_from_slice(body);
    (envelope.len() <= KEPT_BYTES_MAX).then_some(envelope)
}

/// The answer that was given before.
fn replayed(answer: &Answer) -> Result<Response, Refusal> {
    let damaged = || {
        let detail = "the answer to the first request with this key cannot be read";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_damaged", detail)
    };
    let end = answer.body.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let (head, body) = answer.body.split_at_checked(end).ok_or_else(damaged)?;
    let head: Head = serde_json::from_slice(head).map_err(|_| damaged())?;
    let body = body.get(1..).unwrap_or_default();
    let mut response = Response::new(Body::from(body.to_vec()));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(|_| damaged())?;
    let all = [
        (header::CONTENT_TYPE, head.kind),
        (header::LOCATION, head.place),
        (header::ETAG, head.tag),
    ];
    for (name, value) in all {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Whose key it is: the caller with what it proved itself with, so that a narrower token never gets what a wider one was given.
fn principal(parts: &Parts) -> Option<String> {
    let user = parts.extensions.get::<Permit>().and_then(Permit::user)?;
    // Whatever else a user proves itself with stands for the same, over and over.
    Some(if let How::Token(id) = user.how {
        format!("{} token {id}", user.name)
    } else {
        format!("{} {}", user.name, user.how.as_str())
    })
}

/// What tells a request from others: where it goes and what it says.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
    let mut hash = Sha256::new_with_prefix((place.len() as u64).to_be_bytes());
    hash.update(place);
    hash.update(body);
    hash.finalize().into()
}

fn unusable() -> Refusal {
    let detail = "an idempotency-key has 1 to 253 printable characters";
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
}
