//! Why a request is not read.

use domain::limits::{BODY_BYTES_MAX, SEGMENTS_MAX};
use thiserror::Error;

use crate::json::JsonError;

/// Why a request is not read. Never repeats content of it; paths are made of known field names and numbers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Longer than [`BODY_BYTES_MAX`].
    #[error("the body has more than {BODY_BYTES_MAX} bytes")]
    Large,
    /// No sound JSON.
    #[error("the body is no valid JSON: {0}")]
    Json(JsonError),
    /// Something other than an object.
    #[error("the body must be a JSON object")]
    NotObject,
    /// A required field is absent.
    #[error("`{param}` is required")]
    Missing {
        /// Path of the field.
        param: String,
    },
    /// A field has the wrong JSON type.
    #[error("`{param}` must be {expected}")]
    Type {
        /// Path of the field.
        param: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A field has the right type and a value that cannot be.
    #[error("`{param}` {problem}")]
    Value {
        /// Path of the field.
        param: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More strings than [`SEGMENTS_MAX`].
    #[error("the body holds more than {SEGMENTS_MAX} strings")]
    Segments,
}

impl ReadError {
    /// A stable word for programs: those of [`JsonError::code`], `missing_field`, `invalid_type`, `invalid_value`,
    /// `too_many_segments` or `body_too_large`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Large => "body_too_large",
            Self::Json(error) => error.code(),
            Self::Missing { .. } => "missing_field",
            Self::NotObject | Self::Type { .. } => "invalid_type",
            Self::Value { .. } => "invalid_value",
            Self::Segments => "too_many_segments",
        }
    }

    /// The HTTP status: 413 for what is too much, else 400, as the providers answer.
    pub fn status(&self) -> u16 {
        match self.code() {
            "body_too_large" | "too_many_values" | "too_many_segments" => 413,
            _ => 400,
        }
    }

    /// The field, such as `messages[2].content`.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Missing { param } | Self::Type { param, .. } | Self::Value { param, .. } => {
                Some(param)
            }
            Self::Large | Self::Json(_) | Self::NotObject | Self::Segments => None,
        }
    }
}
