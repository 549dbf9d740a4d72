//! The parts of a request to a backend that are no body: path, host, the router's own headers.
//!
//! Not here: the body (spliced or translated elsewhere), the credential itself, which headers of the caller pass
//! (`headers`). Invariant: nothing here comes from the caller; model names are escaped where they enter a path.

use router::wire::Dialect;

use crate::{
    configuration::{Backend, BaseUrl, Model},
    provider::{Placement, Provider},
};

/// The version of Anthropic's API that our requests are written for (its documentation, 2026-11).
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Who asks. Replaces the caller's own, which tells about its machine.
const USER_AGENT: &str = concat!("openshell/", env!("CARGO_PKG_VERSION"));

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path and query of the request line.
    pub path_and_query: String,
    /// The value of `host` (or `:authority`).
    pub host_header: String,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The name for SNI and for checking the certificate; also the name to resolve. An IP address without brackets.
    pub server_name: String,
    /// The port to connect to.
    pub port: u16,
    /// Headers that the router sets, names in lower case. A header of the caller that was let through
    /// (`anthropic-version`) takes precedence over one of these; [`Backend::headers`] over both.
    pub headers: Vec<(&'static str, String)>,
    /// Where the credential goes.
    pub placement: Placement,
}

/// Where a request in `dialect` for one model of a backend goes.
pub fn target(backend: &Backend, model: &Model, dialect: Dialect) -> Target {
    let path_and_query = match (&backend.provider, &backend.api_version) {
        (Provider::AzureOpenAi, Some(version)) => azure(backend, model, dialect, version),
        _ => format!("{}/{}", base(backend), endpoint(dialect)),
    };
    let mut headers = vec![("user-agent", USER_AGENT.to_owned())];
    if matches!(dialect, Dialect::AnthropicMessages | Dialect::AnthropicCountTokens) {
        headers.push(("anthropic-version", ANTHROPIC_VERSION.to_owned()));
    }
    at(backend, path_and_query, headers)
}

/// Where a health probe goes (`GET`). A backend that answers it with any status below 500 is up.
pub fn probe(backend: &Backend) -> Target {
    let path = match backend.provider.probe() {
        path if path.starts_with('/') => path.to_owned(),
        below => format!("{}/{below}", base(backend)),
    };
    let path = match (&backend.provider, &backend.api_version) {
        (Provider::AzureOpenAi, Some(version)) => {
            format!("{}/openai/models?api-version={version}", azure_root(&backend.base_url))
        }
        _ => path,
    };
    let mut headers = vec![("user-agent", USER_AGENT.to_owned())];
    if backend.provider == Provider::Anthropic {
        headers.push(("anthropic-version", ANTHROPIC_VERSION.to_owned()));
    }
    at(backend, path, headers)
}

fn at(backend: &Backend, path_and_query: String, headers: Vec<(&'static str, String)>) -> Target {
    Target {
        path_and_query,
        host_header: backend.base_url.host_header(),
        tls: backend.base_url.tls,
        server_name: backend.base_url.host.clone(),
        port: backend.base_url.port,
        headers,
        placement: backend.placement,
    }
}

/// The path of a dialect below the versioned base.
fn endpoint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat => "chat/completions",
        Dialect::OpenAiCompletions => "completions",
        Dialect::OpenAiResponses => "responses",
        Dialect::OpenAiEmbeddings => "embeddings",
        Dialect::AnthropicMessages => "messages",
        Dialect::AnthropicCountTokens => "messages/count_tokens",
    }
}

/// The base path with its version: `/v1` is added unless a segment is a version already (`/v1`, `/v1beta`), so
/// that both habits of writing a base URL work.
fn base(backend: &Backend) -> String {
    if backend.provider == Provider::AzureOpenAi {
        return format!("{}/openai/v1", azure_root(&backend.base_url));
    }
    let path = &backend.base_url.path;
    if path.split('/').any(is_version) { path.clone() } else { format!("{path}/v1") }
}

fn is_version(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    bytes.next() == Some(b'v') && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
}

/// Azure's paths with an `api-version`: most name the deployment, responses do not.
fn azure(backend: &Backend, model: &Model, dialect: Dialect, version: &str) -> String {
    let root = azure_root(&backend.base_url);
    let endpoint = endpoint(dialect);
    if dialect == Dialect::OpenAiResponses {
        return format!("{root}/openai/{endpoint}?api-version={version}");
    }
    let deployment = escaped(model.wire_name().as_str());
    format!("{root}/openai/deployments/{deployment}/{endpoint}?api-version={version}")
}

/// The base path without the parts that are added again.
fn azure_root(url: &BaseUrl) -> &str {
    let path = url.path.strip_suffix("/v1").unwrap_or(&url.path);
    path.strip_suffix("/openai").unwrap_or(path)
}

/// A model name as one path segment (RFC 3986, section 3.3).
fn escaped(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
            path.extend(['%', digit(byte >> 4).to_ascii_uppercase()]);
            path.push(digit(byte & 15).to_ascii_uppercase());
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(text: &str) -> Backend {
        let file = format!(
            "version: 1\nbackends:\n  - {{name: b, zone: private, {text}, models: [{{id: \"m/1\", price: {{input: 1, output: 1}}}}]}}\n"
        );
        let (configuration, _) = crate::file::parse(&file).unwrap();
        configuration.backends[0].clone()
    }

    fn path(text: &str, dialect: Dialect) -> String {
        let backend = backend(text);
        target(&backend, &backend.models[0], dialect).path_and_query
    }

    #[test]
    fn the_version_is_in_the_path_exactly_once() {
        use Dialect::{AnthropicMessages, OpenAiChat, OpenAiEmbeddings};
        let azure = "provider: azure-openai, base_url: \"https://r.openai.azure.com";
        let cases = [
            ("provider: openai", OpenAiChat, "/v1/chat/completions"),
            ("provider: anthropic", AnthropicMessages, "/v1/messages"),
            ("provider: openrouter", OpenAiChat, "/api/v1/chat/completions"),
            ("provider: vllm, base_url: \"http://[::1]:8000\"", OpenAiEmbeddings, "/v1/embeddings"),
            ("provider: vllm, base_url: \"http://h/v1/\"", OpenAiChat, "/v1/chat/completions"),
            (
                "provider: vllm, base_url: \"http://h/team\"",
                OpenAiChat,
                "/team/v1/chat/completions",
            ),
            (
                "provider: openai-compatible, base_url: \"https://h/v1beta/openai\"",
                OpenAiChat,
                "/v1beta/openai/chat/completions",
            ),
            (&format!("{azure}\""), OpenAiChat, "/openai/v1/chat/completions"),
            (&format!("{azure}/openai/v1\""), OpenAiChat, "/openai/v1/chat/completions"),
            (
                &format!("{azure}\", api_version: 2024-10-21"),
                OpenAiChat,
                "/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21",
            ),
            (
                &format!("{azure}\", api_version: 2025-04-01-preview"),
                Dialect::OpenAiResponses,
                "/openai/responses?api-version=2025-04-01-preview",
            ),
        ];
        for (text, dialect, expected) in cases {
            assert_eq!(path(text, dialect), expected, "{text}");
        }
    }

    #[test]
    fn a_target_says_whom_to_dial_and_where_the_credential_goes() {
        let backend = backend("provider: anthropic, credential: {env: KEY}");
        let target = target(&backend, &backend.models[0], Dialect::AnthropicMessages);
        assert_eq!(target.host_header, "api.anthropic.com");
        assert_eq!((target.tls, target.port), (true, 443));
        assert_eq!(target.placement, Placement::Header("x-api-key"));
        assert!(target.headers.contains(&("anthropic-version", "2023-06-01".to_owned())));
    }

    #[test]
    fn probes_cost_nothing() {
        let cases = [
            ("provider: openai", "/v1/models"),
            ("provider: ollama, base_url: \"http://h:1/v1\"", "/api/version"),
            ("provider: llamacpp, base_url: \"http://h:1\"", "/health"),
            (
                "provider: azure-openai, base_url: \"https://h\", api_version: 1",
                "/openai/models?api-version=1",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(probe(&backend(text)).path_and_query, expected, "{text}");
        }
    }
}
