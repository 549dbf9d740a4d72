//! Reads the credentials of backends and turns them into headers. The only place that sees a plaintext credential.
//!
//! Invariants: no credential is logged, printed or compared with what a caller sent; a value that leaves this file is
//! a header marked as sensitive, or a [`Needle`] that can only be searched for.

use std::{fmt, path::Path, sync::Arc};

use backends::{configuration::CredentialSource, provider::Placement};
use domain::ApiKey;
use http::{HeaderName, HeaderValue, header};
use secrecy::ExposeSecret;

use crate::mask::Needle;

/// Largest file that is read as a credential, bytes. Service account files have about 2.5 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where credentials are read from: variables of the environment, or whatever a test puts in their place, and the records of
/// a gateway where there is one.
#[derive(Clone)]
pub struct Environment {
    variables: Arc<Lookup>,
    records: Option<Arc<Records>>,
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;
type Records = dyn Fn(&str) -> Option<ApiKey> + Send + Sync;

impl Environment {
    /// The environment of this process.
    pub fn process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "credentials are read when a snapshot is built"
        )]
        Self::new(|name| std::env::var(name).ok())
    }

    /// An environment in which `read` gives the value of a variable.
    pub fn new(read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { variables: Arc::new(read), records: None }
    }

    /// The same, with a gateway that keeps provider records: `read` gives the credential of one.
    #[must_use]
    pub fn with_records(
        self,
        read: impl Fn(&str) -> Option<ApiKey> + Send + Sync + 'static,
    ) -> Self {
        Self { records: Some(Arc::new(read)), ..self }
    }

    /// The value of a variable that is no credential.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.variables)(name)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

/// Why a backend has no credential although the file names one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("cannot read the credential file {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Empty, or with characters that cannot stand in a header.
    #[error("the credential from {0} is empty or holds characters that cannot stand in a header")]
    Unusable(String),
    /// Provider records are kept by a gateway, and there is none.
    #[error("the credential is the provider record {0}, and no gateway keeps records here")]
    Record(String),
    /// The gateway keeps no such record, or one without a credential.
    #[error("the gateway keeps no provider {0} with a credential")]
    Unkept(String),
}

/// A credential in the two forms in which it is used.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// The header that carries it, marked as sensitive.
    pub(crate) header: (HeaderName, HeaderValue),
    /// For finding it in answers.
    pub(crate) needle: Option<Needle>,
}

/// Reads a credential from where it is kept.
///
/// # Errors
/// When it is not there or is unusable.
pub(crate) fn read(
    source: &CredentialSource,
    environment: &Environment,
) -> Result<ApiKey, CredentialError> {
    match source {
        CredentialSource::Env(name) => {
            let text = (environment.variables)(name)
                .ok_or_else(|| CredentialError::Unset(name.clone()))?;
            ApiKey::new(&text).ok_or_else(|| CredentialError::Unusable(format!("${name}")))
        }
        CredentialSource::File(path) => {
            let text = read_file(Path::new(path))
                .map_err(|source| CredentialError::File { path: path.clone(), source })?;
            ApiKey::new(&text).ok_or_else(|| CredentialError::Unusable(path.clone()))
        }
        CredentialSource::Record(name) => match &environment.records {
            None => Err(CredentialError::Record(name.clone())),
            Some(read) => read(name).ok_or_else(|| CredentialError::Unkept(name.clone())),
        },
    }
}

/// The header that carries `key`, and the needle for it; `None` if nothing is sent.
pub(crate) fn place(key: &ApiKey, placement: &Placement) -> Option<Credential> {
    #[expect(clippy::disallowed_methods, reason = "the one exposure of the data plane")]
    let secret = key.secret().expose_secret();
    let (name, text) = match placement {
        Placement::Bearer => (header::AUTHORIZATION, format!("Bearer {secret}")),
        Placement::Header(name) => {
            (HeaderName::from_bytes(name.as_bytes()).ok()?, secret.to_owned())
        }
        Placement::None => return None,
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(Credential { header: (name, value), needle: Needle::new(secret.as_bytes()) })
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > FILE_BYTES_MAX {
        return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_becomes_a_sensitive_header_and_a_needle() {
        let environment =
            Environment::new(|name| (name == "KEY").then(|| "sk-0123456789\n".into()));
        let key = read(&CredentialSource::Env("KEY".into()), &environment).unwrap();
        let credential = place(&key, &Placement::Bearer).unwrap();
        assert!(credential.header.1.is_sensitive());
        assert_eq!(credential.header.1.as_bytes(), b"Bearer sk-0123456789");
        assert!(credential.needle.as_ref().unwrap().is_in(b"<sk-0123456789>"));
        assert!(!format!("{credential:?}").contains("0123"));
    }

    #[test]
    fn what_is_missing_or_unusable_is_named_without_its_value() {
        let environment = Environment::new(|name| (name == "BAD").then(|| "a\r\nb-secret".into()));
        let of = |name: &str| read(&CredentialSource::Env(name.into()), &environment).unwrap_err();
        assert!(of("NONE").to_string().contains("NONE is not set"));
        assert!(!of("BAD").to_string().contains("secret"));
        let records = Environment::new(|_| None)
            .with_records(|name| (name == "one").then(|| ApiKey::new("sk-0123"))?);
        let record = |name: &str| read(&CredentialSource::Record(name.into()), &records);
        assert!(record("one").is_ok());
        assert!(record("two").unwrap_err().to_string().contains("no provider two"));
        let source = CredentialSource::File("/nonexistent/key".into());
        assert!(read(&source, &environment).unwrap_err().to_string().contains("/nonexistent/key"));
    }
}
