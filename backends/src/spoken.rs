//! In which dialect a candidate is spoken to, and how a request is written for it there.
//!
//! One answer for sending (`proxy`) and for explaining without sending (`cli`). Not here: the translation itself.

use router::{
    candidate::Candidate,
    wire::{Dialect, Edit},
};

use crate::{
    configuration::Configuration,
    provider::Provider,
    translate::{LateSystem, OutputLimit, ReasoningStyle, RequestOptions, late_system_edits},
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

/// What changes in a body that goes to a candidate in the caller's own dialect, beside the name of the model.
pub fn edits(
    configuration: &Configuration,
    candidate: usize,
    dialect: Dialect,
    body: &[u8],
) -> Vec<Edit> {
    let Some(backend) = configuration.place(candidate) else { return Vec::new() };
    // Where nobody knows, a caller that speaks the backend's own dialect knows best.
    let refuses = backend.provider.open_models() == Some(true);
    match backend.late_system.or(refuses.then_some(LateSystem::AsUser)) {
        // A body that cannot be read has been refused before.
        Some(LateSystem::AsUser) => late_system_edits(dialect, body).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// How a request is written for a candidate; `None` if there is none of that number.
pub fn options(configuration: &Configuration, candidate: usize) -> Option<RequestOptions<'_>> {
    let facts = configuration.settings.candidates.get(candidate)?;
    let backend = configuration.place(candidate)?;
    let mut options = RequestOptions::new(configuration.model(candidate)?.wire_name().as_str());
    if let Some(most) = facts.output_max {
        options.output_max_default = most.0;
        options.output_max = Some(most.0);
    }
    options.reasons = facts.abilities.reasoning;
    options.reasoning = reasoning_style(facts.model.as_str());
    options.output_limit = match backend.provider {
        Provider::OpenAi | Provider::AzureOpenAi => OutputLimit::MaxCompletionTokens,
        _ => OutputLimit::MaxTokens,
    };
    let may_refuse = backend.provider.open_models() != Some(false);
    options.late_system = backend.late_system.or(may_refuse.then_some(LateSystem::AsUser));
    options.cache_control = backend.provider == Provider::OpenRouter;
    Some(options)
}

/// How a model of Anthropic is asked to reason. Those before 4.6 refuse `thinking: {type: adaptive}` (its documentation,
/// extended thinking, 2026-11).
fn reasoning_style(model: &str) -> ReasoningStyle {
    let Some((_, name)) = model.rsplit_once("claude-") else { return ReasoningStyle::Effort };
    // `opus-4-6`, `haiku-4.5`, `sonnet-4-5-20250929`, `3-7-sonnet-latest`; a date is no minor version.
    let mut numbers =
        name.split(['-', '.', '@', ':']).filter_map(|part| part.parse::<u32>().ok()).take(2);
    let major = numbers.next().unwrap_or(u32::MAX);
    let minor = numbers.next().filter(|minor| *minor < 100).unwrap_or(0);
    if (major, minor) < (4, 6) { ReasoningStyle::Budget } else { ReasoningStyle::Effort }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(backend: &str) -> Configuration {
        let file = format!("version: 1\nbackends:\n  - {{name: b, zone: private, {backend}}}\n");
        crate::file::parse(&file).unwrap().0
    }

    #[test]
    fn older_models_of_anthropic_are_given_a_budget() {
        let cases = [
            ("claude-opus-4-6", ReasoningStyle::Effort),
            ("claude-sonnet-5", ReasoningStyle::Effort),
            ("anthropic/claude-opus-4.7", ReasoningStyle::Effort),
            ("claude-haiku-4-5", ReasoningStyle::Budget),
            ("claude-sonnet-4-5-20250929", ReasoningStyle::Budget),
            ("claude-opus-4-20250514", ReasoningStyle::Budget),
            ("claude-3-7-sonnet-latest", ReasoningStyle::Budget),
            ("qwen3:8b", ReasoningStyle::Effort),
        ];
        for (model, style) in cases {
            assert_eq!(reasoning_style(model), style, "{model}");
        }
    }

    #[test]
    fn a_request_is_written_for_what_the_model_can_do() {
        let known = configuration("provider: openai, models: [{id: gpt-4o}]");
        let options = options(&known, 0).unwrap();
        assert_eq!(options.output_max, Some(16_384));
        assert!(!options.reasons && !options.cache_control);
        assert_eq!(options.output_limit, OutputLimit::MaxCompletionTokens);
    }

    #[test]
    fn the_callers_own_dialect_comes_first() {
        let all = configuration(
            "provider: llamacpp, base_url: \"http://h\", models: [{id: m, context: 1, price: {input: 0, output: 0}}]",
        );
        let one = configuration("provider: anthropic, models: [{id: claude-haiku-4-5}]");
        let said = |configuration: &Configuration, from| {
            dialect(&configuration.settings.candidates[0], from)
        };
        use Dialect::{AnthropicMessages, OpenAiChat, OpenAiEmbeddings, OpenAiResponses};
        assert_eq!(said(&all, OpenAiResponses), Some(OpenAiResponses));
        assert_eq!(said(&one, OpenAiChat), Some(AnthropicMessages));
        assert_eq!(said(&one, OpenAiEmbeddings), None);
    }
}
