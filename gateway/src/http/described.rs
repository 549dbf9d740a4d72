//! What the description of the API says of every route alike: its places, how callers prove themselves, and how errors are told.
//!
//! Handlers describe what is their own; what would have to be said of each of them, and forgotten at one, is added here.

use api::problem::MEDIA_TYPE;
use http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::changing::KEY;
use crate::auth::access::{Access, table};

/// The description with what is the same for every route.
pub(super) fn completed(api: &OpenApi) -> Value {
    // It is plain data: it can be written.
    let mut api = serde_json::to_value(api).unwrap_or_default();
    let rows = table::rows();
    let paths = api.get_mut("paths").and_then(Value::as_object_mut);
    for (path, methods) in paths.into_iter().flatten() {
        let methods = methods.as_object_mut().into_iter().flatten();
        for (method, operation) in methods {
            let Some(operation) = operation.as_object_mut() else { continue };
            let method = method.to_ascii_uppercase();
            let row = rows.iter().find(|row| row.path == path && row.method.as_str() == method);
            parameters(operation, path, &method);
            responses(operation);
            if row.is_some_and(|row| row.access == Access::Open) {
                operation.insert("security".to_owned(), json!([]));
            }
        }
    }
    if let Some(components) = api.get_mut("components").and_then(Value::as_object_mut) {
        let schemes = json!({
            "token": {"type": "http", "scheme": "bearer", "description": "A token `osh_…` of a user."},
            "certificate": {"type": "mutualTLS", "description": "A client certificate of the gateway's own authority."},
        });
        components.insert("securitySchemes".to_owned(), schemes);
    }
    if let Some(api) = api.as_object_mut() {
        api.insert("security".to_owned(), json!([{"token": []}, {"certificate": []}]));
    }
    api
}

/// The places in a path, and the key of what is to be done once.
fn parameters(operation: &mut Map<String, Value>, path: &str, method: &str) {
    let places = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = places
        .map(|place| {
            let schema = match place {
                "revision" => json!({"type": "integer", "format": "int64", "minimum": 0}),
                _ => json!({"type": "string", "minLength": 1}),
            };
            json!({"name": place, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    if method == Method::POST.as_str() {
        all.push(json!({
            "name": KEY, "in": "header", "required": false,
            "description": "Made up for this request: a second one with it gets the first answer, for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 253},
        }));
    }
    let given = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    all.extend(given);
    if !all.is_empty() {
        operation.insert("parameters".to_owned(), all.into());
    }
}

/// Errors are problems, those that a handler names and all others.
fn responses(operation: &mut Map<String, Value>) {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    for response in responses.values_mut() {
        let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else {
            continue;
        };
        let is_problem = |body: &Value| body.get("schema") == Some(&problem);
        if content.get("application/json").is_some_and(is_problem)
            && let Some(body) = content.remove("application/json")
        {
            content.insert(MEDIA_TYPE.to_owned(), body);
        }
    }
    let other = json!({
        "description": "It was not done; the problem says why",
        "content": {MEDIA_TYPE: {"schema": problem}},
    });
    responses.insert("default".to_owned(), other);
}
