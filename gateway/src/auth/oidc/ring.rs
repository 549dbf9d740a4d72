//! Signatures of tokens, checked by `ring`: the only cryptography that this program has. Nothing is signed here.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::ErrorKind,
    signature::{Error, Verifier},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        let how = how(*algorithm).ok_or(ErrorKind::UnsupportedAlgorithm)?;
        Ok(Box::new(ByRing { algorithm: *algorithm, how, key: key.clone() }) as Box<_>)
    },
    key_utils: KeyUtils::new_unimplemented(), // for making keys, which nobody does here
};

/// Makes it what the process uses. Whoever was first has installed the same.
pub(super) fn install() {
    RING.install_default().ok();
}

/// How a signature is checked.
enum How {
    Rsa(&'static RsaParameters),
    Plain(&'static dyn VerificationAlgorithm),
}

fn how(algorithm: Algorithm) -> Option<How> {
    match algorithm {
        Algorithm::RS256 => Some(How::Rsa(&RSA_PKCS1_2048_8192_SHA256)),
        Algorithm::PS256 => Some(How::Rsa(&RSA_PSS_2048_8192_SHA256)),
        Algorithm::ES256 => Some(How::Plain(&ECDSA_P256_SHA256_FIXED)),
        Algorithm::EdDSA => Some(How::Plain(&ED25519)),
        _ => None,
    }
}

struct ByRing {
    algorithm: Algorithm,
    how: How,
    key: DecodingKey,
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let checked = match (&self.how, self.key.kind()) {
            (How::Rsa(how), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signature)
            }
            (How::Plain(how), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(*how, key).verify(message, signature)
            }
            _ => return Err(Error::new()),
        };
        checked.map_err(|_| Error::new())
    }
}
