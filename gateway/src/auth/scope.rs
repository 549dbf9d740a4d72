//! What a bearer token is for. Scopes only narrow what its owner's role allows.

use std::{fmt, str::FromStr};

/// One thing that a token may be for. Writing includes reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// See sandboxes, their logs and files.
    SandboxRead,
    /// Make, run, change and delete sandboxes.
    SandboxWrite,
    /// See providers, without their secrets.
    ProviderRead,
    /// Make, change and delete providers.
    ProviderWrite,
    /// See policies, settings and proposals.
    PolicyRead,
    /// Change policies and settings, decide proposals.
    PolicyWrite,
    /// See backends, routes and budgets.
    InferenceRead,
    /// Change backends, routes and budgets.
    InferenceWrite,
    /// See the audit and what was spent.
    AuditRead,
    /// See the metrics.
    MetricsRead,
    /// Make tokens and certificates for oneself.
    AccountWrite,
    /// Everything, also users and workspaces.
    Admin,
}

/// Every scope, its word, and what it includes beside itself.
const SCOPES: [(Scope, &str, &[Scope]); 12] = [
    (Scope::SandboxRead, "sandbox:read", &[]),
    (Scope::SandboxWrite, "sandbox:write", &[Scope::SandboxRead]),
    (Scope::ProviderRead, "provider:read", &[]),
    (Scope::ProviderWrite, "provider:write", &[Scope::ProviderRead]),
    (Scope::PolicyRead, "policy:read", &[]),
    (Scope::PolicyWrite, "policy:write", &[Scope::PolicyRead]),
    (Scope::InferenceRead, "inference:read", &[]),
    (Scope::InferenceWrite, "inference:write", &[Scope::InferenceRead]),
    (Scope::AuditRead, "audit:read", &[]),
    (Scope::MetricsRead, "metrics:read", &[]),
    (Scope::AccountWrite, "account:write", &[]),
    (Scope::Admin, "admin", &[]), // what it includes is all of them; see `Scopes::with`
];

impl Scope {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        SCOPES.iter().find(|(scope, _, _)| *scope == self).map_or("", |(_, word, _)| word)
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        SCOPES.iter().map(|(scope, _, _)| *scope)
    }

    fn bit(self) -> u16 {
        SCOPES.iter().position(|(scope, _, _)| *scope == self).map_or(0, |at| 1 << at)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; there are {known}", known = known())]
pub struct UnknownScope(String);

fn known() -> String {
    SCOPES.map(|(_, word, _)| word).join(", ")
}

impl FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = SCOPES.iter().find(|(_, word, _)| *word == text);
        found.map(|(scope, _, _)| *scope).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes, with all that they include.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Everything that the owner may do.
    pub const ALL: Self = Self((1 << SCOPES.len()) - 1);

    /// The set that these words name; [`Scopes::ALL`] when there are none.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownScope> {
        let mut scopes = Self(0);
        for word in words {
            scopes = scopes.with(word.parse()?);
        }
        Ok(if scopes.0 == 0 { Self::ALL } else { scopes })
    }

    fn with(self, scope: Scope) -> Self {
        if scope == Scope::Admin {
            return Self::ALL;
        }
        let included = SCOPES.iter().filter(|(found, _, _)| *found == scope);
        let included = included.flat_map(|(_, _, included)| included.iter());
        Self(included.fold(self.0 | scope.bit(), |bits, scope| bits | scope.bit()))
    }

    /// Whether the set has that scope.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether nothing is in this set that is not in the other: who has those may give these away.
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The words of all that is in it.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        SCOPES.iter().filter(move |(scope, _, _)| self.has(*scope)).map(|(_, word, _)| *word)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_includes_reading_and_nothing_else() {
        let scopes = Scopes::read(["sandbox:write"]).unwrap();
        assert_eq!(scopes.words().collect::<Vec<_>>(), ["sandbox:read", "sandbox:write"]);
        assert!(!Scopes::read(["sandbox:read"]).unwrap().has(Scope::SandboxWrite));
        assert_eq!(Scopes::read(["audit:read", "admin"]), Ok(Scopes::ALL));
        assert_eq!(Scopes::read([]), Ok(Scopes::ALL));
        assert!(Scope::all().all(|scope| Scopes::ALL.has(scope)));
    }

    #[test]
    fn words_are_read_as_they_are_printed() {
        for scope in Scope::all() {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            let alone = Scopes::read([scope.as_str()]).unwrap();
            assert!(alone.has(scope) && alone.is_within(Scopes::ALL), "{scope}");
            assert_eq!(Scopes::ALL.is_within(alone), scope == Scope::Admin, "{scope}");
        }
        let error = Scopes::read(["sandbox:*"]).unwrap_err().to_string();
        assert!(error.contains("\"sandbox:*\"") && error.contains("sandbox:read"), "{error}");
    }
}
