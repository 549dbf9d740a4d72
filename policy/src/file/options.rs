//! Options of an endpoint's protocol, and where its credentials go.

use std::collections::BTreeMap;

use document::{Report, Spot, Table};

use super::{optional, switch, texts};
use crate::model::{
    Credentials, GraphqlOptions, McpOptions, Protocol, RegisteredQuery, SignedBody, Signing,
};

/// Largest body that may be asked to be looked at, bytes.
const BODY_BYTES_MAX: u64 = 16 << 20;
/// Most persisted queries of one endpoint.
const QUERIES_MAX: usize = 4096;

/// The credential fields.
pub(super) fn credentials(fields: &Table<'_>, report: &mut Report) -> Credentials {
    let binding = fields.take("credential_binding");
    let binding = binding.and_then(|spot| spot.table(&["provider"], report));
    let provider = binding.and_then(|binding| {
        binding.need("provider", "as {provider: NAME}", report)?.text(report).map(str::to_owned)
    });
    Credentials {
        provider,
        in_websocket: switch(fields, "websocket_credential_rewrite", report),
        in_body: switch(fields, "request_body_credential_rewrite", report),
        uninspected: switch(fields, "allow_uninspected_credentials", report),
        signing: signing(fields, report),
    }
}

fn signing(fields: &Table<'_>, report: &mut Report) -> Option<Signing> {
    let word = |name: &str, report: &mut Report| {
        optional(fields, name).and_then(|spot| spot.text(report)).map(str::to_owned)
    };
    let service = word("signing_service", report);
    let region = word("signing_region", report);
    let Some(spot) = optional(fields, "credential_signing") else {
        for name in ["signing_service", "signing_region"] {
            if let Some(spot) = optional(fields, name) {
                spot.fault(report, "this has a meaning only with `credential_signing`", None);
            }
        }
        return None;
    };
    let all = [SignedBody::AsSent, SignedBody::Whole, SignedBody::Unsigned];
    let body = spot.word(&all.map(|body| (body.as_str(), body)), report)?;
    Some(Signing { body, service, region })
}

/// `persisted_queries`, `graphql_persisted_queries` and `graphql_max_body_bytes`.
pub(super) fn graphql(
    fields: &Table<'_>,
    protocol: Option<Protocol>,
    report: &mut Report,
) -> GraphqlOptions {
    let names = ["persisted_queries", "graphql_persisted_queries", "graphql_max_body_bytes"];
    for name in names {
        only_for(fields, name, protocol, Protocol::Graphql, report);
    }
    let words = [("deny", false), ("allow_registered", true)];
    let persisted =
        optional(fields, "persisted_queries").and_then(|spot| spot.word(&words, report));
    let registered = fields.take("graphql_persisted_queries");
    GraphqlOptions {
        persisted: persisted.unwrap_or_default(),
        registered: registered.map(|spot| queries(&spot, report)).unwrap_or_default(),
        body_bytes_max: body_bytes(fields, "graphql_max_body_bytes", report),
    }
}

fn queries(spot: &Spot<'_>, report: &mut Report) -> BTreeMap<String, RegisteredQuery> {
    let entries = spot.entries(report);
    if entries.len() > QUERIES_MAX {
        spot.fault(report, format!("at most {QUERIES_MAX} queries are possible"), None);
    }
    let mut queries = BTreeMap::new();
    for (key, spot) in entries.iter().take(QUERIES_MAX) {
        let known = ["operation_type", "operation_name", "fields"];
        let Some(inner) = spot.table(&known, report) else { continue };
        let words = ["query", "mutation", "subscription"].map(|word| (word, word));
        let help = "query, mutation or subscription";
        let kind = inner.need("operation_type", help, report);
        let kind = kind.and_then(|spot| spot.word(&words, report)).unwrap_or_default();
        let name = optional(&inner, "operation_name").and_then(|spot| spot.text(report));
        let query = RegisteredQuery {
            operation_type: kind.to_owned(),
            operation_name: name.map(str::to_owned),
            fields: inner.take("fields").map(|spot| texts(&spot, report)).unwrap_or_default(),
        };
        queries.insert(key.text.clone(), query);
    }
    queries
}

/// The field `mcp`.
pub(super) fn mcp(
    fields: &Table<'_>,
    protocol: Option<Protocol>,
    report: &mut Report,
) -> McpOptions {
    only_for(fields, "mcp", protocol, Protocol::Mcp, report);
    let known = ["max_body_bytes", "strict_tool_names", "allow_all_known_mcp_methods"];
    let mut options = McpOptions::default();
    let Some(inner) = fields.take("mcp").and_then(|spot| spot.table(&known, report)) else {
        return options;
    };
    options.body_bytes_max = body_bytes(&inner, "max_body_bytes", report);
    if let Some(spot) = inner.take("strict_tool_names") {
        options.strict_tool_names = spot.boolean(report).unwrap_or(true);
    }
    options.all_known_methods = switch(&inner, "allow_all_known_mcp_methods", report);
    options
}

/// The field `json_rpc`: its largest body.
pub(super) fn json_rpc(
    fields: &Table<'_>,
    protocol: Option<Protocol>,
    report: &mut Report,
) -> Option<u64> {
    only_for(fields, "json_rpc", protocol, Protocol::JsonRpc, report);
    let inner = fields.take("json_rpc").and_then(|spot| spot.table(&["max_body_bytes"], report));
    inner.and_then(|inner| body_bytes(&inner, "max_body_bytes", report))
}

fn body_bytes(fields: &Table<'_>, name: &str, report: &mut Report) -> Option<u64> {
    let bytes = fields.take(name)?.integer(0..=BODY_BYTES_MAX, report)?;
    (bytes > 0).then_some(bytes)
}

fn only_for(
    fields: &Table<'_>,
    name: &str,
    protocol: Option<Protocol>,
    home: Protocol,
    report: &mut Report,
) {
    if let Some(spot) = fields.take(name).filter(|_| protocol != Some(home)) {
        spot.fault(report, format!("only protocol {} has this field", home.as_str()), None);
    }
}
