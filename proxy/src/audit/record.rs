//! What is known of a call when it ends. Not here: the shape of its line (`line`).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use backends::translate::Omitted;
use domain::{Cost, Sensitivity, Zone};
use router::answer::Finishes;
use serde::Serialize;

use super::{line::Line, sink::Number};

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
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FoundRecord {
    /// The label.
    pub(crate) label: String,
    /// Distinct places.
    pub(crate) count: u32,
    /// What was done.
    pub(crate) action: &'static str,
}

/// One attempt at a backend.
#[derive(Clone, Debug, Serialize)]
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
    #[serde(skip)]
    pub(crate) started: Instant,
    /// How long it took until it was decided.
    #[serde(rename = "ms", serialize_with = "in_millis")]
    pub(crate) took: Duration,
}

fn in_millis<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(millis(*took))
}

/// A candidate that was not asked.
#[derive(Clone, Debug, Serialize)]
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

    /// Appends the line, without its line end.
    pub(super) fn render_into(&self, number: &Number, out: &mut Vec<u8>) {
        // Names, numbers and texts in a vector: nothing of it can fail.
        if let Err(error) = serde_json::to_writer(out, &Line::of(self, number)) {
            tracing::error!(error = %error, "an audit line cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line(record: &Record) -> String {
        let mut line = Vec::new();
        record.render_into(&Number::default(), &mut line);
        String::from_utf8(line).unwrap()
    }

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
        let parsed: Value = serde_json::from_str(&line(&record)).unwrap();
        let at = |path: &str| parsed.pointer(path).cloned().unwrap_or_default();
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
        assert!(!line(&record).contains('\n'));
    }

    #[test]
    fn a_refusal_is_a_failure() {
        let record = Record { status: 403, ended: "policy_refused", ..Record::default() };
        assert!(record.matters());
        assert!(line(&record).contains("\"status\":\"Failure\""));
    }
}
