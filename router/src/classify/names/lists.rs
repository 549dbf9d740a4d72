//! Lists of words in text files, searched without a copy: frequent given names, family names, and words that are neither.
//!
//! The lists are written by hand from general knowledge: folded to lower-case ASCII, sorted, parted by blanks.

/// Words of the filter: 8 KiB, so that a list of some thousand words fills a fifteenth of its bits.
const FILTER_WORDS: usize = 1_024;

/// A sorted list of lower-case words and a table that refuses most other words at once.
pub(crate) struct Words {
    text: &'static str,
    filter: [u64; FILTER_WORDS],
}

/// Given names that are hardly anything else.
pub(crate) static GIVEN: Words = Words::new(include_str!("given.txt"));
/// Given names that are words, places or products, too.
pub(crate) static WEAK: Words = Words::new(include_str!("weak.txt"));
/// Family names.
pub(crate) static FAMILY: Words = Words::new(include_str!("family.txt"));
/// Words behind which a name is that of a thing: a street, a firm, a place.
pub(crate) static THINGS: Words = Words::new(include_str!("things.txt"));
/// Words that begin sentences, headings and names of things.
pub(crate) static COMMON: Words = Words::new(include_str!("common.txt"));

/// What a word may be, as bits.
pub(crate) const MAY_GIVEN: u8 = 1;
/// See [`WEAK`].
pub(crate) const MAY_WEAK: u8 = 2;
/// See [`FAMILY`].
pub(crate) const MAY_FAMILY: u8 = 4;
/// See [`THINGS`].
pub(crate) const MAY_THING: u8 = 8;
/// See [`COMMON`].
pub(crate) const MAY_COMMON: u8 = 16;

/// The lists in which each slot's words may be: one look instead of five.
static KINDS: [u8; FILTER_WORDS * 64] = kinds();

#[expect(
    clippy::indexing_slicing,
    clippy::large_stack_arrays,
    reason = "runs in the compiler; a wrong index fails the build"
)]
const fn kinds() -> [u8; FILTER_WORDS * 64] {
    let lists: [(&[u64; FILTER_WORDS], u8); 5] = [
        (&GIVEN.filter, MAY_GIVEN),
        (&WEAK.filter, MAY_WEAK),
        (&FAMILY.filter, MAY_FAMILY),
        (&THINGS.filter, MAY_THING),
        (&COMMON.filter, MAY_COMMON),
    ];
    let mut table = [0; FILTER_WORDS * 64];
    let mut list = 0;
    while list < lists.len() {
        let (filter, kind) = lists[list];
        let mut bit = 0;
        while bit < FILTER_WORDS * 64 {
            if filter[bit / 64] >> (bit % 64) & 1 == 1 {
                table[bit] |= kind;
            }
            bit += 1;
        }
        list += 1;
    }
    table
}

/// The lists in which `word`, which is lower case, may be: never wrong about one that it is not in.
#[inline]
pub(crate) fn may_be(word: &[u8]) -> u8 {
    let (Some([first, second]), Some([third, last])) =
        (word.first_chunk::<2>(), word.last_chunk::<2>())
    else {
        return 0;
    };
    KINDS.get(slot(*first, *second, *third, *last, word.len())).copied().unwrap_or_default()
}

/// Longest word in a list.
pub(crate) const WORD_BYTES_MAX: usize = 15;

impl Words {
    #[expect(
        clippy::indexing_slicing,
        reason = "runs in the compiler; a wrong index fails the build"
    )]
    pub(crate) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut filter = [0_u64; FILTER_WORDS];
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            if bytes[at] == b' ' || bytes[at] == b'\n' {
                if at > start + 1 {
                    let bit = slot(
                        bytes[start],
                        bytes[start + 1],
                        bytes[at - 2],
                        bytes[at - 1],
                        at - start,
                    );
                    filter[bit / 64] |= 1 << (bit % 64);
                }
                start = at + 1;
            }
            at += 1;
        }
        Self { text, filter }
    }

    /// Whether the list holds `word`, which is lower case.
    #[inline]
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        let (Some([first, second]), Some([third, last])) =
            (word.first_chunk::<2>(), word.last_chunk::<2>())
        else {
            return false;
        };
        let bit = slot(*first, *second, *third, *last, word.len());
        word.len() <= WORD_BYTES_MAX
            && self.filter.get(bit / 64).is_some_and(|bits| bits >> (bit % 64) & 1 == 1)
            && self.search(word)
    }

    /// Whether the words are in order and each is found.
    #[cfg(test)]
    pub(crate) fn is_sound(&self) -> bool {
        let words: Vec<&str> = self.text.split_ascii_whitespace().collect();
        words.windows(2).all(|pair| pair[0] < pair[1])
            && words.iter().all(|word| word.len() < 2 || self.has(word.as_bytes()))
    }

    /// Binary search over the offsets of the text: from any offset the word around it is read.
    fn search(&self, word: &[u8]) -> bool {
        let bytes = self.text.as_bytes();
        let gap = |at: usize| bytes.get(at).is_none_or(|byte| *byte == b' ' || *byte == b'\n');
        let (mut low, mut high) = (0, bytes.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (mut start, mut end) = (middle, middle);
            while start > low && !gap(start - 1) {
                start -= 1;
            }
            while !gap(end) {
                end += 1;
            }
            match bytes.get(start..end).unwrap_or_default().cmp(word) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = end + 1,
                std::cmp::Ordering::Greater => high = start,
            }
        }
        false
    }
}

/// The bit of a word: made of its first two and last two letters and its length.
const fn slot(first: u8, second: u8, third: u8, last: u8, length: usize) -> usize {
    let mixed = (first & 63) as usize
        | ((second & 63) as usize) << 6
        | ((third & 63) as usize) << 12
        | ((last & 63) as usize) << 18
        | length << 24;
    (mixed.wrapping_mul(0x9E37_79B1) >> 12) & (FILTER_WORDS * 64 - 1)
}

/// A word folded to lower-case ASCII, as the lists hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    bytes: [u8; 24],
    len: usize,
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
        for list in [&GIVEN, &WEAK, &FAMILY, &THINGS, &COMMON] {
            let words: Vec<&str> = list.text.split_ascii_whitespace().collect();
            assert!(words.windows(2).all(|pair| pair[0] < pair[1]));
            for word in &words {
                assert!(word.len() <= WORD_BYTES_MAX, "{word}");
                assert!(word.len() < 2 || list.has(word.as_bytes()), "{word}");
                assert!(!list.has(format!("{word}qz").as_bytes()), "{word}");
            }
        }
    }

    #[test]
    fn accents_fold_away_and_other_scripts_do_not() {
        assert_eq!(Folded::of("Łukasz").unwrap().as_bytes(), b"lukasz");
        assert_eq!(Folded::of("Þórdís").unwrap().as_bytes(), b"thordis");
        assert_eq!(Folded::of("Анна"), None);
    }
}
