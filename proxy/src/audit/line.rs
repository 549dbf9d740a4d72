//! The shape of an audit line.
//!
//! Base fields are those of OCSF 1.6.0, class 6003 (API Activity), as its schema site describes them (2026-11); what
//! OCSF has no field for is under `unmapped.openshell`.

use std::net::IpAddr;

use domain::{Cost, Sensitivity, Zone};
use serde::Serialize;

use super::{
    record::{AttemptRecord, DroppedRecord, FoundRecord, Record},
    sink::Number,
};

/// One line, borrowed from its record.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    metadata: Metadata<'a>,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    activity_id: u32,
    activity_name: &'static str,
    type_uid: u32,
    type_name: &'static str,
    time: u64,
    duration: u64,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    status_code: String,
    status_detail: &'static str,
    message: &'a str,
    actor: Actor<'a>,
    src_endpoint: Endpoint,
    api: Api<'a>,
    http_request: HttpRequest,
    http_response: HttpResponse,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    product: Product,
    log_name: &'static str,
    uid: &'a str,
    sequence: u64,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Actor<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    uid: &'a str,
    type_id: u32,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Endpoint {
    Tcp { ip: IpAddr, port: u16 },
    Unix { name: &'static str },
}

#[derive(Serialize)]
struct Api<'a> {
    operation: &'static str,
    service: Service,
    request: Uid<'a>,
    response: Code,
}

#[derive(Serialize)]
struct Service {
    name: &'static str,
}

#[derive(Serialize)]
struct Uid<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct Code {
    code: u16,
}

#[derive(Serialize)]
struct HttpRequest {
    http_method: &'static str,
    url: Url,
}

#[derive(Serialize)]
struct Url {
    path: &'static str,
}

#[derive(Serialize)]
struct HttpResponse {
    code: u16,
    latency: u64,
}

#[derive(Serialize)]
struct Unmapped<'a> {
    openshell: Extension<'a>,
}

#[derive(Serialize)]
struct Extension<'a> {
    instance: &'a str,
    request_id: &'a str,
    dialect: &'static str,
    stream: bool,
    backend: &'a str,
    model: &'a str,
    zone: Option<&'static str>,
    sensitivity: Option<&'static str>,
    labels: &'a [FoundRecord],
    omitted: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
    cost_usd: Option<f64>,
    saved_usd: Option<f64>,
    expected_cost_usd: Option<f64>,
    attempts: &'a [AttemptRecord],
    dropped: &'a [DroppedRecord],
    reason: &'a str,
    duration_ms: u64,
    first_byte_ms: Option<u64>,
    revision: &'a str,
}

#[derive(Serialize)]
struct Tokens {
    input: u64,
    cached: u64,
    output: u64,
    reported: bool,
}

impl<'a> Line<'a> {
    /// The line of `record`.
    pub(super) fn of(record: &'a Record, number: &'a Number) -> Self {
        let failed = record.matters();
        let (severity_id, severity) = if failed { (2, "Low") } else { (1, "Informational") };
        let (status_id, status) = if failed { (2, "Failure") } else { (1, "Success") };
        let product = Product {
            name: "OpenShell",
            vendor_name: "OpenShell",
            version: env!("CARGO_PKG_VERSION"),
        };
        let uid = record.request_id.as_str();
        let operation = if record.dialect.is_empty() { record.path } else { record.dialect };
        Self {
            metadata: Metadata {
                version: "1.6.0",
                product,
                log_name: "router",
                uid,
                sequence: number.sequence,
            },
            category_uid: 6,
            category_name: "Application Activity",
            class_uid: 6003,
            class_name: "API Activity",
            activity_id: 1,
            activity_name: "Create",
            type_uid: 600_301,
            type_name: "API Activity: Create",
            time: record.time_ms,
            duration: record.duration_ms,
            severity_id,
            severity,
            status_id,
            status,
            status_code: record.status.to_string(),
            status_detail: record.ended,
            message: &record.reason,
            actor: Actor { user: User { uid: &record.tenant, type_id: 99, r#type: "Tenant" } },
            src_endpoint: match record.peer {
                Some(peer) => Endpoint::Tcp { ip: peer.ip(), port: peer.port() },
                None => Endpoint::Unix { name: "unix" },
            },
            api: Api {
                operation,
                service: Service { name: "router" },
                request: Uid { uid },
                response: Code { code: record.status },
            },
            http_request: HttpRequest {
                http_method: record.method,
                url: Url { path: record.path },
            },
            http_response: HttpResponse { code: record.status, latency: record.duration_ms },
            unmapped: Unmapped { openshell: Extension::of(record, &number.instance) },
        }
    }
}

impl<'a> Extension<'a> {
    fn of(record: &'a Record, instance: &'a str) -> Self {
        let reported = record.tokens_reported;
        let tokens = |[input, cached, output]: [u64; 3]| Tokens { input, cached, output, reported };
        Self {
            instance,
            request_id: &record.request_id,
            dialect: record.dialect,
            stream: record.stream,
            backend: &record.backend,
            model: &record.model,
            zone: record.zone.map(Zone::as_str),
            sensitivity: record.sensitivity.map(Sensitivity::as_str),
            labels: &record.found,
            omitted: record.omitted.iter().collect(),
            tokens: record.tokens.map(tokens),
            cost_usd: record.cost.map(Cost::usd),
            saved_usd: record.saved.map(Cost::usd),
            expected_cost_usd: record.expected.map(Cost::usd),
            attempts: &record.attempts,
            dropped: &record.dropped,
            reason: &record.reason,
            duration_ms: record.duration_ms,
            first_byte_ms: record.first_byte_ms,
            revision: &record.revision,
        }
    }
}
