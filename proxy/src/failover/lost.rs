//! Why attempts failed, and what the caller is told when all did.

use std::time::Duration;

use crate::reject::Failure;

/// Why one attempt gave no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The request itself is at fault: nobody else is asked.
    Final(Failure),
    /// The request cannot be said in the backend's dialect.
    Untranslatable(Failure),
    /// It has too much to do, and wants to be asked again after a while.
    Busy(Option<Duration>),
    /// It, or the way to it, failed.
    Failed,
    /// It took too long.
    Timeout,
    /// It does not have the model.
    Missing(Failure),
    /// It refuses our credential.
    Credential,
    /// Its answer broke before the first content byte.
    Broke,
}

/// What all attempts of a plan said.
#[derive(Debug, Default)]
pub(super) struct Losses {
    untranslatable: Option<Failure>,
    missing: Option<Failure>,
    busy: bool,
    /// The earliest time that one of the busy ones named.
    after: Option<Duration>,
    timeout: bool,
    credential: bool,
    broke: bool,
    failed: bool,
}

impl Losses {
    /// Adds one.
    pub(super) fn add(&mut self, lost: Lost) {
        match lost {
            Lost::Final(failure) | Lost::Untranslatable(failure) => {
                self.untranslatable.get_or_insert(failure);
            }
            Lost::Missing(failure) => {
                self.missing.get_or_insert(failure);
            }
            Lost::Busy(after) => {
                self.busy = true;
                self.after = match (self.after, after) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            Lost::Failed => self.failed = true,
            Lost::Timeout => self.timeout = true,
            Lost::Credential => self.credential = true,
            Lost::Broke => self.broke = true,
        }
    }

    /// What the caller is told: first what waiting helps, then what it does not.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self { busy: true, after, .. } => Failure::Busy { after },
            Self { timeout: true, .. } => Failure::Timeout,
            Self { broke: true, .. } => Failure::Answer,
            Self { failed: true, .. } => Failure::Backends,
            Self { credential: true, .. } => Failure::Credential,
            Self { untranslatable: Some(failure), .. } | Self { missing: Some(failure), .. } => {
                failure
            }
            Self { .. } => Failure::Backends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lost: Vec<Lost>) -> Failure {
        let mut losses = Losses::default();
        for lost in lost {
            losses.add(lost);
        }
        losses.failure()
    }

    #[test]
    fn the_caller_is_told_what_helps_most() {
        let seconds = Duration::from_secs;
        let busy = vec![Lost::Failed, Lost::Busy(Some(seconds(9))), Lost::Busy(Some(seconds(4)))];
        assert!(matches!(after(busy), Failure::Busy { after: Some(wait) } if wait == seconds(4)));
        assert!(matches!(after(vec![Lost::Credential, Lost::Failed]), Failure::Backends));
        assert!(matches!(after(vec![Lost::Credential]), Failure::Credential));
        assert!(matches!(after(vec![Lost::Failed, Lost::Timeout]), Failure::Timeout));
        assert!(matches!(after(vec![]), Failure::Backends));
    }
}
