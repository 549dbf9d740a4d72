//! The dialects that callers speak, and a borrowed view of a request in any of them.
//!
//! Here: which endpoint a path names ([`route()`]), reading a request ([`read()`]), cutting edits into it without a copy
//! ([`splice()`]), and errors in the caller's own shape ([`error_body`], [`error_event`]). Not here: what is sensitive
//! (`classify`), other dialects than the caller's (`backends`).
//!
//! Invariant: every string value of a request is covered by a segment, in known and in unknown fields, except base64
//! payloads of media and reasoning that only the backend which made it can read; those are listed on their own.
//! Member names are segments wherever they are not known words of the protocol.

mod check;
mod error;
mod media;
mod path;
mod place;
mod read;
mod reply;
mod route;
mod slot;
mod splice;
mod words;

use std::{borrow::Cow, ops::Range};

pub use error::ReadError;
pub use path::paths;
pub use read::{read, read_for};
pub use reply::{Failure, error_body, error_event, read_error_body};
pub use route::{Endpoint, Manner, manner, route};
pub use slot::{
    BackendBound, Disposal, Identifier, IdentifierKind, ProviderTool, Slot, detachment, removal,
};
pub use splice::{model_edit, splice};

/// A request format, named by the endpoint that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    OpenAiChat,
    /// `POST /v1/completions`
    OpenAiCompletions,
    /// `POST /v1/responses`
    OpenAiResponses,
    /// `POST /v1/embeddings`
    OpenAiEmbeddings,
    /// `POST /v1/messages`
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`
    AnthropicCountTokens,
}

/// Who wrote a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The agent's instructions, tool descriptions and schemas.
    System,
    /// The person or program that asks.
    User,
    /// The model, in an earlier turn.
    Assistant,
    /// What a tool answered.
    Tool,
    /// None of the conversation: identifiers, metadata, unknown fields.
    Other,
}

/// What kind of text a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Words for the model.
    Prose,
    /// A JSON document inside a JSON string, such as `tool_calls[].function.arguments` of the chat dialect.
    Json,
    /// A name, key, URL or other short value.
    Field,
}

/// One string value of the request. `text` is what the model sees: JSON escapes are undone.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// The text; borrowed from the body when it holds no escape.
    pub text: Cow<'a, str>,
    /// Byte range in the body, without the quotes.
    pub span: Range<usize>,
    /// Who wrote it.
    pub role: Role,
    /// What it is.
    pub part: Part,
    /// The message it belongs to, counted from 0; `None` outside the conversation.
    ///
    /// Cache marks (`cache_control`) have none although they stand in messages: clients move them from turn to turn,
    /// so a conversation is recognised by the texts of its turns, not by the bytes of its messages.
    pub turn: Option<u32>,
    /// A JSON number with nine or more digits in a row, which could be a card or account number. It has no quotes,
    /// so it cannot be masked in place: a placeholder there would be no number.
    pub number: bool,
    /// The name of a member, where names are data (tool inputs, metadata, schema properties, unknown fields).
    pub key: bool,
}

/// A part whose content the router cannot read: an image, a file, audio, an opaque reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// A picture, inline or by URL.
    Image,
    /// A document, inline or by reference.
    File,
    /// Sound.
    Audio,
    /// Text given as token numbers, in `prompt` or `input`.
    Tokens,
}

/// How the content of an [`Attachment`] is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Given {
    /// In the request itself.
    Inline,
    /// By a URL that the backend fetches.
    Url,
    /// By an id that only one account of one provider knows.
    Id,
}

/// One part that cannot be read, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it is.
    pub media: Media,
    /// How it is given.
    pub given: Given,
    /// Byte range of the payload, URL or id, without quotes; for tokens the whole array.
    pub span: Range<usize>,
    /// The message it belongs to.
    pub turn: Option<u32>,
}

/// What a backend must be able to do to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    /// Tool calls.
    pub tools: bool,
    /// Pictures in the prompt.
    pub images: bool,
    /// Documents in the prompt.
    pub files: bool,
    /// Sound in the prompt.
    pub audio: bool,
    /// An answer that follows a JSON schema.
    pub json_schema: bool,
    /// Reasoning that the caller asks for explicitly.
    pub reasoning: bool,
}

/// A request as the router reads it. Everything borrows from, or points into, the original bytes.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The format it is written in.
    pub dialect: Dialect,
    /// The model that the caller asks for.
    pub model: Cow<'a, str>,
    /// Byte range of the model's name in the body, without the quotes.
    pub model_span: Range<usize>,
    /// Whether the caller wants a stream.
    pub stream: bool,
    /// Every string of the request that is not empty, keys excluded unless they hold data, in document order.
    pub segments: Vec<Segment<'a>>,
    /// Parts that cannot be read, with the message they belong to.
    pub media: Vec<Media>,
    /// What the answer needs.
    pub needs: Needs,
    /// Most tokens that the caller wants back.
    pub output_max: Option<u64>,
    /// Edits that remove what identifies the caller (`metadata.user_id`, session ids, billing headers): all of
    /// [`Self::identifiers`].
    pub strip: Vec<Edit>,
    /// The same parts as [`Self::media`], in the same order, with their places.
    pub attachments: Vec<Attachment>,
    /// What identifies the caller, one by one, for those who replace rather than remove; see [`removal`].
    pub identifiers: Vec<Identifier>,
    /// Opaque reasoning that only the backend which made it can read. It is not in the segments when it looks
    /// encrypted, and it must be disposed of before the request goes to another backend; see [`detachment`].
    pub backend_bound: Vec<BackendBound>,
    /// Tools that not every backend of this dialect knows.
    pub provider_tools: Vec<ProviderTool<'a>>,
    /// Byte range of each element of the conversation in order; of the whole string where it is one string.
    pub messages: Vec<Range<usize>>,
    /// Index in [`Self::messages`] of the first message of the user.
    pub anchor: Option<usize>,
    /// A field that only a provider with the state of an earlier call can honour, such as `previous_response_id`,
    /// `file_id`, `item_reference` or `vector_store_ids`.
    pub server_state: Option<&'static str>,
    /// Whether the provider will keep the answer: `store` of the Responses dialect is true unless it says false.
    pub stored: bool,
    /// `stream_options.include_usage` as the caller gave it.
    pub include_usage: Option<bool>,
    /// Makes a stream report its usage where the caller did not ask for it (chat and completions). Whoever applies
    /// it hides the additional chunk from the caller.
    pub usage_edit: Option<Edit>,
    /// How many answers the caller asks for (`n`), at least 1.
    pub choices: u32,
}

/// A replacement in the original bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Byte range in the body that is replaced.
    pub span: Range<usize>,
    /// What stands there instead.
    pub with: String,
}
