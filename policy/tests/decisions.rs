//! Decisions by example: the policies that users know, and what each says.
#![cfg(test)]

use domain::Destination;
use policy::{
    Caller, CanonicalPath, Connect, DenyCode, EncodedSlash, GraphqlOperation, Operation,
    OperationKind, Policy, PolicyFile, Query, Request, RequestVerdict, RpcCall, Verdict,
    address::Blocked,
};

const CURL: &str = "/usr/bin/curl";

fn policy(blocks: &str) -> Policy {
    let text = format!("version: 1\nnetwork_policies:\n{blocks}");
    match PolicyFile::parse(&text) {
        Ok((file, _)) => Policy::new(file),
        Err(faults) => panic!("{faults:#?}"),
    }
}

/// One endpoint for curl.
fn one(endpoint: &str) -> Policy {
    policy(&format!("  web: {{endpoints: [{endpoint}], binaries: [{{path: {CURL}}}]}}\n"))
}

fn connect(policy: &Policy, binary: &str, ancestors: &[&str], to: &str) -> String {
    let to: Destination = to.parse().unwrap();
    let ancestors: Vec<String> = ancestors.iter().map(|path| (*path).to_owned()).collect();
    let caller = Caller { binary, ancestors: &ancestors };
    match policy.connect(&Connect { caller, to: &to, inference: true }) {
        Verdict::Allow(grant) => format!("allow {}", grant.name()),
        Verdict::Inference(_) => "inference".to_owned(),
        Verdict::Deny(deny) => format!("deny {}: {deny}", deny.code().as_str()),
    }
}

/// What is said to curl's request, `METHOD /path?query`.
fn ask(policy: &Policy, to: &str, request: &str, operation: Operation<'_>) -> String {
    let to: Destination = to.parse().unwrap();
    let caller = Caller { binary: CURL, ancestors: &[] };
    let connect = Connect { caller, to: &to, inference: true };
    let Verdict::Allow(grant) = policy.connect(&connect) else { return "no connection".to_owned() };
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Ok(path) = CanonicalPath::new(path, grant.encoded_slash()) else {
        return "bad path".to_owned();
    };
    let query = Query::new(query).unwrap();
    match grant.request(&Request { method, path: &path, query: &query, operation }) {
        RequestVerdict::Allow(_) => "allow".to_owned(),
        RequestVerdict::Audit(refusal) => format!("audit {}", refusal.code.as_str()),
        RequestVerdict::Deny(refusal) => format!("deny {}", refusal.code.as_str()),
    }
}

fn http(policy: &Policy, request: &str) -> String {
    ask(policy, "api.example.com:443", request, Operation::None)
}

#[test]
fn the_empty_policy_opens_nothing_but_inference() {
    let restrictive = Policy::new(PolicyFile::restrictive());
    assert_eq!(
        connect(&restrictive, CURL, &[], "example.com:443"),
        "deny no_policies: network connections not allowed by policy"
    );
    assert_eq!(connect(&restrictive, CURL, &[], "inference.local:443"), "inference");
    let (file, notices) = PolicyFile::parse(&restrictive.file().to_yaml().unwrap()).unwrap();
    assert_eq!((&file, notices.len()), (restrictive.file(), 0));
    assert_eq!(file.filesystem.unwrap().read_only.len(), 7);
}

#[test]
fn the_example_for_github_reads_and_does_not_write() {
    let github = policy(
        "  github_api:
    name: github-api-readonly
    endpoints:
      - {host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: read-only}
    binaries: [{path: /usr/bin/curl}]\n",
    );
    assert_eq!(connect(&github, CURL, &[], "API.github.com:443"), "allow github-api-readonly");
    assert_eq!(
        connect(&github, "/bin/sh", &[CURL], "api.github.com:443"),
        "allow github-api-readonly"
    );
    assert_eq!(
        connect(&github, CURL, &[], "api.github.com:80"),
        "deny endpoint_not_allowed: endpoint api.github.com:80 not in policy 'github-api-readonly'"
    );
    let denied =
        connect(&github, "/usr/bin/python3", &["/bin/sh", "/sbin/init"], "api.github.com:443");
    let expected = "deny binary_not_allowed: binary '/usr/bin/python3' not allowed in policy \
                    'github-api-readonly' (ancestors: [/bin/sh -> /sbin/init]). SYMLINK HINT";
    assert!(denied.starts_with(expected), "{denied}");
    let to = "api.github.com:443";
    assert_eq!(ask(&github, to, "GET /zen", Operation::None), "allow");
    assert_eq!(ask(&github, to, "POST /repos/o/r/issues", Operation::None), "deny no_rule");
}

#[test]
fn the_example_for_git_fetches_and_does_not_push() {
    let git = policy(
        "  github_ssh_over_https:
    endpoints:
      - host: github.com
        port: 443
        protocol: rest
        enforcement: enforce
        rules:
          - allow: {method: GET,  path: \"/**/info/refs*\"}
          - allow: {method: POST, path: \"/**/git-upload-pack\"}
    binaries: [{path: /usr/bin/curl}]
  copilot:
    endpoints: [{host: api.githubcopilot.com, port: 443}, {host: copilot-proxy.githubusercontent.com, port: 443}]
    binaries:
      - {path: \"/usr/lib/node_modules/@github/copilot/node_modules/@github/**/copilot\"}
      - {path: \"/home/*/.local/bin/copilot\"}
      - {path: /usr/bin/node}\n",
    );
    let to = "github.com:443";
    let cases = [
        ("GET /o/r.git/info/refs?service=git-upload-pack", "allow"),
        ("POST /o/r.git/git-upload-pack", "allow"),
        ("POST /o/r.git/git-receive-pack", "deny no_rule"),
        ("GET /o/r", "deny no_rule"),
    ];
    for (request, expected) in cases {
        assert_eq!(ask(&git, to, request, Operation::None), expected, "{request}");
    }
    let copilot = "/usr/lib/node_modules/@github/copilot/node_modules/@github/a/b/copilot";
    let to = "api.githubcopilot.com:443";
    assert_eq!(connect(&git, copilot, &[], to), "allow copilot");
    assert_eq!(connect(&git, "/home/me/.local/bin/copilot", &[], to), "allow copilot");
    assert!(connect(&git, "/home/a/b/.local/bin/copilot", &[], to).starts_with("deny"));
    // No cross product: a binary of one policy does not reach the endpoints of another.
    assert!(connect(&git, CURL, &[], to).starts_with("deny binary"));
}

#[test]
fn of_overlapping_policies_the_smallest_name_is_told() {
    let both = policy(
        "  a_key: {name: zebra, endpoints: [{host: x.org, port: 443}], binaries: [{path: /usr/bin/curl}]}
  z_key: {name: ant, endpoints: [{host: x.org, port: 443}], binaries: [{path: /usr/bin/curl}]}\n",
    );
    assert_eq!(connect(&both, CURL, &[], "x.org:443"), "allow ant");
}

#[test]
fn known_model_apis_are_routed_where_no_policy_opens_them() {
    let policy = one("{host: api.openai.com, port: 443}");
    assert_eq!(connect(&policy, CURL, &[], "api.openai.com:443"), "allow web");
    assert_eq!(connect(&policy, "/bin/other", &[], "api.openai.com:443"), "inference");
    assert_eq!(connect(&policy, CURL, &[], "api.anthropic.com:443"), "inference");
    assert!(connect(&policy, CURL, &[], "api.anthropic.com:80").starts_with("deny"));
    let to: Destination = "api.anthropic.com:443".parse().unwrap();
    let caller = Caller { binary: CURL, ancestors: &[] };
    let verdict = policy.connect(&Connect { caller, to: &to, inference: false });
    assert!(matches!(verdict, Verdict::Deny(deny) if deny.code() == DenyCode::Endpoint));
}

#[test]
fn addresses_are_checked_by_the_endpoint_that_opens_them() {
    let check = |endpoint: &str, to: &str, address: &str| {
        let policy = one(endpoint);
        let to: Destination = to.parse().unwrap();
        let caller = Caller { binary: CURL, ancestors: &[] };
        match policy.connect(&Connect { caller, to: &to, inference: true }) {
            Verdict::Allow(grant) => grant.check_address(address.parse().unwrap()),
            verdict => panic!("{verdict:?}"),
        }
    };
    let plain = "{host: a.org, port: 443}";
    let listed = "{host: a.org, port: 443, allowed_ips: [10.0.5.0/24]}";
    let hostless = "{ports: [80, 6443], allowed_ips: [10.0.0.0/8]}";
    let cases = [
        (plain, "a.org:443", "93.184.216.34", Ok(())),
        (plain, "a.org:443", "10.0.5.1", Err(Blocked::Internal)),
        (plain, "a.org:443", "127.0.0.1", Err(Blocked::Always)),
        (listed, "a.org:443", "10.0.5.1", Ok(())),
        (listed, "a.org:443", "93.184.216.34", Err(Blocked::NotListed)),
        (hostless, "any.thing:80", "10.9.9.9", Ok(())),
        (hostless, "any.thing:6443", "10.9.9.9", Err(Blocked::ControlPort)),
    ];
    for (endpoint, to, address, expected) in cases {
        assert_eq!(check(endpoint, to, address), expected, "{endpoint} {address}");
    }
}

#[test]
fn what_needs_no_resolving_is_checked_at_once() {
    let listed = "allowed_ips: [10.0.0.0/8]";
    let cases = [
        ("{host: 10.0.0.5, port: 80}".to_owned(), "10.0.0.5:80", "allow web"),
        (format!("{{ports: [80], {listed}}}"), "10.9.9.9:80", "allow web"),
        (format!("{{ports: [80], {listed}}}"), "any.thing:80", "allow web"),
        ("{host: 127.0.0.1, port: 80}".to_owned(), "127.0.0.1:80", "internal address"),
        ("{host: \"::1\", port: 80}".to_owned(), "[::1]:80", "internal address"),
        ("{host: 169.254.169.254, port: 80}".to_owned(), "169.254.169.254:80", "internal address"),
        ("{host: 127.0.0.1, port: 80}".to_owned(), "[::ffff:127.0.0.1]:80", "internal address"),
        ("{host: localhost, port: 80}".to_owned(), "localhost:80", "internal address"),
        (format!("{{ports: [80], {listed}}}"), "localhost:80", "internal address"),
        (format!("{{ports: [80], {listed}}}"), "8.8.8.8:80", "allowed_ips check failed"),
        (format!("{{ports: [6443], {listed}}}"), "10.0.0.1:6443", "allowed_ips check failed"),
    ];
    for (endpoint, to, expected) in cases {
        let said = connect(&one(&endpoint), CURL, &[], to);
        let refused = format!("deny ssrf_denied: CONNECT {to} blocked: {expected}");
        let refused = refused.replace("[::ffff:127.0.0.1]", "127.0.0.1");
        assert!(said == expected || said == refused, "{endpoint}: {said}");
    }
}

#[test]
fn presets_and_enforcement() {
    let with =
        |rest: &str| one(&format!("{{host: api.example.com, port: 443, protocol: rest, {rest}}}"));
    let full = with("enforcement: enforce, access: full");
    assert_eq!(http(&full, "DELETE /x"), "allow");
    let read = with("enforcement: enforce, access: read-only");
    assert_eq!(http(&read, "HEAD /x"), "allow");
    assert_eq!(http(&read, "POST /x"), "deny no_rule");
    assert_eq!(http(&with("access: read-only"), "POST /x"), "audit no_rule");
    let write = with(
        "enforcement: enforce, access: read-write, deny_rules: [{method: POST, path: \"/repos/*/pulls/*/reviews\"}, {method: \"*\", path: /x/**}]",
    );
    assert_eq!(http(&write, "POST /repos/a/pulls/1/reviews"), "deny deny_rule");
    assert_eq!(http(&write, "POST /repos/a/pulls/1/comments"), "allow");
    assert_eq!(http(&write, "POST /a/../x/y"), "deny deny_rule");
    let lower = with(
        "enforcement: enforce, rules: [{allow: {method: get, path: /**}}, {allow: {method: \"*\", path: /any}}], deny_rules: [{method: post, path: /**}]",
    );
    for (request, expected) in [
        ("GET /x", "allow"),
        ("get /x", "deny no_rule"),
        ("Post /any", "deny deny_rule"),
        ("put /any", "allow"),
    ] {
        assert_eq!(http(&lower, request), expected, "{request}");
    }
    assert_eq!(http(&write, "DELETE /a"), "deny no_rule");
    assert_eq!(http(&one("{host: api.example.com, port: 443}"), "ANY /thing"), "allow");
}

#[test]
fn rules_see_the_canonical_path_and_the_query() {
    let rules = one(
        "{host: api.example.com, port: 443, protocol: rest, enforcement: enforce, rules: [{allow: {method: GET, path: /v1/**}}, {allow: {method: GET, path: /dl, query: {tag: {any: [\"v1*\", \"v2*\"]}}}}]}",
    );
    let cases = [
        ("GET /v1/x", "allow"),
        ("get /v1/x", "deny no_rule"),
        ("GET /v2/x", "deny no_rule"),
        ("GET /v1/../admin", "deny no_rule"),
        ("GET /v1/%2e%2e/admin", "deny no_rule"),
        ("GET //admin", "deny no_rule"),
        ("GET /v1/;x", "allow"),
        ("GET /v1/a%2Fb", "bad path"),
        ("GET /v1/../../etc", "bad path"),
        ("GET /dl?tag=v1.0", "allow"),
        ("GET /dl?tag=v1&tag=zz", "deny no_rule"),
        ("GET /dl", "deny no_rule"),
        ("GET /dl?tag=v1&other=1", "allow"),
    ];
    for (request, expected) in cases {
        assert_eq!(http(&rules, request), expected, "{request}");
    }
}

#[test]
fn a_pattern_means_the_same_however_its_escapes_are_written() {
    let rules = "enforcement: enforce, access: full, deny_rules: [{method: GET, path: \"/x%c3%a9/%61|b*\"}, {method: GET, path: \"/ü b/%2a\"}]";
    let policy = one(&format!("{{host: api.example.com, port: 443, protocol: rest, {rules}}}"));
    let cases = [
        ("GET /x%C3%A9/a%7Cbc", "deny deny_rule"),
        ("GET /x%c3%a9/a|b", "deny deny_rule"),
        ("GET /%C3%BC%20b/*", "deny deny_rule"),
        ("GET /%C3%BC%20b/x", "allow"),
    ];
    for (request, expected) in cases {
        assert_eq!(http(&policy, request), expected, "{request}");
    }
}

#[test]
fn a_denying_rule_wins_over_every_policy_and_the_strictest_enforces() {
    let both = policy(
        "  open: {endpoints: [{host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full}], binaries: [{path: /usr/bin/curl}]}
  wall: {endpoints: [{host: \"*.example.com\", port: 443, protocol: rest, access: read-only, deny_rules: [{method: \"*\", path: /admin/**}]}], binaries: [{path: \"/usr/**\"}]}
  plain: {endpoints: [{host: api.example.com, port: 443}], binaries: [{path: /usr/bin/curl}]}\n",
    );
    assert_eq!(http(&both, "POST /a"), "allow");
    assert_eq!(http(&both, "GET /admin/a"), "deny deny_rule");
}

#[test]
fn an_encoded_slash_is_taken_where_the_endpoint_takes_it() {
    let npm = one(
        "{host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full, allow_encoded_slash: true, deny_rules: [{method: \"*\", path: /admin/**}]}",
    );
    assert_eq!(http(&npm, "GET /@scope%2Fname"), "allow");
    assert_eq!(http(&npm, "GET /admin%2Fx"), "deny deny_rule");
    assert_eq!(http(&npm, "GET /a%2F..%2Fadmin"), "bad path");
}

#[test]
fn selectors_tell_endpoints_of_one_host_apart() {
    let both = one(
        "{host: api.example.com, port: 443, path: /graphql, protocol: graphql, enforcement: enforce, access: read-only}, {host: api.example.com, port: 443, path: /rest/**, protocol: rest, enforcement: enforce, access: read-only}",
    );
    let read = [GraphqlOperation { kind: OperationKind::Query, name: None, fields: &["viewer"] }];
    let write = [GraphqlOperation { kind: OperationKind::Mutation, name: None, fields: &["drop"] }];
    let to = "api.example.com:443";
    assert_eq!(ask(&both, to, "POST /graphql", Operation::Graphql(&read)), "allow");
    assert_eq!(ask(&both, to, "POST /graphql", Operation::Graphql(&write)), "deny no_rule");
    assert_eq!(ask(&both, to, "POST /graphql", Operation::None), "deny unreadable_operation");
    assert_eq!(
        ask(&both, to, "POST /graphql", Operation::Graphql(&[])),
        "deny unreadable_operation"
    );
    assert_eq!(http(&both, "GET /rest/a"), "allow");
    assert_eq!(http(&both, "POST /rest/a"), "deny no_rule");
    assert_eq!(http(&both, "GET /other"), "deny no_endpoint_for_path");
}

#[test]
fn an_endpoint_of_the_whole_host_speaks_for_what_no_selector_names() {
    let both = one(
        "{host: api.example.com, port: 443, path: /graphql, protocol: graphql, enforcement: enforce, access: read-only}, {host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full}",
    );
    assert_eq!(http(&both, "POST /other"), "allow");
    assert_eq!(http(&both, "POST /graphql"), "deny unreadable_operation");
}

#[test]
fn two_protocols_at_one_path_of_two_policies_are_refused() {
    let both = policy(
        "  a: {endpoints: [{host: api.example.com, port: 443, protocol: rest, access: full}], binaries: [{path: /usr/bin/curl}]}
  b: {endpoints: [{host: api.example.com, port: 443, protocol: mcp, access: full}], binaries: [{path: /usr/bin/curl}]}\n",
    );
    assert_eq!(http(&both, "POST /x"), "deny ambiguous_protocol");
}

#[test]
fn graphql_rules_judge_each_operation_of_a_batch() {
    let graphql = one(
        "{host: api.example.com, port: 443, protocol: graphql, enforcement: enforce, rules: [{allow: {operation_type: query}}, {allow: {operation_type: mutation, operation_name: \"Issue*\", fields: [createIssue]}}], deny_rules: [{operation_type: \"*\", fields: [\"secret*\"]}]}",
    );
    let ask = |operations: &[GraphqlOperation<'_>]| {
        ask(&graphql, "api.example.com:443", "POST /graphql", Operation::Graphql(operations))
    };
    let query = |fields| GraphqlOperation { kind: OperationKind::Query, name: None, fields };
    let mutation =
        |name, fields| GraphqlOperation { kind: OperationKind::Mutation, name: Some(name), fields };
    assert_eq!(ask(&[query(&["viewer"])]), "allow");
    assert_eq!(ask(&[query(&["viewer", "secrets"])]), "deny deny_rule");
    assert_eq!(ask(&[mutation("IssueNew", &["createIssue"])]), "allow");
    assert_eq!(ask(&[mutation("IssueNew", &["createIssue", "drop"])]), "deny no_rule");
    assert_eq!(ask(&[query(&["viewer"]), mutation("X", &["createIssue"])]), "deny no_rule");
}

#[test]
fn mcp_rules_judge_methods_and_tools_of_each_call() {
    let rules = "rules: [{allow: {method: initialize}}, {allow: {method: tools/call, tool: {any: [\"read_*\", \"list_*\"]}}}], deny_rules: [{method: tools/call, params: {name: read_secret}}]";
    let mcp = one(&format!(
        "{{host: api.example.com, port: 443, path: /mcp, protocol: mcp, enforcement: enforce, {rules}}}"
    ));
    let ask = |calls: &[RpcCall<'_>]| {
        ask(&mcp, "api.example.com:443", "POST /mcp", Operation::Rpc(calls))
    };
    let call = |name| RpcCall { method: Some("tools/call"), name: Some(name) };
    assert_eq!(ask(&[RpcCall { method: Some("initialize"), name: None }]), "allow");
    assert_eq!(ask(&[call("read_file")]), "allow");
    assert_eq!(ask(&[call("write_file")]), "deny no_rule");
    assert_eq!(ask(&[call("read_secret")]), "deny deny_rule");
    assert_eq!(ask(&[call("read_file"), call("write_file")]), "deny no_rule");
    assert_eq!(ask(&[call("read_file\u{200b}")]), "deny tool_name");
    assert_eq!(ask(&[RpcCall { method: Some("tools/list"), name: None }]), "deny no_rule");
    assert_eq!(ask(&[RpcCall { method: None, name: None }]), "allow");
    assert_eq!(ask(&[]), "deny unreadable_operation");
    assert_eq!(http(&mcp, "GET /mcp"), "allow");
    assert_eq!(http(&mcp, "POST /mcp"), "deny unreadable_operation");
    let known = one(
        "{host: api.example.com, port: 443, protocol: mcp, enforcement: enforce, mcp: {allow_all_known_mcp_methods: true, strict_tool_names: false}}",
    );
    let said = |method| {
        let calls = [RpcCall { method: Some(method), name: Some("any tool") }];
        self::ask(&known, "api.example.com:443", "POST /", Operation::Rpc(&calls))
    };
    assert_eq!(
        (said("tools/call"), said("evil/do")),
        ("allow".to_owned(), "deny no_rule".to_owned())
    );
}

#[test]
fn json_rpc_methods_are_exact() {
    let rpc = one(
        "{host: api.example.com, port: 443, protocol: json-rpc, enforcement: enforce, rules: [{allow: {method: reports.search}}]}",
    );
    let said = |method| {
        let calls = [RpcCall { method, name: None }];
        ask(&rpc, "api.example.com:443", "POST /rpc", Operation::Rpc(&calls))
    };
    assert_eq!(said(Some("reports.search")), "allow");
    assert_eq!(said(Some("Reports.Search")), "deny no_rule");
    assert_eq!(said(Some("reports.search.all")), "deny no_rule");
    assert_eq!(said(None), "deny no_rule");
}

#[test]
fn websockets_are_opened_and_spoken_on_by_rules() {
    let ws = one(
        "{host: api.example.com, port: 443, protocol: websocket, enforcement: enforce, rules: [{allow: {method: GET, path: /ws}}, {allow: {method: WEBSOCKET_TEXT, path: /ws}}]}",
    );
    assert_eq!(http(&ws, "GET /ws"), "allow");
    assert_eq!(http(&ws, "WEBSOCKET_TEXT /ws"), "allow");
    assert_eq!(http(&ws, "WEBSOCKET_TEXT /other"), "deny no_rule");
}

#[test]
fn every_field_is_read_and_printed() {
    let text = include_str!("files/every_field.yaml");
    let (file, notices) = PolicyFile::parse(text).unwrap();
    assert!(notices.is_empty(), "{notices:?}");
    let printed = file.to_yaml().unwrap();
    let (again, _) = PolicyFile::parse(&printed).unwrap();
    assert_eq!(again, file, "{printed}");
    let bytes = |key: &str, at: usize| file.network[key].endpoints[at].operation_body_bytes_max();
    let limits =
        [bytes("rest_api", 0), bytes("graphql_api", 0), bytes("tools", 0), bytes("tools", 1)];
    assert_eq!(limits, [None, Some(131_072), Some(131_072), Some(4096)]);
    let redact = &file.middlewares["redact"];
    let sees = |host: &str| redact.sees(&host.parse().unwrap());
    assert!(sees("a.example.com") && sees("api.example.org"));
    assert!(!sees("safe.example.com") && !sees("example.net"));
    let slash = CanonicalPath::new("/a%2fb", EncodedSlash::Keep).unwrap();
    assert_eq!(slash.as_str(), "/a%2Fb");
}
