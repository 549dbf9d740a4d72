//! Providers: services with their credentials, whose secrets are kept apart, sealed, and opened for supervisors alone.

use std::collections::BTreeMap;

use api::{problem::Fault, secret::Secret};
use sandbox::providers::{self, Kind, Provider, Value};

use crate::{
    lifecycle::written,
    records::ProviderRecord,
    store::{Owner, Store, StoreError, Stored},
};

/// The most credentials of one provider.
const CREDENTIALS_MAX: usize = 32;
/// The most entries of one provider's configuration.
const CONFIG_MAX: usize = 64;
/// The longest entry of a configuration, bytes.
const CONFIG_BYTES_MAX: usize = 8192;

/// What a provider is to its secrets in the store.
pub(crate) const OWNER: &str = "provider";

/// The variable that two of these providers name: a sandbox could not tell whose it is.
pub(crate) fn clash<'a>(
    providers: impl IntoIterator<Item = (&'a str, &'a [String])>,
) -> Option<String> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (provider, keys) in providers {
        for key in keys {
            if let Some(other) = names.insert(key, provider).filter(|other| *other != provider) {
                return Some(format!("{key} is of provider {other} and of provider {provider}"));
            }
        }
    }
    None
}

/// The provider of that name.
pub(crate) async fn find(
    store: &Store,
    workspace: &str,
    name: &str,
) -> Result<Option<Stored<ProviderRecord>>, StoreError> {
    store.find::<ProviderRecord>(workspace, name).await
}

/// Providers with their secrets, as a supervisor takes them.
///
/// # Errors
/// One that is gone, or cannot be opened; for people, without any secret.
pub(crate) async fn open(
    store: &Store,
    workspace: &str,
    names: &[String],
) -> Result<Vec<Provider>, String> {
    let mut opened = Vec::new();
    for name in names {
        let found = find(store, workspace, name).await.map_err(written)?;
        let stored = found.ok_or_else(|| format!("there is no provider {name}"))?;
        let mut credentials = BTreeMap::new();
        let secrets = store
            .secrets(Owner { kind: OWNER, id: &stored.id.to_string() })
            .await
            .map_err(written)?;
        for (key, secret) in secrets {
            let value = Value::from_secret(secret)
                .map_err(|error| format!("{key} of provider {name} cannot be used: {error}"))?;
            credentials.insert(key, value);
        }
        if let Some(missing) = stored.body.keys.iter().find(|key| !credentials.contains_key(*key)) {
            return Err(format!("provider {name} has no secret {missing}"));
        }
        opened.push(Provider {
            name: name.clone(),
            kind: stored.body.kind.parse::<Kind>().map_err(written)?,
            credentials,
            config: stored.body.config.clone(),
            created: u64::try_from(stored.created_ms / 1000).unwrap_or_default(),
        });
    }
    Ok(opened)
}

/// What is wrong with a provider as it is to be kept: with its type, its keys, its configuration, or with how they fit together.
/// Secrets are only looked at.
pub(crate) fn faults(
    (name, kind): (&str, &str),
    credentials: &BTreeMap<String, Secret>,
    config: &BTreeMap<String, String>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let kind = kind.parse::<Kind>().map_err(|error| Fault::new("/type", error.to_string()));
    if credentials.len() > CREDENTIALS_MAX {
        faults.push(Fault::new("/credentials", format!("has more than {CREDENTIALS_MAX} entries")));
    }
    if config.len() > CONFIG_MAX {
        faults.push(Fault::new("/config", format!("has more than {CONFIG_MAX} entries")));
    }
    let mut values = BTreeMap::new();
    for (key, secret) in credentials {
        let place = format!("/credentials/{key}");
        if !is_variable(key) {
            let detail = "has to be named as an environment variable: letters, digits and _";
            faults.push(Fault::new(place, detail));
            continue;
        }
        match Value::from_secret(secret.clone().into_inner()) {
            Ok(value) => drop(values.insert(key.clone(), value)),
            Err(error) => faults.push(Fault::new(place, error.to_string())),
        }
    }
    for (key, value) in config {
        if value.len() > CONFIG_BYTES_MAX || value.chars().any(char::is_control) {
            let detail = format!("has to be at most {CONFIG_BYTES_MAX} bytes in one line");
            faults.push(Fault::new(format!("/config/{key}"), detail));
        }
    }
    match kind {
        Err(fault) => faults.push(fault),
        // The whole is looked at when its parts are sound.
        Ok(_) if !faults.is_empty() => {}
        Ok(kind) => {
            let config = config.clone();
            let whole =
                Provider { name: name.to_owned(), kind, credentials: values, config, created: 0 };
            if let Err(failed) = providers::check(&[whole]) {
                faults.push(Fault::new("/config", failed.message));
            }
        }
    }
    faults
}

fn is_variable(key: &str) -> bool {
    key.len() <= 256
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
