//! Words in a key that make its value worth a look, and a filter that finds them without looking twice.

use crate::classify::masks::{BLOCK, Masks, from_bit};

/// Cue words, lower-case, at least three letters, sorted; a key is worth a look when one occurs anywhere in it.
const CUES: [&str; 40] = [
    "access",
    "admin",
    "auth",
    "bearer",
    "client",
    "connection",
    "contrase",
    "cookie",
    "cred",
    "crumb",
    "digest",
    "dsn",
    "hash",
    "hmac",
    "identified",
    "jwt",
    "key",
    "licence",
    "license",
    "mnemonic",
    "motdepasse",
    "nonce",
    "otp",
    "pass",
    "pin",
    "private",
    "psw",
    "pswd",
    "pwd",
    "salt",
    "sas",
    "secret",
    "seed",
    "senha",
    "session",
    "sid",
    "signature",
    "token",
    "verifier",
    "webhook",
];

/// One bit per three letters that begin a cue.
const FILTER: [u64; 512] = filter();

/// The index of three letters; case does not matter.
const fn index(first: u8, second: u8, third: u8) -> usize {
    ((first & 31) as usize) << 10 | ((second & 31) as usize) << 5 | (third & 31) as usize
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn filter() -> [u64; 512] {
    let mut bits = [0; 512];
    let mut at = 0;
    while at < CUES.len() {
        let word = CUES[at].as_bytes();
        let spot = index(word[0], word[1], word[2]);
        bits[spot / 64] |= 1 << (spot % 64);
        at += 1;
    }
    bits
}

/// Three letters of each cue, as rare as can be, in eight groups. A text may hold a cue where three letters stand that a group has at
/// their places.
const TRIPLES: [&[&[u8; 3]]; 8] = [
    &[b"aut", b"hma", b"alt"],
    &[b"ces", b"cre", b"pas", b"sas", b"see", b"ses"],
    &[b"jwt", b"pin", b"pwd"],
    &[b"ien", b"key", b"cen", b"iva", b"ken"],
    &[b"dig", b"ifi", b"sid", b"sig"],
    &[b"onn", b"ntr", b"dsn", b"onc", b"otp"],
    &[b"adm", b"rum", b"ash", b"psw"],
    &[b"bea", b"oki", b"nem", b"nha", b"bho"],
];

/// For each place of three letters the groups that have a letter there, as bits, by the lower four bits of the letter: those up to `o`,
/// then the others. Each table stands four times in a row, as vectors read it.
pub(in crate::classify) static LETTERS: [[[u8; BLOCK]; 2]; 3] = letters();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn letters() -> [[[u8; BLOCK]; 2]; 3] {
    let mut tables = [[[0; BLOCK]; 2]; 3];
    let mut group = 0;
    while group < TRIPLES.len() {
        let mut triple = 0;
        while triple < TRIPLES[group].len() {
            let mut place = 0;
            while place < 3 {
                let letter = TRIPLES[group][triple][place];
                let mut spot = (letter & 15) as usize;
                while spot < BLOCK {
                    tables[place][(letter >> 4 & 1) as usize][spot] |= 1 << group;
                    spot += 16;
                }
                place += 1;
            }
            triple += 1;
        }
        group += 1;
    }
    tables
}

/// Whether a cue may stand in the key that goes on, while a text is read from block to block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    /// Whether nothing that stands in no key came behind the last place where one may.
    open: bool,
}

impl Last {
    /// Whether the key before the operator at bit `at` of a block may hold a cue.
    #[inline]
    pub(super) fn may_be_before(self, at: usize, masks: &Masks) -> bool {
        let before = !from_bit(at);
        let stop = before & masks.stop;
        match (before & masks.cue).checked_ilog2() {
            Some(cue) => stop >> cue == 0,
            None => stop == 0 && self.open,
        }
    }

    /// Goes on to the next block.
    #[inline]
    pub(super) fn step(&mut self, masks: &Masks) {
        match masks.cue.checked_ilog2() {
            Some(cue) => self.open = masks.stop >> cue == 0,
            None => self.open &= masks.stop == 0,
        }
    }
}

/// Whether a group has three letters, given by their lower five bits, at their places.
#[cfg(test)]
pub(in crate::classify) fn may_tell(letters: [u8; 3]) -> bool {
    TRIPLES.iter().any(|group| {
        let holds = |place: usize| group.iter().any(|triple| triple[place] & 31 == letters[place]);
        (0..3).all(holds)
    })
}

/// Whether a cue may begin with the three letters of an index.
#[inline]
#[expect(clippy::indexing_slicing, reason = "nine bits number all words of the filter")]
fn may_begin(three: usize) -> bool {
    FILTER[three >> 6 & 511] >> (three & 63) & 1 == 1
}

/// Whether a cue stands anywhere in `key`.
#[inline]
pub(super) fn any(key: &[u8]) -> bool {
    let mut spot = 0;
    for (at, byte) in key.iter().enumerate() {
        spot = (spot << 5 | usize::from(byte & 31)) & 0x7FFF;
        if may_begin(spot)
            && let Some(from) = at.checked_sub(2)
            && confirm(key.get(from..).unwrap_or_default())
        {
            return true;
        }
    }
    false
}

/// Whether `rest` begins with a cue.
fn confirm(rest: &[u8]) -> bool {
    let Some(first) = rest.first().map(u8::to_ascii_lowercase) else { return false };
    let from = CUES.partition_point(|word| word.as_bytes().first() < Some(&first));
    let near = CUES.iter().skip(from).take_while(|word| word.as_bytes().first() == Some(&first));
    let starts = |word: &str| {
        rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    near.copied().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cue_holds_three_telling_letters() {
        for cue in CUES {
            let tells = |three: &[u8; 3]| may_tell(three.map(|letter| letter & 31));
            assert!(cue.as_bytes().array_windows().any(tells), "{cue}");
        }
    }

    #[test]
    fn cues_are_sorted_and_found_in_any_case() {
        assert!(CUES.is_sorted());
        for (key, expected) in [
            ("DB_PASSWORD", true),
            ("apiKey", true),
            ("color", false),
            ("pa", false),
            ("xSecretx", true),
        ] {
            assert_eq!(any(key.as_bytes()), expected, "{key}");
        }
    }
}
