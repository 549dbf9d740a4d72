//! A request, an answer or a stream of one dialect in the words of another.
//!
//! Three readers make a request without a dialect and three writers take it; answers and streams do the same with
//! blocks and events. What cannot be said in the other dialect is an error that names the field. Not here: choosing
//! the backend (`router`), headers and credentials, sockets. Embeddings, completions and token counts have no second
//! dialect.
//!
//! These are left out, because the answer can do without them; [`Translated::omitted`] names each that a request had:
//!
//! | field | why |
//! |---|---|
//! | tools that only the provider of the caller's dialect runs (`tools.web_search`), `mcp_servers` | the model may call them or not; one that `tool_choice` forces is an error |
//! | `cache_control` where the target knows none, `prompt_cache_key`, `prompt_cache_options`, `prompt_cache_retention`, `prompt_cache_breakpoint` | where a provider may cache; for the Anthropic dialect a `prompt_cache_key` becomes a `cache_control` |
//! | `metadata`, `user`, `safety_identifier`, `client_metadata`, `user_profile_id`, `workspace_id` | who asks; another backend must not learn it |
//! | `service_tier`, `speed`, `diagnostics`, `eager_input_streaming`, `stream_options.include_obfuscation`, `prediction` | when and how fast the same answer comes |
//! | `store: true` | nothing is kept for a later request; one that refers to it is an error |
//! | the effort of reasoning, for a model that does not reason | it answers all the same |
//! | `include`, `reasoning.summary`, `thinking.display`, `thinking` without a budget, `verbosity`, `detail` of a picture | how reasoning and answer are shown, how closely a picture is looked at |
//! | reasoning of earlier turns, in any form | signed or encrypted for the backend that made it; another refuses it |
//! | `context_management`, `truncation` | what a provider does when the prompt grows too long; a backend that it is too long for says so |
//! | `defer_loading`, `citations` of earlier answers | the tool is simply loaded; the text stays |
//! | `max_tool_calls` | limits hosted tools, and those are left out |
//!
//! Not named, because nothing is lost: what is the default of the other side (`store: false`, `background: false`, `n: 1`,
//! `logprobs: false`, zero penalties, medium verbosity), ids of items, `annotations` of earlier answers, and the `name` of
//! an assistant's or a tool's message, which repeats the role or the call.
//!
//! Changed without an error: a limit of the answer above what the model can write becomes that; a temperature above 1 becomes 1 for Anthropic; the result of a failed tool is marked in its
//! text for dialects without a flag; tool ids and names are rewritten where their alphabet or length is refused.
//!
//! Invariant: a stream that the backend did not end is never ended here.

mod answer;
mod conversation;
mod decode;
mod encode;
mod event;
mod failure;
mod foreign;
mod json;
mod late;
mod names;
mod omitted;
mod read;
mod stream;
mod usage;
mod write;

use std::collections::BTreeMap;

use router::wire::Dialect;

pub use failure::{ErrorFacts, read_error};
pub use foreign::strip_foreign;
pub use late::late_system_edits;
pub use omitted::Omitted;
pub use stream::StreamTranslator;

/// The signature of thinking that no Anthropic model signed, in answers of the Anthropic dialect. Such a block must not
/// be sent to a backend of that dialect, which would refuse it.
pub const UNSIGNED: &str = "openshell-unsigned";

/// How the id of a reasoning item begins that no provider stored, in answers of the Responses dialect. Such an item must
/// not be sent to a backend of that dialect, which would look for it; [`strip_foreign`] removes both kinds.
pub const UNSTORED: &str = "rs_openshell_";

/// Why a request, answer or stream cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {message}")]
pub struct TranslateError {
    /// JSON path of the field, such as `messages[2].content[0].type`; empty for the whole document.
    pub param: String,
    /// What is wrong with it, for the caller; never holds content.
    pub message: String,
    /// One of the constants of this type.
    pub code: &'static str,
}

impl TranslateError {
    /// The body is not JSON.
    pub const INVALID_JSON: &'static str = "invalid_json";
    /// A field has a value that its own dialect does not allow.
    pub const INVALID_VALUE: &'static str = "invalid_value";
    /// A field, or its value, has no counterpart in the other dialect.
    pub const UNSUPPORTED: &'static str = "unsupported_field";
    /// No translation exists between the two dialects.
    pub const DIALECT_UNSUPPORTED: &'static str = "dialect_unsupported";
    /// The backend's answer does not follow its dialect.
    pub const INVALID_ANSWER: &'static str = "invalid_answer";
    /// The backend's stream ended before its last event.
    pub const STREAM_TRUNCATED: &'static str = "stream_truncated";

    fn dialect(from: Dialect, to: Dialect) -> Self {
        Self {
            param: String::new(),
            message: format!("{from:?} cannot be translated to {to:?}"),
            code: Self::DIALECT_UNSUPPORTED,
        }
    }

    fn field(param: &str, message: &str) -> Self {
        Self { param: param.to_owned(), message: message.to_owned(), code: Self::UNSUPPORTED }
    }
}

/// How reasoning is asked for in the Anthropic dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningStyle {
    /// `thinking: {type: adaptive}` with `output_config.effort`; models of 2026.
    #[default]
    Effort,
    /// `thinking: {type: enabled, budget_tokens}`; older models.
    Budget,
}

/// What becomes of a system message that is not at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateSystem {
    /// Stays in its place, inside `<system>` tags in the user's turn. Templates of many open models refuse it otherwise.
    AsUser,
    /// Stays in its place with its role; in the Anthropic dialect that needs the beta `mid-conversation-system-2026-04-07`.
    InPlace,
    /// Joins the system prompt at the start.
    Hoist,
}

/// The member that limits the answer in the chat dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputLimit {
    /// `max_completion_tokens`; required by reasoning models of OpenAI.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`; all that some compatible servers know.
    MaxTokens,
}

/// How a request is written for its backend.
#[derive(Clone, Debug)]
pub struct RequestOptions<'a> {
    /// The model's name at the backend.
    pub model: &'a str,
    /// Most tokens of an answer when the caller sets no limit; the Anthropic dialect requires one.
    pub output_max_default: u64,
    /// Most tokens that the model can write, if that is known; a larger limit of the caller becomes this one, because
    /// backends refuse it.
    pub output_max: Option<u64>,
    /// Whether the model reasons when asked to; others refuse to be asked.
    pub reasons: bool,
    /// Longest tool name that the backend takes, bytes; at least 16.
    pub tool_name_bytes_max: usize,
    /// How reasoning is asked for.
    pub reasoning: ReasoningStyle,
    /// Where later system messages go; `None` is [`LateSystem::AsUser`] for the Anthropic dialect and
    /// [`LateSystem::InPlace`] for the others.
    pub late_system: Option<LateSystem>,
    /// How the chat dialect limits the answer.
    pub output_limit: OutputLimit,
    /// Whether the backend takes `cache_control` on text in the chat dialect, as OpenRouter does.
    pub cache_control: bool,
}

impl<'a> RequestOptions<'a> {
    /// Options for `model` with the strictest reading of everything else: 4096 tokens of output, tool names of at most
    /// 64 bytes (OpenAI API reference, function calling, 2026-11).
    pub fn new(model: &'a str) -> Self {
        Self {
            model,
            output_max_default: 4096,
            output_max: None,
            reasons: true,
            tool_name_bytes_max: 64,
            reasoning: ReasoningStyle::default(),
            late_system: None,
            output_limit: OutputLimit::default(),
            cache_control: false,
        }
    }
}

/// The caller's names of tools that the backend knows by another name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolNames(BTreeMap<String, CallerName>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CallerName {
    namespace: Option<String>,
    name: String,
}

impl ToolNames {
    /// Whether every tool kept its name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The caller's name for the backend's.
    fn name<'n>(&'n self, backend: &'n str) -> &'n str {
        self.0.get(backend).map_or(backend, |caller| caller.name.as_str())
    }

    /// The namespace of the caller's tool, if it has one.
    fn namespace(&self, backend: &str) -> Option<&str> {
        self.0.get(backend)?.namespace.as_deref()
    }
}

/// What an answer is written with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerContext {
    /// The model's name for the caller.
    pub model: String,
    /// When the answer was made, seconds since 1970.
    pub created: u64,
    /// A token that is unique among answers, in `[a-zA-Z0-9_-]`; the prefix of the dialect is added.
    pub id: String,
    /// Whether a caller of the chat dialect asked for the usage of a stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// What [`request_with_names`] gave.
    pub tool_names: ToolNames,
}

/// A translated request and what its answer needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// The body for the backend.
    pub body: Vec<u8>,
    /// Goes into [`AnswerContext::tool_names`].
    pub tool_names: ToolNames,
    /// What the other dialect has no words for.
    pub omitted: Omitted,
}

/// Writes a request of the dialect `from` in the dialect `to`; with equal dialects only the model's name changes.
///
/// # Errors
/// The field that cannot be translated, with its path and a code; `dialect_unsupported` for a pair that has no translation.
pub fn request(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    options: &RequestOptions<'_>,
) -> Result<Vec<u8>, TranslateError> {
    request_with_names(from, to, body, options).map(|translated| translated.body)
}

/// As [`request`], with the tool names that were rewritten and the fields that were left out.
///
/// # Errors
/// As [`request`].
pub fn request_with_names(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    options: &RequestOptions<'_>,
) -> Result<Translated, TranslateError> {
    let root = json::document(body)?;
    if from == to {
        let body = write::with_model(&root.object()?, options.model);
        return Ok(Translated { body, ..Translated::default() });
    }
    let reader = match from {
        Dialect::OpenAiChat => read::chat,
        Dialect::AnthropicMessages => read::messages,
        Dialect::OpenAiResponses => read::responses,
        _ => return Err(TranslateError::dialect(from, to)),
    };
    let writer = match to {
        Dialect::OpenAiChat => write::chat,
        Dialect::AnthropicMessages => write::messages,
        Dialect::OpenAiResponses => write::responses,
        _ => return Err(TranslateError::dialect(from, to)),
    };
    let object = root.object()?;
    let mut conversation = reader(&object)?;
    omitted::settle(&mut conversation, to, options)?;
    let tool_names = names::flatten(&mut conversation, options.tool_name_bytes_max);
    place_late_system(&mut conversation, to, options);
    conversation.join_assistant_turns();
    conversation.join_result_turns();
    if to == Dialect::AnthropicMessages {
        names::restrict_ids(&mut conversation);
    }
    let body = writer(&conversation, options)?;
    Ok(Translated { body, tool_names, omitted: conversation.omitted })
}

fn place_late_system(
    conversation: &mut conversation::Conversation<'_>,
    to: Dialect,
    options: &RequestOptions<'_>,
) {
    let default = match to {
        Dialect::AnthropicMessages => LateSystem::AsUser,
        _ => LateSystem::InPlace,
    };
    match options.late_system.unwrap_or(default) {
        LateSystem::InPlace => {}
        LateSystem::AsUser => conversation.late_system_as_user(),
        LateSystem::Hoist => conversation.hoist_late_system(),
    }
}

/// Writes a buffered answer of the dialect `from` in the dialect `to`; an answer between equal dialects stays as it is.
///
/// # Errors
/// `invalid_answer` when the backend does not follow its dialect; `dialect_unsupported` for a pair that has no translation.
pub fn answer(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    context: &AnswerContext,
) -> Result<Vec<u8>, TranslateError> {
    if from == to {
        return Ok(body.to_vec());
    }
    let reader = match from {
        Dialect::OpenAiChat => answer::chat::read,
        Dialect::AnthropicMessages => answer::messages::read,
        Dialect::OpenAiResponses => answer::responses::read,
        _ => return Err(TranslateError::dialect(from, to)),
    };
    let root = json::document(body).map_err(answer::invalid)?;
    let root = root.object().map_err(answer::invalid)?;
    let read = reader(&root).map_err(answer::invalid)?.completed(context);
    match to {
        Dialect::OpenAiChat => Ok(answer::chat::write(&read, context)),
        Dialect::AnthropicMessages => answer::messages::write(&read, context),
        Dialect::OpenAiResponses => Ok(answer::responses::write(&read, context)),
        _ => Err(TranslateError::dialect(from, to)),
    }
}
