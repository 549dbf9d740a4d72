//! Text as agents send it: prose, code, and data, the same for the same seed.

/// Words of a working day; none of them is a name, a place or a key.
const WORDS: &[&str] = &[
    "the", "service", "returns", "a", "list", "of", "orders", "when", "request", "is", "valid",
    "and", "we", "should", "check", "that", "every", "field", "has", "been", "read", "before",
    "it", "writes", "to", "table", "please", "look", "at", "this", "function", "because", "test",
    "fails", "on", "second", "run", "only", "with", "an", "error", "about", "missing", "index",
    "in", "cache", "you", "can", "see", "output", "below", "then", "explain", "how", "would",
    "change", "code", "so", "result", "stays", "same", "for", "old", "clients", "while", "new",
    "ones", "get", "faster", "answer",
];

/// Lines of a program.
const LINES: &[&str] = &[
    "    let total = items.iter().map(|item| item.price * item.count).sum::<u64>();\n",
    "    if total > limit { return Err(Error::TooMuch { total, limit }); }\n",
    "def load(path):\n    with open(path) as source:\n        return json.load(source)\n",
    "    for (index, row) in rows.iter().enumerate() {\n        writer.write(index, row)?;\n    }\n",
    "SELECT id, created_at, state FROM orders WHERE state = 'open' ORDER BY created_at;\n",
    "test result: ok. 48 passed; 0 failed; 0 ignored; finished in 1.02s\n",
];

/// Writes text from a seed.
#[derive(Clone, Debug)]
pub struct Author {
    state: u64,
}

impl Author {
    /// An author whose text depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self { state: mixed(seed) | 1 }
    }

    /// The next number.
    fn next(&mut self) -> u64 {
        // Xorshift by Marsaglia: enough for choosing words.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let length = u64::try_from(from.len()).unwrap_or(1).max(1);
        let at = usize::try_from(self.next() % length).unwrap_or(0);
        from.get(at).copied().unwrap_or_default()
    }

    /// Sentences of at least `bytes` bytes.
    pub fn prose(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 64);
        while text.len() < bytes {
            for _ in 0..self.next() % 9 + 5 {
                text.push_str(self.pick(WORDS));
                text.push(' ');
            }
            text.pop();
            text.push_str(". ");
        }
        text
    }

    /// Prose with a block of code behind every few sentences, of at least `bytes` bytes.
    pub fn mixed(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 256);
        while text.len() < bytes {
            text.push_str(&self.prose(240));
            if text.len() < bytes {
                text.push_str("\n```\n");
                for _ in 0..3 {
                    text.push_str(self.pick(LINES));
                }
                text.push_str("```\n");
            }
        }
        text
    }
}

/// Eight lower-case letters that are different for each number below 26⁸.
pub fn word(number: u64) -> [u8; 8] {
    let mut left = mixed(number);
    std::array::from_fn(|_| {
        let letter = u8::try_from(left % 26).unwrap_or(0);
        left /= 26;
        b'a' + letter
    })
}

/// The finaliser of `SplitMix64`: near numbers become far ones, and no two the same one.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_text_of_the_length_asked_for() {
        for bytes in [0, 100, 5_000] {
            let text = Author::new(7).mixed(bytes);
            assert!(text.len() >= bytes && text.len() < bytes + 600, "{}", text.len());
            assert_eq!(text, Author::new(7).mixed(bytes));
        }
        assert_ne!(Author::new(1).prose(100), Author::new(2).prose(100));
    }

    #[test]
    fn words_do_not_repeat() {
        let words: HashSet<_> = (0..100_000).map(word).collect();
        assert!(words.len() > 99_990, "{}", words.len());
    }
}
