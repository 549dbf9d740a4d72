//! In which dialect a candidate is spoken to, and how a request is written for it there.
//!
//! One answer for sending (`proxy`) and for explaining without sending (`cli`). Not here: the translation itself.

use router::{candidate::Candidate, wire::Dialect};

use crate::{
    configuration::Configuration,
    provider::Provider,
    translate::{OutputLimit, RequestOptions},
};

/// The caller's own dialect if the candidate takes it, else the first of its dialects that `from` translates to.
pub fn dialect(candidate: &Candidate, from: Dialect) -> Option<Dialect> {
    let own = candidate.dialects.iter().find(|dialect| **dialect == from);
    own.or_else(|| candidate.dialects.iter().find(|to| translatable(from, **to))).copied()
}

/// Whether requests of dialect `from` can be said in dialect `to` at all.
fn translatable(from: Dialect, to: Dialect) -> bool {
    let talks = |dialect| {
        matches!(
            dialect,
            Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages
        )
    };
    from == to || (talks(from) && talks(to))
}

/// How a request is written for a candidate; `None` if there is none of that number.
pub fn options(configuration: &Configuration, candidate: usize) -> Option<RequestOptions<'_>> {
    let facts = configuration.settings.candidates.get(candidate)?;
    let backend = configuration.place(candidate)?;
    let mut options = RequestOptions::new(configuration.model(candidate)?.wire_name().as_str());
    if let Some(most) = facts.output_max {
        options.output_max_default = most.0;
    }
    options.output_limit = match backend.provider {
        Provider::OpenAi | Provider::AzureOpenAi => OutputLimit::MaxCompletionTokens,
        _ => OutputLimit::MaxTokens,
    };
    options.cache_control = backend.provider == Provider::OpenRouter;
    Some(options)
}
