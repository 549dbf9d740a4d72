//! A secret of a provider as its owner keeps it and gives it to a supervisor. The only file of this crate that opens one.
//!
//! Invariant: nothing prints it. It is written in clear to three places only, all of which belong to its owner: the
//! record of the provider, the file that the router reads, and the control line of a supervisor.

use std::fmt;

use proxy::egress::credentials::{Secret, SecretError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A secret. Zeroed on drop; `Debug` prints no byte of it.
#[derive(Clone)]
pub struct Value(SecretString);

impl Value {
    /// Takes over a text; line ends behind it are dropped.
    ///
    /// # Errors
    /// What could not stand in a header.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        Secret::new(text)?;
        Ok(Self(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())))
    }

    /// Takes over a secret that somebody else kept.
    ///
    /// # Errors
    /// As [`Value::new`].
    pub fn from_secret(secret: SecretString) -> Result<Self, SecretError> {
        let value = Self(secret);
        Secret::new(value.open())?;
        Ok(value)
    }

    /// The secret for whoever keeps it.
    pub fn into_inner(self) -> SecretString {
        self.0
    }

    /// The same for the egress proxy.
    ///
    /// # Errors
    /// None that [`Value::new`] has not found.
    pub(super) fn secret(&self) -> Result<Secret, SecretError> {
        Secret::new(self.open())
    }

    /// The bytes of a file that holds nothing else.
    pub(super) fn bytes(&self) -> &[u8] {
        self.open().as_bytes()
    }

    fn open(&self) -> &str {
        #[expect(
            clippy::disallowed_methods,
            reason = "into its owner's files and control line, and into the proxy's own type"
        )]
        self.0.expose_secret()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(…)")
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.open() == other.open()
    }
}

impl Eq for Value {}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.open())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Self(SecretString::from(String::deserialize(from)?));
        Secret::new(value.open()).map_err(de::Error::custom)?;
        Ok(value)
    }
}
