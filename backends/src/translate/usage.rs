//! Token counts in one form, from and to three.
//!
//! Source of the forms: `openai` 3.54.0 and `anthropic` 2.12.0 for Python, and recorded answers of providers.

use crate::translate::json::{Object, Writer};

/// Tokens of one answer; no token is counted twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input_uncached: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write_5m: u64,
    pub(crate) cache_write_1h: u64,
    /// All output, reasoning included.
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

impl Usage {
    pub(crate) fn input(&self) -> u64 {
        self.input_uncached.saturating_add(self.cache_read).saturating_add(self.cache_write())
    }

    pub(crate) fn cache_write(&self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_1h)
    }

    fn total(&self) -> u64 {
        self.input().saturating_add(self.output)
    }

    /// Reads `usage` of the chat dialect. `DeepSeek` names its cache hits differently.
    pub(crate) fn of_chat(usage: &Object<'_, '_>) -> Self {
        let details = usage.child("prompt_tokens_details");
        let detail = |key| details.as_ref().map_or(0, |details| details.count(key));
        let cached = detail("cached_tokens").max(usage.count("prompt_cache_hit_tokens"));
        let reasoning = usage
            .child("completion_tokens_details")
            .map_or(0, |details| details.count("reasoning_tokens"));
        Self::of_openai(
            [usage.count("prompt_tokens"), cached, detail("cache_write_tokens")],
            [usage.count("completion_tokens"), reasoning],
        )
    }

    /// Reads `usage` of the Responses dialect.
    pub(crate) fn of_responses(usage: &Object<'_, '_>) -> Self {
        let details = usage.child("input_tokens_details");
        let detail = |key| details.as_ref().map_or(0, |details| details.count(key));
        let reasoning = usage
            .child("output_tokens_details")
            .map_or(0, |details| details.count("reasoning_tokens"));
        Self::of_openai(
            [usage.count("input_tokens"), detail("cached_tokens"), detail("cache_write_tokens")],
            [usage.count("output_tokens"), reasoning],
        )
    }

    fn of_openai([input, read, write]: [u64; 3], [output, reasoning]: [u64; 2]) -> Self {
        Self {
            input_uncached: input.saturating_sub(read).saturating_sub(write),
            cache_read: read,
            cache_write_5m: write,
            cache_write_1h: 0,
            output,
            reasoning,
        }
    }

    /// Takes what a `usage` of the Anthropic dialect says; what it leaves out stays.
    pub(crate) fn update_from_messages(&mut self, usage: &Object<'_, '_>) {
        let read = |key: &str, value: &mut u64| {
            if let Some(count) = usage.get(key).and_then(|node| node.u64().ok()) {
                *value = count;
            }
        };
        read("input_tokens", &mut self.input_uncached);
        read("cache_read_input_tokens", &mut self.cache_read);
        read("output_tokens", &mut self.output);
        if let Some(details) = usage.child("output_tokens_details") {
            self.reasoning = details.count("thinking_tokens");
        }
        let mut written = self.cache_write();
        read("cache_creation_input_tokens", &mut written);
        if let Some(creation) = usage.child("cache_creation") {
            self.cache_write_1h = creation.count("ephemeral_1h_input_tokens");
        }
        self.cache_write_5m = written.saturating_sub(self.cache_write_1h);
    }

    /// The value of `usage` in the chat dialect.
    pub(crate) fn write_chat(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("prompt_tokens").number(self.input());
            w.key("completion_tokens").number(self.output);
            w.key("total_tokens").number(self.total());
            w.key("prompt_tokens_details").object(|w| {
                w.key("cached_tokens").number(self.cache_read);
                if self.cache_write() > 0 {
                    w.key("cache_write_tokens").number(self.cache_write());
                }
            });
            w.key("completion_tokens_details")
                .object(|w| w.key("reasoning_tokens").number(self.reasoning));
        });
    }

    /// The value of `usage` in the Responses dialect.
    pub(crate) fn write_responses(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("input_tokens").number(self.input());
            w.key("input_tokens_details").object(|w| {
                w.key("cached_tokens").number(self.cache_read);
                w.key("cache_write_tokens").number(self.cache_write());
            });
            w.key("output_tokens").number(self.output);
            w.key("output_tokens_details")
                .object(|w| w.key("reasoning_tokens").number(self.reasoning));
            w.key("total_tokens").number(self.total());
        });
    }

    /// The value of `usage` in the Anthropic dialect.
    pub(crate) fn write_messages(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("input_tokens").number(self.input_uncached);
            w.key("cache_creation_input_tokens").number(self.cache_write());
            w.key("cache_read_input_tokens").number(self.cache_read);
            w.key("cache_creation").object(|w| {
                w.key("ephemeral_5m_input_tokens").number(self.cache_write_5m);
                w.key("ephemeral_1h_input_tokens").number(self.cache_write_1h);
            });
            w.key("output_tokens").number(self.output);
        });
    }
}
