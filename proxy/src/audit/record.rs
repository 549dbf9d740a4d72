//! The shape of an audit line.
//!
//! Base fields are those of OCSF 1.6.0, class 6003 (API Activity), as its schema site describes them (2026-11); what
//! OCSF has no field for is under `unmapped.openshell`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use backends::translate::Omitted;
use domain::{Cost, Sensitivity, Zone};
use router::answer::Finishes;
use serde_json::{Map, Value, json};

use crate::call::millis;

/// One call, from head to end. Only names, numbers and fixed words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Identity of the call.
    pub(crate) request_id: String,
    /// When its head had been read, milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// From head to end, milliseconds.
    pub(crate) duration_ms: u64,
    /// From head to the first content byte, milliseconds.
    pub(crate) first_byte_ms: Option<u64>,
    /// Keyed hash of the caller.
    pub(crate) tenant: String,
    /// Where the caller connected from; absent for a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// `GET`, `POST`…; `OTHER` for what HTTP does not define.
    pub(crate) method: &'static str,
    /// The path as a template without query, such as `/v1/chat/completions`; `other` for unknown ones.
    pub(crate) path: &'static str,
    /// The caller's dialect; empty when the path has none.
    pub(crate) dialect: &'static str,
    /// Whether the caller asked for a stream.
    pub(crate) stream: bool,
    /// HTTP status of the answer; 499 when the caller left before there was one.
    pub(crate) status: u16,
    /// How it ended: `done`, or the code of the failure.
    pub(crate) ended: &'static str,
    /// The line of `x-openshell-reason`.
    pub(crate) reason: String,
    /// Level of what remained visible.
    pub(crate) sensitivity: Option<Sensitivity>,
    /// Labels with counts and actions.
    pub(crate) found: Vec<FoundRecord>,
    /// The backend that answered.
    pub(crate) backend: String,
    /// Its model.
    pub(crate) model: String,
    /// Its zone.
    pub(crate) zone: Option<Zone>,
    /// The model that the caller asked for, where spans are made and the name is no text of its own.
    pub(crate) asked: Option<Box<str>>,
    /// The provider's name for the answer, where spans are made.
    pub(crate) response_id: Option<String>,
    /// Why the model stopped.
    pub(crate) finishes: Finishes,
    /// Every attempt, in order.
    pub(crate) attempts: Vec<AttemptRecord>,
    /// Every candidate that was not asked, with the reason.
    pub(crate) dropped: Vec<DroppedRecord>,
    /// What the backend's dialect had no words for.
    pub(crate) omitted: Omitted,
    /// Tokens: prompt, of these cached, answer.
    pub(crate) tokens: Option<[u64; 3]>,
    /// Whether the tokens are the provider's own numbers.
    pub(crate) tokens_reported: bool,
    /// What it cost.
    pub(crate) cost: Option<Cost>,
    /// How much more the dearest candidate that was allowed would have cost.
    pub(crate) saved: Option<Cost>,
    /// What it was expected to cost.
    pub(crate) expected: Option<Cost>,
    /// Revision of the configuration that decided.
    pub(crate) revision: String,
}

/// A label of the findings.
#[derive(Clone, Debug)]
pub(crate) struct FoundRecord {
    /// The label.
    pub(crate) label: String,
    /// Distinct places.
    pub(crate) count: u32,
    /// What was done.
    pub(crate) action: &'static str,
}

/// One attempt at a backend.
#[derive(Clone, Debug)]
pub(crate) struct AttemptRecord {
    /// The backend.
    pub(crate) backend: String,
    /// Its model.
    pub(crate) model: String,
    /// How it ended, one word.
    pub(crate) outcome: &'static str,
    /// HTTP status, if there was one.
    pub(crate) status: Option<u16>,
    /// When it began.
    pub(crate) started: Instant,
    /// How long it took until it was decided.
    pub(crate) took: Duration,
}

/// A candidate that was not asked.
#[derive(Clone, Debug)]
pub(crate) struct DroppedRecord {
    /// The backend.
    pub(crate) backend: String,
    /// Its model.
    pub(crate) model: String,
    /// Why.
    pub(crate) why: String,
}

impl Record {
    /// Whether this is about something that was refused or failed; such records are the last to be dropped.
    pub(crate) fn matters(&self) -> bool {
        self.status >= 400 || self.ended != "done"
    }

    /// The line, without its line end.
    pub(crate) fn render(&self) -> String {
        let failed = self.matters();
        let (severity_id, severity) = if failed { (2, "Low") } else { (1, "Informational") };
        let mut event = json!({
            "metadata": {
                "version": "1.6.0",
                "product": {"name": "OpenShell", "vendor_name": "OpenShell", "version": env!("CARGO_PKG_VERSION")},
                "log_name": "router",
                "uid": self.request_id,
            },
            "category_uid": 6, "category_name": "Application Activity",
            "class_uid": 6003, "class_name": "API Activity",
            "activity_id": 1, "activity_name": "Create",
            "type_uid": 600_301, "type_name": "API Activity: Create",
            "time": self.time_ms, "duration": self.duration_ms,
            "severity_id": severity_id, "severity": severity,
            "status_id": if failed { 2 } else { 1 }, "status": if failed { "Failure" } else { "Success" },
            "status_code": self.status.to_string(), "status_detail": self.ended,
            "message": self.reason,
            "actor": {"user": {"uid": self.tenant, "type_id": 99, "type": "Tenant"}},
            "src_endpoint": match self.peer {
                Some(peer) => json!({"ip": peer.ip().to_string(), "port": peer.port()}),
                None => json!({"name": "unix"}),
            },
            "api": {
                "operation": if self.dialect.is_empty() { self.path } else { self.dialect },
                "service": {"name": "router"},
                "request": {"uid": self.request_id},
                "response": {"code": self.status},
            },
            "http_request": {"http_method": self.method, "url": {"path": self.path}},
            "http_response": {"code": self.status, "latency": self.duration_ms},
        });
        if let Some(event) = event.as_object_mut() {
            event.insert("unmapped".to_owned(), json!({"openshell": self.extension()}));
        }
        event.to_string()
    }

    fn extension(&self) -> Value {
        let mut own = Map::new();
        let mut put = |name: &str, value: Value| own.insert(name.to_owned(), value);
        put("request_id", json!(self.request_id));
        put("dialect", json!(self.dialect));
        put("stream", json!(self.stream));
        put("backend", json!(self.backend));
        put("model", json!(self.model));
        put("zone", json!(self.zone.map(Zone::as_str)));
        put("sensitivity", json!(self.sensitivity.map(Sensitivity::as_str)));
        let found = self.found.iter();
        let labels = found.map(|f| json!({"label": f.label, "count": f.count, "action": f.action}));
        put("labels", labels.collect());
        put("omitted", self.omitted.iter().collect());
        if let Some([input, cached, output]) = self.tokens {
            let reported = self.tokens_reported;
            put(
                "tokens",
                json!({"input": input, "cached": cached, "output": output, "reported": reported}),
            );
        }
        put("cost_usd", json!(self.cost.map(Cost::usd)));
        put("saved_usd", json!(self.saved.map(Cost::usd)));
        put("expected_cost_usd", json!(self.expected.map(Cost::usd)));
        let attempts = self.attempts.iter().map(|a| {
            json!({"backend": a.backend, "model": a.model, "outcome": a.outcome, "status": a.status, "ms": millis(a.took)})
        });
        put("attempts", attempts.collect());
        let dropped = self.dropped.iter();
        let dropped =
            dropped.map(|d| json!({"backend": d.backend, "model": d.model, "why": d.why}));
        put("dropped", dropped.collect());
        put("reason", json!(self.reason));
        put("duration_ms", json!(self.duration_ms));
        put("first_byte_ms", json!(self.first_byte_ms));
        put("revision", json!(self.revision));
        Value::Object(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_required_fields_of_its_class_and_our_own() {
        let record = Record {
            request_id: "0190".into(),
            time_ms: 1_764_000_000_000,
            tenant: "key-ab".into(),
            peer: Some(([127, 0, 0, 1], 5).into()),
            method: "POST",
            path: "/v1/messages",
            dialect: "anthropic-messages",
            status: 200,
            ended: "done",
            zone: Some(Zone::Local),
            tokens: Some([3, 1, 2]),
            cost: Some(Cost(1_500_000_000_000)),
            attempts: vec![AttemptRecord {
                backend: "b".into(),
                model: "m".into(),
                outcome: "answered",
                status: Some(200),
                started: Instant::now(),
                took: Duration::from_millis(7),
            }],
            ..Record::default()
        };
        let line: Value = serde_json::from_str(&record.render()).unwrap();
        let at = |path: &str| line.pointer(path).cloned().unwrap_or_default();
        for (path, expected) in [
            ("/metadata/version", json!("1.6.0")),
            ("/class_uid", json!(6003)),
            ("/type_uid", json!(600_301)),
            ("/time", json!(1_764_000_000_000_u64)),
            ("/status", json!("Success")),
            ("/actor/user/uid", json!("key-ab")),
            ("/src_endpoint/ip", json!("127.0.0.1")),
            ("/http_request/url/path", json!("/v1/messages")),
            ("/unmapped/openshell/zone", json!("local")),
            ("/unmapped/openshell/tokens/cached", json!(1)),
            ("/unmapped/openshell/cost_usd", json!(1.5)),
            ("/unmapped/openshell/attempts/0/ms", json!(7)),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
        assert!(!record.render().contains('\n'));
    }

    #[test]
    fn a_refusal_is_a_failure() {
        let record = Record { status: 403, ended: "policy_refused", ..Record::default() };
        assert!(record.matters());
        assert!(record.render().contains("\"status\":\"Failure\""));
    }
}
