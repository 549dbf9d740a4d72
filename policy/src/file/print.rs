//! A policy as YAML, in one form: the same policy gives the same text, which reads back as the same policy.
//!
//! Fields with their default value are left out; ports and keys are in order.

use serde_json::{Map, Value, json};

use crate::{
    host_pattern::HostPattern,
    model::{
        Block, Credentials, Endpoint, Enforcement, Filesystem, GraphqlOptions, McpOptions,
        Middleware, PolicyFile, Process, Protocol, Scope, Scrutiny, Tls,
    },
    rule::{Matcher, Rule},
};

impl PolicyFile {
    /// The policy as a tree of fields, as a file would hold them.
    pub fn to_value(&self) -> Value {
        let mut out = Out::default();
        out.set("version", json!(1));
        out.some("filesystem_policy", self.filesystem.as_ref().map(filesystem));
        let landlock = self.landlock.map(|landlock| json!({"compatibility": landlock.as_str()}));
        out.some("landlock", landlock);
        out.some("process", self.process.as_ref().map(process));
        let blocks = self.network.iter().map(|(key, one)| (key.clone(), block(one)));
        out.set("network_policies", Value::Object(blocks.collect()));
        let middlewares = self.middlewares.iter().map(|(key, one)| (key.clone(), middleware(one)));
        out.filled("network_middlewares", Value::Object(middlewares.collect()));
        out.value()
    }

    /// The policy as YAML, in its one form.
    ///
    /// # Errors
    /// Never for a policy that was read; the writer's own error otherwise.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(&self.to_value())
    }
}

/// Fields in the order they are set.
#[derive(Default)]
struct Out(Map<String, Value>);

impl Out {
    fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn some(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    fn filled(&mut self, name: &str, value: Value) {
        let empty = match &value {
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !empty {
            self.set(name, value);
        }
    }

    fn on(&mut self, name: &str, switch: bool) {
        if switch {
            self.set(name, Value::Bool(true));
        }
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

fn filesystem(section: &Filesystem) -> Value {
    json!({
        "include_workdir": section.include_workdir,
        "read_only": section.read_only,
        "read_write": section.read_write,
    })
}

fn process(section: &Process) -> Value {
    // An id is a word here, so that it reads back as it was.
    json!({"run_as_user": section.run_as_user, "run_as_group": section.run_as_group})
}

/// One entry of `network_policies`.
pub(crate) fn block(block: &Block) -> Value {
    let mut out = Out::default();
    out.some("name", block.name.as_ref().map(|name| json!(name)));
    out.set("endpoints", block.endpoints.iter().map(endpoint).collect());
    let binaries = block.binaries.iter().map(|binary| json!({"path": binary.as_str()}));
    out.set("binaries", binaries.collect());
    out.value()
}

/// One endpoint.
pub(crate) fn endpoint(endpoint: &Endpoint) -> Value {
    let mut out = Out::default();
    out.some("host", endpoint.host.as_ref().map(HostPattern::to_string).map(Value::String));
    match endpoint.ports.as_slice() {
        [] => {}
        [port] => out.set("port", json!(port)),
        ports => out.set("ports", json!(ports)),
    }
    out.some("path", endpoint.path.as_ref().map(|glob| json!(glob.as_str())));
    out.some("protocol", endpoint.protocol.map(|protocol| json!(protocol.as_str())));
    if endpoint.tls == Tls::Skip {
        out.set("tls", json!("skip"));
    }
    if endpoint.enforcement == Enforcement::Enforce {
        out.set("enforcement", json!("enforce"));
    }
    out.some("access", endpoint.access.map(|access| json!(access.as_str())));
    let rules = endpoint.rules.iter().map(|one| json!({"allow": rule(one)}));
    out.filled("rules", rules.collect());
    out.filled("deny_rules", endpoint.deny_rules.iter().map(rule).collect());
    let nets = endpoint.allowed_ips.iter().map(|net| json!(net.to_string()));
    out.filled("allowed_ips", nets.collect());
    out.on("allow_encoded_slash", endpoint.allow_encoded_slash);
    if endpoint.sensitivity != Scrutiny::Off {
        out.set("sensitivity", json!(endpoint.sensitivity.as_str()));
    }
    credentials(&mut out, &endpoint.credentials);
    graphql(&mut out, &endpoint.graphql);
    if endpoint.protocol == Some(Protocol::Mcp) {
        out.filled("mcp", mcp(&endpoint.mcp));
    }
    let json_rpc = endpoint.json_rpc_body_bytes_max;
    out.some("json_rpc", json_rpc.map(|bytes| json!({"max_body_bytes": bytes})));
    out.value()
}

fn credentials(out: &mut Out, credentials: &Credentials) {
    out.on("websocket_credential_rewrite", credentials.in_websocket);
    out.on("request_body_credential_rewrite", credentials.in_body);
    out.on("allow_uninspected_credentials", credentials.uninspected);
    if let Some(signing) = &credentials.signing {
        out.set("credential_signing", json!(signing.body.as_str()));
        out.some("signing_service", signing.service.as_ref().map(|word| json!(word)));
        out.some("signing_region", signing.region.as_ref().map(|word| json!(word)));
    }
    let provider = credentials.provider.as_ref();
    out.some("credential_binding", provider.map(|name| json!({"provider": name})));
}

fn graphql(out: &mut Out, options: &GraphqlOptions) {
    if options.persisted {
        out.set("persisted_queries", json!("allow_registered"));
    }
    let queries = options.registered.iter().map(|(id, query)| {
        let mut inner = Out::default();
        inner.set("operation_type", json!(query.operation_type));
        inner.some("operation_name", query.operation_name.as_ref().map(|name| json!(name)));
        inner.filled("fields", json!(query.fields));
        (id.clone(), inner.value())
    });
    out.filled("graphql_persisted_queries", Value::Object(queries.collect()));
    out.some("graphql_max_body_bytes", options.body_bytes_max.map(|bytes| json!(bytes)));
}

fn mcp(options: &McpOptions) -> Value {
    let mut out = Out::default();
    out.some("max_body_bytes", options.body_bytes_max.map(|bytes| json!(bytes)));
    if !options.strict_tool_names {
        out.set("strict_tool_names", json!(false));
    }
    out.on("allow_all_known_mcp_methods", options.all_known_methods);
    out.value()
}

/// One rule, without the `allow` around it.
pub(crate) fn rule(rule: &Rule) -> Value {
    let mut out = Out::default();
    out.some("method", rule.method.as_ref().map(|method| json!(method)));
    let glob = |glob: &Option<crate::Glob>| glob.as_ref().map(|glob| json!(glob.as_str()));
    out.some("path", glob(&rule.path));
    out.some("command", glob(&rule.command));
    let query = rule.query.iter().map(|(name, one)| (name.clone(), matcher(one)));
    out.filled("query", Value::Object(query.collect()));
    out.some("operation_type", rule.operation_type.as_ref().map(|word| json!(word)));
    out.some("operation_name", glob(&rule.operation_name));
    out.filled("fields", rule.fields.iter().map(|glob| json!(glob.as_str())).collect());
    out.some("tool", rule.tool.as_ref().map(matcher));
    out.some("params", rule.params_name.as_ref().map(|one| json!({"name": matcher(one)})));
    out.value()
}

fn matcher(matcher: &Matcher) -> Value {
    match matcher {
        Matcher::Glob(glob) => json!(glob.as_str()),
        Matcher::Any(globs) => {
            json!({"any": globs.iter().map(crate::Glob::as_str).collect::<Vec<_>>()})
        }
    }
}

fn middleware(middleware: &Middleware) -> Value {
    let mut out = Out::default();
    out.some("name", middleware.name.as_ref().map(|name| json!(name)));
    out.set("middleware", json!(middleware.middleware));
    out.set("order", json!(middleware.order));
    if !middleware.config.is_null() {
        out.set("config", middleware.config.clone());
    }
    if middleware.fail_open {
        out.set("on_error", json!("fail_open"));
    }
    let mut endpoints = Out::default();
    let texts = |scopes: &[Scope]| scopes.iter().map(|scope| json!(scope.to_string())).collect();
    endpoints.filled("include", texts(&middleware.include));
    endpoints.filled("exclude", texts(&middleware.exclude));
    out.filled("endpoints", endpoints.value());
    out.value()
}
