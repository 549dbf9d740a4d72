//! Names that are keys elsewhere: backends, models, tenants.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::limits::NAME_BYTES_MAX;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    Long,
    /// A character that would be ambiguous in headers, paths or logs.
    #[error("{0:?} cannot stand in a name")]
    Character(char),
}

/// The name of a backend in the router file: letters, digits, `-`, `_` and `.`, 1 to 128 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendName(Arc<str>);

/// A model as a backend calls it: visible ASCII without quotes or backslash, 1 to 128 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

/// Who is asking: a sandbox, or a caller known by a fingerprint of its credential. Cheap to clone.
///
/// State that could tell one caller about another (memos, taint, placeholders) is kept apart by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl BackendName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ModelName {
    /// The name as the backend expects it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tenant {
    /// A tenant with this key, which must not be a secret itself.
    pub fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The tenant that is a sandbox of this name.
    pub fn of_sandbox(name: &str) -> Self {
        Self(format!("{SANDBOX}{name}").into())
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the sandbox, if it is one.
    pub fn sandbox(&self) -> Option<&str> {
        self.0.strip_prefix(SANDBOX)
    }

    /// The workspace of the sandbox, where its name says one: `WORKSPACE/NAME`.
    pub fn workspace(&self) -> Option<&str> {
        self.sandbox()?.split_once('/').map(|(workspace, _)| workspace)
    }
}

/// What the keys of sandboxes begin with; no fingerprint does.
const SANDBOX: &str = "sandbox/";

fn check(text: &str, allowed: impl Fn(char) -> bool) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::Long);
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(bad) => Err(NameError::Character(bad)),
        None => Ok(text.into()),
    }
}

impl FromStr for BackendName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).map(Self)
    }
}

impl FromStr for ModelName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).map(Self)
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_ambiguous_are_refused() {
        assert_eq!("".parse::<BackendName>(), Err(NameError::Empty));
        assert_eq!("a/b".parse::<BackendName>(), Err(NameError::Character('/')));
        assert_eq!("a\"b".parse::<ModelName>(), Err(NameError::Character('"')));
        assert_eq!("x".repeat(129).parse::<ModelName>(), Err(NameError::Long));
        assert!("meta-llama/Llama-3.1:free@v1".parse::<ModelName>().is_ok());
    }
}
