//! Why a driver did not do something.

use std::io;

use sandbox::control::{Failed, client::ControlError};

/// Why a driver did not do something.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is no such sandbox.
    #[error("there is no such sandbox")]
    NotFound,
    /// The supervisor said no; trying again without a change would not help.
    #[error(transparent)]
    Refused(#[from] Failed),
    /// The supervisor is there and does not answer.
    #[error("the supervisor does not answer")]
    Silent,
    /// The supervisor ended before its sandbox stood.
    #[error("the supervisor ended without a word: {how}")]
    Ended {
        /// How, as the system says it.
        how: String,
    },
    /// The conversation with the supervisor broke.
    #[error(transparent)]
    Control(ControlError),
    /// What the system refused.
    #[error("cannot {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl DriverError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

impl From<ControlError> for DriverError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Failed(failed) => Self::Refused(failed),
            other => Self::Control(other),
        }
    }
}
