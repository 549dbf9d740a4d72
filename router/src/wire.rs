//! The dialects that callers speak, and a borrowed view of a request in any of them.

use std::{borrow::Cow, ops::Range};

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
    pub turn: Option<u32>,
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
    /// Every string of the request, keys excluded unless they hold data, in document order.
    pub segments: Vec<Segment<'a>>,
    /// Parts that cannot be read, with the message they belong to.
    pub media: Vec<Media>,
    /// What the answer needs.
    pub needs: Needs,
    /// Most tokens that the caller wants back.
    pub output_max: Option<u64>,
    /// Edits that remove what identifies the caller (`metadata.user_id`, session ids, billing headers).
    pub strip: Vec<Edit>,
}

/// A replacement in the original bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Byte range in the body that is replaced.
    pub span: Range<usize>,
    /// What stands there instead.
    pub with: String,
}
