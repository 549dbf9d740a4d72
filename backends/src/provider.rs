//! The providers that this version speaks to, and what is the same for every backend of one provider.
//!
//! Not here: the models they serve (`catalogue`), how a request to them is laid out (`prepare`).

use domain::Zone;
use router::wire::Dialect;

/// Who runs a backend, which decides how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// api.openai.com.
    OpenAi,
    /// api.anthropic.com.
    Anthropic,
    /// Azure OpenAI: `https://RESOURCE.openai.azure.com`.
    AzureOpenAi,
    /// NVIDIA: integrate.api.nvidia.com, or NIM containers of one's own.
    Nvidia,
    /// openrouter.ai.
    OpenRouter,
    /// Ollama.
    Ollama,
    /// vLLM.
    Vllm,
    /// The server of llama.cpp.
    LlamaCpp,
    /// Anything else that speaks OpenAI's chat dialect.
    OpenAiCompatible,
}

/// Where a backend's credential goes in a request. Never the credential itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// `authorization: Bearer …`
    Bearer,
    /// A header of this name whose value is the credential.
    Header(&'static str),
    /// None is sent.
    None,
}

use Dialect::{
    AnthropicCountTokens, AnthropicMessages, OpenAiChat, OpenAiCompletions, OpenAiEmbeddings,
    OpenAiResponses,
};

const OPENAI: &[Dialect] = &[OpenAiChat, OpenAiResponses, OpenAiCompletions, OpenAiEmbeddings];
const ANTHROPIC: &[Dialect] = &[AnthropicMessages, AnthropicCountTokens];
const COMPATIBLE: &[Dialect] = &[OpenAiChat, OpenAiCompletions, OpenAiEmbeddings];
const OPENROUTER: &[Dialect] =
    &[OpenAiChat, AnthropicMessages, OpenAiCompletions, OpenAiEmbeddings];
const LLAMA_CPP: &[Dialect] = &[
    OpenAiChat,
    OpenAiResponses,
    AnthropicMessages,
    OpenAiCompletions,
    OpenAiEmbeddings,
    AnthropicCountTokens,
];

impl Provider {
    /// All providers, in the order in which they are offered.
    pub const ALL: [Self; 9] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::AzureOpenAi,
        Self::Nvidia,
        Self::OpenRouter,
        Self::Ollama,
        Self::Vllm,
        Self::LlamaCpp,
        Self::OpenAiCompatible,
    ];

    /// The word for this provider in the router file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::AzureOpenAi => "azure-openai",
            Self::Nvidia => "nvidia",
            Self::OpenRouter => "openrouter",
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::LlamaCpp => "llamacpp",
            Self::OpenAiCompatible => "openai-compatible",
        }
    }

    /// The base URL that holds when the file gives none; `None` where it must be given.
    pub fn base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Nvidia => Some("https://integrate.api.nvidia.com/v1"),
            Self::OpenRouter => Some("https://openrouter.ai/api/v1"),
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Vllm => Some("http://127.0.0.1:8000"),
            Self::LlamaCpp => Some("http://127.0.0.1:8080"),
            Self::AzureOpenAi | Self::OpenAiCompatible => None,
        }
    }

    /// The dialects that are taken unless the file says otherwise, the preferred one first.
    ///
    /// Dialects that only newer versions of a server take (messages and responses of Ollama, vLLM and NIM 2,
    /// responses of `OpenRouter`, which is a beta) are left to `dialects` in the file: translation to the chat
    /// dialect always works.
    pub fn dialects(self) -> &'static [Dialect] {
        match self {
            Self::OpenAi | Self::AzureOpenAi => OPENAI,
            Self::Anthropic => ANTHROPIC,
            Self::OpenRouter => OPENROUTER,
            Self::LlamaCpp => LLAMA_CPP,
            Self::Nvidia | Self::Ollama | Self::Vllm | Self::OpenAiCompatible => COMPATIBLE,
        }
    }

    /// The zone that is most likely meant; it becomes the zone only for local servers on a loopback address.
    pub fn zone_hint(self) -> Zone {
        match self {
            Self::Ollama | Self::Vllm | Self::LlamaCpp => Zone::Local,
            Self::AzureOpenAi => Zone::Private,
            Self::OpenAi
            | Self::Anthropic
            | Self::Nvidia
            | Self::OpenRouter
            | Self::OpenAiCompatible => Zone::Public,
        }
    }

    /// Where a credential goes, if one is configured.
    pub fn placement(self) -> Placement {
        match self {
            Self::Anthropic => Placement::Header("x-api-key"),
            Self::AzureOpenAi => Placement::Header("api-key"),
            Self::OpenAi
            | Self::Nvidia
            | Self::OpenRouter
            | Self::Ollama
            | Self::Vllm
            | Self::LlamaCpp
            | Self::OpenAiCompatible => Placement::Bearer,
        }
    }

    /// Whether it serves open models, whose chat templates often refuse what the system says in the middle of a
    /// conversation; `None` where nobody knows.
    pub fn open_models(self) -> Option<bool> {
        match self {
            Self::Nvidia | Self::Ollama | Self::Vllm | Self::LlamaCpp => Some(true),
            Self::OpenAi | Self::Anthropic | Self::AzureOpenAi | Self::OpenRouter => Some(false),
            Self::OpenAiCompatible => None,
        }
    }

    /// Whether the provider's own service answers nobody without a credential.
    pub fn credential_required(self) -> bool {
        match self {
            Self::OpenAi
            | Self::Anthropic
            | Self::AzureOpenAi
            | Self::Nvidia
            | Self::OpenRouter => true,
            Self::Ollama | Self::Vllm | Self::LlamaCpp | Self::OpenAiCompatible => false,
        }
    }

    /// Path of a request that costs nothing and tells whether the service is up, below the host when it begins
    /// with a slash, else below the versioned base (`/v1`).
    pub fn probe(self) -> &'static str {
        match self {
            Self::Ollama => "/api/version",
            Self::Vllm | Self::LlamaCpp => "/health",
            Self::OpenAi
            | Self::Anthropic
            | Self::AzureOpenAi
            | Self::Nvidia
            | Self::OpenRouter
            | Self::OpenAiCompatible => "models",
        }
    }
}

/// Providers that the file format names but this version cannot speak to, with what to use instead.
pub const NOT_YET: [(&str, &str); 3] = [
    ("bedrock", "use `openai-compatible` with Bedrock's OpenAI endpoint and a Bedrock API key"),
    (
        "gemini",
        "use `openai-compatible` with base_url https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    ("vertex", "use `openai-compatible` with a gateway in front of Vertex"),
];

/// The word for a dialect in the router file.
pub fn dialect_word(dialect: Dialect) -> &'static str {
    match dialect {
        OpenAiChat => "chat",
        OpenAiResponses => "responses",
        AnthropicMessages => "messages",
        OpenAiCompletions => "completions",
        OpenAiEmbeddings => "embeddings",
        AnthropicCountTokens => "count_tokens",
    }
}

/// All dialects, in the order in which [`subset`] prefers them.
pub const DIALECTS: [Dialect; 6] = [
    OpenAiChat,
    OpenAiResponses,
    AnthropicMessages,
    OpenAiCompletions,
    OpenAiEmbeddings,
    AnthropicCountTokens,
];

/// Every set of dialects, so that any of them is `'static`: row `n` holds the dialects whose bit is set in `n`,
/// in the order of [`DIALECTS`], with their number.
static SUBSETS: [([Dialect; 6], usize); 64] = subsets();

/// The dialects that `keep` accepts, in the order of [`DIALECTS`].
pub fn subset(keep: impl Fn(Dialect) -> bool) -> &'static [Dialect] {
    let mut row = 0_usize;
    for (bit, dialect) in DIALECTS.into_iter().enumerate() {
        if keep(dialect) {
            row |= 1 << bit;
        }
    }
    SUBSETS.get(row).and_then(|(dialects, count)| dialects.get(..*count)).unwrap_or_default()
}

#[expect(
    clippy::indexing_slicing,
    reason = "runs in the compiler only, where an index out of bounds is a compile error"
)]
const fn subsets() -> [([Dialect; 6], usize); 64] {
    let mut rows = [([OpenAiChat; 6], 0_usize); 64];
    let mut row = 0;
    while row < 64 {
        let mut bit = 0;
        while bit < 6 {
            if row & (1 << bit) != 0 {
                let at = rows[row].1;
                rows[row].0[at] = DIALECTS[bit];
                rows[row].1 = at + 1;
            }
            bit += 1;
        }
        row += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_dialects_has_a_static_slice() {
        assert_eq!(subset(|_| true), DIALECTS);
        assert_eq!(subset(|_| false), []);
        assert_eq!(
            subset(|d| matches!(d, OpenAiChat | AnthropicMessages)),
            [OpenAiChat, AnthropicMessages]
        );
    }

    #[test]
    fn words_of_providers_and_dialects_are_distinct() {
        let mut words: Vec<_> = Provider::ALL.iter().map(|p| p.as_str()).collect();
        words.extend(DIALECTS.map(dialect_word));
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
