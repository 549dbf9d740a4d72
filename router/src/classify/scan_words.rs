//! Looks for any of a few words in a short text, whatever their case, without copying it.

/// A fixed list of words of two bytes or more; letters in lower case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    list: &'static [&'static str],
    /// For two bytes, case folded, whether a word begins with them, and whether they stand behind the first byte of a word.
    inside: [u8; 1024],
    /// Two bytes with which a word ends.
    ends: Pairs,
}

/// Bits of [`Words::inside`].
const BEGINS: u8 = 1;
const GOES_ON: u8 = 2;

/// Whether two bytes are in a set, case folded.
#[derive(Clone, Copy, Debug)]
struct Pairs([bool; 1024]);

impl Pairs {
    /// The place of two bytes; letters fold, and some other bytes meet them there.
    #[inline]
    const fn spot(first: u8, second: u8) -> usize {
        ((first & 31) as usize) << 5 | (second & 31) as usize
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "runs in the compiler; a wrong index fails the build"
    )]
    const fn with(mut self, first: u8, second: u8) -> Self {
        let spot = Self::spot(first, second);
        self.0[spot] = true;
        self
    }

    /// Whether the two bytes, or two that meet them, are in the set.
    #[inline]
    fn has(&self, first: u8, second: u8) -> bool {
        self.0.get(Self::spot(first, second)).is_some_and(|has| *has)
    }
}

impl Words {
    /// The list `words`.
    #[expect(
        clippy::indexing_slicing,
        reason = "runs in the compiler; a wrong index fails the build"
    )]
    pub(super) const fn new(words: &'static [&'static str]) -> Self {
        let (mut inside, mut ends) = ([0; 1024], Pairs([false; 1024]));
        let mut at = 0;
        while at < words.len() {
            let word = words[at].as_bytes();
            inside[Pairs::spot(word[0], word[1])] |= BEGINS;
            let mut third = 0;
            while third < 32 {
                // Anything may stand behind a word of two bytes.
                if word.len() == 2 || word[2] & 31 == third {
                    inside[Pairs::spot(word[1], third)] |= GOES_ON;
                }
                third += 1;
            }
            ends = ends.with(word[word.len() - 2], word[word.len() - 1]);
            at += 1;
        }
        Self { list: words, inside, ends }
    }

    /// Whether any word stands anywhere in `text`.
    #[inline]
    pub(super) fn in_text(&self, text: &[u8]) -> bool {
        let (pairs, rest) = text.as_chunks::<2>();
        for (number, [first, second]) in pairs.iter().enumerate() {
            let inside = self.inside.get(Pairs::spot(*first, *second)).copied().unwrap_or_default();
            if inside != 0 && self.around(text, number * 2, inside) {
                return true;
            }
        }
        // A word of two bytes may end with the last byte.
        !rest.is_empty() && text.last_chunk::<2>().is_some_and(|last| self.begin(last))
    }

    /// Whether a word begins at `at` or, when the pair there goes on, one byte before.
    fn around(&self, text: &[u8], at: usize, inside: u8) -> bool {
        let begins = |at: usize| self.begin(text.get(at..).unwrap_or_default());
        inside & BEGINS != 0 && begins(at)
            || inside & GOES_ON != 0 && at.checked_sub(1).is_some_and(begins)
    }

    /// Whether `text` begins with any word.
    fn begin(&self, text: &[u8]) -> bool {
        let Some([first, second]) = text.first_chunk::<2>() else { return false };
        let spot = Pairs::spot(*first, *second);
        self.list.iter().any(|word| {
            let begins = word.as_bytes().first_chunk::<2>();
            begins.is_some_and(|[first, second]| Pairs::spot(*first, *second) == spot)
                && begins_with(text, word)
        })
    }

    /// Whether `text` ends with any word.
    pub(super) fn end(&self, text: &[u8]) -> bool {
        let ends = |word: &str| {
            let from = text.len().checked_sub(word.len());
            from.and_then(|from| text.get(from..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(word.as_bytes()))
        };
        let may = text.last_chunk::<2>().is_some_and(|[first, last]| self.ends.has(*first, *last));
        may && self.list.iter().any(|word| ends(word))
    }
}

/// Whether `text` begins with `word`, whatever its case.
#[inline]
fn begins_with(text: &[u8], word: &str) -> bool {
    let word = word.as_bytes();
    let (Some(head), Some(first)) = (text.first(), word.first()) else { return false };
    head.eq_ignore_ascii_case(first)
        && text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Several lists that are looked for together, in one walk over the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lists {
    all: &'static [Words],
    begins: Pairs,
    /// The words, as numbers of list and word behind the second letter, in the order of their first letter.
    words: [(u8, u8, u8); LISTED_MAX],
    /// Where the words of each first letter begin, and behind the last letter where they end.
    letters: [u8; 33],
}

/// Most words of all lists together.
const LISTED_MAX: usize = 96;

impl Lists {
    /// The lists, at most 32 and [`LISTED_MAX`] words.
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "runs in the compiler; a wrong index fails the build, and the words are few"
    )]
    pub(super) const fn new(all: &'static [Words]) -> Self {
        let mut made = Self {
            all,
            begins: Pairs([false; 1024]),
            words: [(0, 0, 0); LISTED_MAX],
            letters: [0; 33],
        };
        let (mut letter, mut count) = (0, 0);
        while letter < 32 {
            made.letters[letter] = count as u8;
            let mut list = 0;
            while list < all.len() {
                let mut word = 0;
                while word < all[list].list.len() {
                    let bytes = all[list].list[word].as_bytes();
                    if (bytes[0] & 31) as usize == letter {
                        made.begins = made.begins.with(bytes[0], bytes[1]);
                        made.words[count] = (bytes[1] & 31, list as u8, word as u8);
                        count += 1;
                    }
                    word += 1;
                }
                list += 1;
            }
            letter += 1;
        }
        made.letters[32] = count as u8;
        made
    }

    /// The lists of which a word stands in `text`: the lowest bit for the first.
    pub(super) fn in_text(&self, text: &[u8]) -> u32 {
        let mut found = 0;
        for (at, [first, second]) in text.array_windows::<2>().enumerate() {
            if !self.begins.has(*first, *second) {
                continue;
            }
            let letter = usize::from(first & 31);
            let (Some(from), Some(to)) = (self.letters.get(letter), self.letters.get(letter + 1))
            else {
                continue;
            };
            let rest = text.get(at..).unwrap_or_default();
            for (other, list, word) in
                self.words.get(usize::from(*from)..usize::from(*to)).unwrap_or_default()
            {
                if *other != second & 31 {
                    continue;
                }
                let words = self.all.get(usize::from(*list)).map_or(&[][..], |list| list.list);
                let word = words.get(usize::from(*word)).copied().unwrap_or_default();
                if found >> list & 1 == 0 && begins_with(rest, word) {
                    found |= 1 << list;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Lists, Words};

    #[test]
    fn words_are_found_whatever_their_case() {
        const WORDS: Words = Words::new(&["token", "api_key", "..."]);
        for (text, inside, ends) in [
            ("my_TOKEN", true, true),
            ("Api_Key2", true, false),
            ("tok", false, false),
            ("a...", true, true),
            ("", false, false),
        ] {
            assert_eq!(WORDS.in_text(text.as_bytes()), inside, "{text}");
            assert_eq!(WORDS.end(text.as_bytes()), ends, "{text}");
        }
    }

    #[test]
    fn a_word_is_found_at_every_place() {
        const WORDS: Words = Words::new(&["token", "pwd", "id"]);
        for word in WORDS.list {
            for (before, after) in
                (0..4).flat_map(|before| (0..4).map(move |after| (before, after)))
            {
                let text = format!("{}{word}{}", "~".repeat(before), "~".repeat(after));
                assert!(WORDS.in_text(text.as_bytes()), "{text}");
                assert!(!WORDS.in_text(&text.as_bytes()[..before + word.len() - 1]), "{text}");
            }
        }
    }

    #[test]
    fn several_lists_are_found_in_one_walk() {
        static LISTS: [Words; 3] =
            [Words::new(&["pass", "pwd"]), Words::new(&["key", "passport"]), Words::new(&["id"])];
        for (text, found) in
            [("PassPort_ID", 0b111), ("mypwd", 0b001), ("Key", 0b010), ("pas", 0), ("", 0)]
        {
            assert_eq!(Lists::new(&LISTS).in_text(text.as_bytes()), found, "{text}");
        }
    }
}
