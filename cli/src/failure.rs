//! Why a command failed, whose fault it was, and what would help.

use std::fmt;

/// Who read our output went away, as `head` does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Whose fault it was; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It could not be done: exit code 1.
    Failed,
    /// It was asked for in a way that makes no sense: exit code 2, as for unknown flags.
    Usage,
    /// It could not be done, and this exit code says more.
    Coded(u8),
}

/// A failure with its chain of causes and a hint.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    /// A failure in doing what was asked.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, error: anyhow::anyhow!(message.into()), hint: None }
    }

    /// A failure of the asking.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(message) }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Gives it an exit code of its own.
    #[must_use]
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.kind = Kind::Coded(code);
        self
    }

    /// What went wrong, without causes and hint.
    pub(crate) fn message(&self) -> String {
        self.error.to_string()
    }

    /// The same in one line with its causes.
    pub(crate) fn whole(&self) -> String {
        let all: Vec<String> = self.error.chain().map(ToString::to_string).collect();
        all.join(": ")
    }

    /// What to do next, if that is known.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Coded(code) => code,
        }
    }

    /// Whether only the reader of our output went away, as `head` does. No other broken pipe is as harmless.
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.error.chain().any(|cause| {
            let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<ReaderGone>)
        })
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { kind: Kind::Failed, error: error.into(), hint: None }
    }
}

impl fmt::Display for Failure {
    /// `error: …`, one line per cause, and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        for cause in self.error.chain().skip(1) {
            write!(f, "\n  because: {cause}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_told_from_other_broken_pipes() {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::from(std::io::Error::new(std::io::ErrorKind::BrokenPipe, error))
        };
        assert!(broken(ReaderGone.into()).is_reader_gone());
        assert!(!broken("the supervisor".into()).is_reader_gone());
    }

    #[test]
    fn causes_and_the_next_step_are_told() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = anyhow::Error::new(io).context("cannot read router.yaml");
        let failure = Failure::from(error).hint("give its path with --config");
        assert_eq!(
            failure.to_string(),
            "error: cannot read router.yaml\n  because: no such file\nhint: give its path with --config"
        );
        assert_eq!((failure.code(), Failure::usage("x").code()), (1, 2));
    }
}
