//! Certificates that are good no more, although their time is not over.

use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;

/// The serial number of a certificate: 127 random bits of ours (RFC 5280 §4.1.2.2 wants it positive).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(u128);

impl Serial {
    /// The number that these random bytes make.
    pub fn of_random(random: [u8; 16]) -> Self {
        Self((u128::from_be_bytes(random) & (u128::MAX >> 1)).max(1))
    }

    /// The number that a certificate has as a DER integer; `None` for one that cannot be ours.
    pub fn of_der(integer: &[u8]) -> Option<Self> {
        let digits = match integer {
            [0, rest @ ..] if rest.len() <= 16 => rest,
            other if other.len() <= 16 => other,
            _ => return None,
        };
        let mut bytes = [0; 16];
        bytes.get_mut(16 - digits.len()..)?.copy_from_slice(digits);
        let number = u128::from_be_bytes(bytes);
        (number != 0).then_some(Self(number))
    }

    /// Its bytes, the highest first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number has 32 hexadecimal digits")]
pub struct SerialError;

impl FromStr for Serial {
    type Err = SerialError;
    fn from_str(text: &str) -> Result<Self, SerialError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| SerialError)?;
        Self::of_der(&bytes).ok_or(SerialError)
    }
}

/// The serial numbers that are revoked. A request sees one snapshot; asking takes no lock.
#[derive(Debug, Default)]
pub struct Revocations {
    serials: ArcSwap<HashSet<Serial>>,
}

impl Revocations {
    /// Replaces the whole set by what the store has.
    pub fn replace(&self, serials: impl IntoIterator<Item = Serial>) {
        self.serials.store(Arc::new(serials.into_iter().collect()));
    }

    /// Adds one. Connections that used it already are ended by
    /// [`Live::end`](crate::serve::live::Live::end), called after this.
    pub fn add(&self, serial: Serial) {
        self.serials.rcu(|before| {
            let mut serials = HashSet::clone(before);
            serials.insert(serial);
            serials
        });
    }

    /// Whether that one is revoked.
    pub fn has(&self, serial: Serial) -> bool {
        self.serials.load().contains(&serial)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_serial_is_read_as_it_is_printed_and_as_der_writes_it(random in any::<[u8; 16]>()) {
            let serial = Serial::of_random(random);
            prop_assert_eq!(serial.to_string().parse(), Ok(serial));
            let bytes = serial.to_bytes();
            let short = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap()..];
            prop_assert_eq!(Serial::of_der(short), Some(serial));
            let padded: Vec<u8> = [&[0], short].concat();
            prop_assert_eq!(Serial::of_der(&padded), Some(serial));
        }
    }

    #[test]
    fn what_is_no_serial_of_ours_is_refused() {
        assert_eq!(Serial::of_der(&[]), None);
        assert_eq!(Serial::of_der(&[0]), None);
        assert_eq!(Serial::of_der(&[1; 17]), None);
        assert_ne!(Serial::of_random([0; 16]), Serial::of_random([255; 16]));
        for text in ["", "1", "g".repeat(32).as_str(), "0".repeat(32).as_str(), "00:11"] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_that_was_added_or_came_from_the_store_is_revoked() {
        let [one, two] = [1, 2].map(|byte| Serial::of_random([byte; 16]));
        let revoked = Revocations::default();
        revoked.add(one);
        assert!(revoked.has(one) && !revoked.has(two));
        revoked.replace([two]);
        assert!(!revoked.has(one) && revoked.has(two));
    }
}
