//! What users do at the gateway, as lines of the audit: who, what, when, and what came of it. Never what they sent.
//!
//! The shape is that of calls of models (OCSF 1.6.0, class 6003, API Activity); what OCSF has no field for is under
//! `unmapped.openshell`.

use axum::extract::Request;
use http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    auth::{
        access::Permit,
        peer::{Peer, Via},
        principal::How,
    },
    time,
};

/// The kind of a line about something that was changed.
pub(crate) const CHANGE: &str = "change";
/// The kind of a line about a conversation with a sandbox.
pub(crate) const ACCESS: &str = "access";
/// The longest path that is on record, bytes.
const PATH_BYTES_MAX: usize = 2048;

/// A request that may go on record.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    method: Method,
    path: String,
    workspace: Option<String>,
    user: String,
    how: How,
    peer: Option<Via>,
}

impl Done {
    /// What a request of a user is; none for those of others.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let permit = request.extensions().get::<Permit>()?;
        let user = permit.user()?;
        let path = request.uri().path();
        let path = path.get(..path.floor_char_boundary(PATH_BYTES_MAX)).unwrap_or(path);
        Some(Self {
            method: request.method().clone(),
            path: path.to_owned(),
            workspace: permit.workspace().ok().map(ToString::to_string),
            user: user.name.to_string(),
            how: user.how,
            peer: request.extensions().get::<Peer>().map(|peer| peer.via),
        })
    }

    /// Its kind and its line. `made` is where to find what was made.
    pub(crate) fn told(&self, status: u16, made: Option<&str>) -> (&'static str, String) {
        let (kind, activity_id, activity) = match self.method {
            Method::POST => (CHANGE, 1, "Create"),
            Method::PUT | Method::PATCH => (CHANGE, 3, "Update"),
            Method::DELETE => (CHANGE, 4, "Delete"),
            _ => (ACCESS, 2, "Read"),
        };
        let failed = status >= 500;
        let (status_id, word) = if failed { (2, "Failure") } else { (1, "Success") };
        let (severity_id, severity) = if failed { (2, "Low") } else { (1, "Informational") };
        let source = match self.peer {
            Some(Via::Tls(address)) => json!({"ip": address.ip(), "port": address.port()}),
            Some(Via::OwnUser) | None => json!({"name": "unix"}),
        };
        let mut own = Map::new();
        own.insert("by".to_owned(), self.how.as_str().into());
        if let How::Token(id) = self.how {
            own.insert("token".to_owned(), id.to_string().into());
        }
        let further = [("workspace", self.workspace.as_deref()), ("made", made)];
        for (name, value) in further {
            own.extend(value.map(|value| (name.to_owned(), Value::from(value))));
        }
        let product = json!({"name": "OpenShell", "vendor_name": "OpenShell", "version": env!("CARGO_PKG_VERSION")});
        let line = json!({
            "metadata": {
                "version": "1.6.0", "product": product, "log_name": "gateway",
                "uid": Uuid::now_v7().simple().to_string(),
            },
            "category_uid": 6, "category_name": "Application Activity",
            "class_uid": 6003, "class_name": "API Activity",
            "activity_id": activity_id, "activity_name": activity,
            "type_uid": 600_300 + activity_id, "type_name": format!("API Activity: {activity}"),
            "time": time::now_ms(),
            "severity_id": severity_id, "severity": severity,
            "status_id": status_id, "status": word, "status_code": status.to_string(),
            "actor": {"user": {"name": self.user, "uid": self.user, "type_id": 1, "type": "User"}},
            "src_endpoint": source,
            "api": {
                "operation": format!("{} {}", self.method, self.path),
                "service": {"name": "gateway"}, "response": {"code": status},
            },
            "http_request": {"http_method": self.method.as_str(), "url": {"path": self.path}},
            "unmapped": {"openshell": own},
        });
        (kind, line.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_did_what_and_what_came_of_it() {
        let done = Done {
            method: Method::DELETE,
            path: "/v1/sandboxes/calm".to_owned(),
            workspace: Some("default".to_owned()),
            user: "ann".to_owned(),
            how: How::Token(Uuid::from_u128(7)),
            peer: Some(Via::Tls(([192, 0, 2, 1], 5).into())),
        };
        let (kind, line) = done.told(202, None);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((kind, &line["type_uid"]), (CHANGE, &json!(600_304)));
        assert_eq!(line["actor"]["user"]["name"], "ann");
        assert_eq!(line["src_endpoint"]["ip"], "192.0.2.1");
        assert_eq!(line["unmapped"]["openshell"]["token"], Uuid::from_u128(7).to_string());
        let failed = Done { method: Method::GET, ..done }.told(500, None);
        assert_eq!(failed.0, ACCESS);
        assert!(failed.1.contains("\"status\":\"Failure\""));
    }
}
