//! Hosts of model APIs, and the name that always means the router.
//!
//! The list is data, so that a host is added without touching a decision. It names services that speak a dialect
//! of the router; a host that no policy block opens is routed instead of denied, with the caller's credential
//! stripped.

use std::sync::LazyLock;

use domain::{Destination, Host};

use crate::{
    host_pattern::HostPattern,
    trie::{Entry, Trie},
};

/// The name inside a sandbox that always means the router, on any port.
pub const INFERENCE_HOST: &str = "inference.local";

/// One host or pattern a line, `#` begins a remark.
const HOSTS: &str = include_str!("inference_hosts.txt");

/// Model APIs are spoken over TLS.
const PORT: u16 = 443;

static KNOWN: LazyLock<Trie> = LazyLock::new(|| {
    // A test holds that every line is a pattern.
    let patterns: Vec<HostPattern> = lines().filter_map(|line| line.parse().ok()).collect();
    let entry = Entry { port: PORT, ..Entry::default() };
    Trie::new(patterns.iter().map(|pattern| (Some(pattern), entry)))
});

fn lines() -> impl Iterator<Item = &'static str> {
    let text = |line: &'static str| line.split('#').next().unwrap_or_default().trim();
    HOSTS.lines().map(text).filter(|line| !line.is_empty())
}

/// Whether the destination is the router itself.
pub fn is_router(to: &Destination) -> bool {
    to.host.name() == Some(INFERENCE_HOST)
}

/// Whether the host is that of a known model API.
pub fn is_model_api_host(host: &Host) -> bool {
    KNOWN.holds(host)
}

/// Whether the destination is a known model API.
pub fn is_model_api(to: &Destination) -> bool {
    let mut known = false;
    KNOWN.each(to, |_| known = true);
    known
}

/// Paths that a model is called at with `POST`.
const CALLS: [&str; 6] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
];

/// Whether a request with this canonical path has the shape of a model call, whatever its host.
pub fn is_model_call(method: &str, path: &str) -> bool {
    match method {
        "POST" => CALLS.contains(&path),
        "GET" => path == "/v1/models",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_pattern() {
        for line in lines() {
            assert!(line.parse::<HostPattern>().is_ok(), "{line}");
        }
        assert!(lines().count() > 10);
    }

    #[test]
    fn a_model_call_is_known_by_its_method_and_whole_path() {
        for path in CALLS {
            assert!(is_model_call("POST", path) && !is_model_call("GET", path), "{path}");
            assert!(!is_model_call("POST", &format!("{path}/x")), "{path}");
        }
        assert!(is_model_call("GET", "/v1/models") && !is_model_call("POST", "/v1/models"));
        assert!(
            !is_model_call("POST", "/upload/v1/messages") && !is_model_call("post", "/v1/messages")
        );
    }

    #[test]
    fn known_hosts_are_known_by_host_and_port() {
        let cases = [
            ("api.openai.com:443", true),
            ("api.anthropic.com:443", true),
            ("mine.openai.azure.com:443", true),
            ("api.openai.com:80", false),
            ("openai.com:443", false),
            ("api.openai.com.evil.example:443", false),
            ("openai.azure.com:443", false),
        ];
        for (to, expected) in cases {
            assert_eq!(is_model_api(&to.parse().unwrap()), expected, "{to}");
        }
        assert!(is_model_api_host(&"api.openai.com".parse().unwrap()));
        assert!(!is_model_api_host(&"openai.com".parse().unwrap()));
        assert!(is_router(&"Inference.Local:8080".parse().unwrap()));
        assert!(!is_router(&"x.inference.local:443".parse().unwrap()));
    }
}
