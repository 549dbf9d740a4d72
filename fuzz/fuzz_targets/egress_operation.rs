#![no_main]
//! Bodies of GraphQL, MCP and JSON-RPC: no bytes break a reader, and what it reads an independent reader of JSON reads, too.

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use policy::{Protocol, Query, model::Endpoint};
use proxy::egress::operation::{self, Found, Message};

const TYPES: [&str; 4] = [
    "application/json",
    "application/graphql",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-8",
];

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (choice, query, body) = input;
    let protocol = [Protocol::Graphql, Protocol::Mcp, Protocol::JsonRpc][usize::from(choice) % 3];
    let kind = TYPES[usize::from(choice >> 4) % TYPES.len()];
    let Ok(query) = Query::new(query) else { return };
    let headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let endpoint = Endpoint { protocol: Some(protocol), ..Endpoint::default() };
    let message = Message { method: "POST", query: &query, headers: &headers, body };
    let found = operation::read(&endpoint, &message);
    let view = found.view();
    drop(view.members());
    match &found {
        Found::Graphql(operations) => {
            assert_eq!(protocol, Protocol::Graphql);
            assert!(!operations.is_empty());
            assert!(operations.iter().all(|operation| !operation.fields.is_empty()));
        }
        Found::Rpc(calls) => {
            let value: serde_json::Value =
                serde_json::from_slice(body).expect("another reader reads it");
            let members = value.as_array().cloned().unwrap_or_else(|| vec![value]);
            assert_eq!(members.len(), calls.len());
            for (member, call) in members.iter().zip(calls) {
                assert_eq!(member["method"].as_str(), call.method.as_deref());
                if let Some(name) = &call.name {
                    assert_eq!(member["params"]["name"].as_str(), Some(name.as_str()));
                }
            }
        }
        Found::Nothing => assert!(body.is_empty()),
        Found::Unreadable => {}
    }
});
