//! Callers: users with their roles, sandboxes, and those that say nothing.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use api::user::Role;
use uuid::Uuid;

use crate::auth::{revoked::Serial, scope::Scopes};

/// Longest name of a user or a workspace, bytes.
const NAME_BYTES_MAX: usize = 63;

/// Why a text is no name of a user or a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than 63 bytes.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes")]
    Length,
    /// A character that would mean something in a certificate, a path or a log.
    #[error("{0:?} cannot stand there in a name")]
    Character(char),
}

/// The name of a user: letters, digits, `-`, `_`, `.` and `@`, beginning with a letter or digit; 1 to 63 bytes.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

/// The name of a workspace: `a-z`, `0-9` and `-`, beginning with a letter or digit; 1 to 63 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workspace(Arc<str>);

fn check(text: &str, inner: impl Fn(char) -> bool) -> Result<Arc<str>, NameError> {
    if !(1..=NAME_BYTES_MAX).contains(&text.len()) {
        return Err(NameError::Length);
    }
    let bad = |(at, c): &(usize, char)| !inner(*c) || *at == 0 && !c.is_ascii_alphanumeric();
    match text.char_indices().find(bad) {
        Some((_, c)) => Err(NameError::Character(c)),
        None => Ok(text.into()),
    }
}

impl FromStr for UserName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        check(text, inner).map(Self)
    }
}

impl FromStr for Workspace {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '-')).map(Self)
    }
}

impl UserName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Workspace {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Workspace {
    /// The workspace of whoever names none: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The roles of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// In every workspace, and for what belongs to none. `None` when only in those below.
    pub everywhere: Option<Role>,
    /// In single workspaces.
    pub workspaces: BTreeMap<Workspace, Role>,
}

impl Grants {
    /// This role everywhere.
    pub fn everywhere(role: Role) -> Self {
        Self { everywhere: Some(role), workspaces: BTreeMap::new() }
    }

    /// The role in a workspace: the higher of that one and that of everywhere.
    pub fn role_in(&self, workspace: &Workspace) -> Option<Role> {
        self.everywhere.max(self.workspaces.get(workspace).copied())
    }
}

/// How a user proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A process of the gateway's own user, over its Unix socket.
    Local,
    /// A client certificate of our authority.
    Certificate(Serial),
    /// A bearer token.
    Token(Uuid),
    /// A token of the OIDC issuer.
    Oidc,
}

impl How {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Certificate(_) => "certificate",
            Self::Token(_) => "token",
            Self::Oidc => "oidc",
        }
    }
}

/// A user that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: UserName,
    /// Its roles, as they are now.
    pub grants: Grants,
    /// How it proved that.
    pub how: How,
    /// What that proof is for; every scope but for tokens.
    pub scopes: Scopes,
    /// When that proof ends for good, seconds since 1970; `None` for one that can be renewed by itself.
    pub expires: Option<u64>,
}

/// A sandbox, by the token that its supervisor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// What tells it from every other, also from one of the same name.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A user.
    User(User),
    /// The supervisor of a sandbox.
    Sandbox(Sandbox),
    /// Somebody who brought no proof.
    Anonymous,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_elsewhere_are_refused() {
        for good in ["a", "Alice", "alice@example.com", "0x", "a.b-c_d"] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".", "a/b", "a b", "a:b", "a\n", "ä", "a%2f", &"x".repeat(64)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
        for bad in ["", "A", "a.b", "-", "a/b", "a_b", &"x".repeat(64)] {
            assert!(bad.parse::<Workspace>().is_err(), "{bad:?}");
        }
        assert_eq!("default".parse(), Ok(Workspace::default()));
    }

    #[test]
    fn the_higher_role_counts_and_only_where_it_was_given() {
        let (red, blue) = ("red".parse().unwrap(), "blue".parse().unwrap());
        let grants = |everywhere, role| Grants {
            everywhere,
            workspaces: BTreeMap::from([("red".parse().unwrap(), role)]),
        };
        let cases = [
            (grants(None, Role::Operator), Some(Role::Operator), None),
            (grants(Some(Role::Viewer), Role::Admin), Some(Role::Admin), Some(Role::Viewer)),
            (grants(Some(Role::Admin), Role::Viewer), Some(Role::Admin), Some(Role::Admin)),
            (Grants::default(), None, None),
        ];
        for (grants, in_red, in_blue) in cases {
            assert_eq!(grants.role_in(&red), in_red, "{grants:?}");
            assert_eq!(grants.role_in(&blue), in_blue, "{grants:?}");
        }
    }
}
