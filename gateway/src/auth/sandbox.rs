//! Tokens bound to one sandbox: signed, short-lived, refreshed by the supervisor that holds them.
//!
//! `oss_` and the base64url of 105 bytes: version 1, 8 bytes that name the key, the 16 of the sandbox's identity, when it was
//! made and when it ends (seconds since 1970, big endian, 8 bytes each), and an Ed25519 signature over all of that behind a
//! phrase that no other signature of ours begins with. Every field has its place and its length, there is no algorithm to
//! choose: what could be read in two ways cannot be written.
//!
//! A sandbox that was deleted is not known here: whoever verifies also asks whether it is still there.

use std::{fmt, io, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::files;

/// What a token begins with.
pub const PREFIX: &str = "oss_";

/// How long a token is good, seconds. A supervisor asks for the next at half of it.
pub const LIFE_S: u64 = 15 * 60;

/// How long after its end a token still gets its supervisor the next one, and nothing else, seconds. Machines sleep over
/// weekends; a sandbox that was deleted meanwhile gets none.
pub const REFRESH_S: u64 = 7 * 24 * 60 * 60;

/// How far a clock may be behind the one that made a token, seconds.
const SKEW_S: u64 = 60;

/// Keys that are known: the one that signs, and those before it whose tokens may still be about.
const KEYS_MAX: usize = 3;

const VERSION: u8 = 1;
const CLAIMS_BYTES: usize = 1 + 8 + 16 + 8 + 8;
const SIGNATURE_BYTES: usize = 64;
/// Characters behind the prefix: 105 bytes in base64url, without a remainder.
const TOKEN_CHARS: usize = (CLAIMS_BYTES + SIGNATURE_BYTES) / 3 * 4;
const PHRASE: &[u8] = b"openshell sandbox token\0";
const SEED_BYTES: usize = 32;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The sandbox.
    pub sandbox: Uuid,
    /// When it was made, seconds since 1970.
    pub issued: u64,
    /// When it ends.
    pub expires: u64,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxTokenError {
    /// It has not the form of one.
    #[error("the sandbox token is malformed")]
    Malformed,
    /// No key of ours made it, or it was changed.
    #[error("the sandbox token is not of this gateway")]
    Forged,
    /// It was made in what is the future here, or for longer than tokens are.
    #[error("the sandbox token is not valid at this time; check the clock of this machine")]
    Untimely,
    /// Its time is over.
    #[error("the sandbox token has expired")]
    Expired,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// What was given is no list of keys.
    #[error("the keys of sandbox tokens are damaged")]
    Damaged,
    /// The file of the keys.
    #[error("cannot use the file of the keys of sandbox tokens")]
    File(#[from] io::Error),
}

struct Key {
    id: [u8; 8],
    pair: Ed25519KeyPair,
}

impl Key {
    fn read(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Damaged)?;
        let digest: [u8; 32] = Sha256::digest(pair.public_key()).into();
        let id = digest.first_chunk().copied().unwrap_or_default();
        Ok(Self { id, pair })
    }
}

/// The keys in force: the first signs, all verify.
pub struct Keys {
    seeds: Zeroizing<Vec<u8>>,
    keys: Vec<Key>,
}

impl Keys {
    /// One key, of 32 random bytes.
    ///
    /// # Errors
    /// None but those of the signature scheme, which takes any seed.
    pub fn new(seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        Self::read(seed)
    }

    /// The keys that [`Keys::seeds`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] for what is no list of 1 to 3 of them.
    pub fn read(seeds: &[u8]) -> Result<Self, KeyError> {
        let (whole, rest) = seeds.as_chunks::<SEED_BYTES>();
        if !rest.is_empty() || !(1..=KEYS_MAX).contains(&whole.len()) {
            return Err(KeyError::Damaged);
        }
        let keys = whole.iter().map(|seed| Key::read(seed)).collect::<Result<_, _>>()?;
        Ok(Self { seeds: Zeroizing::new(seeds.to_vec()), keys })
    }

    /// The keys in this file, which is made with mode 0600 and the key of `seed` where there is none.
    ///
    /// # Errors
    /// Those of the file; one that others can read, or that holds no keys.
    pub fn open(path: &Path, seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        if files::read(path)?.is_none() {
            files::create(path, seed)?;
        }
        Self::read(&files::read(path)?.ok_or(KeyError::Damaged)?)
    }

    /// The secret halves, for whoever keeps them.
    pub fn seeds(&self) -> &[u8] {
        &self.seeds
    }

    /// The same with another key that signs from now on. Tokens of the last two are still believed.
    ///
    /// # Errors
    /// As for [`Keys::new`].
    pub fn rotated(&self, seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        let mut seeds = Zeroizing::new([seed.as_slice(), self.seeds.as_slice()].concat());
        seeds.truncate(KEYS_MAX * SEED_BYTES);
        Self::read(&seeds)
    }

    /// A token for this sandbox, good from `now` (seconds since 1970) for [`LIFE_S`].
    pub fn mint(&self, sandbox: Uuid, now: u64) -> SecretString {
        let expires = now.saturating_add(LIFE_S);
        // There is always a first key: `read` refuses an empty list.
        let token = self.keys.first().map(|key| {
            let mut token = [0; CLAIMS_BYTES + SIGNATURE_BYTES];
            let claims = claims(key.id, &Claims { sandbox, issued: now, expires });
            let signature = key.pair.sign(&signed(&claims));
            let parts = claims.iter().chain(signature.as_ref());
            token.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
            format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
        });
        SecretString::from(token.unwrap_or_default())
    }

    /// What the token says, if it is good at `now`, seconds since 1970. Ask next whether the sandbox is still there.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, SandboxTokenError> {
        let says = self.believe(token, now)?;
        if says.expires <= now { Err(SandboxTokenError::Expired) } else { Ok(says) }
    }

    /// The same for a token that is exchanged for the next; it may be over since [`REFRESH_S`].
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify_for_refresh(&self, token: &str, now: u64) -> Result<Claims, SandboxTokenError> {
        let says = self.believe(token, now)?;
        let ended = says.expires.saturating_add(REFRESH_S) <= now;
        if ended { Err(SandboxTokenError::Expired) } else { Ok(says) }
    }

    fn believe(&self, token: &str, now: u64) -> Result<Claims, SandboxTokenError> {
        let encoded = token.strip_prefix(PREFIX).filter(|rest| rest.len() == TOKEN_CHARS);
        let mut bytes = [0; CLAIMS_BYTES + SIGNATURE_BYTES];
        let decoded = URL_SAFE_NO_PAD.decode_slice(encoded.unwrap_or_default(), &mut bytes);
        let parts = bytes.split_first_chunk::<CLAIMS_BYTES>();
        let Some((claims, signature)) = parts.filter(|_| decoded == Ok(bytes.len())) else {
            return Err(SandboxTokenError::Malformed);
        };
        let (key, says) = parse(claims).ok_or(SandboxTokenError::Malformed)?;
        let key = self.keys.iter().find(|known| known.id == key);
        let key = key.ok_or(SandboxTokenError::Forged)?;
        UnparsedPublicKey::new(&ED25519, key.pair.public_key())
            .verify(&signed(claims), signature)
            .map_err(|_| SandboxTokenError::Forged)?;
        // Nothing of it was believed before here.
        let life = says.expires.checked_sub(says.issued);
        if life.is_none_or(|life| life > LIFE_S) || says.issued > now.saturating_add(SKEW_S) {
            return Err(SandboxTokenError::Untimely);
        }
        Ok(says)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} of 3)", self.keys.len())
    }
}

fn claims(key: [u8; 8], says: &Claims) -> [u8; CLAIMS_BYTES] {
    let mut bytes = [0; CLAIMS_BYTES];
    let (issued, expires) = (says.issued.to_be_bytes(), says.expires.to_be_bytes());
    let parts = [&[VERSION], key.as_slice(), says.sandbox.as_bytes(), &issued, &expires];
    bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    bytes
}

fn parse(bytes: &[u8; CLAIMS_BYTES]) -> Option<([u8; 8], Claims)> {
    let rest = bytes.strip_prefix(&[VERSION])?;
    let (key, rest) = rest.split_first_chunk::<8>()?;
    let (sandbox, rest) = rest.split_first_chunk::<16>()?;
    let (issued, expires) = rest.split_first_chunk::<8>()?;
    let expires = expires.first_chunk::<8>()?;
    let says = Claims {
        sandbox: Uuid::from_bytes(*sandbox),
        issued: u64::from_be_bytes(*issued),
        expires: u64::from_be_bytes(*expires),
    };
    Some((*key, says))
}

fn signed(claims: &[u8; CLAIMS_BYTES]) -> Vec<u8> {
    [PHRASE, claims].concat()
}

/// The keys of a running gateway. A request sees one snapshot.
#[derive(Debug)]
pub struct Keyring(ArcSwap<Keys>);

impl Keyring {
    /// With these keys.
    pub fn new(keys: Keys) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// The keys now.
    pub fn keys(&self) -> Arc<Keys> {
        self.0.load_full()
    }

    /// Takes these from now on.
    pub fn replace(&self, keys: Keys) {
        self.0.store(Arc::new(keys));
    }
}

#[cfg(test)]
mod tests;
