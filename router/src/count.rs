//! How many tokens a text is for a model, and whether that number is exact.
//!
//! Not here: what the tokens cost (`choose`), the memo of counts (`memory`).

use domain::Tokens;
use tiktoken::{CoreBpe, get_encoding};

use crate::{candidate::Encoding, decide::Counted};

/// Tokens that a chat format adds around each message (OpenAI cookbook, "How to count tokens", 2024-07).
pub const TOKENS_PER_MESSAGE: u64 = 4;

/// Tokens that one picture costs where nothing more is known: a 1024-pixel square in OpenAI's tiles is 765, in
/// Anthropic's formula (width × height / 750) 1,398.
pub const TOKENS_PER_MEDIUM: u64 = 1_200;

/// A vocabulary that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vocabulary {
    /// `o200k_base`
    O200k,
    /// `cl100k_base`
    Cl100k,
}

impl Vocabulary {
    fn encoder(self) -> Option<&'static CoreBpe> {
        get_encoding(match self {
            Self::O200k => "o200k_base",
            Self::Cl100k => "cl100k_base",
        })
    }

    /// Exact number of tokens of `text`, special tokens read as plain text.
    ///
    /// The first call loads the vocabulary: about 90 ms and 24 MB.
    pub fn count(self, text: &str) -> Tokens {
        // The vocabularies are compiled in; were one missing, a byte a token is the safe side.
        let count = self.encoder().map_or(text.len(), |encoder| encoder.count(text));
        Tokens(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl Encoding {
    /// The vocabulary whose counts this encoding starts from.
    pub fn vocabulary(self) -> Vocabulary {
        match self {
            Self::O200k | Self::Estimate { .. } => Vocabulary::O200k,
            Self::Cl100k => Vocabulary::Cl100k,
        }
    }

    /// The number of tokens of this encoding, given the count of its [`Self::vocabulary`].
    pub fn counted(self, base: Tokens) -> Counted {
        match self {
            Self::O200k | Self::Cl100k => Counted { tokens: base, exact: true },
            Self::Estimate { per_thousand } => {
                let scaled = base.0.saturating_mul(u64::from(per_thousand)).div_ceil(1000);
                Counted { tokens: Tokens(scaled), exact: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [&str; 7] = [
        "",
        "The capital of France is Paris.",
        "fn main() {\n    println!(\"{}\", 1_000);\n}\n\n\n",
        "Grüße aus Köln — 東京タワー 👩‍🚀 <|endoftext|>",
        "a  b\t\tc   \n  d",
        "AKIAIOSFODNN7EXAMPLE 4111111111111111 0xdeadbeef",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];

    #[test]
    fn counts_equal_those_of_the_reference_tokenizer() {
        let o200k = tiktoken_rs::o200k_base_singleton();
        let cl100k = tiktoken_rs::cl100k_base_singleton();
        for text in SAMPLES {
            let oracle =
                |bpe: &tiktoken_rs::CoreBPE| Tokens(bpe.encode_ordinary(text).len() as u64);
            assert_eq!(Vocabulary::O200k.count(text), oracle(o200k), "{text:?}");
            assert_eq!(Vocabulary::Cl100k.count(text), oracle(cl100k), "{text:?}");
        }
    }

    #[test]
    fn an_estimate_says_so_and_rounds_up() {
        let estimate = Encoding::Estimate { per_thousand: 1150 };
        assert_eq!(estimate.counted(Tokens(1)), Counted { tokens: Tokens(2), exact: false });
        assert!(Encoding::O200k.counted(Tokens(1)).exact);
    }
}
