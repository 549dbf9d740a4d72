//! The shape of a line about a sandbox's network.
//!
//! Fields are those of OCSF 1.6.0 as its schema site describes them (2026-11), with the profile `security_control`:
//! classes 4001 (Network Activity), 4002 (HTTP Activity) and 4003 (DNS Activity). What OCSF has no field for is under
//! `unmapped.openshell`. A line is written from its event without anything in between: there is one for each request.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display, net::IpAddr};

use domain::Label;
use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use uuid::Uuid;

use super::{
    event::{Activity, Event, Outcome},
    sink::Number,
};
use crate::egress::Identity;

/// Longest text of an event, bytes; the sandbox chooses how long its paths are.
const TEXT_BYTES_MAX: usize = 2_048;

/// Most ancestors that are listed, the nearest first.
const ANCESTORS_MAX: usize = 16;

const VERSION: &str = "1.6.0";

/// One line, made of its event.
#[derive(Debug, Serialize)]
pub(super) struct EventLine<'a> {
    metadata: Metadata,
    #[serde(flatten)]
    kind: Kind,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    severity_id: u8,
    severity: &'static str,
    action_id: u8,
    action: &'static str,
    disposition_id: u8,
    disposition: &'static str,
    status_id: u8,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_endpoint: Option<Target<'a>>,
    firewall_rule: Rule<'a>,
    /// What only the event's own class has.
    #[serde(flatten)]
    own: Own<'a>,
    unmapped: Unmapped<'a>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    version: &'static str,
    product: Product,
    profiles: [&'static str; 1],
    log_name: &'static str,
    #[serde(serialize_with = "shown")]
    uid: uuid::fmt::Simple,
    /// The place among all lines of this run of the proxy.
    sequence: u64,
}

#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    process: Process<'a>,
}

#[derive(Debug, Serialize)]
struct Process<'a> {
    pid: i32,
    name: &'a str,
    file: File<'a>,
    #[serde(serialize_with = "ancestry")]
    ancestry: &'a [String],
}

#[derive(Debug, Serialize)]
struct File<'a> {
    name: &'a str,
    path: &'a str,
    type_id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<[Fingerprint; 1]>,
}

#[derive(Debug, Serialize)]
struct Fingerprint {
    algorithm_id: u8,
    algorithm: &'static str,
    value: String,
}

/// A file by its path alone.
#[derive(Debug, Serialize)]
struct Ancestor<'a> {
    path: &'a str,
}

#[derive(Debug, Serialize)]
struct Source {
    ip: IpAddr,
    port: u16,
}

/// What was asked for, and the address that it came to.
#[derive(Debug, Serialize)]
struct Target<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Rule<'a> {
    name: &'a str,
    r#type: &'static str,
    #[serde(serialize_with = "shown")]
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Own<'a> {
    Open {
        connection_info: Connection,
    },
    Close {
        connection_info: Connection,
        traffic: Traffic,
    },
    Request {
        http_request: HttpRequest<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_response: Option<HttpResponse>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    Name {
        query: Query<'a>,
        rcode_id: u8,
    },
}

#[derive(Debug, Serialize)]
struct Connection {
    direction_id: u8,
    direction: &'static str,
    protocol_name: &'static str,
}

const OUTBOUND: Connection =
    Connection { direction_id: 2, direction: "Outbound", protocol_name: "tcp" };

#[derive(Debug, Serialize)]
struct Traffic {
    bytes_out: u64,
    bytes_in: u64,
}

#[derive(Debug, Serialize)]
struct HttpRequest<'a> {
    http_method: &'a str,
    url: Url<'a>,
}

#[derive(Debug, Serialize)]
struct Url<'a> {
    scheme: &'static str,
    path: &'a str,
}

#[derive(Debug, Serialize)]
struct HttpResponse {
    code: u16,
}

#[derive(Debug, Serialize)]
struct Query<'a> {
    hostname: &'a str,
    r#type: &'a str,
    class: &'static str,
}

#[derive(Debug, Serialize)]
struct Unmapped<'a> {
    openshell: Openshell<'a>,
}

#[derive(Debug, Serialize)]
struct Openshell<'a> {
    instance: &'a str,
    sandbox: &'a str,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "findings")]
    findings: &'a BTreeMap<Label, u32>,
}

#[derive(Debug, Serialize)]
struct Finding<'a> {
    label: &'a str,
    count: u32,
}

/// What kind of event a line is.
#[derive(Clone, Copy, Debug, Serialize)]
struct Kind {
    category_uid: u16,
    category_name: &'static str,
    class_uid: u16,
    class_name: &'static str,
    activity_id: u16,
    activity_name: &'static str,
    type_uid: u32,
}

impl Kind {
    fn new(class_uid: u16, class_name: &'static str, activity: (u16, &'static str)) -> Self {
        let (category_uid, category_name) = (4, "Network Activity");
        let (activity_id, activity_name) = activity;
        let type_uid = u32::from(class_uid) * 100 + u32::from(activity_id);
        Self {
            category_uid,
            category_name,
            class_uid,
            class_name,
            activity_id,
            activity_name,
            type_uid,
        }
    }

    fn of(event: &Event) -> Self {
        match &event.activity {
            Activity::Open => Self::new(4_001, "Network Activity", opening(event.outcome)),
            Activity::Close { .. } => Self::new(4_001, "Network Activity", (2, "Close")),
            Activity::Request { method, .. } => Self::new(4_002, "HTTP Activity", verb(method)),
            Activity::Name { .. } => Self::new(4_003, "DNS Activity", (1, "Query")),
        }
    }
}

/// Openings that come to nothing are activities of their own only where the other side is to blame.
fn opening(outcome: Outcome) -> (u16, &'static str) {
    match outcome {
        Outcome::Failed => (4, "Fail"),
        Outcome::Allowed | Outcome::Audited | Outcome::Inference | Outcome::Denied => (1, "Open"),
    }
}

fn verb(method: &str) -> (u16, &'static str) {
    match method {
        "CONNECT" => (1, "Connect"),
        "DELETE" => (2, "Delete"),
        "GET" => (3, "Get"),
        "HEAD" => (4, "Head"),
        "OPTIONS" => (5, "Options"),
        "POST" => (6, "Post"),
        "PUT" => (7, "Put"),
        "TRACE" => (8, "Trace"),
        "PATCH" => (9, "Patch"),
        _ => (99, "Other"),
    }
}

impl<'a> EventLine<'a> {
    /// The line of `event`.
    pub(super) fn of(event: &'a Event, number: &'a Number) -> Self {
        let (severity_id, severity) = severity(event);
        let (action_id, action, disposition_id, disposition) = verdict(event.outcome);
        let failed = matches!(event.outcome, Outcome::Denied | Outcome::Failed);
        let (status_id, status) = if failed { (2, "Failure") } else { (1, "Success") };
        let duration = match &event.activity {
            Activity::Close { open, .. } => u64::try_from(open.as_millis()).ok(),
            _ => None,
        };
        Self {
            metadata: metadata(number.sequence),
            kind: Kind::of(event),
            time: event.time_ms,
            duration,
            severity_id,
            severity,
            action_id,
            action,
            disposition_id,
            disposition,
            status_id,
            status,
            status_detail: event.reason,
            message: event.detail.as_deref().map(clipped),
            actor: event.caller.as_deref().map(|caller| Actor { process: process(caller) }),
            src_endpoint: event.from.map(|from| Source { ip: from.ip(), port: from.port() }),
            dst_endpoint: destination(event),
            firewall_rule: rule(event),
            own: own(event),
            unmapped: unmapped(event, &number.instance),
        }
    }
}

fn metadata(sequence: u64) -> Metadata {
    let version = env!("CARGO_PKG_VERSION");
    Metadata {
        version: VERSION,
        product: Product { name: "OpenShell", vendor_name: "OpenShell", version },
        profiles: ["security_control"],
        log_name: "egress",
        uid: Uuid::now_v7().simple(),
        sequence,
    }
}

fn severity(event: &Event) -> (u8, &'static str) {
    match event.outcome {
        Outcome::Denied => (3, "Medium"),
        Outcome::Audited | Outcome::Failed => (2, "Low"),
        Outcome::Allowed | Outcome::Inference => (1, "Informational"),
    }
}

/// Action and disposition, with their numbers.
fn verdict(outcome: Outcome) -> (u8, &'static str, u8, &'static str) {
    match outcome {
        Outcome::Allowed | Outcome::Inference => (1, "Allowed", 1, "Allowed"),
        Outcome::Audited => (3, "Observed", 17, "Logged"),
        Outcome::Denied => (2, "Denied", 2, "Blocked"),
        Outcome::Failed => (1, "Allowed", 27, "Error"),
    }
}

fn process(caller: &Identity) -> Process<'_> {
    let path = caller.binary.as_str();
    let name = clipped(path.rsplit('/').next().unwrap_or(path));
    let hashes = caller.sha256.map(|sha256| {
        [Fingerprint { algorithm_id: 3, algorithm: "SHA-256", value: hex::encode(sha256) }]
    });
    let ancestry = caller.ancestors.get(..ANCESTORS_MAX).unwrap_or(&caller.ancestors);
    let file = File { name, path: clipped(path), type_id: 1, hashes };
    Process { pid: caller.process, name, file, ancestry }
}

/// As a text.
fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn ancestry<S: Serializer>(ancestors: &&[String], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(ancestors.len()))?;
    for path in *ancestors {
        list.serialize_element(&Ancestor { path: clipped(path) })?;
    }
    list.end()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn findings<S: Serializer>(
    findings: &&BTreeMap<Label, u32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(findings.len()))?;
    for (label, count) in *findings {
        list.serialize_element(&Finding { label: label.as_str(), count: *count })?;
    }
    list.end()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was asked for, and the address that it came to.
fn destination(event: &Event) -> Option<Target<'_>> {
    let parsed = event.to.parse::<domain::Destination>();
    let (host, port) = match &parsed {
        Ok(to) => (to.host.to_string().into(), Some(to.port())),
        Err(_) => (Cow::Borrowed(clipped(&event.to)), None),
    };
    let literal = parsed.ok().and_then(|to| to.host.address());
    let ip = event.dialled.or(literal);
    if host.is_empty() && ip.is_none() {
        return None;
    }
    Some(Target { hostname: literal.is_none().then_some(host), ip, port })
}

fn rule(event: &Event) -> Rule<'_> {
    Rule {
        name: event.policy.as_deref().map_or("-", clipped),
        r#type: event.engine.as_str(),
        version: event.revision,
        uid: event.rule.as_deref().map(clipped),
    }
}

fn own(event: &Event) -> Own<'_> {
    match &event.activity {
        Activity::Open => Own::Open { connection_info: OUTBOUND },
        Activity::Close { sent, received, .. } => Own::Close {
            connection_info: OUTBOUND,
            traffic: Traffic { bytes_out: *sent, bytes_in: *received },
        },
        Activity::Request { scheme, method, path, status, count } => Own::Request {
            http_request: HttpRequest {
                http_method: clipped(method),
                url: Url { scheme, path: clipped(path) },
            },
            http_response: status.map(|code| HttpResponse { code }),
            count: (*count > 1).then_some(*count),
        },
        Activity::Name { kind, .. } => Own::Name {
            query: Query { hostname: clipped(&event.to), r#type: kind, class: "IN" },
            rcode_id: if event.outcome == Outcome::Denied { 3 } else { 0 },
        },
    }
}

fn unmapped<'a>(event: &'a Event, instance: &'a str) -> Unmapped<'a> {
    let names = match &event.activity {
        Activity::Name { unlisted, .. } => *unlisted,
        _ => 0,
    };
    let openshell = Openshell {
        instance,
        sandbox: &event.sandbox,
        revision: event.revision,
        inference: (event.outcome == Outcome::Inference).then_some(true),
        unlisted: event.unlisted.saturating_add(names),
        lost: event.lost,
        findings: &event.findings,
    };
    Unmapped { openshell }
}

/// The beginning of a text, as long as an event takes.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}
