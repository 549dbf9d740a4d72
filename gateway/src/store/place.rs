//! Where the state is kept, as operators write it.

use std::{fmt, path::PathBuf, str::FromStr};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::AnyConnectOptions;
use thiserror::Error;

/// Where the state is kept: `sqlite:PATH` or `postgres://…`. Neither `Debug` nor `Display` prints a password.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A database server.
    Postgres(DatabaseUrl),
}

/// The URL of a database, which may hold a password. Nothing of it is printed.
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

/// Why a text is no place. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// Neither form.
    #[error("a place is written as `sqlite:PATH` or `postgres://USER@HOST/DATABASE`")]
    Unknown,
    /// The file is named by no path, or is not kept.
    #[error("`sqlite:` needs the path of a file, without parameters")]
    Path,
    /// The URL is none.
    #[error("that is no URL of a Postgres database")]
    Url,
    /// A parameter that means nothing; a misspelled one might be a password.
    #[error("parameter {0} of the Postgres URL is not known")]
    Parameter(usize),
}

/// What a Postgres URL may say behind its question mark.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_file = !path.is_empty() && !path.starts_with(':') && !path.contains('?');
            return is_file.then(|| Self::Sqlite(path.into())).ok_or(PlaceError::Path);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return DatabaseUrl::new(text).map(Self::Postgres);
        }
        Err(PlaceError::Unknown)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres"),
        }
    }
}

impl DatabaseUrl {
    fn new(text: &str) -> Result<Self, PlaceError> {
        let (_, parameters) = text.split_once('?').unwrap_or((text, ""));
        let names = parameters.split('&').filter(|pair| !pair.is_empty());
        for (index, pair) in names.enumerate() {
            let name = pair.split('=').next().unwrap_or(pair);
            if !PARAMETERS.contains(&name) {
                return Err(PlaceError::Parameter(index + 1));
            }
        }
        text.parse::<AnyConnectOptions>().map_err(|_| PlaceError::Url)?;
        Ok(Self(SecretString::from(text.to_owned())))
    }

    /// How to connect. The options hold the password: they stay with the pool and are never printed.
    pub(super) fn options(&self) -> Result<AnyConnectOptions, PlaceError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the connection needs what stands in the URL"
        )]
        let text = self.0.expose_secret();
        text.parse().map_err(|_| PlaceError::Url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_are_read() {
        for text in ["sqlite:/var/x.db", "sqlite:///var/x.db"] {
            let place = text.parse::<Place>().unwrap();
            assert_eq!(place.to_string(), "sqlite:/var/x.db");
        }
        assert!(
            matches!("sqlite:x.db".parse(), Ok(Place::Sqlite(path)) if path.as_os_str() == "x.db")
        );
        for text in ["postgres://u@h/d", "postgresql://u:p@h:5/d?sslmode=verify-full"] {
            assert!(matches!(text.parse(), Ok(Place::Postgres(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_it() {
        for (text, error) in [
            ("mysql://u:hunter2@h/d", PlaceError::Unknown),
            ("/var/x.db", PlaceError::Unknown),
            ("sqlite:", PlaceError::Path),
            ("sqlite::memory:", PlaceError::Path),
            ("sqlite:x.db?mode=memory", PlaceError::Path),
            ("postgres://h:port/d", PlaceError::Url),
            ("postgres://h/d?user=u&passwrod=hunter2", PlaceError::Parameter(2)),
        ] {
            assert_eq!(text.parse::<Place>().unwrap_err(), error, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn no_password_is_printed() {
        let place: Place = "postgres://u:hunter2@h/d?password=hunter2".parse().unwrap();
        assert!(!format!("{place:?} {place}").contains("hunter2"));
    }
}
