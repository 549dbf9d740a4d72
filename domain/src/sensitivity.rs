//! How sensitive a request is, and how wide a backend's zone is. Both are total orders.

use std::{fmt, str::FromStr};

/// How sensitive a piece of text is. Ordered: a later variant is more sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sensitivity {
    /// Anyone may see it.
    #[default]
    Public,
    /// For the organisation.
    Internal,
    /// For those who need it: personal data, by default.
    Confidential,
    /// For nobody outside: credentials and keys, by default.
    Restricted,
}

impl Sensitivity {
    /// All levels, from the least to the most sensitive.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Confidential, Self::Restricted];

    /// The word for this level in files, headers and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

/// Where a backend sits. Ordered by width: a later variant is seen by more strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// Sandbox compute: this machine or cluster.
    Local,
    /// An account or cluster whose operator is trusted with data.
    Private,
    /// Any other cloud.
    Public,
}

impl Zone {
    /// All zones, from the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Local, Self::Private, Self::Public];

    /// The word for this zone in files, headers and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// A word that names no level or zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// The words that would have been accepted.
    pub expected: &'static str,
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {}", self.expected)
    }
}
impl std::error::Error for UnknownWord {}

impl FromStr for Sensitivity {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or(UnknownWord { expected: "public, internal, confidential, restricted" })
    }
}

impl FromStr for Zone {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|zone| zone.as_str() == word)
            .ok_or(UnknownWord { expected: "local, private, public" })
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_words_parse_to_the_same_value() {
        for level in Sensitivity::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for zone in Zone::ALL {
            assert_eq!(zone.to_string().parse(), Ok(zone));
        }
        assert!("secret".parse::<Sensitivity>().is_err());
    }

    #[test]
    fn later_levels_are_more_sensitive_and_later_zones_are_wider() {
        assert!(Sensitivity::ALL.is_sorted());
        assert!(Zone::ALL.is_sorted());
    }
}
