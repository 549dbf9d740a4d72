//! How things may be called.

use sandbox::{providers, state};

/// What a name of a sandbox has to be.
pub(crate) const SANDBOX: &str =
    "has to be lower-case letters, digits and hyphens between them, at most 63";
/// What a name of a workspace has to be.
pub(crate) const WORKSPACE: &str = SANDBOX;
/// What a name of a provider has to be.
pub(crate) const PROVIDER: &str =
    "has to be letters, digits, -, _ and ., the first one no punctuation, at most 63";
/// What a name of a user has to be.
pub(crate) const USER: &str =
    "has to be letters, digits, -, _, . and @, the first one no punctuation, at most 63";

/// Whether a sandbox may be called that.
pub(crate) fn is_sandbox(name: &str) -> bool {
    state::is_name(name)
}

/// Whether a workspace may be called that.
pub(crate) fn is_workspace(name: &str) -> bool {
    state::is_name(name)
}

/// Whether a provider may be called that.
pub(crate) fn is_provider(name: &str) -> bool {
    providers::is_name(name)
}

/// Whether a user may be called that.
pub(crate) fn is_user(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
}
