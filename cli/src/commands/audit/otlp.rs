//! Events as OpenTelemetry takes them: requests of its log service (OTLP 1.x, `ExportLogsServiceRequest`) in JSON, where numbers of
//! 64 bits are texts.

use api::audit::AuditEvent;
use serde_json::{Value, json};

use super::own::ocsf;

/// The request that carries these events.
pub(super) fn request(events: &[AuditEvent]) -> Value {
    let records: Vec<Value> = events.iter().map(record).collect();
    json!({
        "resourceLogs": [{
            "resource": {"attributes": [attribute("service.name", "openshell-gateway")]},
            "scopeLogs": [{
                "scope": {"name": "openshell.audit", "version": env!("CARGO_PKG_VERSION")},
                "logRecords": records,
            }],
        }],
    })
}

fn record(event: &AuditEvent) -> Value {
    let line = ocsf(event);
    let (number, text) = severity(line.get("severity_id").and_then(Value::as_u64).unwrap_or(0));
    let class = line.get("class_uid").and_then(Value::as_u64).unwrap_or(0);
    json!({
        "timeUnixNano": event.time.as_nanosecond().to_string(),
        "observedTimeUnixNano": event.stored.as_nanosecond().to_string(),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("openshell.audit.{}", event.kind),
        "body": {"stringValue": line.to_string()},
        "attributes": [
            attribute("openshell.audit.kind", &event.kind),
            attribute("openshell.audit.hash", &event.hash),
            attribute("openshell.sandbox.id", &event.sandbox),
            json!({"key": "openshell.audit.position", "value": {"intValue": event.position.to_string()}}),
            json!({"key": "ocsf.class_uid", "value": {"intValue": class.to_string()}}),
        ],
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// The severity of OCSF as numbers and words of OpenTelemetry's logs.
fn severity(severity: u64) -> (u8, &'static str) {
    match severity {
        0 | 1 => (9, "INFO"),
        2 => (10, "INFO2"),
        3 => (13, "WARN"),
        4 => (17, "ERROR"),
        _ => (21, "FATAL"),
    }
}
