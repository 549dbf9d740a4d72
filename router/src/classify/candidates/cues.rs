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

/// The index of three letters when `first` stands before the first two of `next`.
#[inline]
pub(super) fn before(first: u8, next: usize) -> usize {
    usize::from(first & 31) << 10 | next >> 5
}

/// Whether a cue may begin with the three letters of an index.
#[inline]
#[expect(clippy::indexing_slicing, reason = "nine bits number all words of the filter")]
pub(super) fn may_begin(three: usize) -> bool {
    FILTER[three >> 6 & 511] >> (three & 63) & 1 == 1
}

/// Whether a cue stands anywhere in `key`.
#[inline]
pub(super) fn any(key: &[u8]) -> bool {
    key.array_windows::<3>().enumerate().any(|(at, three)| {
        let spot = index(three[0], three[1], three[2]);
        may_begin(spot) && confirm(key.get(at..).unwrap_or_default())
    })
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
