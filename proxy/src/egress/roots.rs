//! Authorities that servers may be vouched for by: those of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
//!
//! Invariant: what somebody has named is there and is read when the proxy starts, or it does not start; what becomes of the
//! files later changes nothing.

use std::{
    env,
    path::{Path, PathBuf},
};

use rustls::pki_types::CertificateDer;
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";

/// Where the authorities are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities {
    /// The file that is read instead of those of the system.
    pub file: Option<PathBuf>,
    /// The folders that are read instead of those of the system.
    pub folders: Vec<PathBuf>,
}

impl Authorities {
    /// Those that the environment names; without any, those of the system.
    pub fn of_environment() -> Self {
        let folders = env::var_os(FOLDERS).unwrap_or_default();
        let folders = env::split_paths(&folders).filter(|path| !path.as_os_str().is_empty());
        Self { file: env::var_os(FILE).map(PathBuf::from), folders: folders.collect() }
    }

    /// Whether somebody has named any.
    pub(super) fn are_named(&self) -> bool {
        self.file.is_some() || !self.folders.is_empty()
    }

    /// All of them; none where the system has none.
    ///
    /// # Errors
    /// When one that was named cannot be read, or holds no certificate.
    pub(super) fn read(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        if !self.are_named() {
            let found = load_native_certs();
            for error in &found.errors {
                tracing::warn!(error = %error, "certificate authorities of the system cannot be read");
            }
            return Ok(found.certs);
        }
        let mut all = Vec::new();
        if let Some(file) = &self.file {
            all.extend(named(FILE, file, load_certs_from_paths(Some(file), None))?);
        }
        for folder in &self.folders {
            all.extend(named(FOLDERS, folder, load_certs_from_paths(None, Some(folder)))?);
        }
        Ok(all)
    }
}

fn named(
    by: &str,
    path: &Path,
    found: CertificateResult,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = path.display();
    match found.errors.first() {
        Some(error) => Err(format!("{by} names {path}: {error}")),
        None if found.certs.is_empty() => {
            Err(format!("{by} names {path}, which holds no certificate in PEM format"))
        }
        None => Ok(found.certs),
    }
}
