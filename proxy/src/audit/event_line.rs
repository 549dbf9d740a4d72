//! The shape of a line about a sandbox's network.
//!
//! Fields are those of OCSF 1.6.0 as its schema site describes them (2026-11), with the profile `security_control`:
//! classes 4001 (Network Activity), 4002 (HTTP Activity), 4003 (DNS Activity) and 2004 (Detection Finding). What OCSF has
//! no field for is under `unmapped.openshell`.

use std::{fmt::Write as _, net::SocketAddr};

use domain::Label;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::event::{Activity, Event, Outcome};
use crate::egress::Identity;

/// Longest text of an event, bytes; the sandbox chooses how long its paths are.
const TEXT_BYTES_MAX: usize = 2_048;

/// Most ancestors that are listed, the nearest first.
const ANCESTORS_MAX: usize = 16;

const VERSION: &str = "1.6.0";

/// One line, made of its event.
#[derive(Debug, Serialize)]
pub(super) struct EventLine<'a> {
    metadata: Value,
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
    actor: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_endpoint: Option<Value>,
    firewall_rule: Value,
    /// What only the event's own class has.
    #[serde(flatten)]
    own: Value,
    unmapped: Value,
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
        let (category_uid, category_name) =
            if class_uid < 4_000 { (2, "Findings") } else { (4, "Network Activity") };
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
            Activity::Around { .. } => Self::new(2_004, "Detection Finding", (1, "Create")),
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
    pub(super) fn of(event: &'a Event) -> Self {
        let (severity_id, severity) = severity(event);
        let (action_id, action, disposition_id, disposition) = verdict(event.outcome);
        let failed = matches!(event.outcome, Outcome::Denied | Outcome::Failed);
        let (status_id, status) = if failed { (2, "Failure") } else { (1, "Success") };
        let duration = match &event.activity {
            Activity::Close { open, .. } => u64::try_from(open.as_millis()).ok(),
            _ => None,
        };
        Self {
            metadata: metadata(),
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
            actor: event.caller.as_deref().map(|caller| json!({"process": process(caller)})),
            src_endpoint: event.from.map(|from| json!({"ip": from.ip(), "port": from.port()})),
            dst_endpoint: destination(event),
            firewall_rule: rule(event),
            own: own(event),
            unmapped: unmapped(event),
        }
    }
}

fn metadata() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "version": VERSION,
        "product": {"name": "OpenShell", "vendor_name": "OpenShell", "version": version},
        "profiles": ["security_control"],
        "log_name": "egress",
        "uid": Uuid::now_v7().simple().to_string(),
    })
}

fn severity(event: &Event) -> (u8, &'static str) {
    match (&event.activity, event.outcome) {
        (Activity::Around { .. }, _) => (4, "High"),
        (_, Outcome::Denied) => (3, "Medium"),
        (_, Outcome::Audited | Outcome::Failed) => (2, "Low"),
        (_, Outcome::Allowed | Outcome::Inference) => (1, "Informational"),
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

fn process(caller: &Identity) -> Value {
    let file = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        json!({"name": clipped(name), "path": clipped(path), "type_id": 1})
    };
    let mut own = file(&caller.binary);
    if let (Some(sha256), Some(own)) = (&caller.sha256, own.as_object_mut()) {
        let hash = json!({"algorithm_id": 3, "algorithm": "SHA-256", "value": hex(sha256)});
        own.insert("hashes".to_owned(), json!([hash]));
    }
    let ancestors = caller.ancestors.iter().take(ANCESTORS_MAX);
    json!({
        "pid": caller.process,
        "name": own.get("name"),
        "file": own,
        "ancestry": ancestors.map(|path| json!({"path": clipped(path)})).collect::<Vec<_>>(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// What was asked for, and the address that it came to.
fn destination(event: &Event) -> Option<Value> {
    let parsed = event.to.parse::<domain::Destination>();
    let (host, port) = match &parsed {
        Ok(to) => (to.host.to_string(), Some(to.port())),
        Err(_) => (clipped(&event.to).to_owned(), None),
    };
    let literal = parsed.ok().and_then(|to| to.host.address());
    let ip = event.dialled.map(|dialled: SocketAddr| dialled.ip()).or(literal);
    if host.is_empty() && ip.is_none() {
        return None;
    }
    let mut endpoint = serde_json::Map::new();
    if literal.is_none() {
        endpoint.insert("hostname".to_owned(), json!(host));
    }
    if let Some(ip) = ip {
        endpoint.insert("ip".to_owned(), json!(ip));
    }
    if let Some(port) = port {
        endpoint.insert("port".to_owned(), json!(port));
    }
    Some(endpoint.into())
}

fn rule(event: &Event) -> Value {
    let mut rule = json!({
        "name": event.policy.as_deref().map_or("-", clipped),
        "type": event.engine.as_str(),
        "version": event.revision.to_string(),
    });
    if let (Some(own), Some(rule)) = (&event.rule, rule.as_object_mut()) {
        rule.insert("uid".to_owned(), json!(clipped(own)));
    }
    rule
}

fn own(event: &Event) -> Value {
    let connection = json!({"direction_id": 2, "direction": "Outbound", "protocol_name": "tcp"});
    match &event.activity {
        Activity::Open => json!({"connection_info": connection}),
        Activity::Close { sent, received, .. } => json!({
            "connection_info": connection,
            "traffic": {"bytes_out": sent, "bytes_in": received},
        }),
        Activity::Request { scheme, method, path, status } => {
            let url = json!({"scheme": scheme, "path": clipped(path)});
            let request = json!({"http_method": clipped(method), "url": url});
            match status {
                Some(code) => json!({"http_request": request, "http_response": {"code": code}}),
                None => json!({"http_request": request}),
            }
        }
        Activity::Name { kind, .. } => json!({
            "query": {"hostname": clipped(&event.to), "type": kind, "class": "IN"},
            "rcode_id": if event.outcome == Outcome::Denied { 3 } else { 0 },
        }),
        Activity::Around { title } => json!({
            "finding_info": {"title": title, "uid": event.reason, "types": ["egress bypass"]},
        }),
    }
}

fn unmapped(event: &Event) -> Value {
    let mut own = json!({"sandbox": &*event.sandbox, "revision": event.revision});
    let Some(fields) = own.as_object_mut() else { return own };
    if event.outcome == Outcome::Inference {
        fields.insert("inference".to_owned(), json!(true));
    }
    let names = match &event.activity {
        Activity::Name { unlisted, .. } => *unlisted,
        _ => 0,
    };
    let unlisted = event.unlisted.saturating_add(names);
    if unlisted > 0 {
        fields.insert("unlisted".to_owned(), json!(unlisted));
    }
    if !event.findings.is_empty() {
        let finding =
            |(label, count): (&Label, &u32)| json!({"label": label.as_str(), "count": count});
        fields.insert("findings".to_owned(), event.findings.iter().map(finding).collect());
    }
    json!({"openshell": own})
}

/// The beginning of a text, as long as an event takes.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}
