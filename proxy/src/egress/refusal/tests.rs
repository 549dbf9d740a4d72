use std::io;

use policy::{
    Caller, CanonicalPath, Connect, EncodedSlash, Operation, Policy, PolicyFile, Query, Request,
    RequestVerdict, Verdict,
};

use super::*;
use crate::egress::resolve::ResolveError;

fn policy() -> Policy {
    let text = r"
version: 1
network_policies:
  web:
    endpoints:
      - host: api.example.com
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{allow: {method: GET, path: /v1/**}}]
        deny_rules: [{method: GET, path: /v1/secret}]
      - {host: 127.0.0.1, port: 80}
    binaries: [{path: /usr/bin/curl}]
";
    Policy::new(PolicyFile::parse(text).unwrap().0)
}

/// Asks the policy about a connection, and about a request where one is given.
fn refused(to: &str, binary: &str, request: Option<(&str, &str)>) -> Refusal {
    let policy = policy();
    let to: Destination = to.parse().unwrap();
    let caller = Caller { binary, ancestors: &[] };
    let asked = Asked { sandbox: "dev", binary: Some(binary), to: &to, request };
    let grant = match policy.connect(&Connect { caller, to: &to, inference: false }) {
        Verdict::Allow(grant) => grant,
        Verdict::Deny(deny) => return Refusal::connection(&deny, &asked),
        Verdict::Inference(inference) => panic!("{inference}"),
    };
    let (method, path) = request.unwrap();
    let path = CanonicalPath::new(path, EncodedSlash::Refuse).unwrap();
    let query = Query::new("").unwrap();
    let request = Request { method, path: &path, query: &query, operation: Operation::None };
    match grant.request(&request) {
        RequestVerdict::Deny(refusal) => Refusal::request(&refusal, &asked),
        other @ (RequestVerdict::Allow(_) | RequestVerdict::Audit(_)) => panic!("{other:?}"),
    }
}

fn body(refusal: &Refusal) -> String {
    String::from_utf8(refusal.body().to_vec()).unwrap()
}

#[test]
fn an_answer_has_its_headers_and_an_exact_length() {
    let refusal = refused("api.example.com:443", "/usr/bin/wget", None);
    let body = r#"{"error":"policy_denied","policy":"web","detail":"CONNECT api.example.com:443 not permitted by policy","reason":"binary_not_allowed","next_steps":["openshell policy update dev --add-endpoint api.example.com:443 --binary /usr/bin/wget --rule-name allow_api_example_com_443","openshell rule list dev"]}"#;
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nX-OpenShell-Policy: web\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(String::from_utf8(refusal.http1()).unwrap(), answer);
}

#[test]
fn each_refusal_of_the_policy_says_what_why_and_what_would_help() {
    let curl = "/usr/bin/curl";
    let cases = [
        (
            refused("other.example:443", curl, None),
            r#"{"error":"policy_denied","detail":"CONNECT other.example:443 not permitted by policy","reason":"endpoint_not_allowed","next_steps":["openshell policy update dev --add-endpoint other.example:443 --binary /usr/bin/curl --rule-name allow_other_example_443","openshell rule list dev"]}"#,
        ),
        (
            refused("other.example:80", curl, Some(("GET", "/a"))),
            r#"{"error":"policy_denied","detail":"GET other.example:80/a not permitted by policy","reason":"endpoint_not_allowed","next_steps":["openshell policy update dev --add-endpoint other.example:80 --binary /usr/bin/curl --rule-name allow_other_example_80","openshell rule list dev"]}"#,
        ),
        (
            refused("127.0.0.1:80", curl, None),
            r#"{"error":"ssrf_denied","detail":"CONNECT 127.0.0.1:80 blocked: internal address","reason":"ssrf_denied","next_steps":["no policy opens loopback, link-local and metadata addresses"]}"#,
        ),
        (
            refused("api.example.com:443", curl, Some(("POST", "/v1/x"))),
            r#"{"error":"policy_denied","policy":"web","rule":"POST /v1/x","detail":"POST /v1/x not permitted by policy","reason":"no_rule","next_steps":["openshell policy update dev --add-allow api.example.com:443:POST:/v1/x","openshell rule list dev"]}"#,
        ),
        (
            refused("api.example.com:443", curl, Some(("GET", "/v1/secret"))),
            r#"{"error":"policy_denied","policy":"web","rule":"GET /v1/secret","detail":"GET /v1/secret blocked by deny rule","reason":"deny_rule","next_steps":["openshell policy get dev --full"]}"#,
        ),
    ];
    for (refusal, expected) in cases {
        assert_eq!(refusal.status, 403);
        assert_eq!(body(&refusal), expected);
    }
}

#[test]
fn what_else_is_refused_has_its_status_and_word() {
    let to = "db.example:5432".parse().unwrap();
    let asked = Asked { sandbox: "my box", binary: None, to: &to, request: None };
    let undialled = |error: DialError| Refusal::undialled(&error, &asked);
    let error = || io::Error::other("refused by 10.0.0.1");
    let cases = [
        (undialled(DialError::Blocked(Blocked::Internal)), 403, "ssrf_denied", "ssrf_denied"),
        (undialled(DialError::Blocked(Blocked::ControlPort)), 403, "ssrf_denied", "ssrf_denied"),
        (undialled(ResolveError::Unknown.into()), 502, "upstream_unreachable", "unresolved"),
        (undialled(DialError::Connect(error())), 502, "upstream_unreachable", "unreachable"),
        (undialled(DialError::Timeout), 504, "upstream_unreachable", "connect_timeout"),
        (
            Refusal::unidentified(&Unidentified::Changed("/bin/x".into()), &asked),
            403,
            "policy_denied",
            "binary_changed",
        ),
        (
            Refusal::malformed("ambiguous_length", "two lengths"),
            400,
            "invalid_request",
            "ambiguous_length",
        ),
    ];
    for (refusal, status, error, reason) in cases {
        assert_eq!((refusal.status, refusal.error, refusal.reason), (status, error, reason));
        assert!(!body(&refusal).contains("10.0.0.1"), "addresses of the inside are not told");
    }
    let internal = undialled(DialError::Blocked(Blocked::NotListed));
    assert_eq!(internal.detail, "CONNECT db.example:5432 blocked: allowed_ips check failed");
    assert_eq!(internal.next_steps[1], "openshell policy set 'my box' --policy FILE");
}

#[test]
fn a_policy_whose_name_is_no_header_value_ends_no_line() {
    let refusal = Refusal { policy: Some("a\r\nb: c".into()), ..Refusal::malformed("x", "y") };
    let answer = String::from_utf8(refusal.http1()).unwrap();
    assert!(!answer.contains("\r\nb: c"), "{answer}");
    assert_eq!(refusal.headers().len(), 1);
}
