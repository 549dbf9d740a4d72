//! Which sandbox a call comes from: a token that its supervisor sends and nobody else can make.
//!
//! `osb1.NAME.EXPIRES.MAC`: the name of the sandbox, after that of its workspace and `/` where that is not `default`, seconds since 1970, and an HMAC-SHA-256 over both in hexadecimal, keyed with a
//! file that the router shares with whoever creates sandboxes. The agent never holds one: its supervisor adds it to what
//! leaves the sandbox, after removing what the agent wrote under that header.

use std::{fmt, fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use domain::Tenant;
use hmac::{Hmac, Mac as _};
use http::HeaderValue;
use sha2::Sha256;

/// The header that carries a token.
pub const SANDBOX_TOKEN_HEADER: &str = "x-openshell-sandbox-token";

/// What a token begins with: its version.
const PREFIX: &str = "osb1";

/// Bytes of a key file.
const KEY_BYTES: usize = 32;

/// Longest name of a sandbox, bytes; that of a host.
const NAME_BYTES_MAX: usize = 63;

/// The key that tokens are made and checked with.
#[derive(Clone)]
pub struct SandboxKey(Hmac<Sha256>);

impl SandboxKey {
    /// A key of 32 random bytes.
    pub fn new(random: &[u8; KEY_BYTES]) -> Self {
        // An HMAC takes a key of any length, so this cannot fail; a key of nothing would verify nothing of ours.
        Self(Hmac::new_from_slice(random).unwrap_or_else(|_| Hmac::new(&[0_u8; 64].into())))
    }

    /// The key in `path`, which is made with mode 0600 where there is none.
    ///
    /// # Errors
    /// A file that others can read, or that is no key.
    pub fn open(path: &Path) -> io::Result<Self> {
        key_file(path).map(|key| Self::new(&key))
    }

    /// The value of the header for the sandbox `name` that is good until `expires` (seconds since 1970). `None` for what is no name of a
    /// sandbox: 1 to 63 of `a-z`, `0-9` and `-`, after such a name of its workspace and `/` where it says one.
    pub fn mint(&self, name: &str, expires: u64) -> Option<HeaderValue> {
        if !is_name(name) {
            return None;
        }
        let mac = hex::encode(self.mac(name, expires).finalize().into_bytes());
        let mut token = HeaderValue::try_from(format!("{PREFIX}.{name}.{expires}.{mac}")).ok()?;
        token.set_sensitive(true); // nothing prints it
        Some(token)
    }

    /// The sandbox that `token` stands for at `now` (seconds since 1970).
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, token: &[u8], now: u64) -> Result<Tenant, TokenError> {
        let token = std::str::from_utf8(token).map_err(|_| TokenError::Malformed)?;
        let mut parts = token.split('.');
        let mut part = || parts.next().ok_or(TokenError::Malformed);
        let (prefix, name, expires, mac) = (part()?, part()?, part()?, part()?);
        if prefix != PREFIX || !is_name(name) || parts.next().is_some() {
            return Err(TokenError::Malformed);
        }
        let expires: u64 = expires.parse().map_err(|_| TokenError::Malformed)?;
        let mac = hex::decode(mac).map_err(|_| TokenError::Malformed)?;
        // In constant time, and before anything is made of what it says.
        self.mac(name, expires).verify_slice(&mac).map_err(|_| TokenError::Forged)?;
        if expires <= now { Err(TokenError::Expired) } else { Ok(Tenant::of_sandbox(name)) }
    }

    fn mac(&self, name: &str, expires: u64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("{PREFIX}.{name}.{expires}").as_bytes());
        mac
    }
}

impl fmt::Debug for SandboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SandboxKey(…)")
    }
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has not the form of one.
    #[error("the sandbox token is malformed")]
    Malformed,
    /// It was not made with this key, or has been changed.
    #[error("the sandbox token is not of this router")]
    Forged,
    /// Its time is over.
    #[error("the sandbox token has expired")]
    Expired,
}

/// A name, or two with a `/` between them.
fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((workspace, name)) => is_part(workspace) && is_part(name),
        None => is_part(name),
    }
}

fn is_part(name: &str) -> bool {
    let inner = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    inner && (1..=NAME_BYTES_MAX).contains(&name.len())
}

/// The 32 random bytes in `path`, made where there are none.
///
/// # Errors
/// A file that others can read, or that has another length.
pub(crate) fn key_file(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    use std::os::unix::fs::MetadataExt as _;
    let wrong = |what: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} {what}", path.display()))
    };
    match fs::read(path) {
        Ok(bytes) => {
            if fs::metadata(path)?.mode() & 0o077 != 0 {
                return Err(wrong("can be read by others; run `chmod 600` on it"));
            }
            bytes.try_into().map_err(|_| wrong("is no key: it has not 32 bytes"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; KEY_BYTES];
            getrandom::fill(&mut key).map_err(io::Error::from)?;
            // Whole or not at all, and never over another's: two that start at once end with the same key.
            let draft = path.with_extension(format!("{}.new", std::process::id()));
            let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
            made?.write_all(&key)?;
            let linked = fs::hard_link(&draft, path);
            fs::remove_file(&draft)?;
            match linked {
                Ok(()) => Ok(key),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => key_file(path),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(token: Option<HeaderValue>) -> String {
        token.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_names_its_sandbox_until_it_expires() {
        let key = SandboxKey::new(&[7; 32]);
        let token = shown(key.mint("brave-fox", 100));
        assert_eq!(format!("{:?}", key.mint("brave-fox", 100).unwrap()), "Sensitive");
        assert_eq!(key.verify(token.as_bytes(), 99), Ok(Tenant::of_sandbox("brave-fox")));
        assert_eq!(key.verify(token.as_bytes(), 100), Err(TokenError::Expired));
        assert_eq!(SandboxKey::new(&[8; 32]).verify(token.as_bytes(), 0), Err(TokenError::Forged));
        let renamed = token.replace("brave-fox", "other");
        assert_eq!(key.verify(renamed.as_bytes(), 0), Err(TokenError::Forged));
        let longer = token.replace(".100.", ".999.");
        assert_eq!(key.verify(longer.as_bytes(), 0), Err(TokenError::Forged));
        let token = shown(key.mint("team/brave-fox", 100));
        let tenant = key.verify(token.as_bytes(), 99).unwrap();
        assert_eq!((tenant.workspace(), tenant.sandbox()), (Some("team"), Some("team/brave-fox")));
        for name in ["", "a.b", "Fox", "a/", "/b", "a/b/c", &"x".repeat(64)] {
            assert!(key.mint(name, 1).is_none(), "{name}");
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_refused_when_others_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let token = shown(SandboxKey::open(&path).unwrap().mint("a", 9));
        assert!(SandboxKey::open(&path).unwrap().verify(token.as_bytes(), 0).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(SandboxKey::open(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::write(&path, b"short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SandboxKey::open(&path).unwrap_err().to_string().contains("32 bytes"));
    }

    proptest! {
        #[test]
        fn nothing_but_a_token_is_believed(text in "(osb1\\.)?[a-z0-9.]{0,80}|\\PC{0,80}") {
            prop_assert!(SandboxKey::new(&[7; 32]).verify(text.as_bytes(), 0).is_err());
        }
    }
}
