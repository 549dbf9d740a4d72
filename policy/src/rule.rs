//! One rule about requests: what it is about, and whether a request is that.
//!
//! Not here: which rules apply and which win (`request`). Invariant: a rule without a method (or the field that
//! takes its place) matches nothing.

use crate::{
    glob::Glob,
    model::{Access, Protocol},
    operation::{GraphqlOperation, RpcCall},
    path::CanonicalPath,
    query::Query,
};

/// What a rule says; fields that the file leaves out are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// An HTTP method, `WEBSOCKET_TEXT`, or an RPC method; `*` is any.
    pub method: Option<String>,
    /// Paths, in canonical form.
    pub path: Option<Glob>,
    /// SQL statements. Kept, not judged.
    pub command: Option<Glob>,
    /// What query parameters must be, by name.
    pub query: Vec<(String, Matcher)>,
    /// `query`, `mutation`, `subscription` or `*`.
    pub operation_type: Option<String>,
    /// Names of GraphQL operations.
    pub operation_name: Option<Glob>,
    /// GraphQL root fields.
    pub fields: Vec<Glob>,
    /// MCP tools.
    pub tool: Option<Matcher>,
    /// The parameter `name` of an MCP call: tools and prompts.
    pub params_name: Option<Matcher>,
    /// Whether a pattern of it is malformed, so that it matches nothing.
    pub broken: bool,
}

/// One glob or several of which one must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// This glob.
    Glob(Glob),
    /// Any of these.
    Any(Vec<Glob>),
}

impl Matcher {
    /// Whether the value matches.
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(value),
            Self::Any(globs) => globs.iter().any(|glob| glob.matches(value)),
        }
    }
}

/// Whether a rule allows or denies; decides how several values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// Every value must match.
    Allow,
    /// One value that matches is enough.
    Deny,
}

impl Rule {
    /// Whether an HTTP request (or a WebSocket frame, by its pseudo-method) is meant.
    pub fn matches_http(
        &self,
        sense: Sense,
        method: &str,
        path: &CanonicalPath<'_>,
        query: &Query<'_>,
    ) -> bool {
        !self.broken
            && self.method.as_deref().is_some_and(|wanted| method_is(wanted, sense, method))
            && self.path.as_ref().is_some_and(|glob| path_is(glob, sense, path))
            && self.query.iter().all(|(name, matcher)| parameter_is(sense, query, name, matcher))
    }

    /// Whether a GraphQL operation is meant: for an allowing rule all its root fields, for a denying one any.
    pub fn matches_graphql(&self, sense: Sense, operation: &GraphqlOperation<'_>) -> bool {
        let named = |glob: &Glob| operation.name.is_some_and(|name| glob.matches(name));
        let listed = |field: &&str| self.fields.iter().any(|glob| glob.matches(field));
        let fields = match sense {
            _ if self.fields.is_empty() => true,
            Sense::Allow => operation.fields.iter().all(listed) && !operation.fields.is_empty(),
            Sense::Deny => operation.fields.iter().any(listed),
        };
        !self.broken
            && self.operation_type.as_deref().is_some_and(|kind| {
                kind == "*" || kind.eq_ignore_ascii_case(operation.kind.as_str())
            })
            && self.operation_name.as_ref().is_none_or(named)
            && fields
    }

    /// Whether a JSON-RPC call is meant; methods are exact, or `*`.
    pub fn matches_rpc(&self, call: &RpcCall<'_>) -> bool {
        let named = |matcher: &Matcher| call.name.is_some_and(|name| matcher.matches(name));
        let method = self.method.as_deref();
        // A rule about tools without a method is about calling them.
        let method = method.or(self.tool.as_ref().map(|_| "tools/call"));
        let tool = self.tool.as_ref();
        !self.broken
            && method.is_some_and(|wanted| wanted == "*" || Some(wanted) == call.method)
            && tool.is_none_or(|tool| call.method == Some("tools/call") && named(tool))
            && self.params_name.as_ref().is_none_or(named)
    }

    /// Whether the path of the request is one that the rule is about; rules of RPC and GraphQL need none.
    pub fn covers(&self, sense: Sense, path: &CanonicalPath<'_>) -> bool {
        self.path.as_ref().is_none_or(|glob| path_is(glob, sense, path))
    }
}

/// Whether a ready set of rules allows an HTTP method, or a frame.
pub(crate) fn access_allows(access: Access, protocol: Protocol, method: &str) -> bool {
    let any = |methods: &[&str]| methods.contains(&method);
    match access {
        Access::Unknown => false,
        Access::Full => true,
        Access::ReadOnly if protocol == Protocol::Websocket => any(&["GET"]),
        Access::ReadWrite if protocol == Protocol::Websocket => any(&["GET", "WEBSOCKET_TEXT"]),
        Access::ReadOnly => any(&["GET", "HEAD", "OPTIONS"]),
        Access::ReadWrite => any(&["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"]),
    }
}

/// A rule may be written in any case. A request may not: `get` is another method than `GET` (RFC 9110, section 9.1), so what
/// allows the one says nothing about the other, while a server may take both for the same, so what denies one denies both.
pub(crate) fn method_is(wanted: &str, sense: Sense, method: &str) -> bool {
    let exact = || !method.bytes().any(|byte| byte.is_ascii_lowercase());
    wanted == "*" || (wanted.eq_ignore_ascii_case(method) && (sense == Sense::Deny || exact()))
}

/// A denied path is denied also where the upstream undoes `%2F` on its own.
fn path_is(glob: &Glob, sense: Sense, path: &CanonicalPath<'_>) -> bool {
    let early = || path.with_slashes().is_some_and(|path| glob.matches(path));
    glob.matches(path.as_str()) || (sense == Sense::Deny && early())
}

fn parameter_is(sense: Sense, query: &Query<'_>, name: &str, matcher: &Matcher) -> bool {
    let mut values = query.values(name).peekable();
    match sense {
        Sense::Allow => values.peek().is_some() && values.all(|value| matcher.matches(value)),
        Sense::Deny => values.any(|value| matcher.matches(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{operation::OperationKind, path::EncodedSlash};

    fn rest(method: &str, path: &str) -> Rule {
        Rule { method: Some(method.to_owned()), path: Glob::path(path).ok(), ..Rule::default() }
    }

    fn http(rule: &Rule, sense: Sense, method: &str, path: &str, query: &str) -> bool {
        let path = CanonicalPath::new(path, EncodedSlash::Keep).unwrap();
        rule.matches_http(sense, method, &path, &Query::new(query).unwrap())
    }

    #[test]
    fn methods_are_of_any_case_and_none_is_never() {
        assert!(http(&rest("get", "/**"), Sense::Allow, "GET", "/a", ""));
        assert!(!http(&rest("GET", "/**"), Sense::Allow, "HEAD", "/a", ""));
        assert!(http(&rest("*", "**"), Sense::Allow, "PROPFIND", "/a", ""));
        let none = Rule { method: None, ..rest("GET", "/**") };
        assert!(!http(&none, Sense::Allow, "GET", "/a", ""));
        let nowhere = Rule { path: None, ..rest("GET", "/**") };
        assert!(!http(&nowhere, Sense::Allow, "GET", "/a", ""));
        let broken = Rule { broken: true, ..rest("GET", "/**") };
        assert!(!http(&broken, Sense::Allow, "GET", "/a", ""));
    }

    #[test]
    fn every_value_must_be_allowed_and_one_is_enough_to_deny() {
        let globs = ["v1*", "v2*"].map(|text| Glob::word(text).unwrap()).to_vec();
        let rule = Rule { query: vec![("tag".to_owned(), Matcher::Any(globs))], ..rest("*", "**") };
        let cases = [
            ("tag=v1.0", true, true),
            ("tag=v1&tag=v2.1", true, true),
            ("tag=v1&tag=zz", false, true),
            ("tag=zz", false, false),
            ("other=v1", false, false),
            ("", false, false),
            ("tag=v1&other=x", true, true),
            ("TAG=v1", false, false),
        ];
        for (query, allow, deny) in cases {
            assert_eq!(http(&rule, Sense::Allow, "GET", "/", query), allow, "{query}");
            assert_eq!(http(&rule, Sense::Deny, "GET", "/", query), deny, "{query}");
        }
    }

    #[test]
    fn a_denial_sees_through_a_kept_slash() {
        let rule = rest("*", "/admin/**");
        assert!(http(&rule, Sense::Deny, "GET", "/admin%2Fusers", ""));
        assert!(!http(&rule, Sense::Allow, "GET", "/admin%2Fusers", ""));
    }

    #[test]
    fn presets_allow_what_they_say() {
        let cases = [
            (Access::ReadOnly, "GET", true),
            (Access::ReadOnly, "HEAD", true),
            (Access::ReadOnly, "head", false),
            (Access::ReadOnly, "POST", false),
            (Access::ReadWrite, "PATCH", true),
            (Access::ReadWrite, "DELETE", false),
            (Access::Full, "DELETE", true),
            (Access::Unknown, "GET", false),
        ];
        for (access, method, expected) in cases {
            assert_eq!(access_allows(access, Protocol::Rest, method), expected, "{method}");
        }
        assert!(!access_allows(Access::ReadOnly, Protocol::Websocket, "WEBSOCKET_TEXT"));
        assert!(access_allows(Access::ReadWrite, Protocol::Websocket, "WEBSOCKET_TEXT"));
    }

    #[test]
    fn graphql_rules_look_at_every_root_field() {
        let rule = Rule {
            operation_type: Some("mutation".to_owned()),
            operation_name: Glob::word("Issue*").ok(),
            fields: vec![Glob::word("createIssue").unwrap(), Glob::word("close*").unwrap()],
            ..Rule::default()
        };
        let with = |kind, name, fields: &[&str]| {
            let operation = GraphqlOperation { kind, name, fields };
            [Sense::Allow, Sense::Deny].map(|sense| rule.matches_graphql(sense, &operation))
        };
        let mutation = OperationKind::Mutation;
        assert_eq!(with(mutation, Some("IssueNew"), &["createIssue", "closeIssue"]), [true, true]);
        assert_eq!(with(mutation, Some("IssueNew"), &["createIssue", "drop"]), [false, true]);
        assert_eq!(with(mutation, Some("Other"), &["createIssue"]), [false, false]);
        assert_eq!(with(mutation, None, &["createIssue"]), [false, false]);
        assert_eq!(with(OperationKind::Query, Some("IssueNew"), &["createIssue"]), [false, false]);
        assert_eq!(with(mutation, Some("IssueNew"), &[]), [false, false]);
    }

    #[test]
    fn rpc_rules_name_methods_and_tools() {
        let tool = |text| Some(Matcher::Glob(Glob::word(text).unwrap()));
        let read =
            Rule { method: Some("tools/call".to_owned()), tool: tool("read_*"), ..Rule::default() };
        let bare = Rule { tool: tool("read_*"), ..Rule::default() };
        let any = Rule { method: Some("*".to_owned()), ..Rule::default() };
        let call = |method, name| RpcCall { method, name };
        for rule in [&read, &bare] {
            assert!(rule.matches_rpc(&call(Some("tools/call"), Some("read_file"))));
            assert!(!rule.matches_rpc(&call(Some("tools/call"), Some("write_file"))));
            assert!(!rule.matches_rpc(&call(Some("tools/call"), None)));
            assert!(!rule.matches_rpc(&call(Some("prompts/get"), Some("read_file"))));
        }
        assert!(any.matches_rpc(&call(Some("x"), None)));
    }
}
