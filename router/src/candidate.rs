//! The facts that choosing may know of one model at one backend, and nothing else of it.

use domain::{BackendName, ModelName, Price, Tokens, Zone};

use crate::wire::Dialect;

/// One model at one backend.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The backend's name in the router file.
    pub backend: BackendName,
    /// The model as the backend calls it.
    pub model: ModelName,
    /// Who can see what is sent there.
    pub zone: Zone,
    /// How capable the model is, 0 to 100.
    pub quality: u8,
    /// Prompt and answer together; `None` when nobody said.
    pub context: Option<Tokens>,
    /// Longest answer; `None` when nobody said.
    pub output_max: Option<Tokens>,
    /// What it costs; `None` is unknown, never free.
    pub prices: Option<Prices>,
    /// How its tokens are counted.
    pub encoding: Encoding,
    /// What it can do.
    pub abilities: Abilities,
    /// The dialects that the backend takes, the preferred one first.
    pub dialects: &'static [Dialect],
}

impl Candidate {
    /// Whether it is known to cost nothing.
    pub fn is_free(&self) -> bool {
        self.prices.is_some_and(|prices| prices == Prices::default())
    }
}

/// What a model costs, each per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Prompt tokens that no cache knows.
    pub input: Price,
    /// Prompt tokens read from the provider's prompt cache.
    pub cached_input: Price,
    /// Prompt tokens written to the provider's prompt cache.
    pub cache_write: Price,
    /// Answer tokens, reasoning included.
    pub output: Price,
}

/// What a model can do beyond text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Calls tools.
    pub tools: bool,
    /// Sees pictures.
    pub images: bool,
    /// Reads documents.
    pub files: bool,
    /// Hears sound.
    pub audio: bool,
    /// Follows a JSON schema.
    pub json_schema: bool,
    /// Reasons when asked to.
    pub reasoning: bool,
    /// Gives embeddings instead of answers.
    pub embeddings: bool,
}

/// The vocabulary that a model's tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `o200k_base`: exact for OpenAI's models since GPT-4o.
    O200k,
    /// `cl100k_base`: exact for OpenAI's GPT-3.5, GPT-4 and embedding models.
    Cl100k,
    /// A vocabulary that is not here: counted with `o200k_base` times this many thousandths, an estimate.
    Estimate {
        /// Tokens of this model per thousand tokens of `o200k_base`.
        per_thousand: u16,
    },
}
