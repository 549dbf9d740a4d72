//! Looks for any of a few words in a short text, whatever their case, without copying it.

/// A fixed list of words; letters in lower case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    words: &'static [&'static str],
    /// One bit per first byte, case folded, so that most bytes are dismissed at once.
    first: u64,
}

/// The place of a byte in the filter; letters fold.
const fn spot(byte: u8) -> u32 {
    let folded = if byte.is_ascii_uppercase() { byte | 0x20 } else { byte };
    (folded & 63) as u32
}

impl Words {
    /// The list `words`.
    #[expect(
        clippy::indexing_slicing,
        reason = "runs in the compiler; a wrong index fails the build"
    )]
    pub(super) const fn new(words: &'static [&'static str]) -> Self {
        let mut first = 0;
        let mut at = 0;
        while at < words.len() {
            first |= 1 << spot(words[at].as_bytes()[0]);
            at += 1;
        }
        Self { words, first }
    }

    /// Whether any word stands anywhere in `text`.
    #[inline]
    pub(super) fn in_text(&self, text: &[u8]) -> bool {
        text.iter().enumerate().any(|(at, byte)| {
            self.first >> spot(*byte) & 1 == 1 && self.begin(text.get(at..).unwrap_or_default())
        })
    }

    /// Whether `text` begins with any word.
    fn begin(&self, text: &[u8]) -> bool {
        let Some(head) = text.first().map(u8::to_ascii_lowercase) else { return false };
        self.words.iter().any(|word| {
            word.as_bytes().first().is_some_and(|first| first.to_ascii_lowercase() == head)
                && text
                    .get(..word.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// Whether `text` ends with any word.
    pub(super) fn end(&self, text: &[u8]) -> bool {
        let ends = |word: &str| {
            let from = text.len().checked_sub(word.len());
            from.and_then(|from| text.get(from..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(word.as_bytes()))
        };
        self.words.iter().any(|word| ends(word))
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

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
}
