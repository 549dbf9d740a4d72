//! Which endpoint a method and a path name.

use std::borrow::Cow;

use crate::wire::Dialect;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A call to a model.
    Inference {
        /// The format of the body.
        dialect: Dialect,
        /// The model where the path names it (Azure deployments); it counts when the body names none.
        model: Option<Cow<'a, str>>,
    },
    /// The list of models.
    Models,
    /// One model of the list.
    Model(Cow<'a, str>),
    /// `GET /` or `HEAD /`, by which clients see whether somebody is there.
    Root,
    /// A known path with a method that it does not take.
    WrongMethod {
        /// Value of the `allow` header.
        allow: &'static str,
    },
    /// None of the above.
    Unknown,
}

/// Whose manners an answer without a dialect follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// OpenAI and those who copied it.
    OpenAi,
    /// Anthropic.
    Anthropic,
}

impl Dialect {
    /// How errors look in this dialect.
    pub fn manner(self) -> Manner {
        match self {
            Self::AnthropicMessages | Self::AnthropicCountTokens => Manner::Anthropic,
            Self::OpenAiChat
            | Self::OpenAiCompletions
            | Self::OpenAiResponses
            | Self::OpenAiEmbeddings => Manner::OpenAi,
        }
    }
}

/// The endpoint that a method and a path name.
///
/// The path may have a query, which is ignored, a trailing slash, and lack the `/v1`; what providers put before it
/// (`/openai`, `/anthropic`, `/api`…) may stand there. Azure's `/openai/deployments/{name}/…` names the model. Methods are compared as they are: HTTP
/// methods are case-sensitive (RFC 9110 section 9.1).
pub fn route<'a>(method: &str, path: &'a str) -> Endpoint<'a> {
    let path = tail(path);
    if path.is_empty() {
        return reading(method, Endpoint::Root);
    }
    if let Some(rest) = path.strip_prefix("deployments/") {
        return deployment(method, rest);
    }
    if path == "models" {
        return reading(method, Endpoint::Models);
    }
    if let Some(id) = path.strip_prefix("models/") {
        return match decoded(id) {
            // Gemini calls its models there: `POST …/models/{id}:generateContent`.
            Some(id) if method == "POST" && id.contains(':') => Endpoint::Unknown,
            Some(id) => reading(method, Endpoint::Model(id)),
            None => Endpoint::Unknown,
        };
    }
    match dialect(path) {
        Some(dialect) => calling(method, dialect, None),
        None => Endpoint::Unknown,
    }
}

/// In which manner to answer a request whose path names no dialect: Anthropic's when it carries one of their headers
/// or its path is theirs. `has_header` is asked with lower-case names.
pub fn manner(path: &str, has_header: impl Fn(&str) -> bool) -> Manner {
    let tail = tail(path);
    let theirs = path.starts_with("/anthropic/") || tail.starts_with("messages");
    if theirs || has_header("anthropic-version") || has_header("x-api-key") {
        Manner::Anthropic
    } else {
        Manner::OpenAi
    }
}

/// What providers and gateways put before the paths that they share, in the order in which they are nested.
const PREFIXES: [&str; 7] =
    ["api", "inference", "v1beta/openai", "openai", "anthropic", "beta", "v1"];

/// The path without query, prefixes and slashes at its ends.
fn tail(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    PREFIXES.into_iter().fold(path, |path, prefix| match path.strip_prefix(prefix) {
        Some("") => "",
        Some(rest) => rest.strip_prefix('/').unwrap_or(path),
        None => path,
    })
}

fn dialect(path: &str) -> Option<Dialect> {
    Some(match path {
        "chat/completions" => Dialect::OpenAiChat,
        "completions" => Dialect::OpenAiCompletions,
        "responses" => Dialect::OpenAiResponses,
        "embeddings" => Dialect::OpenAiEmbeddings,
        "messages" => Dialect::AnthropicMessages,
        "messages/count_tokens" => Dialect::AnthropicCountTokens,
        _ => return None,
    })
}

fn deployment<'a>(method: &str, rest: &'a str) -> Endpoint<'a> {
    let Some((name, operation)) = rest.split_once('/') else {
        return Endpoint::Unknown;
    };
    match (decoded(name), dialect(operation)) {
        (Some(name), Some(dialect)) => calling(method, dialect, Some(name)),
        _ => Endpoint::Unknown,
    }
}

fn calling<'a>(method: &str, dialect: Dialect, model: Option<Cow<'a, str>>) -> Endpoint<'a> {
    match method {
        "POST" => Endpoint::Inference { dialect, model },
        _ => Endpoint::WrongMethod { allow: "POST" },
    }
}

fn reading<'a>(method: &str, endpoint: Endpoint<'a>) -> Endpoint<'a> {
    match method {
        "GET" | "HEAD" => endpoint,
        _ => Endpoint::WrongMethod { allow: "GET, HEAD" },
    }
}

/// A model's name from a path, percent escapes undone; `None` if that gives nothing that could be a name.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let name = if text.contains('%') { Cow::Owned(percent(text)?) } else { Cow::Borrowed(text) };
    super::check::is_model_name(&name).then_some(name)
}

fn percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(dialect: Dialect) -> Endpoint<'static> {
        Endpoint::Inference { dialect, model: None }
    }

    #[test]
    fn paths_name_endpoints_with_and_without_their_prefixes() {
        let cases = [
            ("POST", "/v1/chat/completions", call(Dialect::OpenAiChat)),
            ("POST", "/chat/completions/", call(Dialect::OpenAiChat)),
            ("POST", "/openai/v1/responses", call(Dialect::OpenAiResponses)),
            ("POST", "/v1/completions?x=/v1/messages", call(Dialect::OpenAiCompletions)),
            ("POST", "/v1/embeddings", call(Dialect::OpenAiEmbeddings)),
            ("POST", "/v1/messages?beta=true", call(Dialect::AnthropicMessages)),
            ("POST", "/anthropic/v1/messages", call(Dialect::AnthropicMessages)),
            ("POST", "/v1/messages/count_tokens?beta=true", call(Dialect::AnthropicCountTokens)),
            ("POST", "//v1/messages", call(Dialect::AnthropicMessages)),
            ("POST", "/api/v1/chat/completions", call(Dialect::OpenAiChat)),
            ("POST", "/v1beta/openai/embeddings", call(Dialect::OpenAiEmbeddings)),
            ("GET", "/v1/models/qwen3:8b", Endpoint::Model("qwen3:8b".into())),
            ("GET", "/v1/models?limit=1000", Endpoint::Models),
            ("GET", "/v1/models/gpt-4o", Endpoint::Model("gpt-4o".into())),
            ("GET", "/v1/models/a%2Fb", Endpoint::Model("a/b".into())),
            ("GET", "/v1/models/meta/llama", Endpoint::Model("meta/llama".into())),
            ("HEAD", "/", Endpoint::Root),
            ("GET", "/v1", Endpoint::Root),
            ("POST", "/", Endpoint::WrongMethod { allow: "GET, HEAD" }),
            ("GET", "/v1/responses", Endpoint::WrongMethod { allow: "POST" }),
            ("post", "/v1/responses", Endpoint::WrongMethod { allow: "POST" }),
            ("POST", "/v1/responses/compact", Endpoint::Unknown),
            ("POST", "/v1beta/models/g:generateContent", Endpoint::Unknown),
            ("POST", "/v1messages", Endpoint::Unknown),
            ("POST", "/v1/models/g:generateContent", Endpoint::Unknown),
            ("POST", "/v1/threads/t/messages", Endpoint::Unknown),
            ("GET", "/v1/models/%", Endpoint::Unknown),
            ("GET", "/v1/models/a%0Ab", Endpoint::Unknown),
        ];
        for (method, path, wanted) in cases {
            assert_eq!(route(method, path), wanted, "{method} {path}");
        }
    }

    #[test]
    fn an_azure_deployment_names_the_model() {
        let path = "/openai/deployments/dep1/chat/completions?api-version=2024-10-21";
        let wanted =
            Endpoint::Inference { dialect: Dialect::OpenAiChat, model: Some("dep1".into()) };
        assert_eq!(route("POST", path), wanted);
        assert_eq!(route("POST", "/openai/deployments/dep1"), Endpoint::Unknown);
    }

    #[test]
    fn unknown_paths_are_answered_in_the_manner_of_the_caller() {
        let none = |_: &str| false;
        assert_eq!(manner("/v1/batches", none), Manner::OpenAi);
        assert_eq!(manner("/v1/messages/batches", none), Manner::Anthropic);
        assert_eq!(manner("/anthropic/x", none), Manner::Anthropic);
        assert_eq!(manner("/", |name| name == "anthropic-version"), Manner::Anthropic);
        assert_eq!(manner("/x", |name| name == "x-api-key"), Manner::Anthropic);
    }
}
