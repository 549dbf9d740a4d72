//! The envelope: a value under a data key of its own, the data key under the master key, both bound to their place.
//!
//! AES-256-GCM both times (NIST SP 800-38D), with random nonces of 96 bits: a data key seals one value, and a master key
//! may seal 2^32 data keys before nonces could meet. The associated data spells out the place with the length of each
//! part, so that no two places look alike.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::keys::{KEY_BYTES, Keys};

/// The form of what follows; another form gets another byte.
const FORM: u8 = 1;

/// Where a sealed value belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// What kind of thing owns it, such as `provider`.
    pub owner_kind: &'a str,
    /// Which one.
    pub owner_id: &'a str,
    /// What its owner calls it.
    pub name: &'a str,
}

/// A sealed value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The identity of the master key.
    pub key_id: String,
    /// The data key under the master key.
    pub wrapped: Vec<u8>,
    /// The value under the data key.
    pub sealed: Vec<u8>,
}

/// Why a value was not sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The master key that sealed it is not among ours.
    #[error("it was sealed under the master key {0}, which is not there")]
    Key(String),
    /// It was changed, or it was sealed for another place.
    #[error("it was changed, or sealed for another place")]
    Refused,
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

impl Keys {
    /// Seals a value for one place.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn seal(&self, binding: &Binding<'_>, plain: &[u8]) -> Result<Sealed, SealError> {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut *data_key).map_err(|_| SealError::Randomness)?;
        let sealed = encrypt(&data_key, &binding.of_value(), plain)?;
        let master = self.first();
        let wrapped = encrypt(master.bytes(), &binding.of_key(master.id().as_str()), &*data_key)?;
        Ok(Sealed { key_id: master.id().as_str().to_owned(), wrapped, sealed })
    }

    /// The value, for the place it was sealed for.
    ///
    /// # Errors
    /// [`SealError::Key`] without its master key, [`SealError::Refused`] for anything that is not as it was sealed.
    pub fn unseal(
        &self,
        binding: &Binding<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let data_key = self.data_key(binding, sealed)?;
        decrypt(&data_key, &binding.of_value(), &sealed.sealed)
    }

    /// The data key under the master key in force; the value itself is not opened.
    ///
    /// # Errors
    /// As [`Keys::unseal`].
    pub fn rewrap(&self, binding: &Binding<'_>, sealed: &Sealed) -> Result<Sealed, SealError> {
        let data_key = self.data_key(binding, sealed)?;
        let master = self.first();
        let wrapped = encrypt(master.bytes(), &binding.of_key(master.id().as_str()), &*data_key)?;
        let key_id = master.id().as_str().to_owned();
        Ok(Sealed { key_id, wrapped, sealed: sealed.sealed.clone() })
    }

    fn data_key(
        &self,
        binding: &Binding<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
        let master =
            self.find(&sealed.key_id).ok_or_else(|| SealError::Key(sealed.key_id.clone()))?;
        let opened = decrypt(master.bytes(), &binding.of_key(&sealed.key_id), &sealed.wrapped)?;
        let bytes = opened.as_slice().try_into().map_err(|_| SealError::Refused)?;
        Ok(Zeroizing::new(bytes))
    }
}

impl Binding<'_> {
    fn of_value(&self) -> Vec<u8> {
        spelled(&["value", self.owner_kind, self.owner_id, self.name])
    }

    fn of_key(&self, key_id: &str) -> Vec<u8> {
        spelled(&["key", key_id, self.owner_kind, self.owner_id, self.name])
    }
}

/// The parts, each behind its length.
fn spelled(parts: &[&str]) -> Vec<u8> {
    let mut text = b"openshell sealed 1".to_vec();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    text
}

/// Form, nonce, ciphertext, tag.
fn encrypt(key: &[u8; KEY_BYTES], place: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Randomness)?;
    let head = 1 + NONCE_LEN;
    // All the room at once: growing would leave plain bytes behind.
    let mut sealed = Vec::with_capacity(head + plain.len() + AES_256_GCM.tag_len());
    sealed.push(FORM);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let body = sealed.get_mut(head..).ok_or(SealError::Refused)?;
    let tag = cipher(key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), body)
        .map_err(|_| SealError::Refused)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    place: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let refused = SealError::Refused;
    let Some((&FORM, rest)) = sealed.split_first() else { return Err(refused) };
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(refused)?;
    let mut plain = Zeroizing::new(body.to_vec());
    let length = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut plain)
        .map_err(|_| SealError::Refused)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

/// Made for each use and gone with it: the cipher's own copy of a key is not overwritten when dropped.
fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| SealError::Refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Binding<'_> =
        Binding { owner_kind: "provider", owner_id: "p1", name: "OPENAI_API_KEY" };

    proptest! {
        #[test]
        fn what_was_sealed_opens_at_its_place(plain in prop::collection::vec(any::<u8>(), 0..2000)) {
            let keys = Keys::random().unwrap();
            let sealed = keys.seal(&HERE, &plain).unwrap();
            prop_assert_eq!(&*keys.unseal(&HERE, &sealed).unwrap(), &plain);
        }

        #[test]
        fn any_flipped_bit_is_refused(
            plain in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
            in_key in any::<bool>(),
        ) {
            let keys = Keys::random().unwrap();
            let mut sealed = keys.seal(&HERE, &plain).unwrap();
            let bytes = if in_key { &mut sealed.wrapped } else { &mut sealed.sealed };
            let index = at.index(bytes.len());
            bytes[index] ^= 1 << bit;
            prop_assert_eq!(keys.unseal(&HERE, &sealed), Err(SealError::Refused));
        }

        #[test]
        fn any_shorter_or_longer_value_is_refused(cut in 0..60_usize, more in 1..9_usize) {
            let keys = Keys::random().unwrap();
            let good = keys.seal(&HERE, b"a secret of thirty-two bytes....").unwrap();
            let short = Sealed { sealed: good.sealed[..cut.min(good.sealed.len() - 1)].to_vec(), ..good.clone() };
            prop_assert_eq!(keys.unseal(&HERE, &short), Err(SealError::Refused));
            let mut long = good;
            long.sealed.extend(std::iter::repeat_n(0, more));
            prop_assert_eq!(keys.unseal(&HERE, &long), Err(SealError::Refused));
        }

        #[test]
        fn no_other_place_opens_it(
            here in ["[a-c]{0,3}", "[a-c]{0,3}", "[a-c]{0,3}"],
            there in ["[a-c]{0,3}", "[a-c]{0,3}", "[a-c]{0,3}"],
        ) {
            let binding = |[owner_kind, owner_id, name]: &[String; 3]| -> [String; 3] {
                [owner_kind.clone(), owner_id.clone(), name.clone()]
            };
            let (a, b) = (binding(&here), binding(&there));
            prop_assume!(a != b);
            let place = |parts: &[String; 3], keys: &Keys, sealed: Option<&Sealed>| {
                let at = Binding { owner_kind: &parts[0], owner_id: &parts[1], name: &parts[2] };
                match sealed {
                    None => Ok(keys.seal(&at, b"x").unwrap()),
                    Some(sealed) => keys.unseal(&at, sealed).map(|_| sealed.clone()),
                }
            };
            let keys = Keys::random().unwrap();
            let sealed = place(&a, &keys, None).unwrap();
            prop_assert_eq!(place(&b, &keys, Some(&sealed)), Err(SealError::Refused));
        }
    }

    #[test]
    fn halves_of_two_values_do_not_make_one() {
        let keys = Keys::random().unwrap();
        let (one, two) = (keys.seal(&HERE, b"one").unwrap(), keys.seal(&HERE, b"two").unwrap());
        let mixed = Sealed { wrapped: two.wrapped, ..one };
        assert_eq!(keys.unseal(&HERE, &mixed), Err(SealError::Refused));
    }

    #[test]
    fn another_master_key_opens_nothing_and_is_named() {
        let (ours, theirs) = (Keys::random().unwrap(), Keys::random().unwrap());
        let sealed = theirs.seal(&HERE, b"x").unwrap();
        let named = SealError::Key(theirs.current().to_string());
        assert_eq!(ours.unseal(&HERE, &sealed), Err(named));
        let posing = Sealed { key_id: ours.current().to_string(), ..sealed };
        assert_eq!(ours.unseal(&HERE, &posing), Err(SealError::Refused));
    }

    #[test]
    fn a_new_master_key_takes_over_without_opening_the_value() {
        let old = Keys::random().unwrap();
        let sealed = old.seal(&HERE, b"kept").unwrap();
        let both = old.with_new().unwrap();
        let again = both.rewrap(&HERE, &sealed).unwrap();
        assert_eq!(again.sealed, sealed.sealed);
        assert_eq!(again.key_id, both.current().as_str());
        assert_eq!(&**both.up_to(both.current()).unwrap().unseal(&HERE, &again).unwrap(), b"kept");
        assert!(matches!(old.unseal(&HERE, &again), Err(SealError::Key(_))));
    }

    #[test]
    fn one_value_never_looks_the_same_twice() {
        let keys = Keys::random().unwrap();
        assert_ne!(keys.seal(&HERE, b"x").unwrap().sealed, keys.seal(&HERE, b"x").unwrap().sealed);
    }
}
