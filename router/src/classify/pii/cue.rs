//! The words that say what a value is, in the languages whose identifiers we know, and a quick test for them.

#![expect(
    clippy::inline_always,
    reason = "what is compiled for the vectors of each machine must stand in one function"
)]

mod words;

use words::{RUNS, WORDS};

/// What a word near a value hints at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cue {
    // first halves of pairs: see `PAIRS`
    Social,
    Security,
    Insurance,
    National,
    Permanent,
    Medical,
    Record,
    Health,
    Sort,
    Code,
    Driver,
    Given,
    Family,
    Place,
    Member,
    Sender,
    File,
    // identifiers of people
    Ssn,
    Itin,
    Nino,
    Aadhaar,
    Pan,
    Nric,
    Tfn,
    Abn,
    Acn,
    Nif,
    Nie,
    Fiscal,
    Pesel,
    Hetu,
    Rrn,
    Sin,
    TaxDe,
    SocialDe,
    CardDe,
    PersonalSe,
    Thai,
    Tckn,
    Rsa,
    Cpf,
    Cnpj,
    Bsn,
    Nir,
    IdCn,
    Nin,
    Cpr,
    Fnr,
    Nrn,
    TaxPt,
    Ahv,
    Curp,
    Pps,
    Ein,
    Passport,
    License,
    Identity,
    Tax,
    Voter,
    // reaching and paying people
    Phone,
    Email,
    Card,
    Iban,
    Bic,
    Account,
    Routing,
    Wallet,
    // health
    Mrn,
    Npi,
    Dea,
    Nhs,
    Mbi,
    Plan,
    Diagnosis,
    // life
    Birth,
    Street,
    City,
    Region,
    Zip,
    Name,
    Patient,
    Owner,
    Geo,
    // evidence against
    Order,
    Build,
}

/// Two words next to each other, and what they mean together.
const PAIRS: &[(Cue, Cue, Cue)] = &[
    (Cue::Social, Cue::Security, Cue::Ssn),
    (Cue::Security, Cue::Social, Cue::Nir),
    (Cue::Social, Cue::Insurance, Cue::Sin),
    (Cue::National, Cue::Insurance, Cue::Nino),
    (Cue::National, Cue::Identity, Cue::Identity),
    (Cue::National, Cue::Code, Cue::Identity),
    (Cue::Identity, Cue::Card, Cue::Identity),
    (Cue::Permanent, Cue::Account, Cue::Pan),
    (Cue::Medical, Cue::Record, Cue::Mrn),
    (Cue::Health, Cue::Record, Cue::Mrn),
    (Cue::Patient, Cue::Code, Cue::Mrn),
    (Cue::Health, Cue::Insurance, Cue::Plan),
    (Cue::Health, Cue::Plan, Cue::Plan),
    (Cue::Member, Cue::Code, Cue::Plan),
    (Cue::Insurance, Cue::Code, Cue::Plan),
    (Cue::Sort, Cue::Code, Cue::Routing),
    (Cue::Tax, Cue::File, Cue::Tfn),
    (Cue::Driver, Cue::License, Cue::License),
    (Cue::Given, Cue::Name, Cue::Given),
    (Cue::Family, Cue::Name, Cue::Family),
    (Cue::Zip, Cue::Code, Cue::Zip),
    (Cue::Tax, Cue::Code, Cue::Tax),
    (Cue::Code, Cue::Fiscal, Cue::Fiscal),
];

/// The meaning of two neighbouring cue words, if they mean more together.
pub(crate) fn pair(first: Cue, second: Cue) -> Option<Cue> {
    PAIRS.iter().find(|(a, b, _)| (*a, *b) == (first, second)).map(|(.., both)| *both)
}

/// So much of a run of letters is searched for the cues of scripts without spaces.
const RUN_BYTES_MAX: usize = 240;
/// Slots of the hash table, a power of two.
const SLOTS: usize = 4_096;

/// The number of the word in each slot, counted from 1; 0 for none. Words that meet go to the next free slot.
static TABLE: [u16; SLOTS] = table();

/// The slot of a word: made of its first two and last two letters and its length, case ignored.
const fn slot(first: u8, second: u8, third: u8, last: u8, length: usize) -> usize {
    let mixed = (first & 31) as usize
        | ((second & 31) as usize) << 5
        | ((third & 31) as usize) << 10
        | ((last & 31) as usize) << 15
        | length << 20;
    (mixed.wrapping_mul(0x9E37_79B1) >> 13) & (SLOTS - 1)
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler; a wrong index fails the build, and the words are few"
)]
const fn table() -> [u16; SLOTS] {
    let mut table = [0; SLOTS];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0.as_bytes();
        let mut spot =
            slot(word[0], word[1], word[word.len() - 2], word[word.len() - 1], word.len());
        while table[spot] != 0 {
            spot = (spot + 1) & (SLOTS - 1);
        }
        table[spot] = at as u16 + 1;
        at += 1;
    }
    table
}

/// Bits of the filter, a power of two.
const FILTER_BITS: usize = 1 << 15;

/// One bit per word, by its first eight letters: so few that hardly any other word meets one.
static FILTER: [u64; FILTER_BITS / 64] = filter();

/// What is left of a letter when its case does not count.
const FOLD: u64 = 0x1F1F_1F1F_1F1F_1F1F;

/// The bit of a word whose first letters are `head`, the first lowest, zeros behind the last.
#[inline(always)]
const fn bit(head: u64) -> usize {
    ((head & FOLD).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 49) as usize
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn filter() -> [u64; FILTER_BITS / 64] {
    let mut bits = [0; FILTER_BITS / 64];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0.as_bytes();
        let (mut head, mut letter) = (0, 0);
        while letter < word.len() && letter < 8 {
            head |= (word[letter] as u64) << (8 * letter);
            letter += 1;
        }
        bits[bit(head) / 64] |= 1 << (bit(head) % 64);
        at += 1;
    }
    bits
}

/// Whether the word from `start` to `end` is worth a look-up: cheap, and never wrong about a cue. It has two letters or more.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "fifteen bits number all bits of the filter")]
pub(crate) fn may_be(text: &[u8], start: usize, end: usize) -> bool {
    let rest = text.get(start..).unwrap_or_default();
    let letters = if let Some(chunk) = rest.first_chunk::<8>() {
        u64::from_le_bytes(*chunk)
    } else {
        rest.iter().rev().fold(0, |letters, byte| letters << 8 | u64::from(*byte))
    };
    let length = end.saturating_sub(start).min(8);
    let bit = bit(letters & (u64::MAX >> (64 - 8 * length.max(1))));
    FILTER[bit / 64] >> (bit % 64) & 1 == 1 || letters & 0xFF >= 0xC3
}

/// The slot where the search for `word` begins.
#[inline]
fn home(word: &[u8]) -> usize {
    let (Some([first, second]), Some([third, last])) =
        (word.first_chunk::<2>(), word.last_chunk::<2>())
    else {
        return 0;
    };
    slot(*first, *second, *third, *last, word.len())
}

/// Two bytes inside the first letters of a cue of [`RUNS`], as bits.
static RUN_BEGINS: [u64; 16] = run_begins();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn run_begins() -> [u64; 16] {
    let mut bits = [0; 16];
    let mut at = 0;
    while at < RUNS.len() {
        let cue = RUNS[at].0.as_bytes();
        let bit = run_bit(cue[1], cue[2]);
        bits[bit / 64] |= 1 << (bit % 64);
        at += 1;
    }
    bits
}

/// The bit of the second and the third byte of a cue.
const fn run_bit(second: u8, third: u8) -> usize {
    ((second & 31) as usize) << 5 | (third & 31) as usize
}

/// The first of the cues of [`RUNS`] that stands anywhere in a run of letters.
fn in_run(lower: &[u8]) -> Option<Cue> {
    let mut best = RUNS.len();
    for (at, [_, second, third]) in lower.array_windows::<3>().enumerate() {
        let bit = run_bit(*second, *third);
        if RUN_BEGINS.get(bit / 64).is_some_and(|bits| bits >> (bit % 64) & 1 == 1) {
            let rest = lower.get(at..).unwrap_or_default();
            let better = RUNS.iter().take(best);
            best = better
                .clone()
                .position(|(cue, _)| rest.starts_with(cue.as_bytes()))
                .unwrap_or(best);
        }
    }
    RUNS.get(best).map(|(_, cue)| *cue)
}

/// What `word` (letters, any case) hints at.
pub(crate) fn find(word: &[u8]) -> Option<Cue> {
    if matches!(word, [0xC3..=0xFF, ..]) {
        let head = word.get(..word.len().min(RUN_BYTES_MAX)).unwrap_or_default();
        let lower = String::from_utf8_lossy(head).to_lowercase();
        return in_run(lower.as_bytes());
    }
    let mut spot = home(word);
    loop {
        let number = TABLE.get(spot).copied().filter(|number| *number > 0)?;
        let (cue, meaning) = WORDS.get(usize::from(number) - 1)?;
        if cue.as_bytes().eq_ignore_ascii_case(word) {
            return Some(*meaning);
        }
        spot = (spot + 1) & (SLOTS - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_word_is_found_in_any_case() {
        for pair in WORDS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (word, cue) in WORDS {
            for form in [(*word).to_owned(), word.to_ascii_uppercase()] {
                assert!(may_be(form.as_bytes(), 0, form.len()), "{form}");
                assert_eq!(find(form.as_bytes()), Some(*cue), "{form}");
            }
        }
    }

    #[test]
    fn words_without_spaces_are_found_inside_runs() {
        assert_eq!(find("的身份证号是".as_bytes()), Some(Cue::IdCn));
        assert_eq!(find("ТЕЛЕФОН".as_bytes()), Some(Cue::Phone));
        assert_eq!(find("无".as_bytes()), None);
    }
}
