//! Credentials, operations and sensitive data in requests of a real client.

use domain::Label;
use policy::HostPattern;
use proxy::audit::{Activity, Outcome};
use proxy::egress::credentials::{Credentials, OwnEndpoint, Provider, Secret};

use crate::lab::Lab;

const POLICY: &str = r#"
version: 1
network_policies:
  web:
    endpoints:
      - {host: api.example.com, ports: [80, 443], protocol: rest, enforcement: enforce, access: full,
         credential_binding: {provider: example}, request_body_credential_rewrite: true}
      - {host: plain.example.com, ports: [80, 443], protocol: rest, enforcement: enforce, access: full}
      - {host: own.example.com, port: 80, protocol: rest, enforcement: enforce, access: full}
      - {host: unseen.example.com, port: 80, credential_binding: {provider: example}}
      - {host: paths.example.com, port: 80, protocol: rest, enforcement: enforce,
         rules: [{allow: {method: GET, path: "/echo/bot*/get"}}], credential_binding: {provider: example}}
      - {host: s3.example.com, port: 80, protocol: rest, enforcement: enforce, access: full,
         credential_binding: {provider: aws}, credential_signing: "sigv4:body", signing_service: s3, signing_region: us-east-1}
      - {host: audit.example.com, port: 80, protocol: rest, enforcement: enforce, access: full, sensitivity: audit}
      - {host: redact.example.com, port: 80, protocol: rest, enforcement: enforce, access: full, sensitivity: redact}
      - {host: block.example.com, port: 80, protocol: rest, enforcement: enforce, access: full, sensitivity: block}
      - host: graph.example.com
        port: 80
        protocol: graphql
        enforcement: enforce
        graphql_max_body_bytes: 1000
        rules: [{allow: {operation_type: query}}]
      - host: mcp.example.com
        port: 80
        protocol: mcp
        enforcement: enforce
        rules: [{allow: {method: tools/call, tool: "read_*"}}]
      - host: hushed.example.com
        port: 80
        protocol: mcp
        enforcement: enforce
        sensitivity: redact
        rules: [{allow: {method: tools/call, tool: "read_*"}}]
    binaries: [{path: /usr/bin/curl}]
"#;

const TOKEN: &str = "tok-0123456789-secret";
const PLACEHOLDER: &str = "openshell:resolve:env:TOKEN";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn credentials() -> Credentials {
    let secret = |key: &str, text: &str| (key.to_owned(), Secret::new(text).unwrap());
    let provider = |name: &str, secrets: Vec<(String, Secret)>, endpoints| Provider {
        name: name.to_owned(),
        secrets,
        endpoints,
    };
    let host: HostPattern = "own.example.com".parse().unwrap();
    let aws = vec![
        secret("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        secret("AWS_SECRET_ACCESS_KEY", KEY),
    ];
    Credentials::new(vec![
        provider("example", vec![secret("TOKEN", TOKEN)], Vec::new()),
        provider("aws", aws, Vec::new()),
        provider(
            "own",
            vec![secret("OWN", "own-0123456789")],
            vec![OwnEndpoint { host, ports: vec![80] }],
        ),
    ])
    .unwrap()
}

async fn lab() -> Lab {
    let lab = Lab::with(POLICY, None).await;
    lab.egress.replace_credentials(credentials());
    lab
}

#[tokio::test]
async fn a_placeholder_arrives_as_the_secret_and_comes_back_as_itself() {
    let lab = lab().await;
    let bearer = format!("Authorization: Bearer {PLACEHOLDER}");
    let json = format!("{{\"k\":\"{PLACEHOLDER}\",\"rest\":1}}");
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://api.example.com/echo?k={PLACEHOLDER}&a=1");
        let arguments =
            ["-i", "-H", &bearer, "-H", "Content-Type: application/json", "-d", &json, &url];
        let (text, content) = lab.curl(&arguments).await;
        assert!(content && text.contains(" 200"), "{text}");
        let log = if scheme == "http" { &lab.plain } else { &lab.secure };
        let seen = log.lock().last().cloned().unwrap();
        assert_eq!(seen.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(seen.target, format!("/echo?k={TOKEN}&a=1"));
        assert_eq!(seen.body, format!("{{\"k\":\"{TOKEN}\",\"rest\":1}}"));
        assert_eq!(seen.headers["accept-encoding"], "identity");
        assert!(!text.contains("secret"), "{text}");
        let line = format!("x-echo: Bearer {PLACEHOLDER}");
        assert!(text.to_ascii_lowercase().contains(&line.to_ascii_lowercase()), "{text}");
        assert!(text.contains(&json), "{text}");
    }
    let user = format!("user:{PLACEHOLDER}");
    let (text, _) = lab.curl(&["-u", &user, "http://api.example.com/echo"]).await;
    let seen = lab.plain.lock().last().cloned().unwrap();
    assert_eq!(seen.headers["authorization"], "Basic dXNlcjp0b2stMDEyMzQ1Njc4OS1zZWNyZXQ=");
    assert!(
        !text.contains("dG9rLTAxMjM") && !text.contains("b2stMDEyMzQ1Njc4OS1zZWNyZXQ"),
        "{text}"
    );
    assert!(!format!("{:?}", lab.journal.all()).contains("0123456789"));
}

#[tokio::test]
async fn a_large_body_of_unknown_length_is_filled_in_while_it_streams() {
    let lab = lab().await;
    let body = format!("{PLACEHOLDER} {}", "x".repeat(1 << 20));
    std::fs::write(lab.folder.path().join("body"), &body).unwrap();
    let kind = "Content-Type: text/plain";
    for framing in ["X-A: b", "Transfer-Encoding: chunked"] {
        let arguments =
            ["-H", kind, "-H", framing, "--data-binary", "@body", "http://api.example.com/a"];
        let (text, content) = lab.curl(&arguments).await;
        assert!(content, "{text}");
        let seen = lab.plain.lock().last().cloned().unwrap();
        assert_eq!(seen.body.len(), body.len() - PLACEHOLDER.len() + TOKEN.len(), "{text}");
        assert!(seen.body.starts_with(TOKEN.as_bytes()));
    }
}

#[tokio::test]
async fn a_placeholder_in_a_path_is_judged_without_its_value() {
    let lab = lab().await;
    let url = format!("http://paths.example.com/echo/bot{PLACEHOLDER}/get");
    let (text, _) = lab.curl(&[&url]).await;
    assert_eq!(lab.plain.lock()[0].target, format!("/echo/bot{TOKEN}/get"), "{text}");
    let Activity::Request { path, .. } = lab.journal.last().activity else { panic!("a request") };
    assert_eq!(path, "/echo/bot%5BCREDENTIAL%5D/get");
    let other = format!("http://paths.example.com/other/{PLACEHOLDER}");
    let (text, _) = lab.curl(&[&other]).await;
    assert!(text.contains("policy_denied"), "{text}");
    assert_eq!(lab.plain.lock().len(), 1);
}

#[tokio::test]
async fn a_credential_reaches_no_other_place() {
    let lab = lab().await;
    let token = format!("X-Token: {PLACEHOLDER}");
    let own = "X-Token: openshell:resolve:env:OWN";
    let none = "X-Token: openshell:resolve:env:NONE";
    let escaped = "X-Token: openshell%3Aresolve%3Aenv%3ATOKEN";
    let name = "openshell%3aresolve%3aenv%3atoken: 1";
    let mismatch = ("credential_endpoint_mismatch", "credential_binding.provider");
    let failed = "credential_injection_failed";
    let cases = [
        ("http://plain.example.com/echo", &*token, mismatch),
        ("https://plain.example.com/echo", &*token, mismatch),
        ("http://api.example.com/echo", own, mismatch),
        ("http://unseen.example.com/echo", &*token, (failed, "allow_uninspected_credentials")),
        ("http://api.example.com/echo", none, (failed, "attach the provider")),
        ("http://api.example.com/echo", escaped, (failed, "header value")),
        ("http://api.example.com/echo", name, (failed, "header value")),
    ];
    for (url, header, (code, step)) in cases {
        let (text, _) = lab.curl(&["-H", header, url]).await;
        assert!(text.contains(code) && text.contains(step), "{url} {header}: {text}");
        assert_eq!(lab.journal.last().reason, Some(code), "{url} {header}");
    }
    let kind = "Content-Type: application/octet-stream";
    let body = ["-H", kind, "-d", PLACEHOLDER, "http://own.example.com/echo"];
    let (text, _) = lab.curl(&body).await;
    assert!(text.contains("credential_endpoint_mismatch"), "{text}");
    let chunked = [&["-H", "Transfer-Encoding: chunked"], &body[..]].concat();
    let (text, _) = lab.curl(&chunked).await;
    assert!(text.contains("credential_endpoint_mismatch"), "{text}");
    assert!(lab.plain.lock().is_empty() && lab.secure.lock().is_empty());
    let (text, _) = lab.curl(&["-H", own, "http://own.example.com/echo"]).await;
    assert_eq!(lab.plain.lock()[0].headers["x-token"], "own-0123456789", "{text}");
}

#[tokio::test]
async fn aws_requests_are_signed_with_the_real_key() {
    let lab = lab().await;
    let own = "Authorization: AWS4-HMAC-SHA256 Credential=openshell:resolve:env:AWS_ACCESS_KEY_ID/20260101/eu-west-1/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=00";
    let session = "X-Amz-Security-Token: openshell:resolve:env:AWS_SESSION_TOKEN";
    let arguments = ["-H", own, "-H", session, "-T", "ca.pem", "http://s3.example.com/echo/a%20b"];
    let (text, content) = lab.curl(&arguments).await;
    assert!(content, "{text}");
    let seen = lab.plain.lock().last().cloned().unwrap();
    let value = seen.headers["authorization"].to_str().unwrap();
    assert!(value.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"), "{value}");
    assert!(
        value.contains(
            "/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
        ),
        "{value}"
    );
    assert!(!seen.headers.contains_key("x-amz-security-token"));
    let body = std::fs::read(lab.folder.path().join("ca.pem")).unwrap();
    assert_eq!(seen.body, body);
    assert_eq!(seen.headers["content-length"], body.len().to_string());
    assert!(!text.contains("AKIAIOSFODNN7EXAMPLE") && !text.contains(KEY), "{text}");
}

#[tokio::test]
async fn bodies_are_judged_by_what_they_ask_for() {
    let lab = lab().await;
    let large = format!("{{\"query\":\"{{a}}\",\"variables\":\"{}\"}}", "x".repeat(2000));
    let tool = |name: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#)
    };
    let batch = format!("[{},{}]", tool("read_a"), tool("write_a"));
    let cases = [
        ("graph", r#"{"query":"{viewer}"}"#.to_owned(), true),
        ("graph", r#"{"query":"mutation {drop}"}"#.to_owned(), false),
        ("graph", r#"[{"query":"{a}"},{"query":"mutation {drop}"}]"#.to_owned(), false),
        ("graph", large, false),
        ("mcp", tool("read_a"), true),
        ("mcp", tool("write_a"), false),
        ("mcp", batch, false),
    ];
    for (host, body, allowed) in cases {
        let url = format!("http://{host}.example.com/echo");
        let before = lab.plain.lock().len();
        let (text, _) =
            lab.curl(&["-H", "Content-Type: application/json", "-d", &body, &url]).await;
        assert_eq!(text.contains("policy_denied"), !allowed, "{body}: {text}");
        let all = lab.plain.lock();
        assert_eq!(all.len(), before + usize::from(allowed), "{body}");
        assert!(!allowed || all.last().unwrap().body == body);
    }
}

#[tokio::test]
async fn what_is_hidden_from_a_body_cannot_change_what_it_asks_for() {
    let lab = lab().await;
    let key = "k9Xw2LmQ7RtV4bNz8HcJ5fGd3SyP6aUeT1oIqWxYvBnMlKj0";
    // Between its two lines a private key is hidden, whatever stands there.
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"x":"-----BEGIN PRIVATE KEY-----{key}","name":"read_file"}},"z":{{"y":"-----END PRIVATE KEY-----","name":"write_file"}}}}"#
    );
    let kind = "Content-Type: application/json";
    let (text, _) = lab.curl(&["-H", kind, "-d", &body, "http://hushed.example.com/echo"]).await;
    let sent = lab.plain.lock().pop();
    assert!(sent.is_none(), "{sent:?}");
    assert!(text.contains("policy_denied"), "{text}");
    let plain = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":"anna.berg@lindenhof-praxis.de","name":"read_file"}}"#;
    let (text, _) = lab.curl(&["-H", kind, "-d", plain, "http://hushed.example.com/echo"]).await;
    let sent = lab.plain.lock().pop().unwrap_or_else(|| panic!("{text}")).body;
    let sent = String::from_utf8_lossy(&sent);
    assert!(sent.contains("<EMAIL>") && sent.contains("read_file"), "{sent}");
}

#[tokio::test]
async fn sensitive_data_is_counted_replaced_or_kept_in() {
    let lab = lab().await;
    let body = r#"{"to":"anna.berg@lindenhof-praxis.de"}"#;
    let send = async |host: &str, framing: &str| {
        let url = format!("http://{host}.example.com/a");
        let kind = "Content-Type: application/json";
        lab.curl(&["-H", kind, "-H", framing, "-d", body, &url]).await.0
    };
    for framing in ["X-A: b", "Transfer-Encoding: chunked"] {
        let text = send("block", framing).await;
        assert!(text.contains("sensitive_content") && text.contains("pii/email"), "{text}");
        assert!(!text.contains("anna"), "{text}");
        assert!(!lab.plain.lock().iter().any(|seen| seen.body == body));
        let event = lab.journal.last();
        assert_eq!(event.outcome, Outcome::Denied);
        assert_eq!(event.findings.get(&Label::fixed("pii/email")), Some(&1));
        for (host, expected) in [("redact", r#"{"to":"<EMAIL>"}"#), ("audit", body)] {
            let text = send(host, framing).await;
            assert_eq!(lab.plain.lock().pop().unwrap().body, expected, "{text}");
            let event = lab.journal.last();
            assert_eq!(event.outcome, Outcome::Audited);
            assert_eq!(event.findings.get(&Label::fixed("pii/email")), Some(&1));
        }
    }
    assert!(!format!("{:?}", lab.journal.all()).contains("anna"));
}
