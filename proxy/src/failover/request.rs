//! The request to one candidate: path, headers and body in a dialect that it takes.
//!
//! Invariant: of the caller's headers only those leave that `backends::headers` lets pass; in the caller's own dialect the
//! body is the caller's bytes but for the edits.

use std::borrow::Cow;

use backends::{
    spoken,
    translate::{self, AnswerContext, Omitted},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use router::wire::Dialect;

use crate::{
    attempt::Outgoing,
    exchange::Asked,
    reject::Failure,
    service::now_ms,
    snapshot::{Route, Snapshot},
};

/// What the translation of an answer needs to know of the request; `None` where there is no translation.
pub(crate) type Translation = Option<AnswerContext>;

/// A request that is ready to be sent, and what its answer needs.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) request: Outgoing,
    pub(super) translation: Translation,
    /// What the backend's dialect has no words for.
    pub(super) omitted: Omitted,
}

/// Builds the request for the attempt at `place` in the plan.
///
/// # Errors
/// [`Failure::Untranslatable`] when the backend's dialect cannot say it.
pub(super) fn build(
    snapshot: &Snapshot,
    asked: &Asked,
    place: usize,
    candidate: usize,
    route: &Route,
) -> Result<Built, Failure> {
    let (body, translation, omitted) = if route.dialect == asked.dialect {
        let configuration = &snapshot.configuration;
        let own = spoken::edits(configuration, candidate, asked.dialect, &asked.body);
        (asked.spliced(place, own), None, Omitted::default())
    } else {
        translated(snapshot, asked, (place, candidate), route.dialect)?
    };
    let request = Outgoing {
        method: Method::POST,
        path: route.path.clone(),
        headers: headers(asked, route),
        body,
    };
    Ok(Built { request, translation, omitted })
}

/// The body in the dialect `to`: the edits first, then the translation, so that nothing hidden is ever translated.
fn translated(
    snapshot: &Snapshot,
    asked: &Asked,
    (place, candidate): (usize, usize),
    to: Dialect,
) -> Result<(Vec<Bytes>, Translation, Omitted), Failure> {
    let body = asked.spliced(place, Vec::new()).concat();
    let options = spoken::options(&snapshot.configuration, candidate).ok_or(Failure::Internal)?;
    let written = translate::request_with_names(asked.dialect, to, &body, &options);
    let written = written.map_err(|error| Failure::Untranslatable {
        param: error.param,
        message: error.message,
        code: error.code,
    })?;
    let facts = snapshot.engine.settings().candidates.get(candidate);
    let context = AnswerContext {
        model: facts.map_or(options.model, |facts| facts.model.as_str()).to_owned(),
        created: now_ms() / 1_000,
        id: uuid::Uuid::new_v4().simple().to_string(),
        // The report is needed here; a caller that did not ask for it does not see it.
        include_usage: true,
        tool_names: written.tool_names,
    };
    Ok((vec![written.body.into()], Some(context), written.omitted))
}

/// The caller's headers that may pass, below them the router's own, above them the operator's and the credential.
fn headers(asked: &Asked, route: &Route) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(12);
    let own = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        // Answers are read on their way: undoing compression would only cost time on both sides.
        (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ];
    let set = |name: &HeaderName, list: &[(HeaderName, HeaderValue)]| {
        list.iter().any(|(other, _)| other == name)
    };
    headers.extend(own);
    headers.extend(route.strong.iter().cloned());
    for (name, value) in &asked.headers {
        if set(name, &headers) {
            continue;
        }
        let text = value.to_str().ok();
        let passed =
            text.and_then(|text| backends::headers::forward(name.as_str(), text, route.dialect));
        let value = match passed {
            // As the caller wrote it: shared, and not checked again.
            Some(Cow::Borrowed(text)) if text.len() == value.len() => Some(value.clone()),
            Some(text) => HeaderValue::from_str(&text).ok(),
            None => None,
        };
        if let Some(value) = value {
            headers.push((name.clone(), value));
        }
    }
    for (name, value) in &route.weak {
        if !set(name, &headers) {
            headers.push((name.clone(), value.clone()));
        }
    }
    headers
}
