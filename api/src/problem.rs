//! Errors of the API: problem details (RFC 9457), with a code for programs and the next step for people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, as the body of every answer that is not a success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Problem {
    /// What kind of problem: always `about:blank`, so that `title` is the phrase of the status (RFC 9457 §4.2.1).
    #[serde(rename = "type")]
    pub kind: String,
    /// The phrase of the status.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What tells this kind of problem from others, such as `sandbox_not_found`; stays the same over versions.
    pub code: String,
    /// What went wrong here.
    pub detail: String,
    /// What would help; may be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next_steps: Vec<String>,
    /// What is wrong with which field of the request; all faults at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// Where in the body, as a JSON pointer (RFC 6901), such as `/command/0`.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem with this status, code and detail.
    pub fn new(status: u16, title: &str, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            next_steps: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The same with a next step.
    #[must_use]
    pub fn next_step(mut self, step: impl Into<String>) -> Self {
        self.next_steps.push(step.into());
        self
    }

    /// The same with faults of fields.
    #[must_use]
    pub fn faults(mut self, faults: Vec<Fault>) -> Self {
        self.errors = faults;
        self
    }
}

impl Fault {
    /// A fault at that place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}
