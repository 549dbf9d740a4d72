//! Lists of words in text files, found by hash tables that are made when the program is built: frequent given names, family names, and words that are neither.
//!
//! The lists are written by hand from general knowledge: folded to lower-case ASCII, sorted, parted by blanks.

/// Longest word in a list; with it a word and its length fit into 16 bytes.
pub(crate) const WORD_BYTES_MAX: usize = 15;
/// Slots of the table of a short list, and of all names together: powers of two, at most half of them taken.
const SLOTS: usize = 2_048;
const NAME_SLOTS: usize = 32_768;

/// The bits of one of the lists of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) u8);

/// Given names that are hardly anything else.
pub(crate) const GIVEN: Kind = Kind(1);
/// Given names that are words, places or products, too.
pub(crate) const WEAK: Kind = Kind(2);
/// Family names.
pub(crate) const FAMILY: Kind = Kind(4);
/// Words behind which a name is that of a thing: a street, a firm, a place.
pub(crate) const THINGS: Kind = Kind(8);
/// Words that begin sentences, headings and names of things.
pub(crate) const COMMON: Kind = Kind(16);
/// Titles before a name.
pub(crate) const TITLES: Kind = Kind(32);

/// The lists, each with its bit.
const NAMES: [(&str, Kind); 6] = [
    (include_str!("given.txt"), GIVEN),
    (include_str!("weak.txt"), WEAK),
    (include_str!("family.txt"), FAMILY),
    (include_str!("things.txt"), THINGS),
    (include_str!("common.txt"), COMMON),
    (
        "dipl dr frau herr madam madame miss mlle mme monsieur mr mrs ms mx prof professor rev senor senora signor signora sir sr sra ",
        TITLES,
    ),
];

/// In each slot the kinds of a word (eight bits), and behind them the list and the offset where it stands; 0 for none.
static TABLE: [u32; NAME_SLOTS] = names();

/// The bits of an entry of [`TABLE`] in front of the list, and those of the offset.
const KIND_BITS: u32 = 8;
const OFFSET_BITS: u32 = 20;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::large_stack_arrays,
    reason = "runs in the compiler; a wrong index fails the build, and the lists are short"
)]
const fn names() -> [u32; NAME_SLOTS] {
    let mut table = [0_u32; NAME_SLOTS];
    let mut list = 0;
    while list < NAMES.len() {
        let text = NAMES[list].0.as_bytes();
        let mut at = 0;
        while let Some((start, end)) = next_word(text, at) {
            at = end;
            let mut spot = home(padded(text, start, end)) & (NAME_SLOTS - 1);
            while table[spot] != 0 && !is_entry(table[spot], text, start, end) {
                spot = (spot + 1) & (NAME_SLOTS - 1);
            }
            if table[spot] == 0 {
                table[spot] = ((list as u32) << OFFSET_BITS | start as u32) << KIND_BITS;
            }
            table[spot] |= NAMES[list].1.0 as u32;
        }
        list += 1;
    }
    table
}

/// Whether an entry is the word from `start` to `end` of `text`.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn is_entry(entry: u32, text: &[u8], start: usize, end: usize) -> bool {
    let other = NAMES[(entry >> KIND_BITS >> OFFSET_BITS) as usize].0.as_bytes();
    let from = (entry >> KIND_BITS & ((1 << OFFSET_BITS) - 1)) as usize;
    let mut at = 0;
    while at < end - start {
        if other[from + at] != text[start + at] {
            return false;
        }
        at += 1;
    }
    is_gap(other[from + at])
}

const fn is_gap(byte: u8) -> bool {
    byte == b' ' || byte == b'\n'
}

/// The next word of a list from `at` on.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn next_word(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut start = at;
    while start < text.len() && is_gap(text[start]) {
        start += 1;
    }
    let mut end = start;
    while end < text.len() && !is_gap(text[end]) {
        end += 1;
    }
    if end == start { None } else { Some((start, end)) }
}

/// A word as a number: its bytes, the first lowest.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn padded(text: &[u8], start: usize, end: usize) -> u128 {
    let (mut word, mut at) = (0, end);
    while at > start {
        at -= 1;
        word = word << 8 | text[at] as u128;
    }
    word
}

/// Where the search for a word begins, before it is cut to the size of a table.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is folded into the lower one")]
const fn home(padded: u128) -> usize {
    let mixed = (padded as u64) ^ ((padded >> 64) as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
}

/// The lists in which `word`, which is lower case, stands, as bits; words of one letter stand in none.
pub(crate) fn kinds(word: &[u8]) -> u8 {
    number(word).map_or(0, |number| kinds_of(number, word))
}

/// The same for a word whose number is known.
fn kinds_of(number: u128, word: &[u8]) -> u8 {
    let mut spot = home(number) & (NAME_SLOTS - 1);
    while let Some(entry) = TABLE.get(spot).filter(|entry| **entry != 0) {
        let list = usize::try_from(entry >> KIND_BITS >> OFFSET_BITS).unwrap_or_default();
        let from = entry >> KIND_BITS & ((1 << OFFSET_BITS) - 1);
        let from = usize::try_from(from).unwrap_or_default();
        if NAMES.get(list).is_some_and(|(text, _)| stands_at(text.as_bytes(), from, word)) {
            return entry.to_le_bytes().first().copied().unwrap_or_default();
        }
        spot = (spot + 1) & (NAME_SLOTS - 1);
    }
    0
}

/// A word that a list may hold as a number.
#[inline]
fn number(word: &[u8]) -> Option<u128> {
    if !(2..=WORD_BYTES_MAX).contains(&word.len()) {
        return None;
    }
    let mut bytes = [0; 16];
    bytes.get_mut(..word.len())?.copy_from_slice(word);
    Some(u128::from_le_bytes(bytes))
}

/// Whether the word of a list that begins at `from` is `word`.
#[inline]
fn stands_at(text: &[u8], from: usize, word: &[u8]) -> bool {
    text.get(from..from + word.len()) == Some(word)
        && text.get(from + word.len()).is_some_and(|byte| is_gap(*byte))
}

impl Kind {
    /// Whether the list holds `word`, which is lower case.
    #[inline]
    pub(crate) fn has(self, word: &[u8]) -> bool {
        kinds(word) & self.0 != 0
    }
}

/// A short list of lower-case words.
pub(crate) struct Words {
    text: &'static str,
    /// Two bytes with which a word begins, as bits.
    begins: [u64; 16],
    /// Two bytes with which a word ends, as bits.
    ends: [u64; 16],
    /// In each slot the offset of a word, counted from 1; 0 for none.
    slots: [u16; SLOTS],
}

/// The bit of two bytes; some meet there.
#[inline]
const fn pair(first: u8, second: u8) -> usize {
    ((first & 31) as usize) << 5 | (second & 31) as usize
}

impl Words {
    /// The list in `text`: sorted, a blank or a line end behind each word.
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "runs in the compiler; a wrong index fails the build, and the lists are short"
    )]
    pub(crate) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let (mut slots, mut begins, mut ends) = ([0; SLOTS], [0; 16], [0; 16]);
        let mut at = 0;
        while let Some((start, end)) = next_word(bytes, at) {
            at = end;
            if end < start + 2 || end > start + WORD_BYTES_MAX {
                continue;
            }
            let (begin, close) =
                (pair(bytes[start], bytes[start + 1]), pair(bytes[end - 2], bytes[end - 1]));
            begins[begin / 64] |= 1 << (begin % 64);
            ends[close / 64] |= 1 << (close % 64);
            let mut spot = home(padded(bytes, start, end)) & (SLOTS - 1);
            while slots[spot] != 0 {
                spot = (spot + 1) & (SLOTS - 1);
            }
            slots[spot] = start as u16 + 1;
        }
        Self { text, begins, ends, slots }
    }

    /// Whether a word that begins or ends so may be in the list; never wrong about one that is.
    #[inline]
    pub(crate) fn may_begin(&self, first: u8, second: u8) -> bool {
        is_set(&self.begins, pair(first, second))
    }

    /// See [`Words::may_begin`].
    #[inline]
    pub(crate) fn may_end(&self, first: u8, last: u8) -> bool {
        is_set(&self.ends, pair(first, last))
    }

    /// Whether the list holds `word`, which is lower case and has two letters or more.
    #[inline]
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        let ([first, second, ..], Some([third, last])) = (word, word.last_chunk::<2>()) else {
            return false;
        };
        self.may_begin(*first, *second) && self.may_end(*third, *last) && self.search(word)
    }

    fn search(&self, word: &[u8]) -> bool {
        let Some(number) = number(word) else { return false };
        let mut spot = home(number) & (SLOTS - 1);
        while let Some(from) = self.slots.get(spot).filter(|from| **from != 0) {
            if stands_at(self.text.as_bytes(), usize::from(*from) - 1, word) {
                return true;
            }
            spot = (spot + 1) & (SLOTS - 1);
        }
        false
    }

    /// Whether the words are in order and each is found.
    #[cfg(test)]
    pub(crate) fn is_sound(&self) -> bool {
        let words: Vec<&str> = self.text.split_ascii_whitespace().collect();
        words.windows(2).all(|pair| pair[0] < pair[1])
            && self.text.ends_with([' ', '\n'])
            && words.iter().all(|word| {
                !(2..=WORD_BYTES_MAX).contains(&word.len()) || self.has(word.as_bytes())
            })
    }
}

#[inline]
fn is_set(bits: &[u64; 16], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// A word folded to lower-case ASCII, as the lists hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    bytes: [u8; 24],
    len: usize,
}

/// A short word of ASCII letters, read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    /// Its letters, the first lowest; zeros behind the last.
    letters: u128,
    len: usize,
}

impl Short {
    /// The bit that makes a letter lower case, in each byte.
    const CASE: u128 = u128::from_ne_bytes([0x20; 16]);
    /// The bit that no ASCII byte has.
    const FOREIGN: u128 = u128::from_ne_bytes([0x80; 16]);

    /// The word of letters from `start` to `end`; `None` when it is long or not all ASCII.
    #[inline]
    pub(crate) fn of(bytes: &[u8], start: usize, end: usize) -> Option<Self> {
        let len = end.checked_sub(start).filter(|len| (1..=WORD_BYTES_MAX).contains(len))?;
        let rest = bytes.get(start..)?;
        let letters = if let Some(chunk) = rest.first_chunk::<16>() {
            *chunk
        } else {
            let mut chunk = [0; 16];
            chunk.get_mut(..rest.len())?.copy_from_slice(rest);
            chunk
        };
        let letters = u128::from_le_bytes(letters) & (u128::MAX >> (128 - 8 * len));
        (letters & Self::FOREIGN == 0).then_some(Self { letters, len })
    }

    /// How many letters it has.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Whether any letter is lower case.
    #[inline]
    pub(crate) fn has_lower(self) -> bool {
        self.letters & Self::CASE != 0
    }

    /// The first capital behind the first letter.
    #[inline]
    pub(crate) fn inner_capital(self) -> Option<usize> {
        let inside = u128::MAX >> (128 - 8 * self.len);
        let capitals = !self.letters & Self::CASE & inside & !0xFF;
        (capitals != 0).then(|| capitals.trailing_zeros() as usize / 8)
    }

    /// In lower case, and the lists in which it stands.
    #[inline]
    pub(crate) fn fold(self) -> (Folded, u8) {
        let lower = self.letters | Self::CASE & (u128::MAX >> (128 - 8 * self.len));
        let mut folded = Folded { bytes: [0; 24], len: self.len };
        if let Some(to) = folded.bytes.first_chunk_mut::<16>() {
            *to = lower.to_le_bytes();
        }
        let kinds = if self.len > 1 { kinds_of(lower, folded.as_bytes()) } else { 0 };
        (folded, kinds)
    }
}

impl Folded {
    /// Folds case and accents of Latin letters; `None` for longer words and other scripts.
    pub(crate) fn of(word: &str) -> Option<Self> {
        let mut folded = Self::default();
        if word.is_ascii() {
            folded.bytes.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
            folded.bytes.make_ascii_lowercase();
            folded.len = word.len();
            return Some(folded);
        }
        for c in word.chars() {
            if c.is_ascii() {
                folded.push(u8::try_from(c).ok()?.to_ascii_lowercase())?;
                continue;
            }
            for byte in plain(c)?.bytes() {
                folded.push(byte)?;
            }
        }
        Some(folded)
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    /// The letters.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The plain letters of an accented Latin letter.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'à'..='å' | 'À'..='Å' | 'Ā'..='ą' | 'ǎ' => "a",
        'æ' | 'Æ' => "ae",
        'ç' | 'Ç' | 'Ć'..='č' => "c",
        'ð' | 'Ð' | 'Ď'..='đ' => "d",
        'è'..='ë' | 'È'..='Ë' | 'Ē'..='ě' | 'ə' => "e",
        'Ĝ'..='ģ' => "g",
        'Ĥ'..='ħ' => "h",
        'ì'..='ï' | 'Ì'..='Ï' | 'Ĩ'..='ı' => "i",
        'Ĵ' | 'ĵ' => "j",
        'Ķ'..='ĸ' => "k",
        'Ĺ'..='ł' => "l",
        'ñ' | 'Ñ' | 'Ń'..='ŋ' => "n",
        'ò'..='ö' | 'ø' | 'Ò'..='Ö' | 'Ø' | 'Ō'..='ő' => "o",
        'Œ' | 'œ' => "oe",
        'Ŕ'..='ř' => "r",
        'ß' => "ss",
        'Ś'..='š' | 'Ș' | 'ș' => "s",
        'Ţ'..='ŧ' | 'Ț' | 'ț' => "t",
        'ù'..='ü' | 'Ù'..='Ü' | 'Ũ'..='ų' => "u",
        'Ŵ' | 'ŵ' => "w",
        'ý' | 'ÿ' | 'Ý' | 'Ŷ'..='Ÿ' => "y",
        'Ź'..='ž' => "z",
        'þ' | 'Þ' => "th",
        '\u{300}'..='\u{36f}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_sorted_and_holds_its_own_words_and_no_others() {
        for (number, (text, list)) in NAMES.iter().enumerate() {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            assert!(words.windows(2).all(|pair| pair[0] < pair[1]) && text.ends_with([' ', '\n']));
            for word in &words {
                assert!(word.len() <= WORD_BYTES_MAX, "{word}");
                assert!(word.len() < 2 || list.has(word.as_bytes()), "{word}");
                assert!(!list.has(format!("{word}qz").as_bytes()), "{word}");
                let elsewhere = NAMES.iter().enumerate().filter(|(other, _)| *other != number);
                for (_, (text, other)) in elsewhere.filter(|_| word.len() > 1) {
                    let holds = text.split_ascii_whitespace().any(|known| known == *word);
                    assert_eq!(other.has(word.as_bytes()), holds, "{word}");
                }
            }
        }
    }

    #[test]
    fn short_words_are_read_like_others() {
        for word in ["Anna", "McCoy", "A", "MARIA", "deLuca", "Elizabethanaaaa", "Émile", "", "x"]
        {
            for text in [word.to_owned(), format!("{word} and more behind it")] {
                let Some(short) = Short::of(text.as_bytes(), 0, word.len()) else {
                    assert!(word.is_empty() || !word.is_ascii(), "{word}");
                    continue;
                };
                assert_eq!(short.has_lower(), word.contains(|c: char| c.is_lowercase()), "{word}");
                let inner = word.char_indices().skip(1).find(|(_, c)| c.is_uppercase());
                assert_eq!(short.inner_capital(), inner.map(|(at, _)| at), "{word}");
                let (folded, kinds) = short.fold();
                assert_eq!(Some(folded), Folded::of(word));
                assert_eq!(kinds, super::kinds(folded.as_bytes()), "{word}");
            }
        }
        assert!(Short::of(b"Elizabethanaaaab", 0, 16).is_none());
    }

    #[test]
    fn accents_fold_away_and_other_scripts_do_not() {
        assert_eq!(Folded::of("Łukasz").unwrap().as_bytes(), b"lukasz");
        assert_eq!(Folded::of("Þórdís").unwrap().as_bytes(), b"thordis");
        assert_eq!(Folded::of("Анна"), None);
    }
}
