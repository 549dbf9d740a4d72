//! Words in a key that make its value worth a look, and a filter that finds them without looking twice.

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

/// Pairs of letters, as rare as can be, so that each cue holds one at an even place and one at an odd place.
const PAIRS: [&[u8; 2]; 49] = [
    b"al", b"as", b"au", b"be", b"bh", b"cc", b"ce", b"cr", b"di", b"ds", b"ee", b"ey", b"fi",
    b"ha", b"hm", b"id", b"ie", b"ig", b"in", b"io", b"iv", b"jw", b"ke", b"ki", b"li", b"ma",
    b"mb", b"mi", b"mn", b"mo", b"nc", b"nn", b"ok", b"ot", b"pa", b"pi", b"ps", b"pw", b"re",
    b"sa", b"se", b"si", b"sn", b"sw", b"tp", b"ut", b"va", b"wd", b"wt",
];

/// Whether two bytes are one of [`PAIRS`], case folded.
static HOLDS: [bool; 1024] = holds();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn holds() -> [bool; 1024] {
    let mut table = [false; 1024];
    let mut at = 0;
    while at < PAIRS.len() {
        table[(PAIRS[at][0] as usize & 31) << 5 | PAIRS[at][1] as usize & 31] = true;
        at += 1;
    }
    table
}

/// Whether a key may hold a cue when every second pair of its bytes is asked for.
#[inline]
#[expect(clippy::indexing_slicing, reason = "ten bits number all pairs")]
pub(super) fn may_hold(first: u8, second: u8) -> bool {
    HOLDS[usize::from(first & 31) << 5 | usize::from(second & 31)]
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
    fn every_cue_holds_a_telling_pair_at_places_of_both_kinds() {
        for cue in CUES {
            for from in [0, 1] {
                let pairs = cue.as_bytes()[from..].as_chunks::<2>().0;
                assert!(pairs.iter().any(|[first, second]| may_hold(*first, *second)), "{cue}");
            }
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
