//! What is known of gateways: a folder each in the configuration of this user, and which of them is the active one.
//!
//! | file | what it is |
//! |---|---|
//! | `active_gateway` | the name of the active one |
//! | `gateways/NAME/metadata.json` | where it is |
//! | `gateways/NAME/mtls/{ca.crt,tls.crt,tls.key}` | who vouches for it, and what this user shows it |
//! | `gateways/NAME/last_sandbox` | the sandbox that was used last |
//! | `gateways/NAME/token` | the token of this user, instead |
//! | `gateways/NAME/{login.json,oidc-ca.crt}` | the login at the issuer of the gateway, instead |

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use api::{
    client::{Client, Place},
    gateway::{Login, OidcLogin},
    user::IssuedCertificate,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    oidc::{self, Session, Way},
    refused,
};
use crate::{args::gateway::GatewayAddArgs, commands::sandbox::block_on, failure::Failure};

/// So long a certificate is good enough for another start; it ends after 90 days.
const CERTIFICATE_YOUNG: Duration = Duration::from_hours(30 * 24);
/// The largest file of these that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What this user shows a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// A client certificate.
    #[default]
    Mtls,
    /// A token.
    Token,
    /// A login at the issuer of the gateway.
    Oidc,
}

impl Auth {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Token => "token",
            Self::Oidc => "oidc",
        }
    }
}

/// Where a gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) gateway_endpoint: String,
    /// Whether it runs elsewhere.
    pub(crate) is_remote: bool,
    /// What this user shows it.
    #[serde(default)]
    pub(crate) auth_mode: Auth,
    /// The folder of what it keeps, when it is one of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<PathBuf>,
    /// Where this user logs in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc: Option<OidcLogin>,
}

/// A gateway that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) metadata: Metadata,
}

/// All that is known.
#[derive(Clone, Debug)]
pub(crate) struct Registry(PathBuf);

impl Registry {
    /// That of this user.
    ///
    /// # Errors
    /// When nobody says where configuration is kept.
    pub(crate) fn open() -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(config) = variable("XDG_CONFIG_HOME").map(PathBuf::from)
            && config.is_absolute()
        {
            return Ok(Self(config.join("openshell")));
        }
        let home = variable("HOME").ok_or_else(|| {
            Failure::new("nobody says where configuration is kept").hint("set XDG_CONFIG_HOME")
        })?;
        Ok(Self(PathBuf::from(home).join(".config/openshell")))
    }

    /// Every gateway, by name. One whose file is damaged is left out, and told when it is asked for.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub(crate) fn all(&self) -> Result<Vec<Known>, Failure> {
        let entries = match fs::read_dir(self.0.join("gateways")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context("cannot read what is known of gateways")?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok().filter(|name| is_name(name)));
        }
        names.sort_unstable();
        Ok(names.iter().filter_map(|name| self.known(name).ok()).collect())
    }

    /// The gateway of that name.
    ///
    /// # Errors
    /// When there is none, or its file is damaged.
    pub(crate) fn known(&self, name: &str) -> Result<Known, Failure> {
        let unknown = || {
            Failure::new(format!("there is no gateway {name}"))
                .hint("`openshell gateway list` shows them all, `openshell gateway add` adds one")
        };
        if !is_name(name) {
            return Err(unknown());
        }
        let path = self.folder(name).join("metadata.json");
        let text = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let metadata = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Known { name: name.to_owned(), metadata })
    }

    /// The gateway of that name, or the active one.
    ///
    /// # Errors
    /// As [`Registry::known`], and when none is active.
    pub(crate) fn chosen(&self, name: Option<&str>) -> Result<Known, Failure> {
        match name {
            Some(name) => self.known(name),
            None => self.active()?.ok_or_else(|| {
                Failure::new("No active gateway.").hint(
                    "set one with `openshell gateway select NAME`, or start one with `openshell gateway start`",
                )
            }),
        }
    }

    /// The active gateway.
    ///
    /// # Errors
    /// When one is active that is not known any more.
    pub(crate) fn active(&self) -> Result<Option<Known>, Failure> {
        self.active_name()?.map(|name| self.known(&name)).transpose()
    }

    /// The name of the active gateway.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(crate) fn active_name(&self) -> Result<Option<String>, Failure> {
        match read(&self.0.join("active_gateway")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => {
                let name = other.context("cannot read which gateway is the active one")?;
                Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty()))
            }
        }
    }

    /// Makes a gateway the active one.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn select(&self, name: &str) -> Result<(), Failure> {
        write(&self.0.join("active_gateway"), format!("{name}\n").as_bytes())
    }

    /// Keeps where a gateway is.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn keep(&self, metadata: &Metadata) -> Result<(), Failure> {
        let path = self.folder(&metadata.name).join("metadata.json");
        write(&path, &serde_json::to_vec_pretty(metadata)?)
    }

    /// Keeps what a gateway has given this user.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn keep_certificate(
        &self,
        name: &str,
        issued: IssuedCertificate,
    ) -> Result<(), Failure> {
        let folder = self.folder(name).join("mtls");
        write(&folder.join("ca.crt"), issued.ca_pem.as_bytes())?;
        let key = issued.key_pem.into_inner();
        keep_secret(&folder.join("tls.key"), &key)?;
        write(&folder.join("tls.crt"), issued.certificate_pem.as_bytes())
    }

    /// Whether this user has a certificate for the gateway with that authority, and not since long.
    pub(super) fn has_certificate(&self, name: &str, ca: &Path) -> bool {
        let folder = self.folder(name).join("mtls");
        let is_its =
            read(ca).is_ok_and(|ca| read(&folder.join("ca.crt")).is_ok_and(|known| known == ca));
        let made = fs::metadata(folder.join("tls.crt")).and_then(|found| found.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        is_its && folder.join("tls.key").exists() && age.is_some_and(|age| age < CERTIFICATE_YOUNG)
    }

    /// Registers a gateway that runs elsewhere.
    ///
    /// # Errors
    /// An address or a name that is none, a name that is taken, files that cannot be read.
    pub(crate) fn add(&self, args: GatewayAddArgs) -> Result<Known, Failure> {
        let endpoint = args.endpoint.trim_end_matches('/').to_owned();
        let host = endpoint.strip_prefix("https://").and_then(|rest| rest.split(['/', ':']).next());
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return Err(Failure::usage(format!("{endpoint:?} is no address of a gateway"))
                .hint("write it as https://HOST:PORT"));
        };
        let name = args.name.unwrap_or_else(|| host.to_owned());
        if !is_name(&name) {
            return Err(Failure::usage(format!("a gateway cannot be called {name:?}"))
                .hint("letters, digits, -, _ and ., at most 63; choose one with --name"));
        }
        if self.folder(&name).exists() {
            return Err(Failure::new(format!("gateway {name} exists already"))
                .hint("choose another --name, or remove it with `openshell gateway destroy`"));
        }
        let auth_mode = match (&args.cert, &args.token_file) {
            _ if args.oidc => Auth::Oidc,
            (None, Some(_)) => Auth::Token,
            (Some(_), _) => Auth::Mtls,
            (None, None) => {
                return Err(Failure::usage("nothing says who you are to that gateway")
                    .hint("give --cert and --key, --token-file, or --oidc"));
            }
        };
        let text =
            |path: &Path| read(path).with_context(|| format!("cannot read {}", path.display()));
        // Everything is read before anything is written.
        let ca = args.ca.as_deref().map(text).transpose()?;
        let certificate = args.cert.as_deref().map(text).transpose()?;
        let key = args.key.as_deref().map(text).transpose()?.map(SecretString::from);
        let token = args.token_file.as_deref().map(token).transpose()?;
        let oidc_ca = args.oidc_ca.as_deref().map(text).transpose()?;
        let oidc = if args.oidc {
            let said = ask_login(&endpoint, ca.clone())?;
            Some(oidc_login(said, args.oidc_issuer, args.oidc_client_id)?)
        } else {
            None
        };
        let folder = self.folder(&name);
        if let Some(ca) = ca {
            write(&folder.join("mtls/ca.crt"), ca.as_bytes())?;
        }
        if let Some((certificate, key)) = certificate.zip(key) {
            write(&folder.join("mtls/tls.crt"), certificate.as_bytes())?;
            keep_secret(&folder.join("mtls/tls.key"), &key)?;
        }
        if let Some(token) = token {
            keep_secret(&folder.join("token"), &token)?;
        }
        if let Some(ca) = oidc_ca {
            write(&folder.join("oidc-ca.crt"), ca.as_bytes())?;
        }
        let metadata = Metadata {
            name: name.clone(),
            gateway_endpoint: endpoint,
            is_remote: true,
            auth_mode,
            state: None,
            oidc,
        };
        self.keep(&metadata)?;
        Ok(Known { name, metadata })
    }

    /// Forgets a gateway; whether it was known.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn forget(&self, name: &str) -> Result<bool, Failure> {
        if self.active_name()?.as_deref() == Some(name) {
            fs::remove_file(self.0.join("active_gateway")).context("cannot forget the gateway")?;
        }
        match fs::remove_dir_all(self.folder(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => Ok(other.map(|()| true).context("cannot forget the gateway")?),
        }
    }

    /// A client for a gateway: over its socket where it is one of this user, else with what this user has for it.
    ///
    /// # Errors
    /// When that cannot be read or used.
    pub(crate) fn client(&self, known: &Known) -> Result<Client, Failure> {
        let folder = self.folder(&known.name);
        let text = |name: &str| match read(&folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other
                .map(Some)
                .with_context(|| format!("cannot read {}", folder.join(name).display())),
        };
        let place = if let Some(state) = &known.metadata.state {
            Place::Unix(state.join(gateway::run::SOCKET))
        } else {
            let key = text("mtls/tls.key")?.map(SecretString::from);
            let token = match &known.metadata.oidc {
                Some(login) => Some(self.session(&known.name, login)?.token().clone()),
                None => text("token")?.map(|token| SecretString::from(token.trim().to_owned())),
            };
            Place::Https {
                url: known.metadata.gateway_endpoint.clone(),
                ca_pem: text("mtls/ca.crt")?,
                certificate: text("mtls/tls.crt")?.zip(key),
                token,
            }
        };
        Client::new(place).map_err(refused)
    }

    /// Logs in at the issuer of a gateway; whether that can be renewed without anybody.
    ///
    /// # Errors
    /// Why nobody is logged in.
    pub(super) fn log_in(&self, known: &Known, way: Way) -> Result<bool, Failure> {
        let Some(login) = known.metadata.oidc.clone() else {
            return Err(Failure::new(format!("gateway {} names no issuer", known.name)));
        };
        let ca = self.oidc_ca(&known.name)?;
        let session = block_on(oidc::login(login, ca.as_deref(), way))?;
        session.keep(&self.folder(&known.name).join("login.json"))?;
        Ok(session.is_renewable())
    }

    fn session(&self, name: &str, login: &OidcLogin) -> Result<Session, Failure> {
        let (ca, path) = (self.oidc_ca(name)?, self.folder(name).join("login.json"));
        // On a thread of its own: whoever wants a client may be within a runtime.
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| block_on(oidc::fresh(&path, login, ca.as_deref())));
            asked.join().map_err(|_| Failure::new("the login cannot be renewed"))?
        })
    }

    fn oidc_ca(&self, name: &str) -> Result<Option<String>, Failure> {
        let path = self.folder(name).join("oidc-ca.crt");
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => {
                Ok(other.map(Some).with_context(|| format!("cannot read {}", path.display()))?)
            }
        }
    }

    /// The folder of what is known of a gateway.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.join("gateways").join(name)
    }
}

/// What a gateway says of how to log in.
fn ask_login(endpoint: &str, ca_pem: Option<String>) -> Result<Login, Failure> {
    let url = endpoint.to_owned();
    let client = Client::new(Place::Https { url, ca_pem, certificate: None, token: None });
    let client = client.map_err(refused)?;
    block_on(async { client.get("/v1/login").await.map_err(refused) })
}

/// Where to log in, by what the gateway says and what was typed.
fn oidc_login(
    said: Login,
    issuer: Option<String>,
    client: Option<String>,
) -> Result<OidcLogin, Failure> {
    let mut login = said.oidc.ok_or_else(|| {
        Failure::new("the gateway takes no tokens of an issuer").hint(
            "it is run with --oidc-issuer for that; else give --cert and --key, or --token-file",
        )
    })?;
    if let Some(issuer) = issuer.filter(|issuer| *issuer != login.issuer) {
        let detail = format!("the gateway takes tokens of {}, not of {issuer}", login.issuer);
        return Err(Failure::new(detail));
    }
    login.client_id = client.or(login.client_id);
    Ok(login)
}

fn keep_secret(path: &Path, secret: &SecretString) -> Result<(), Failure> {
    #[expect(clippy::disallowed_methods, reason = "into a file for its owner alone")]
    write(path, secret.expose_secret().as_bytes())
}

/// Writes a file for its owner alone, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&beside)?.write_all(bytes)?;
        fs::rename(beside, path)
    };
    Ok(written().with_context(|| format!("cannot write {}", path.display()))?)
}

/// Whether a gateway may be called that.
pub(super) fn is_name(name: &str) -> bool {
    sandbox::providers::is_name(name)
}

fn token(path: &Path) -> Result<SecretString, Failure> {
    let mut text = String::new();
    if path == Path::new("-") {
        crate::output::awaits("the token");
        io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        text = read(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(SecretString::from(text.trim().to_owned()))
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
