//! Events of a gateway that are not about the network or models: what users did, and what never came.

use api::audit::AuditEvent;
use serde_json::{Value, json};

use crate::output::printable;

/// Columns of [`row`].
pub(super) const HEAD: [&str; 6] = ["TIME", "KIND", "WHO", "WHAT", "STATUS", "POSITION"];

/// Whether an event has a row here.
pub(super) fn is_own(event: &AuditEvent) -> bool {
    matches!(event.kind.as_str(), "change" | "access" | "gap" | "restart")
}

/// The cells of an event that [`is_own`].
pub(super) fn row(event: &AuditEvent) -> Vec<String> {
    let text = |pointer: &str| event.event.pointer(pointer).and_then(Value::as_str);
    let number = |name: &str| event.event.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (who, what) = match event.kind.as_str() {
        "gap" => {
            let lost = number("lost");
            (&*event.sandbox, format!("{lost} lost: {} to {}", number("from"), number("to")))
        }
        "restart" => (
            text("/user").unwrap_or("-"),
            format!("begun anew: {}", text("/reason").unwrap_or_default()),
        ),
        _ => (
            text("/actor/user/name").unwrap_or("-"),
            text("/api/operation").unwrap_or("-").to_owned(),
        ),
    };
    let cells = [&*event.kind, who, &*what, text("/status_code").unwrap_or("-")];
    let time = event.time.strftime("%F %T").to_string();
    std::iter::once(time)
        .chain(cells.iter().map(|cell| printable(cell, false).into_owned()))
        .chain([event.position.to_string()])
        .collect()
}

/// The event in OCSF: itself, or what stands for one that has none (class 0, Base Event). Where it stands in the chain is beside it.
pub(super) fn ocsf(event: &AuditEvent) -> Value {
    let mut line = event.event.clone();
    if line.get("class_uid").is_none() {
        line = json!({
            "metadata": {
                "version": "1.6.0", "log_name": "gateway",
                "product": {"name": "OpenShell", "vendor_name": "OpenShell"},
            },
            "category_uid": 0, "category_name": "Uncategorized",
            "class_uid": 0, "class_name": "Base Event",
            "activity_id": 99, "activity_name": event.kind, "type_uid": 99, "type_name": "Base Event: Other",
            "time": event.time.as_millisecond(), "severity_id": 3, "severity": "Medium",
            "unmapped": {"openshell": event.event},
        });
    }
    let chain = json!({
        "position": event.position, "hash": event.hash, "sandbox_id": event.sandbox,
        "stored": event.stored.as_millisecond(),
    });
    if let Some(own) = line.pointer_mut("/unmapped/openshell").and_then(Value::as_object_mut) {
        own.insert("chain".to_owned(), chain);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, event: Value) -> AuditEvent {
        AuditEvent {
            position: 7,
            sandbox: "s".to_owned(),
            instance: "i".to_owned(),
            sequence: 3,
            kind: kind.to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            stored: jiff::Timestamp::UNIX_EPOCH,
            hash: "ab".to_owned(),
            event,
        }
    }

    #[test]
    fn what_never_came_has_a_row_and_an_event_that_says_how_much() {
        let gap = event("gap", json!({"lost": 2, "from": 2, "to": 3}));
        assert_eq!(row(&gap)[1..], ["gap", "s", "2 lost: 2 to 3", "-", "7"]);
        let line = ocsf(&gap);
        assert_eq!(line["class_uid"], 0);
        assert_eq!(line["unmapped"]["openshell"]["lost"], 2);
        assert_eq!(line["unmapped"]["openshell"]["chain"]["position"], 7);
    }

    #[test]
    fn nothing_that_somebody_chose_moves_a_cursor() {
        let line = json!({"class_uid": 6003, "api": {"operation": "GET /v1/x\u{1b}[2J"}});
        assert!(row(&event("change", line)).iter().all(|cell| !cell.contains(char::is_control)));
    }
}
