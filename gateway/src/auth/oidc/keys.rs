//! The public keys of an issuer, and what each may sign.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::OidcError;

/// Signatures that are taken.
pub(super) const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// Keys of one issuer; further ones are left out.
const KEYS_MAX: usize = 64;

/// A public key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    pub(super) public: DecodingKey,
}

/// A set of keys as issuers write it (RFC 7517 §5). One that is not understood is left out, as the standard wants.
#[derive(Debug, Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Value>,
}

impl KeySet {
    /// Those that can check a signature which is taken.
    pub(super) fn usable(self) -> Vec<Key> {
        self.keys.into_iter().filter_map(Key::read).take(KEYS_MAX).collect()
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let uses = common.public_key_use.as_ref().is_none_or(|to| *to == PublicKeyUse::Signature);
        let verifies = |operations: &Vec<_>| operations.contains(&KeyOperations::Verify);
        if !uses || !common.key_operations.as_ref().is_none_or(verifies) {
            return None;
        }
        let algorithms: &[Algorithm] = match (&jwk.algorithm, common.key_algorithm) {
            (AlgorithmParameters::RSA(_), None) => &[Algorithm::RS256, Algorithm::PS256],
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS256)) => &[Algorithm::RS256],
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => &[Algorithm::PS256],
            (AlgorithmParameters::EllipticCurve(key), None | Some(KeyAlgorithm::ES256))
                if key.curve == EllipticCurve::P256 =>
            {
                &[Algorithm::ES256]
            }
            (AlgorithmParameters::OctetKeyPair(key), None | Some(KeyAlgorithm::EdDSA))
                if key.curve == EllipticCurve::Ed25519 =>
            {
                &[Algorithm::EdDSA]
            }
            // Shared keys too: what everybody can read signs nothing.
            _ => return None,
        };
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, public })
    }
}

/// The key of that name, for that algorithm. Without a name, the only one for it.
///
/// # Errors
/// [`OidcError::Algorithm`] when the key is for another one; [`OidcError::UnknownKey`] when there is none.
pub(super) fn find<'a>(
    keys: &'a [Key],
    id: Option<&str>,
    algorithm: Algorithm,
) -> Result<&'a Key, OidcError> {
    let fits = |key: &&Key| key.algorithms.contains(&algorithm);
    let Some(id) = id else {
        let mut all = keys.iter().filter(fits);
        return match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(OidcError::UnknownKey),
        };
    };
    let mut named = keys.iter().filter(|key| key.id.as_deref() == Some(id)).peekable();
    named.peek().ok_or(OidcError::UnknownKey)?;
    named.find(fits).ok_or(OidcError::Algorithm)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn read(keys: &Value) -> Vec<Key> {
        serde_json::from_value::<KeySet>(json!({ "keys": keys })).unwrap().usable()
    }

    #[test]
    fn a_key_is_for_the_algorithms_of_its_kind_and_nothing_secret_is_a_key() {
        let rsa = |more: Value| {
            let mut key = json!({"kty": "RSA", "kid": "r", "n": X, "e": "AQAB"});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let algorithms = |key: Value| read(&json!([key])).first().map(|key| key.algorithms);
        assert_eq!(algorithms(rsa(json!({}))), Some(&[Algorithm::RS256, Algorithm::PS256][..]));
        assert_eq!(algorithms(rsa(json!({"alg": "PS256"}))), Some(&[Algorithm::PS256][..]));
        assert_eq!(
            algorithms(rsa(json!({"use": "sig", "key_ops": ["verify"]}))).map(<[_]>::len),
            Some(2)
        );
        for none in
            [json!({"alg": "RS512"}), json!({"use": "enc"}), json!({"key_ops": ["encrypt"]})]
        {
            assert_eq!(algorithms(rsa(none)), None);
        }
        let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": X});
        assert_eq!(algorithms(okp), Some(&[Algorithm::EdDSA][..]));
        let p256 = |curve| json!({"kty": "EC", "crv": curve, "x": X, "y": X});
        assert_eq!(algorithms(p256("P-256")), Some(&[Algorithm::ES256][..]));
        for none in [p256("P-384"), p256("secp256k1"), json!({"kty": "oct", "k": X}), json!(7)] {
            assert_eq!(algorithms(none), None);
        }
    }

    #[test]
    fn a_key_is_found_by_its_name_or_as_the_only_one() {
        let ed = |id: Option<&str>| json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": id});
        let keys = read(&json!([ed(Some("a")), ed(Some("b"))]));
        let find =
            |keys: &[Key], id, algorithm| find(keys, id, algorithm).map(|key| key.id.clone());
        assert_eq!(find(&keys, Some("b"), Algorithm::EdDSA), Ok(Some("b".into())));
        assert_eq!(find(&keys, Some("c"), Algorithm::EdDSA), Err(OidcError::UnknownKey));
        assert_eq!(find(&keys, Some("b"), Algorithm::RS256), Err(OidcError::Algorithm));
        assert_eq!(find(&keys, None, Algorithm::EdDSA), Err(OidcError::UnknownKey));
        assert_eq!(find(&read(&json!([ed(None)])), None, Algorithm::EdDSA), Ok(None));
        assert_eq!(
            find(&read(&json!([ed(None)])), Some("a"), Algorithm::EdDSA),
            Err(OidcError::UnknownKey)
        );
        let many: Vec<_> = (0..100).map(|_| ed(None)).collect();
        assert_eq!(read(&json!(many)).len(), KEYS_MAX);
    }
}
