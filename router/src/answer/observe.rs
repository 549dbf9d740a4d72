//! What all dialects have in common when an answer is observed: usage, errors, identifiers, text.

use domain::Tokens;

use crate::answer::{ErrorSeen, Observed, Usage, tape::Value};

/// Longest code or identifier that is kept, bytes.
const WORD_BYTES_MAX: usize = 128;

impl Observed {
    /// Notes the answer's identifier, once.
    pub(super) fn id(&mut self, id: Option<Value<'_>>) {
        if self.response_id.is_none() {
            self.response_id = id.and_then(word);
        }
    }

    /// Notes an error object with `code` or `type`, or an error that is a bare text. An error ends the answer.
    pub(super) fn fail(&mut self, error: Value<'_>) {
        self.terminal = true;
        if self.error.is_none() {
            let named = |key| error.get(key).and_then(word);
            let code = named("code").or_else(|| named("type")).or_else(|| named("status"));
            self.error = Some(ErrorSeen { code: code.unwrap_or_else(|| "unknown".to_owned()) });
        }
    }

    /// Adds text of the model.
    pub(super) fn text(&mut self, text: Value<'_>) {
        let Some(length) = text.text_length() else { return };
        self.content |= length > 0;
        self.output_text_bytes =
            self.output_text_bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// Usage of the chat, completions, embeddings and responses dialects, whose input counts include the cache.
    /// (`OpenAI` API reference, "usage"; `DeepSeek` names its cache hits otherwise.)
    pub(super) fn openai_usage(&mut self, usage: Option<Value<'_>>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let (mut input, mut output, mut inputs, mut outputs) =
            ([None; 2], [None; 2], [None; 2], [None; 2]);
        let mut hits = None;
        for member in usage.children() {
            let slot = match (member.key(), &mut input, &mut output, &mut inputs, &mut outputs) {
                ("prompt_tokens", [slot, _], ..) | ("input_tokens", [_, slot], ..) => slot,
                ("completion_tokens", _, [slot, _], ..) | ("output_tokens", _, [_, slot], ..) => {
                    slot
                }
                ("prompt_tokens_details", _, _, [slot, _], _) => slot,
                ("input_tokens_details", _, _, [_, slot], _) => slot,
                ("completion_tokens_details", .., [slot, _]) => slot,
                ("output_tokens_details", .., [_, slot]) => slot,
                ("prompt_cache_hit_tokens", ..) => &mut hits,
                _ => continue,
            };
            // Of members of one name the first counts.
            slot.get_or_insert(member);
        }
        let count =
            |names: [Option<Value<'_>>; 2]| names.into_iter().flatten().find_map(Value::number);
        let part = |names: [Option<Value<'_>>; 2], part: &str| {
            names.into_iter().flatten().find_map(|details| details.get(part)?.number())
        };
        let input = Tokens(count(input).unwrap_or_default());
        let hits = || hits.and_then(Value::number);
        let cache_read = Tokens(part(inputs, "cached_tokens").or_else(hits).unwrap_or_default());
        let cache_write = Tokens(part(inputs, "cache_write_tokens").unwrap_or_default());
        self.usage = Some(Usage {
            input_uncached: input.less(cache_read).less(cache_write),
            cache_read,
            cache_write,
            output: Tokens(count(output).unwrap_or_default()),
            reasoning: Tokens(part(outputs, "reasoning_tokens").unwrap_or_default()),
        });
    }

    /// Usage of the Anthropic dialect, whose input count excludes the cache; a later report replaces only the
    /// counts that it holds. (Anthropic API reference, "Streaming messages".)
    pub(super) fn anthropic_usage(&mut self, usage: Option<Value<'_>>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let found = self.usage.get_or_insert_default();
        for (name, slot) in [
            ("input_tokens", &mut found.input_uncached),
            ("cache_read_input_tokens", &mut found.cache_read),
            ("cache_creation_input_tokens", &mut found.cache_write),
            ("output_tokens", &mut found.output),
        ] {
            if let Some(count) = usage.get(name).and_then(Value::number) {
                *slot = Tokens(count);
            }
        }
        let details = usage.get("output_tokens_details");
        if let Some(count) = details.and_then(|d| d.get("reasoning_tokens")?.number()) {
            found.reasoning = Tokens(count);
        }
    }
}

/// A short identifier, or a number; what could be prose is none.
fn word(value: Value<'_>) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    let raw = value.raw();
    let fits =
        !value.is_object() && !value.is_array() && !raw.is_empty() && raw.len() <= WORD_BYTES_MAX;
    (fits && raw != "null" && raw.bytes().all(allowed)).then(|| raw.to_owned())
}
