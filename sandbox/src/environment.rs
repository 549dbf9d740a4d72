//! What a program finds in its environment. Nothing of the supervisor's own environment is passed on.

use std::collections::BTreeMap;

use crate::{
    etc::{CA, CA_BUNDLE},
    isolate::sockets::PROXY_PORT,
    plan::Plan,
    spec::Spec,
};

/// Where inference answers inside every sandbox.
const INFERENCE: &str = "https://inference.local";
/// What a program sends as its key for `NAME`; the proxy knows what it stands for, and where.
const PLACEHOLDER: &str = "openshell:resolve:env:";

/// The variables of a sandbox, those of the spec last and strongest.
pub(crate) fn of(spec: &Spec, plan: &Plan) -> Vec<(String, String)> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    let home = plan.home.display().to_string();
    for (name, value) in [
        ("OPENSHELL_SANDBOX", "1"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("TERM", "xterm-256color"),
        ("TMPDIR", "/tmp"),
        ("NODE_USE_ENV_PROXY", "1"),
        ("NO_PROXY", "127.0.0.1,localhost,::1"),
        ("no_proxy", "127.0.0.1,localhost,::1"),
        ("OPENAI_BASE_URL", &format!("{INFERENCE}/v1")),
        ("OPENAI_API_KEY", &format!("{PLACEHOLDER}OPENAI_API_KEY")),
        ("ANTHROPIC_BASE_URL", INFERENCE),
        ("ANTHROPIC_API_KEY", &format!("{PLACEHOLDER}ANTHROPIC_API_KEY")),
        ("HOME", &home),
        ("USER", &plan.identity.user),
        ("LOGNAME", &plan.identity.user),
    ] {
        set(name, value.to_owned());
    }
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "grpc_proxy",
    ] {
        set(name, proxy.clone());
    }
    if spec.ca_pem.is_some() {
        // The first two add to what a program trusts, the others replace it.
        for name in ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] {
            set(name, CA.to_owned());
        }
        for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"] {
            set(name, CA_BUNDLE.to_owned());
        }
    }
    all.extend(spec.environment.clone());
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(spec: &Spec, name: &str) -> Option<String> {
        let all = of(spec, &Plan::make(spec).unwrap());
        all.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    #[test]
    fn agents_find_proxy_and_router_unconfigured() {
        let spec = Spec::default();
        assert_eq!(value(&spec, "https_proxy").as_deref(), Some("http://127.0.0.1:3128"));
        assert_eq!(value(&spec, "OPENAI_BASE_URL").as_deref(), Some("https://inference.local/v1"));
        assert_eq!(
            value(&spec, "ANTHROPIC_API_KEY").as_deref(),
            Some("openshell:resolve:env:ANTHROPIC_API_KEY")
        );
        assert_eq!(value(&spec, "SSL_CERT_FILE"), None);
        assert_eq!(value(&spec, "CARGO"), None, "the environment of the supervisor stays outside");
    }

    #[test]
    fn a_ca_is_announced_and_the_spec_wins() {
        let environment = [("LANG".to_owned(), "de_DE.UTF-8".to_owned())].into();
        let spec = Spec { ca_pem: Some("PEM".to_owned()), environment, ..Spec::default() };
        assert_eq!(value(&spec, "SSL_CERT_FILE").as_deref(), Some(CA_BUNDLE));
        assert_eq!(value(&spec, "NODE_EXTRA_CA_CERTS").as_deref(), Some(CA));
        assert_eq!(value(&spec, "LANG").as_deref(), Some("de_DE.UTF-8"));
    }
}
