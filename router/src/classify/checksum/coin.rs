//! The checks inside addresses of crypto currencies: base58check, bech32 and the capital letters of EIP-55.
//!
//! Invariant: input is short (callers pass at most [`ADDRESS_BYTES_MAX`] bytes), so the quadratic base conversion is bounded.

use sha2::{Digest, Sha256};

/// Longest address that is looked at.
pub(crate) const ADDRESS_BYTES_MAX: usize = 90;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// The version byte of a base58check address of 25 bytes (as the Bitcoin wiki describes it).
pub(crate) fn base58_version(text: &str) -> Option<u8> {
    if !(25..=36).contains(&text.len()) {
        return None;
    }
    let mut bytes = [0_u8; 25];
    for symbol in text.bytes() {
        let mut carry = BASE58.iter().position(|known| *known == symbol)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xFF).ok()?;
            carry >>= 8;
        }
        if carry > 0 {
            return None;
        }
    }
    let (body, check) = bytes.split_at(21);
    let hash = Sha256::digest(Sha256::digest(body));
    (hash.get(..4)? == check).then(|| bytes.first().copied()).flatten()
}

/// Whether `text` is a `bech32` or `bech32m` text of one case (BIP 173, BIP 350).
pub(crate) fn bech32(text: &str) -> bool {
    if text.len() > ADDRESS_BYTES_MAX || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return false;
    }
    let Some((human, data)) = text.rsplit_once('1') else { return false };
    let mut state = 1_u32;
    for byte in human.bytes() {
        state = polymod(state, u32::from(byte >> 5));
    }
    state = polymod(state, 0);
    for byte in human.bytes() {
        state = polymod(state, u32::from(byte & 31));
    }
    for byte in data.bytes() {
        let Some(value) = BECH32.iter().position(|known| *known == byte) else { return false };
        state = polymod(state, u32::try_from(value).unwrap_or_default());
    }
    !human.is_empty() && data.len() >= 6 && (state == 1 || state == 0x2BC8_30A3)
}

fn polymod(state: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
    let top = state >> 25;
    let mut next = (state & 0x01FF_FFFF) << 5 ^ value;
    for (bit, constant) in GENERATOR.iter().enumerate() {
        if top >> bit & 1 == 1 {
            next ^= constant;
        }
    }
    next
}

/// Whether forty hex digits are an Ethereum address: one case throughout, or capitals as EIP-55 asks.
pub(crate) fn eip55(hex: &str) -> bool {
    if hex.len() != 40 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return false;
    }
    let upper = hex.bytes().any(|byte| byte.is_ascii_uppercase());
    let lower = hex.bytes().any(|byte| byte.is_ascii_lowercase());
    if !(upper && lower) {
        return true;
    }
    let hash = keccak256_short(hex.to_ascii_lowercase().as_bytes());
    hex.bytes().enumerate().all(|(place, byte)| {
        let pair = hash.get(place / 2).copied().unwrap_or_default();
        let nibble = if place % 2 == 0 { pair >> 4 } else { pair & 15 };
        byte.is_ascii_digit() || byte.is_ascii_uppercase() == (nibble >= 8)
    })
}

/// Keccak-256 with the original padding of at most 135 bytes (one block; FIPS 202 without the domain bits).
fn keccak256_short(message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 136];
    for (slot, byte) in block.iter_mut().zip(message) {
        *slot = *byte;
    }
    if let Some(slot) = block.get_mut(message.len()) {
        *slot ^= 1;
    }
    if let Some(slot) = block.last_mut() {
        *slot ^= 0x80;
    }
    let mut state = [0_u64; 25];
    for (lane, chunk) in state.iter_mut().zip(block.chunks_exact(8)) {
        *lane = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    keccak_f(&mut state);
    let mut out = [0_u8; 32];
    for (bytes, lane) in out.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&lane.to_le_bytes());
    }
    out
}

/// The permutation Keccak-f\[1600\] (FIPS 202, section 3.2).
#[expect(clippy::indexing_slicing, reason = "all indices are loop counters below the array length")]
fn keccak_f(state: &mut [u64; 25]) {
    const ROTATIONS: [u32; 24] =
        [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44];
    const LANES: [usize; 24] =
        [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1];
    let mut register = 1_u8;
    for _ in 0..24 {
        let column: [u64; 5] =
            std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ state[x + 5 * y]));
        for x in 0..5 {
            let mixed = column[(x + 4) % 5] ^ column[(x + 1) % 5].rotate_left(1);
            for y in 0..5 {
                state[x + 5 * y] ^= mixed;
            }
        }
        let mut moving = state[1];
        for (lane, turn) in LANES.iter().zip(ROTATIONS) {
            moving = std::mem::replace(&mut state[*lane], moving.rotate_left(turn));
        }
        for row in state.chunks_exact_mut(5) {
            let copy: [u64; 5] = std::array::from_fn(|x| row[x]);
            for x in 0..5 {
                row[x] = copy[x] ^ (!copy[(x + 1) % 5] & copy[(x + 2) % 5]);
            }
        }
        for power in 0..7_u32 {
            if register & 1 == 1 {
                state[0] ^= 1 << ((1_u32 << power) - 1);
            }
            register = register << 1 ^ if register & 0x80 == 0 { 0 } else { 0x71 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keccak_of_nothing_is_the_published_value() {
        let hash = keccak256_short(b"");
        assert_eq!(hash[..4], [0xC5, 0xD2, 0x46, 0x01]);
    }

    #[test]
    fn published_addresses_pass_and_corrupted_ones_fail() {
        assert_eq!(base58_version("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"), Some(0));
        assert_eq!(base58_version("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"), Some(5));
        assert_eq!(base58_version("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"), None);
        assert!(bech32("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(!bech32("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"));
        assert!(eip55("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"));
        assert!(!eip55("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"));
        assert!(eip55("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"));
    }
}
