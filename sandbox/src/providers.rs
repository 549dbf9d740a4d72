//! Providers: services with their credentials, as this user keeps them, and what a sandbox with one of them may do.
//!
//! A file each, `providers/NAME.json` below the home, in clear: readable by its owner alone, and out of reach of every
//! sandbox. Below: types (`kind`), secrets (`value`). Not here: putting a secret into a request (`proxy`).
//!
//! Invariant: a secret belongs to the places of its own credential, not to everything its provider has.

mod kind;
mod value;

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use domain::{ApiKey, Destination};
use policy::{HostPattern, PolicyFile, inference, model::Block};
use proxy::egress::credentials::{Credentials, OwnEndpoint, Provider as Owner, Secret};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::{
    kind::{ALL, Credential, Kind, ModelApi, Place, Profile, UnknownKind},
    value::Value,
};
use crate::{control::Failed, state::Home};

/// The largest record that is read, bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The entry of the configuration that says where the service is, instead of the type's own places.
pub const ENDPOINT: &str = "endpoint";
/// The entry that says which addresses of an internal network it may have there, as in a policy.
pub const ALLOWED_IPS: &str = "allowed_ips";
/// What begins the key of a block that a provider brings into a policy.
const BLOCK: &str = "provider-";

/// A service with its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name, as `credential_binding.provider` of a policy says it.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its secrets by the names of their variables.
    pub credentials: BTreeMap<String, Value>,
    /// What else is known of it; no secrets.
    pub config: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// The providers of one user.
#[derive(Clone, Debug)]
pub struct Providers(PathBuf);

/// Whether a provider may be called that: letters, digits, `-`, `_` and `.`, the first one no punctuation, at most 63.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
}

impl Providers {
    /// Those of this home.
    pub fn of(home: &Home) -> Self {
        Self(home.path().join("providers"))
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// The first one that cannot be read.
    pub fn all(&self) -> io::Result<Vec<Provider>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|name| name.strip_suffix(".json"));
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        names.sort_unstable();
        names.iter().filter_map(|name| self.get(name).transpose()).collect()
    }

    /// The one of that name, which must be one that [`is_name`] takes.
    ///
    /// # Errors
    /// When it is damaged, or can be read by others.
    pub fn get(&self, name: &str) -> io::Result<Option<Provider>> {
        let path = self.path(name);
        let known = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let wrong = |what: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} {what}", path.display()))
        };
        if known.mode() & 0o077 != 0 {
            return Err(wrong("can be read by others; run `chmod 600` on it".to_owned()));
        }
        if known.len() > FILE_BYTES_MAX {
            return Err(wrong("is too large".to_owned()));
        }
        // What the reader says of a fault could repeat a value.
        let provider: Provider = serde_json::from_slice(&fs::read(&path)?)
            .map_err(|error| wrong(format!("is damaged at line {}", error.line())))?;
        Ok(Some(provider))
    }

    /// Keeps a new one.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one of that name.
    pub fn create(&self, provider: &Provider) -> io::Result<()> {
        self.put(provider, RenameFlags::NOREPLACE)
    }

    /// Keeps a changed one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, provider: &Provider) -> io::Result<()> {
        self.put(provider, RenameFlags::empty())
    }

    /// Forgets one; false when there was none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    fn put(&self, provider: &Provider, how: RenameFlags) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let beside = beside(&self.path(&provider.name), &serde_json::to_vec_pretty(provider)?)?;
        let put = renameat_with(CWD, &beside, CWD, self.path(&provider.name), how);
        if put.is_err() {
            // What is left behind has another name than any provider.
            fs::remove_file(beside).ok();
        }
        Ok(put?)
    }
}

/// Writes bytes for their owner alone into a file beside `path`.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    Ok(beside)
}

impl Provider {
    /// Writes its preferred credential, and nothing else, to a file for its owner alone, for the router to read. False when it
    /// has none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_key(&self, path: &Path) -> io::Result<bool> {
        let Some(value) = self.preferred() else { return Ok(false) };
        fs::rename(beside(path, value.bytes())?, path)?;
        Ok(true)
    }

    /// Its preferred credential, for the router alone; `None` when it has none that a model API takes.
    pub fn model_key(&self) -> Option<ApiKey> {
        let value = self.preferred()?;
        std::str::from_utf8(value.bytes()).ok().and_then(ApiKey::new)
    }

    fn preferred(&self) -> Option<&Value> {
        let preferred = self.kind.variables().find_map(|key| self.credentials.get(key));
        preferred.or_else(|| self.credentials.values().next())
    }

    /// Where its model API is, as its configuration says it.
    pub fn base_url(&self) -> Option<&str> {
        let key = self.kind.profile().model.map(|model| model.base_url_key);
        let keys = ["base_url"].into_iter().chain(key);
        keys.into_iter().find_map(|key| self.config.get(key)).map(String::as_str)
    }

    /// Where its service is by its configuration, instead of the places of its type.
    fn elsewhere(&self) -> Result<Vec<Destination>, Failed> {
        let wrong = |text: &str, why: String| {
            let name = &self.name;
            Failed::new(
                format!("the endpoint {text:?} of provider {name} cannot be used: {why}"),
                "write it as host:port; several with commas between them",
            )
        };
        if let Some(listed) = self.config.get(ENDPOINT) {
            let read = |text: &str| text.trim().parse::<Destination>();
            let all = listed.split(',').map(|one| read(one).map_err(|e| wrong(one, e.to_string())));
            return all.collect();
        }
        let Some(url) = self.base_url() else { return Ok(Vec::new()) };
        let (rest, usual) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (rest, 443),
            (_, Some(rest)) => (rest, 80),
            _ => return Err(wrong(url, "a base URL begins with http:// or https://".to_owned())),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let whole = authority.parse::<Destination>();
        let read = whole.or_else(|_| format!("{authority}:{usual}").parse());
        read.map(|to| vec![to]).map_err(|error| wrong(url, error.to_string()))
    }

    /// Its secrets with the places that each of them belongs to.
    fn owners(&self) -> Result<Vec<Owner>, Failed> {
        let elsewhere = self.elsewhere()?;
        let known = self.kind.profile().credentials;
        let all = || known.iter().flat_map(|credential| credential.places);
        let mut owners: Vec<Owner> = Vec::new();
        for (key, value) in &self.credentials {
            let own = known.iter().find(|one| one.variables.contains(&key.as_str()));
            let endpoints = match own {
                _ if !elsewhere.is_empty() => elsewhere.iter().map(exact).collect(),
                Some(own) => own.places.iter().filter_map(pattern).collect(),
                None => all().filter_map(pattern).collect(),
            };
            let secret: Secret = value.secret().map_err(|error| {
                Failed::new(format!("{key} of provider {} cannot be used: {error}", self.name), "")
            })?;
            owners.push(Owner {
                name: self.name.clone(),
                secrets: vec![(key.clone(), secret)],
                endpoints,
            });
        }
        if owners.is_empty() {
            // A policy may name it all the same.
            owners.push(Owner {
                name: self.name.clone(),
                secrets: Vec::new(),
                endpoints: Vec::new(),
            });
        }
        Ok(owners)
    }

    /// The block that it brings into the policy of a sandbox; none where it opens nothing. Model APIs stay closed: calls of
    /// models go to the router.
    fn block(&self) -> Result<Option<(String, Block)>, Failed> {
        if !self.kind.profile().opens {
            return Ok(None);
        }
        let elsewhere = self.elsewhere()?;
        let listed = self.config.get(ALLOWED_IPS).map(String::as_str).unwrap_or_default();
        let listed = listed.split(',').map(str::trim).filter(|one| !one.is_empty());
        let addresses: Vec<&str> = listed.collect();
        let mut endpoints = Vec::new();
        if self.kind.profile().model.is_none() {
            let place = |to: &Destination| {
                endpoint((&to.host.to_string(), to.port()), ("rest", "full"), &addresses)
            };
            endpoints.extend(elsewhere.iter().map(place));
        }
        if elsewhere.is_empty() {
            for credential in self.kind.profile().credentials {
                let has = |key: &&str| self.credentials.contains_key(*key);
                if !credential.variables.is_empty() && !credential.variables.iter().any(has) {
                    continue;
                }
                for place in credential.places.iter().filter(|place| !is_model_api(place)) {
                    let how = (place.protocol, place.access);
                    endpoints.push(endpoint((place.host, place.port), how, &[]));
                }
            }
        }
        if endpoints.is_empty() {
            return Ok(None);
        }
        let key = format!("{BLOCK}{}", self.name);
        let text = json!({
            "version": 1,
            "network_policies": {
                key.as_str(): {"name": key, "endpoints": endpoints, "binaries": [{"path": "/**"}]}
            },
        });
        // One reader checks everything that a policy holds; this is no exception.
        let (policy, _) = PolicyFile::parse(&text.to_string()).map_err(|faults| {
            let why = faults.first().map(ToString::to_string).unwrap_or_default();
            Failed::new(format!("provider {} has no sound endpoints: {why}", self.name), "")
        })?;
        Ok(policy.network.into_iter().next())
    }
}

/// An endpoint of a policy whose requests are held to what is allowed.
fn endpoint(
    (host, port): (&str, u16),
    (protocol, access): (&str, &str),
    allowed_ips: &[&str],
) -> serde_json::Value {
    json!({
        "host": host, "port": port, "protocol": protocol, "access": access, "enforcement": "enforce",
        "allowed_ips": allowed_ips,
    })
}

fn is_model_api(place: &Place) -> bool {
    place.host.parse().is_ok_and(|host| inference::is_model_api_host(&host))
}

fn exact(to: &Destination) -> OwnEndpoint {
    OwnEndpoint { host: HostPattern::Exact(to.host.clone()), ports: vec![to.port()] }
}

fn pattern(place: &Place) -> Option<OwnEndpoint> {
    // A test holds that every place has one.
    let host = place.host.parse().ok()?;
    Some(OwnEndpoint { host, ports: vec![place.port] })
}

/// What a sandbox has of its providers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supplied {
    /// Their names.
    pub(crate) names: Vec<String>,
    /// Their secrets, bound to where they belong.
    pub(crate) credentials: Credentials,
    blocks: BTreeMap<String, Block>,
}

impl Supplied {
    /// What these providers bring along.
    ///
    /// # Errors
    /// What is wrong with one of them, or with two together.
    pub(crate) fn new(providers: &[Provider]) -> Result<Self, Failed> {
        let mut owners = Vec::new();
        let mut blocks = BTreeMap::new();
        for provider in providers {
            owners.extend(provider.owners()?);
            blocks.extend(provider.block()?);
        }
        let credentials = Credentials::new(owners)
            .map_err(|error| Failed::new(error.to_string(), "attach only one of them"))?;
        let names = providers.iter().map(|provider| provider.name.clone()).collect();
        Ok(Self { names, credentials, blocks })
    }

    /// The policy with what the providers open. What it says itself stands.
    pub(crate) fn opened(&self, policy: &PolicyFile) -> PolicyFile {
        let mut policy = policy.clone();
        for (key, block) in &self.blocks {
            policy.network.entry(key.clone()).or_insert_with(|| block.clone());
        }
        policy
    }
}

/// Checks that these providers can be used in one sandbox.
///
/// # Errors
/// What is wrong with one of them, or with two together.
pub fn check(providers: &[Provider]) -> Result<(), Failed> {
    Supplied::new(providers).map(drop)
}

#[cfg(test)]
mod tests;
