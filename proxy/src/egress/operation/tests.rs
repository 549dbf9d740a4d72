use http::{HeaderName, HeaderValue};
use policy::{
    Caller, CanonicalPath, Connect, EncodedSlash, Policy, PolicyFile, Request, RequestVerdict,
    Verdict,
};

use super::*;

const POLICY: &str = r#"
version: 1
network_policies:
  all:
    endpoints:
      - host: graph.example.com
        port: 443
        protocol: graphql
        enforcement: enforce
        persisted_queries: allow_registered
        graphql_persisted_queries:
          abc: {operation_type: query, operation_name: Me, fields: [viewer]}
        rules:
          - allow: {operation_type: query}
          - allow: {operation_type: mutation, fields: [createIssue]}
        deny_rules:
          - {operation_type: "*", fields: [secrets]}
      - host: mcp.example.com
        port: 443
        protocol: mcp
        enforcement: enforce
        rules:
          - allow: {method: tools/list}
          - allow: {method: tools/call, tool: "read_*"}
      - host: rpc.example.com
        port: 443
        protocol: json-rpc
        enforcement: enforce
        rules:
          - allow: {method: eth_call}
    binaries: [{path: /usr/bin/agent}]
"#;

const JSON: &str = "application/json";

/// Reads a request as its endpoint says, and asks the policy.
fn ask(host: &str, method: &str, query: &str, kind: &str, body: &[u8]) -> (Found, bool) {
    let policy = Policy::new(PolicyFile::parse(POLICY).unwrap().0);
    let to = format!("{host}.example.com:443").parse().unwrap();
    let caller = Caller { binary: "/usr/bin/agent", ancestors: &[] };
    let Verdict::Allow(grant) = policy.connect(&Connect { caller, to: &to, inference: false })
    else {
        panic!("{to}");
    };
    let mut places = Vec::new();
    grant.each(|place| places.push(place));
    let endpoint = endpoint(&places, "/api").unwrap();
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    }
    let query = Query::new(query).unwrap();
    let found = read(endpoint, &Message { method, query: &query, headers: &headers, body });
    let path = CanonicalPath::new("/api", EncodedSlash::Refuse).unwrap();
    let view = found.view();
    let members = view.members();
    let operation = members.operation();
    let request = Request { method, path: &path, query: &query, operation };
    let allowed = matches!(grant.request(&request), RequestVerdict::Allow(_));
    (found, allowed)
}

fn graphql(body: &str) -> (Found, bool) {
    ask("graph", "POST", "", JSON, body.as_bytes())
}

fn named(kind: OperationKind, name: Option<&str>, fields: &[&str]) -> OwnedOperation {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    OwnedOperation { kind, name: name.map(str::to_owned), fields }
}

#[test]
fn the_operation_that_runs_is_read_with_its_root_fields() {
    use OperationKind::{Mutation, Query, Subscription};
    let cases = [
        (r#"{"query":"{ me: viewer { secrets } a }"}"#, named(Query, None, &["viewer", "a"]), true),
        (
            r#"{"query":"query Q($x: Int) @d { viewer @include(if: $x) { id } }"}"#,
            named(Query, Some("Q"), &["viewer"]),
            true,
        ),
        (
            r#"{"query":"mutation M { alias: createIssue(a: {b: [1]}) { id } }","variables":{"a":1}}"#,
            named(Mutation, Some("M"), &["createIssue"]),
            true,
        ),
        (
            r#"{"query":"mutation { createIssue deleteRepo }"}"#,
            named(Mutation, None, &["createIssue", "deleteRepo"]),
            false,
        ),
        (r#"{"query":"subscription { s }"}"#, named(Subscription, None, &["s"]), false),
        (
            r#"{"query":"query A {a} mutation B {deleteRepo}","operationName":"B"}"#,
            named(Mutation, Some("B"), &["deleteRepo"]),
            false,
        ),
        (
            r#"{"query":"query A {a} mutation B {deleteRepo}","operationName":"A"}"#,
            named(Query, Some("A"), &["a"]),
            true,
        ),
        (
            r#"{"query":"{...F} fragment F on Query {...G ... on Query {b}} fragment G on Query {...F secrets}"}"#,
            named(Query, None, &["b", "secrets"]),
            false,
        ),
        (r#"{"query":"{ \u0061: secrets }"}"#, named(Query, None, &["secrets"]), false),
        (
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"abc"}}}"#,
            named(Query, Some("Me"), &["viewer"]),
            true,
        ),
        (r#"{"id":"abc","operationName":"Me"}"#, named(Query, Some("Me"), &["viewer"]), true),
        (
            r#"{"query":"{a}","operationName":null,"extensions":{"persistedQuery":{"version":1,"sha256Hash":"7c2fcd0e56f01df7e07f2cbb1fd3e8b83b1b9efc27b0ee0d41ae2e3d1f6ff6cf"}}}"#,
            named(Query, None, &["a"]),
            true,
        ),
    ];
    for (body, expected, allowed) in cases {
        // The hash of what the case asks for, made here rather than by hand.
        let hash = format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(b"{a}"));
        let old = "7c2fcd0e56f01df7e07f2cbb1fd3e8b83b1b9efc27b0ee0d41ae2e3d1f6ff6cf";
        assert_eq!(
            graphql(&body.replace(old, &hash)),
            (Found::Graphql(vec![expected]), allowed),
            "{body}"
        );
    }
}

#[test]
fn a_denied_member_denies_the_batch() {
    let (found, allowed) = graphql(r#"[{"query":"{a}"},{"query":"{b}"}]"#);
    assert!(matches!(found, Found::Graphql(all) if all.len() == 2) && allowed);
    assert!(!graphql(r#"[{"query":"{a}"},{"query":"{secrets}"}]"#).1);
    let call = |name: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#)
    };
    let ask = |body: String| ask("mcp", "POST", "", JSON, body.as_bytes()).1;
    assert!(ask(format!("[{},{}]", call("read_a"), call("read_b"))));
    assert!(!ask(format!("[{},{}]", call("read_a"), call("write_b"))));
    assert!(!ask(call("read_ü")), "strict names");
}

#[test]
fn graphql_comes_in_other_forms_too() {
    let cases = [
        ("GET", "query=%7Ba%7D", "", "", true),
        ("GET", "query=mutation%7BdeleteRepo%7D", "", "", false),
        (
            "GET",
            "extensions=%7B%22persistedQuery%22%3A%7B%22sha256Hash%22%3A%22abc%22%7D%7D",
            "",
            "",
            true,
        ),
        ("GET", "id=abc", "", "", true),
        ("POST", "", "application/graphql", "{a}", true),
        ("POST", "", "application/x-www-form-urlencoded", "query=%7Ba%7D", true),
        ("POST", "", "application/x-www-form-urlencoded", "query=%7Bsecrets%7D", false),
        ("POST", "", "application/json; charset=\"UTF-8\"", r#"{"query":"{a}"}"#, true),
        ("POST", "trace=1", "application/graphql+json", r#"{"query":"{a}"}"#, true),
    ];
    for (method, query, kind, body, expected) in cases {
        let (found, allowed) = ask("graph", method, query, kind, body.as_bytes());
        assert_eq!(allowed, expected, "{method} {query} {kind} {body} {found:?}");
        assert_ne!(found, Found::Unreadable);
    }
}

#[test]
fn what_servers_read_in_different_ways_is_unreadable() {
    let deep = format!(r#"{{"query":"{}{}"}}"#, "{a".repeat(100), "}".repeat(100));
    let lists = format!(r#"{{"query":"{{a(b: {}{})}}"}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let types = format!(
        r#"{{"query":"query Q($x: {}Int{}) {{a}}"}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let many = (0..1100).map(|number| format!("f{number}")).collect::<Vec<_>>().join(" ");
    let many = format!(r#"{{"query":"{{{many}}}"}}"#);
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "{",
        r#"{"query":"{a}"}x"#,
        r#"{"query":1}"#,
        r#"[[{"query":"{a}"}]]"#,
        r#"{"query":"{a}","query":"{b}"}"#,
        r#"{"query":"{a}","Query":"{b}"}"#,
        r#"{"query":"{a}","quer\u017f":"{b}"}"#,
        r#"{"query":""}"#,
        r#"{"query":"{"}"#,
        r#"{"query":"{a} {b}"}"#,
        r#"{"query":"query A {a} query A {b}","operationName":"A"}"#,
        r#"{"query":"query A {a} query B {b}"}"#,
        r#"{"query":"query A {a}","operationName":"B"}"#,
        r#"{"query":"{...F}"}"#,
        r#"{"query":"{a ...F} fragment F on Q {b} fragment F on Q {c}"}"#,
        r#"{"query":"type A {a: Int}"}"#,
        r#"{"query":"{a} type A {a: Int}"}"#,
        r#"{"query":"{}"}"#,
        r#"{"query":"{a}","id":"abc"}"#,
        r#"{"id":"none"}"#,
        r#"{"id":"abc","documentId":"abc"}"#,
        r#"{"query":"{a}","extensions":{"persistedQuery":{"sha256Hash":"abc"}}}"#,
        r#"{"id":"abc","operationName":"Other"}"#,
        r#"{"query":"{a}","extensions":1}"#,
        &deep,
        &lists,
        &types,
        &many,
    ];
    for body in bodies {
        let (found, allowed) = graphql(body);
        let short: String = body.chars().take(80).collect();
        assert_eq!((found, allowed), (Found::Unreadable, false), "{short}");
    }
    let good = br#"{"query":"{a}"}"#;
    for (query, kind, body) in [
        ("", "text/plain", &good[..]),
        ("", "", good),
        ("", "multipart/form-data; boundary=x", good),
        ("", "application/json; charset=utf-16", good),
        ("query=%7Bb%7D", JSON, good),
        ("", JSON, b"{\"query\":\"{a}\",\"x\":\"\xff\"}"),
        ("", JSON, b"\xef\xbb\xbf{\"query\":\"{a}\"}"),
    ] {
        assert_eq!(ask("graph", "POST", query, kind, body), (Found::Unreadable, false), "{kind}");
    }
    assert_eq!(ask("graph", "GET", "query=%7Ba%7D&query=%7Bb%7D", "", b"").0, Found::Unreadable);
}

#[test]
fn calls_are_read_with_their_names() {
    let call = |method: &str, name: Option<&str>| {
        let (method, name) = (Some(method.to_owned()), name.map(str::to_owned));
        Found::Rpc(vec![OwnedCall { method, name }])
    };
    let cases = [
        (
            "mcp",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            call("tools/list", None),
            true,
        ),
        (
            "mcp",
            r#"{"method":"tools/call","params":{"name":"read_file","arguments":{"name":"x"}}}"#,
            call("tools/call", Some("read_file")),
            true,
        ),
        (
            "mcp",
            r#"{"m\u0065thod":"tools/call","params":{"name":"writ\u0065"}}"#,
            call("tools/call", Some("write")),
            false,
        ),
        (
            "mcp",
            r#"{"method":"resources/read","params":{"name":1}}"#,
            call("resources/read", None),
            false,
        ),
        (
            "mcp",
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            Found::Rpc(vec![OwnedCall { method: None, name: None }]),
            true,
        ),
        (
            "rpc",
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[1]}"#,
            call("eth_call", None),
            true,
        ),
        ("rpc", r#"{"jsonrpc":"2.0","id":1,"method":"admin_x"}"#, call("admin_x", None), false),
    ];
    for (host, body, expected, allowed) in cases {
        assert_eq!(ask(host, "POST", "", JSON, body.as_bytes()), (expected, allowed), "{body}");
    }
    assert_eq!(ask("mcp", "GET", "", "", b""), (Found::Nothing, true));
    assert_eq!(ask("rpc", "GET", "", "", b""), (Found::Nothing, false));
}

#[test]
fn calls_that_could_be_read_in_two_ways_are_unreadable() {
    let many = format!("[{}]", vec![r#"{"method":"eth_call"}"#; MEMBERS_MAX + 1].join(","));
    let deep =
        format!(r#"{{"method":"eth_call","params":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let bodies = [
        "{}",
        "[]",
        "[1]",
        r#"{"method":1}"#,
        r#"{"method":"eth_call","Method":"admin_x"}"#,
        r#"{"method":"eth_call","method":"admin_x"}"#,
        r#"{"method":"tools/call","params":{"name":["read_a"]}}"#,
        r#"{"method":"tools/call","params":{"name":"read_a","NAME":"write"}}"#,
        r#"{"method":"eth_call","params":"x"}"#,
        r#"{"method":"eth_call","result":1}"#,
        "{\"method\":\"eth_call\"} {}",
        &many,
        &deep,
    ];
    for host in ["mcp", "rpc"] {
        for body in bodies {
            let answer = ask(host, "POST", "", JSON, body.as_bytes());
            assert_eq!(answer, (Found::Unreadable, false), "{body}");
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(media_type(&headers), None);
    assert_eq!(media_type(&HeaderMap::new()).as_deref(), Some(""));
    headers.remove(header::CONTENT_ENCODING);
    for kind in [JSON, "text/plain"] {
        headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static(kind));
    }
    assert_eq!(media_type(&headers), None);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_break_a_reader(
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        text in "[{}a-c\\.@():$!#\" \\[\\]]{0,60}",
    ) {
        ask("graph", "POST", "", JSON, &body);
        ask("graph", "POST", "", "application/graphql", text.as_bytes());
        ask("mcp", "POST", "", JSON, &body);
    }
}
