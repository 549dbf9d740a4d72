//! Why the model stopped, in one vocabulary for all dialects.

use crate::answer::tape::Value;

/// Answers to one request that are told apart; callers rarely ask for more than one.
const CHOICES_MAX: usize = 8;

/// Why the model stopped; the words are those of the OpenTelemetry conventions for generative AI (2026-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// It had said all, or met a stop sequence.
    Stop,
    /// It reached a limit of tokens.
    Length,
    /// It wants a tool to be called.
    ToolCall,
    /// A filter of the provider, or the model itself, refused.
    ContentFilter,
    /// It failed.
    Error,
    /// Another reason that the provider gives.
    Other,
}

/// Why each answer to one request ended, for the first eight of them. No heap is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finishes([Option<Finish>; CHOICES_MAX]);

impl Finish {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCall => "tool_call",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
            Self::Other => "other",
        }
    }

    /// What a provider's own word means: `finish_reason`, `stop_reason`, `status` or the reason of an incomplete
    /// response (API references of `OpenAI` and Anthropic, 2026-11).
    fn of(word: &str) -> Self {
        match word {
            "stop" | "end_turn" | "stop_sequence" | "pause_turn" | "completed" => Self::Stop,
            "length"
            | "max_tokens"
            | "max_output_tokens"
            | "model_context_window_exceeded"
            | "incomplete" => Self::Length,
            "tool_calls" | "function_call" | "tool_use" => Self::ToolCall,
            "content_filter" | "refusal" => Self::ContentFilter,
            "error" | "failed" | "cancelled" => Self::Error,
            _ => Self::Other,
        }
    }
}

impl Finishes {
    /// The reasons, in the order of the answers; those that are not known are left out.
    pub fn iter(&self) -> impl Iterator<Item = Finish> {
        self.0.iter().flatten().copied()
    }

    /// Notes the reason of the answer with this number, if `reason` is one.
    pub(super) fn note(&mut self, choice: u64, reason: Option<Value<'_>>) {
        let Some(reason) = reason.filter(|reason| reason.is_text()) else { return };
        let place = usize::try_from(choice).ok().and_then(|at| self.0.get_mut(at));
        if let Some(place) = place {
            *place = Some(Finish::of(reason.raw()));
        }
    }

    /// Notes the status of a whole response of the responses dialect, and why it is incomplete. A response that only
    /// asks for tools has the same status as one that says all.
    pub(super) fn note_response(&mut self, response: Value<'_>) {
        let details = response.get("incomplete_details").filter(|details| details.is_object());
        let reason = details.and_then(|details| details.get("reason"));
        self.note(0, reason.or_else(|| response.get("status")));
    }
}
