//! Bearer tokens of users: made once, kept as a hash only.
//!
//! `osh_`, 256 random bits and a check part, both in base64url. The check part lets a typing error, or a text that is no token,
//! be known without a look into the store, and lets a scanner of repositories be sure of what it found.
//! The store is asked for the SHA-256, so what a comparison there tells by its time is of a hash, which nobody can steer.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::{principal::UserName, scope::Scopes};

/// What a token begins with.
pub const PREFIX: &str = "osh_";

/// Characters of the random part: 32 bytes in base64url.
const RANDOM_CHARS: usize = 43;

/// Bytes of the check part; 6 characters.
const CHECK_BYTES: usize = 4;

/// The SHA-256 of a token: what the store keeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Lower-case hexadecimal, 64 characters.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// That of any text: of a token of an issuer elsewhere too.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl From<[u8; 32]> for TokenHash {
    /// A hash as it was stored.
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A token that was just made. Its text exists here and with its owner, nowhere else.
#[derive(Clone, Debug)]
pub struct Minted {
    /// What is sent as `Authorization: Bearer …`.
    pub text: SecretString,
    /// What the store keeps of it.
    pub hash: TokenHash,
}

/// Makes a token of 32 random bytes.
pub fn mint(random: &[u8; 32]) -> Minted {
    let random = Zeroizing::new(URL_SAFE_NO_PAD.encode(random));
    let text = format!("{PREFIX}{}{}", random.as_str(), check(&random));
    let hash = TokenHash::of(text.as_bytes());
    Minted { text: SecretString::from(text), hash }
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has not the form of one, or has a typing error.
    #[error("the token is malformed")]
    Malformed,
    /// It was revoked.
    #[error("the token has been revoked")]
    Revoked,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// What to look up for the text of a token.
///
/// # Errors
/// [`TokenError::Malformed`] when no token looks like that.
pub fn read(text: &str) -> Result<TokenHash, TokenError> {
    let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(RANDOM_CHARS));
    let (random, given) = parts.ok_or(TokenError::Malformed)?;
    // Only one text means these bytes: a decoder that is strict about the last bits.
    let decoded = URL_SAFE_NO_PAD.decode(random).map(Zeroizing::new);
    if decoded.is_err() || check(random) != given {
        return Err(TokenError::Malformed);
    }
    Ok(TokenHash::of(text.as_bytes()))
}

fn check(random: &str) -> String {
    let digest = Sha256::new().chain_update(b"openshell token check\0").chain_update(random);
    let digest: [u8; 32] = digest.finalize().into();
    URL_SAFE_NO_PAD.encode(digest.first_chunk::<CHECK_BYTES>().unwrap_or(&[0; CHECK_BYTES]))
}

/// What the store knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// What tells it from others.
    pub id: Uuid,
    /// Whose it is.
    pub user: UserName,
    /// What it is for.
    pub scopes: Scopes,
    /// When it ends, seconds since 1970.
    pub expires: u64,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl StoredToken {
    /// Whether it is good at `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError::Revoked`] and [`TokenError::Expired`].
    pub fn check(&self, now: u64) -> Result<(), TokenError> {
        if self.revoked {
            return Err(TokenError::Revoked);
        }
        if self.expires <= now { Err(TokenError::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the owner of a token sees it")]
    fn text(minted: &Minted) -> String {
        minted.text.expose_secret().to_owned()
    }

    #[test]
    fn a_token_is_read_as_it_was_made_and_never_printed() {
        let minted = mint(&[7; 32]);
        let text = text(&minted);
        assert_eq!(text.len(), 53);
        assert_eq!(read(&text), Ok(minted.hash));
        assert_eq!(TokenHash::from(*minted.hash.as_bytes()), minted.hash);
        assert!(!format!("{minted:?}").contains("BwcH"), "{minted:?}");
        assert_ne!(minted.hash, mint(&[8; 32]).hash);
    }

    #[test]
    fn a_token_ends_when_it_expires_or_is_revoked() {
        let token = |expires, revoked| StoredToken {
            id: Uuid::nil(),
            user: "alice".parse().unwrap(),
            scopes: Scopes::ALL,
            expires,
            revoked,
        };
        assert_eq!(token(10, false).check(9), Ok(()));
        assert_eq!(token(10, false).check(10), Err(TokenError::Expired));
        assert_eq!(token(10, true).check(9), Err(TokenError::Revoked));
    }

    proptest! {
        #[test]
        fn one_changed_character_is_noticed(
            random in any::<[u8; 32]>(), at in 0_usize..53, to in "[A-Za-z0-9_-]",
        ) {
            let good = text(&mint(&random));
            let mut changed = good.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(read(&changed).is_ok(), changed == good);
        }

        #[test]
        fn what_is_no_token_is_refused(text in "(osh_)?[A-Za-z0-9_=-]{0,60}|\\PC{0,60}") {
            prop_assert_eq!(read(&text), Err(TokenError::Malformed));
        }
    }
}
