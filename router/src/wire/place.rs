//! What stands where in a request: the tables that say which member of which object is what.
//!
//! One set of tables serves all dialects below the outermost object, because a name means the same in all of them
//! and gateways mix them. A member that no table knows is free data: its name and everything in it is searched.

use crate::wire::{Dialect, IdentifierKind, Media, Role, words};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The outermost object.
    Root,
    /// The conversation: an array of messages or items, or one string.
    Messages,
    /// A message or item.
    Message,
    /// A string, a block, or an array of blocks.
    Content,
    /// A part of a message.
    Block,
    /// Arguments of a tool call as JSON; names are data.
    Input,
    /// Arguments of a tool call as a string that holds JSON.
    Arguments,
    /// Where the payload of a block comes from.
    Source(Media),
    /// A URL, or an object with one.
    Url(Media),
    /// Base64 or a `data:` URL.
    Payload(Media),
    /// The id of an uploaded file.
    FileId(Media),
    /// Opaque data of one backend.
    Sealed,
    /// Tool definitions.
    Tools,
    /// A tool definition, or the definition of an answer's format.
    Tool,
    /// A JSON schema.
    Schema,
    /// An object whose names are property names and whose values are schemas.
    Names,
    /// Text of the completions and embeddings dialects: string, strings, or token numbers.
    Prompt,
    /// Definitions of tool servers.
    Servers,
    /// A tool server.
    Server,
    /// The caller's own names and short values.
    Map,
    /// `metadata` of the request.
    Metadata,
    /// Settings: short words under known names.
    Options,
    /// A mark for the provider's prompt cache.
    Cache,
    /// Words for the model.
    Prose,
    /// One short value.
    Field,
    /// Unknown; names are data.
    Free,
}

/// A place with what it inherits from around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) place: Place,
    pub(super) role: Role,
    pub(super) turn: Option<u32>,
}

/// What a member is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) scope: Scope,
    /// Whether its name is data.
    pub(super) data: bool,
}

impl Scope {
    pub(super) fn new(place: Place, role: Role) -> Self {
        Self { place, role, turn: None }
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    fn known(self, place: Place) -> Member {
        Member { scope: self.at(place), data: false }
    }

    fn data(self, place: Place) -> Member {
        Member { scope: self.at(place), data: true }
    }

    /// A word of the protocol that no table gives a meaning, or free data.
    fn other(self, key: &str) -> Member {
        if words::is_protocol(key) { self.known(Place::Options) } else { self.data(Place::Free) }
    }
}

/// Cache marks belong to no turn: clients move them.
fn cache() -> Member {
    Scope::new(Place::Cache, Role::Other).known(Place::Cache)
}

/// What the member `key` of an object is. `kind` is the `type` that the object names, or empty.
pub(super) fn member(dialect: Dialect, object: Scope, kind: &str, key: &str) -> Member {
    match object.place {
        Place::Root => root(dialect, object, key),
        Place::Message | Place::Block => block(object, kind, key),
        Place::Source(media) => source(object, media, key),
        Place::Url(media) => match key {
            "url" => object.known(Place::Url(media)),
            _ => object.other(key),
        },
        Place::Tool => tool(object, key),
        Place::Schema => schema(object, key),
        Place::Names => object.data(Place::Schema),
        Place::Input => object.data(Place::Input),
        Place::Map | Place::Metadata => object.data(Place::Map),
        Place::Cache => Member { scope: object, data: !words::is_protocol(key) },
        Place::Free => object.data(Place::Free),
        Place::Options | Place::Server => option(object, key),
        _ => object.other(key),
    }
}

/// What an object or array turns out to be, once it is known to be one.
pub(super) fn container(place: Place, object: bool) -> Place {
    match (place, object) {
        (Place::Messages, true) => Place::Message,
        (Place::Content, true) => Place::Block,
        (Place::Tools, true) => Place::Tool,
        (Place::Servers, true) => Place::Server,
        (Place::Arguments, _) => Place::Input,
        (
            Place::Prose
            | Place::Field
            | Place::Payload(_)
            | Place::FileId(_)
            | Place::Sealed
            | Place::Prompt,
            true,
        ) => Place::Free,
        _ => place,
    }
}

fn root(dialect: Dialect, root: Scope, key: &str) -> Member {
    let system = Scope { role: Role::System, ..root };
    let user = Scope { role: Role::User, ..root };
    match (dialect, key) {
        (
            Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::AnthropicCountTokens,
            "messages",
        )
        | (Dialect::OpenAiResponses, "input") => user.known(Place::Messages),
        (Dialect::OpenAiCompletions, "prompt") | (Dialect::OpenAiEmbeddings, "input") => {
            user.known(Place::Prompt)
        }
        (Dialect::OpenAiCompletions, "suffix") => user.known(Place::Prose),
        (_, "messages" | "input" | "prompt") => match dialect {
            Dialect::OpenAiResponses => user.known(Place::Options),
            _ => user.data(Place::Free),
        },
        (_, "prediction") => user.known(Place::Content),
        (_, "system" | "instructions") => system.known(Place::Content),
        (_, "tools" | "functions") => system.known(Place::Tools),
        (_, "response_format") => system.known(Place::Tool),
        (_, "mcp_servers") => system.known(Place::Servers),
        (_, "metadata") => root.known(Place::Metadata),
        (_, "client_metadata" | "logit_bias") => root.known(Place::Map),
        _ => root.other(key),
    }
}

fn block(object: Scope, kind: &str, key: &str) -> Member {
    let assistant = Scope { role: Role::Assistant, ..object };
    let place = match key {
        "content" | "output" | "outputs" | "results" | "summary" | "citations" | "annotations"
        | "reasoning_details" | "function" | "custom" | "extra_content" | "google" => {
            Place::Content
        }
        "tool_calls" | "function_call" => return assistant.known(Place::Content),
        "input" | "action" => Place::Input,
        "arguments" => Place::Arguments,
        "text" | "thinking" | "reasoning" | "reasoning_content" | "refusal" | "title"
        | "context" | "cited_text" | "document_title" | "code" | "error" | "transcript"
        | "queries" | "query" | "logs" => Place::Prose,
        "id" | "call_id" | "tool_call_id" | "tool_use_id" | "type" | "role" | "status"
        | "phase" => return Scope { role: Role::Other, ..object }.known(Place::Field),
        "name" | "filename" => Place::Field,
        "source" => Place::Source(media(kind)),
        "image_url" => Place::Url(Media::Image),
        "file_url" | "video_url" => Place::Url(Media::File),
        "audio_url" => Place::Url(Media::Audio),
        "file" => Place::Source(Media::File),
        "input_audio" => Place::Source(Media::Audio),
        "file_data" => Place::Payload(Media::File),
        "file_id" => Place::FileId(media(kind)),
        "data" if is_sealed_kind(kind) => Place::Sealed,
        "data" => Place::Prose,
        "result" if kind == "image_generation_call" => Place::Payload(Media::Image),
        "result" => Place::Prose,
        "signature" | "encrypted_content" | "encrypted_index" | "encrypted_stdout"
        | "thought_signature" => Place::Sealed,
        "cache_control" => return cache(),
        "tools" => return Scope { role: Role::System, ..object }.known(Place::Tools),
        _ => return object.other(key),
    };
    object.known(place)
}

fn source(object: Scope, media: Media, key: &str) -> Member {
    let place = match key {
        "data" | "file_data" => Place::Payload(media),
        "url" => Place::Url(media),
        "file_id" => Place::FileId(media),
        "content" => Place::Content,
        "type" | "media_type" | "format" | "filename" => Place::Field,
        _ => return object.other(key),
    };
    object.known(place)
}

fn tool(object: Scope, key: &str) -> Member {
    let place = match key {
        "name" | "type" => Place::Field,
        "description" | "definition" => Place::Prose,
        "function" | "custom" | "json_schema" | "format" | "grammar" => Place::Tool,
        "parameters" | "input_schema" | "schema" | "output_schema" => Place::Schema,
        "tools" => Place::Tools,
        "input_examples" => Place::Input,
        "headers" => Place::Map,
        "cache_control" => return cache(),
        _ => return object.other(key),
    };
    object.known(place)
}

fn schema(object: Scope, key: &str) -> Member {
    let place = match key {
        "description" | "title" | "$comment" | "pattern" | "markdownDescription" => Place::Prose,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
        | "dependencies" | "dependentRequired" => Place::Names,
        "enum" | "const" | "default" => Place::Map,
        "example" | "examples" => Place::Input,
        _ if words::is_schema(key) => Place::Schema,
        _ => return object.data(Place::Free),
    };
    object.known(place)
}

fn option(object: Scope, key: &str) -> Member {
    let system = Scope { role: Role::System, ..object };
    match key {
        "format" | "json_schema" => system.known(Place::Tool),
        "schema" => system.known(Place::Schema),
        "tools" => system.known(Place::Tools),
        "content" => object.known(Place::Content),
        "variables" => object.known(Place::Input),
        "metadata" => object.known(Place::Map),
        "cache_control" => cache(),
        _ => object.other(key),
    }
}

/// What a block of this type holds.
pub(super) fn media(kind: &str) -> Media {
    match kind {
        "image" | "image_url" | "input_image" | "computer_screenshot" => Media::Image,
        "input_audio" | "audio" => Media::Audio,
        _ => Media::File,
    }
}

/// Blocks whose `data` is opaque.
fn is_sealed_kind(kind: &str) -> bool {
    matches!(kind, "redacted_thinking" | "reasoning.encrypted")
}

/// Blocks and items that say nothing to a backend that cannot read their opaque data.
pub(super) fn is_reasoning_kind(kind: &str) -> bool {
    matches!(
        kind,
        "thinking"
            | "redacted_thinking"
            | "reasoning"
            | "compaction"
            | "compaction_summary"
            | "reasoning.encrypted"
            | "reasoning.text"
    )
}

/// The role that an object of a conversation says it has, or that its type gives it.
pub(super) fn role(named: Option<&str>, kind: &str, inherited: Role) -> Role {
    match named {
        Some("system" | "developer") => return Role::System,
        Some("user") => return Role::User,
        Some("assistant" | "model") => return Role::Assistant,
        Some("tool" | "function") => return Role::Tool,
        Some(_) => return Role::Other,
        None => {}
    }
    if kind.ends_with("_output") || kind.ends_with("tool_result") {
        return if kind == "output_text" { inherited } else { Role::Tool };
    }
    let assistant = kind.ends_with("_call")
        || kind.ends_with("tool_use")
        || is_reasoning_kind(kind)
        || matches!(kind, "mcp_list_tools" | "mcp_approval_request" | "item_reference");
    if assistant { Role::Assistant } else { inherited }
}

/// What the member `key` of an object tells about the caller.
pub(super) fn identifier(object: Scope, kind: &str, key: &str) -> Option<IdentifierKind> {
    match (object.place, key) {
        (Place::Root, "user" | "safety_identifier" | "workspace_id" | "user_profile_id")
        | (Place::Metadata, "user_id") => Some(IdentifierKind::User),
        (Place::Root, "prompt_cache_key") => Some(IdentifierKind::CacheKey),
        (Place::Root, "client_metadata")
        | (Place::Message, "internal_chat_message_metadata_passthrough") => {
            Some(IdentifierKind::Session)
        }
        (Place::Server, "authorization_token") => Some(IdentifierKind::Credential),
        (Place::Tool, "authorization" | "headers") if kind == "mcp" => {
            Some(IdentifierKind::Credential)
        }
        _ => None,
    }
}
