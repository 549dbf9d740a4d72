//! Hides values behind reversible placeholders. (The working version replaces this skeleton.)

/// The hidden values of one request.
#[derive(Debug, Default)]
pub struct Vault {}
