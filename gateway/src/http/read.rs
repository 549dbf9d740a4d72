//! How requests are read: bodies, queries and headers become types once, and what is wrong with them is told as a problem.

use api::{
    page::{LIMIT, LIMIT_MAX, PageQuery},
    problem::Fault,
};
use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::{auth::access::Permit, store::Page};

/// The largest body that is read, bytes: a policy with every character escaped, and some room.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            let detail = "the body has to be JSON";
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                detail,
            )
            .next_step("send it with content-type: application/json"));
        }
        let bytes = bytes(request.into_body()).await?;
        from_slice(&bytes).map(Json)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct JsonOrNone<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for JsonOrNone<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = bytes(request.into_body()).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        from_slice(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

pub(super) async fn bytes(body: Body) -> Result<bytes::Bytes, Refusal> {
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes, or was cut");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    })
}

fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // Every body is an object; a list would be taken for its fields in their order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'[') {
        return Err(Refusal::faults(vec![Fault::new("", "has to be an object")]));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            // What is there is left out: it may be a secret in the wrong place.
            let detail = without_values(&inner.to_string());
            Refusal::faults(vec![Fault::new(pointer, detail)])
        } else {
            let detail = format!("no JSON at line {}, column {}", inner.line(), inner.column());
            Refusal::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
        }
    })?;
    json.end().map_err(|error| {
        let detail = format!("something follows the JSON at column {}", error.column());
        Refusal::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    Ok(read)
}

/// The place as a JSON pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let text = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&text);
    }
    pointer
}

/// The words of a fault without what stood there, which serde puts between `"` (texts) or `` ` `` (numbers).
fn without_values(text: &str) -> String {
    let text = text.split(" at line ").next().unwrap_or_default();
    match text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: ")) {
        Some(rest) => {
            let expected = rest.rsplit(", expected ").next().unwrap_or_default();
            format!("has another type than {expected}")
        }
        None => text.to_owned(),
    }
}

/// The query.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", error.body_text())
        })
    }
}

/// The version that the caller has seen, from `If-Match`.
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) Option<i64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let version = value.to_str().ok().and_then(|text| match text.trim() {
            "*" => Some(None),
            text => text.trim_matches('"').parse::<i64>().ok().map(Some),
        });
        version.map(Self).ok_or_else(|| {
            let detail = "if-match is no tag of this API";
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_if_match", detail)
                .next_step("send the etag of the answer that you have read")
        })
    }
}

/// The page of the store that was asked for.
pub(super) fn page(query: &PageQuery) -> Result<Page, Refusal> {
    let limit = query.limit.unwrap_or(LIMIT);
    if limit == 0 || limit > LIMIT_MAX {
        let detail = format!("limit is {limit}, and has to be 1 to {LIMIT_MAX}");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
    }
    Ok(Page { after: query.after.clone(), limit })
}

/// The workspace that the request is about.
///
/// # Errors
/// 500 where nothing was decided about one.
pub(super) fn workspace(permit: &Permit) -> Result<&str, Refusal> {
    Ok(permit.workspace()?.as_str())
}

/// The name of the user who asks; empty where none has to be known.
pub(super) fn caller(permit: &Permit) -> &str {
    permit.user().map(|user| user.name.as_str()).unwrap_or_default()
}

/// Lets a change through when the caller has seen the version that is there, or did not say which it has seen.
///
/// # Errors
/// 412 when it is another one.
pub(super) fn unchanged(there: i64, seen: Option<i64>) -> Result<(), Refusal> {
    match seen {
        Some(seen) if seen != there => Err(crate::store::StoreError::Stale.into()),
        _ => Ok(()),
    }
}
