//! Hosts as policies write them: one host, all hosts below a domain, or a part of the first label left open.
//!
//! Invariant: a pattern never matches an address, nor the domain below which it begins, nor every domain of a
//! top-level domain.

use std::{fmt, str::FromStr};

use domain::{Host, HostError};
use thiserror::Error;

/// Why a text is no host pattern. The wording is that which users of policies know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostPatternError {
    /// `*` or `**`.
    #[error("host wildcard '{0}' matches all hosts; use specific patterns like '*.example.com'")]
    AllHosts(Box<str>),
    /// A wildcard where none can stand.
    #[error("host wildcard must start with '*.' or '**.' (e.g., '*.example.com'), got '{0}'")]
    Place(Box<str>),
    /// All domains of a top-level domain.
    #[error(
        "TLD wildcard '{0}' is not allowed; use subdomain wildcards like '*.example.com' instead"
    )]
    TopLevel(Box<str>),
    /// The part without a wildcard is no host name.
    #[error("'{0}' is no host: {1}")]
    Host(Box<str>, HostError),
}

/// A host or hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host alone.
    Exact(Host),
    /// `*.suffix`: one label before the suffix.
    One(Box<str>),
    /// `**.suffix`: one label or more before the suffix.
    Many(Box<str>),
    /// `begin*end.suffix`: a first label that begins and ends so.
    Partial {
        /// What the label begins with.
        begin: Box<str>,
        /// What it ends with.
        end: Box<str>,
        /// The labels behind it.
        suffix: Box<str>,
    },
}

impl HostPattern {
    /// Whether the host is meant.
    pub fn matches(&self, host: &Host) -> bool {
        let below = |suffix: &str| {
            let name = host.name()?;
            let before = name.strip_suffix(suffix)?.strip_suffix('.')?;
            (!before.is_empty()).then_some(before)
        };
        match self {
            Self::Exact(exact) => exact == host,
            Self::One(suffix) => below(suffix).is_some_and(|label| !label.contains('.')),
            Self::Many(suffix) => below(suffix).is_some(),
            Self::Partial { begin, end, suffix } => below(suffix)
                .is_some_and(|label| !label.contains('.') && between(label, begin, end)),
        }
    }

    /// Whether some host is meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(host), pattern) | (pattern, Self::Exact(host)) => pattern.matches(host),
            (Self::Many(one), Self::Many(two)) => below(one, two) || below(two, one),
            (Self::Many(many), Self::One(suffix) | Self::Partial { suffix, .. })
            | (Self::One(suffix) | Self::Partial { suffix, .. }, Self::Many(many)) => {
                below(suffix, many)
            }
            (
                Self::One(one) | Self::Partial { suffix: one, .. },
                Self::One(two) | Self::Partial { suffix: two, .. },
            ) => one == two,
        }
    }
}

/// Whether a label begins and ends so, the two not overlapping.
pub(crate) fn between(label: &str, begin: &str, end: &str) -> bool {
    label.strip_prefix(begin).is_some_and(|rest| rest.ends_with(end))
}

/// Whether `name` is `suffix` or ends in it, label by label.
fn below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let no_host = |error| HostPatternError::Host(text.into(), error);
        if !text.contains('*') {
            return text.parse().map(Self::Exact).map_err(no_host);
        }
        if matches!(text, "*" | "**") {
            return Err(HostPatternError::AllHosts(text.into()));
        }
        let (first, suffix) =
            text.split_once('.').ok_or_else(|| HostPatternError::Place(text.into()))?;
        if suffix.contains('*') || (first != "**" && first.matches('*').count() != 1) {
            return Err(HostPatternError::Place(text.into()));
        }
        let suffix: Host = suffix.parse().map_err(no_host)?;
        let suffix = suffix.name().ok_or(no_host(HostError::Number))?;
        if !suffix.contains('.') {
            return Err(HostPatternError::TopLevel(text.into()));
        }
        Ok(match first {
            "*" => Self::One(suffix.into()),
            "**" => Self::Many(suffix.into()),
            label => {
                label.replace('*', "x").parse::<Host>().map_err(no_host)?;
                let (begin, end) = label.split_once('*').unwrap_or((label, ""));
                let lower = |part: &str| part.to_ascii_lowercase().into();
                Self::Partial { begin: lower(begin), end: lower(end), suffix: suffix.into() }
            }
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::One(suffix) => write!(f, "*.{suffix}"),
            Self::Many(suffix) => write!(f, "**.{suffix}"),
            Self::Partial { begin, end, suffix } => write!(f, "{begin}*{end}.{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_labels() {
        let cases = [
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("**.example.com", "a.b.example.com", true),
            ("**.example.com", "example.com", false),
            ("**.example.com", "aexample.com", false),
            ("API.example.com", "api.EXAMPLE.com", true),
            ("*-aiplatform.googleapis.com", "us-aiplatform.googleapis.com", true),
            ("*-aiplatform.googleapis.com", "a.us-aiplatform.googleapis.com", false),
            ("a*a.example.com", "a.example.com", false),
            ("a*a.example.com", "aa.example.com", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("::ffff:10.0.0.5", "10.0.0.5", true),
        ];
        for (pattern, host, expected) in cases {
            let pattern: HostPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&host.parse().unwrap()), expected, "{pattern} {host}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn patterns_that_open_too_much_are_refused() {
        let cases = [
            ("*", "matches all hosts"),
            ("**", "matches all hosts"),
            ("*.com", "TLD wildcard '*.com'"),
            ("**.com", "TLD wildcard '**.com'"),
            ("foo*.com", "TLD wildcard 'foo*.com'"),
            ("*com", "must start with"),
            ("a.*.com", "must start with"),
            ("*.*.com", "must start with"),
            ("**a.example.com", "must start with"),
            ("*.0.0.5", "no host"),
            ("*.a b.com", "no host"),
            ("a b*.example.com", "no host"),
            ("https://example.com", "no host"),
        ];
        for (text, message) in cases {
            let error = text.parse::<HostPattern>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn overlap_is_known() {
        let cases = [
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "**.example.com", true),
            ("**.a.example.com", "*.example.com", false),
            ("**.example.com", "*.a.example.com", true),
            ("*.a.com", "*.b.com", false),
            ("a*.b.com", "*.b.com", true),
        ];
        for (one, two, expected) in cases {
            let (one, two): (HostPattern, HostPattern) =
                (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!(one.overlaps(&two), expected, "{one} {two}");
            assert_eq!(two.overlaps(&one), expected, "{one} {two}");
        }
    }
}
