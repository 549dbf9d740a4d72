//! Words in a key that make its value worth a look, and a filter that finds them without looking twice.

/// What the left word of an assignment hints at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cue {
    /// The value may be a credential: `password`, `api_key`, `token`…
    Secret,
    /// The value may be about a person: `name`, `address`, `ssn`, `dob`, `mrn`, `iban`…
    Personal,
}

/// Cue words, lower-case, at least three letters; a key holds one when it occurs anywhere in it.
const CUES: [(&str, Cue); 77] = [
    // Before `pass`, which they begin with.
    ("passport", Cue::Personal),
    ("passenger", Cue::Personal),
    ("pass", Cue::Secret),
    ("pwd", Cue::Secret),
    ("pswd", Cue::Secret),
    ("psw", Cue::Secret),
    ("secret", Cue::Secret),
    ("token", Cue::Secret),
    ("key", Cue::Secret),
    ("auth", Cue::Secret),
    ("cred", Cue::Secret),
    ("salt", Cue::Secret),
    ("bearer", Cue::Secret),
    ("cookie", Cue::Secret),
    ("session", Cue::Secret),
    ("private", Cue::Secret),
    ("seed", Cue::Secret),
    ("mnemonic", Cue::Secret),
    ("license", Cue::Secret),
    ("licence", Cue::Secret),
    ("webhook", Cue::Secret),
    ("nonce", Cue::Secret),
    ("client", Cue::Secret),
    ("crumb", Cue::Secret),
    ("signature", Cue::Secret),
    ("hash", Cue::Secret),
    ("digest", Cue::Secret),
    ("hmac", Cue::Secret),
    ("jwt", Cue::Secret),
    ("dsn", Cue::Secret),
    ("pin", Cue::Secret),
    ("otp", Cue::Secret),
    ("sid", Cue::Secret),
    ("sas", Cue::Secret),
    ("access", Cue::Secret),
    ("admin", Cue::Secret),
    ("connection", Cue::Secret),
    ("verifier", Cue::Secret),
    ("passwort", Cue::Secret),
    ("contrase", Cue::Secret),
    ("senha", Cue::Secret),
    ("motdepasse", Cue::Secret),
    ("identified", Cue::Secret),
    ("name", Cue::Personal),
    ("address", Cue::Personal),
    ("street", Cue::Personal),
    ("city", Cue::Personal),
    ("zip", Cue::Personal),
    ("postal", Cue::Personal),
    ("postcode", Cue::Personal),
    ("mail", Cue::Personal),
    ("phone", Cue::Personal),
    ("mobile", Cue::Personal),
    ("fax", Cue::Personal),
    ("tel", Cue::Personal),
    ("ssn", Cue::Personal),
    ("social", Cue::Personal),
    ("dob", Cue::Personal),
    ("birth", Cue::Personal),
    ("passport", Cue::Personal),
    ("licen", Cue::Personal),
    ("national", Cue::Personal),
    ("tax", Cue::Personal),
    ("account", Cue::Personal),
    ("iban", Cue::Personal),
    ("bic", Cue::Personal),
    ("swift", Cue::Personal),
    ("routing", Cue::Personal),
    ("card", Cue::Personal),
    ("patient", Cue::Personal),
    ("mrn", Cue::Personal),
    ("npi", Cue::Personal),
    ("dea", Cue::Personal),
    ("medical", Cue::Personal),
    ("record", Cue::Personal),
    ("member", Cue::Personal),
    ("insur", Cue::Personal),
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
        let word = CUES[at].0.as_bytes();
        let spot = index(word[0], word[1], word[2]);
        bits[spot / 64] |= 1 << (spot % 64);
        at += 1;
    }
    bits
}

/// The strongest cue in `key`: a secret one before a personal one.
#[inline]
pub(super) fn find(key: &[u8]) -> Option<Cue> {
    let mut best = None;
    for (at, three) in key.array_windows::<3>().enumerate() {
        let spot = index(three[0], three[1], three[2]);
        if FILTER.get(spot / 64).is_none_or(|bits| bits >> (spot % 64) & 1 == 0) {
            continue;
        }
        match confirm(key.get(at..).unwrap_or_default()) {
            Some(Cue::Secret) => return Some(Cue::Secret),
            found @ Some(Cue::Personal) => best = found,
            None => {}
        }
    }
    best
}

/// The cue that `rest` begins with; a secret one before a personal one.
#[inline(never)]
fn confirm(rest: &[u8]) -> Option<Cue> {
    let starts = |word: &str| {
        rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    CUES.iter().find(|(word, _)| starts(word)).map(|(_, cue)| *cue)
}
