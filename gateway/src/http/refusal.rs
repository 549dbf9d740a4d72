//! How errors are told: each becomes a problem in one place.

use api::problem::{Fault, MEDIA_TYPE, Problem};
use axum::response::{IntoResponse, Response};
use drivers::DriverError;
use http::{HeaderValue, StatusCode, header};

use crate::{auth::refused::Refused, lifecycle::written, store::StoreError};

/// A request that is not answered as it wanted.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Problem>);

impl Refusal {
    /// A refusal with this status; the code tells programs which.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self(Box::new(Problem::new(status.as_u16(), title, code, detail)))
    }

    /// There is no such thing.
    pub(crate) fn not_found(kind: &str, name: &str) -> Self {
        let detail = format!("there is no {kind} {name}");
        Self::new(StatusCode::NOT_FOUND, &format!("{kind}_not_found"), detail)
    }

    /// There is one of that name already.
    pub(crate) fn taken(kind: &str, name: &str) -> Self {
        let detail = format!("{kind} {name} exists already");
        Self::new(StatusCode::CONFLICT, "exists", detail)
            .next_step("choose another name, or change the one that is there")
    }

    /// Fields that cannot be taken, all of them.
    pub(crate) fn faults(faults: Vec<Fault>) -> Self {
        let first = faults.first().map(|fault| format!("{} {}", fault.pointer, fault.detail));
        let detail = match faults.len() {
            1 => first.unwrap_or_default(),
            many => format!("{many} fields cannot be used; {}", first.unwrap_or_default()),
        };
        let refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail);
        Self(Box::new(refusal.0.faults(faults)))
    }

    /// Whether somebody else was faster.
    pub(crate) fn is_stale(&self) -> bool {
        self.0.status == StatusCode::PRECONDITION_FAILED.as_u16()
    }

    /// The same with the next step.
    #[must_use]
    pub(crate) fn next_step(self, step: impl Into<String>) -> Self {
        Self(Box::new(self.0.next_step(step)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&*self.0).unwrap_or_default();
        let kind = HeaderValue::from_static(MEDIA_TYPE);
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists => Self::new(StatusCode::CONFLICT, "exists", "that name is taken")
                .next_step("choose another name, or change the one that is there"),
            StoreError::Stale => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed_meanwhile",
                "somebody changed it meanwhile",
            )
            .next_step("read it again, and change what is there now"),
            StoreError::Invalid(detail) => Self::new(StatusCode::BAD_REQUEST, "invalid", detail),
            error => {
                tracing::error!(error = %written(error), "the store failed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "the store of the gateway does not work",
                )
                .next_step("look at the gateway's log, its disk and its database")
            }
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::new(refused.status, refused.code, refused.detail)
    }
}

impl From<DriverError> for Refusal {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::NotFound => {
                Self::new(StatusCode::CONFLICT, "sandbox_not_running", "the sandbox is not running")
            }
            DriverError::Refused(failed) => {
                let refusal =
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", failed.message);
                if failed.hint.is_empty() { refusal } else { refusal.next_step(failed.hint) }
            }
            error => {
                let detail = written(error);
                Self::new(StatusCode::BAD_GATEWAY, "supervisor_unavailable", detail)
                    .next_step("the sandbox's log tells what it was doing")
            }
        }
    }
}
