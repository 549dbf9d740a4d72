use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use policy::{Caller, Connect, Policy, PolicyFile, Verdict};
use proptest::prelude::*;

use super::*;

const POLICY: &str = r#"
version: 1
network_policies:
  bound:
    endpoints:
      - {host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full, path: "/v1/**",
         credential_binding: {provider: example}, request_body_credential_rewrite: true, websocket_credential_rewrite: true}
      - {host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full, path: "/other/**"}
      - {host: plain.example.com, port: 443, credential_binding: {provider: example}}
      - {host: open.example.com, port: 443, credential_binding: {provider: example}, allow_uninspected_credentials: true}
      - {host: else.example.com, port: 443, protocol: rest, enforcement: enforce, access: full}
      - {host: own.example.com, port: 443, protocol: rest, enforcement: enforce, access: full}
    binaries: [{path: /usr/bin/agent}]
"#;

const TOKEN: &str = "tok-0123456789+/\"=";

fn credentials() -> Credentials {
    let secret = |text: &str| Secret::new(text).unwrap();
    let example = Provider {
        name: "example".to_owned(),
        secrets: vec![
            ("TOKEN".to_owned(), secret(TOKEN)),
            ("PATH_TOKEN".to_owned(), secret("12345:ab cd")),
        ],
        endpoints: Vec::new(),
    };
    let own = Provider {
        name: "own".to_owned(),
        secrets: vec![("OWN".to_owned(), secret("own-secret-value"))],
        endpoints: vec![OwnEndpoint { host: "own.example.com".parse().unwrap(), ports: vec![443] }],
    };
    Credentials::new(vec![example, own]).unwrap()
}

fn scope(to: &str, path: &str) -> Scope {
    let policy = Policy::new(PolicyFile::parse(POLICY).unwrap().0);
    let to = to.parse().unwrap();
    let caller = Caller { binary: "/usr/bin/agent", ancestors: &[] };
    let Verdict::Allow(grant) = policy.connect(&Connect { caller, to: &to, inference: false })
    else {
        panic!("{to} is allowed");
    };
    let mut places = Vec::new();
    grant.each(|place| places.push(place));
    credentials().scope(&to, path, &places)
}

fn bound() -> Scope {
    scope("api.example.com:443", "/v1/x")
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (header::HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn one(scope: &Scope, name: &'static str, value: &str) -> Result<String, CredentialError> {
    let mut all = headers(&[(name, value)]);
    let edits = scope.rewrite_head("/v1/x", &all)?;
    edits.apply(&mut all);
    Ok(String::from_utf8_lossy(all[name].as_bytes()).into_owned())
}

#[test]
fn header_values_are_filled_in_where_the_credential_belongs() {
    let cases = [
        ("authorization", "Bearer openshell:resolve:env:TOKEN", format!("Bearer {TOKEN}")),
        ("x-api-key", "openshell:resolve:env:TOKEN", TOKEN.to_owned()),
        ("cookie", "a=1; t=openshell:resolve:env:TOKEN; b=2", format!("a=1; t={TOKEN}; b=2")),
        // user:openshell:resolve:env:TOKEN, without its padding
        (
            "authorization",
            "basic dXNlcjpvcGVuc2hlbGw6cmVzb2x2ZTplbnY6VE9LRU4",
            basic(&format!("user:{TOKEN}")),
        ),
        ("accept", "*/*", "*/*".to_owned()),
        ("authorization", "Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNz".to_owned()),
    ];
    for (name, value, expected) in cases {
        assert_eq!(one(&bound(), name, value).as_ref(), Ok(&expected), "{name}: {value}");
    }
}

fn basic(text: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

#[test]
fn only_changed_headers_are_edited_and_marked_as_sensitive() {
    let mut all = headers(&[("x-a", "openshell:resolve:env:TOKEN"), ("x-b", "2")]);
    all.append("x-a", HeaderValue::from_static("second"));
    let edits = bound().rewrite_head("/v1/x", &all).unwrap();
    let [(name, values)] = &edits.headers[..] else { panic!("{edits:?}") };
    assert_eq!((name.as_str(), values.len(), edits.injected), ("x-a", 2, 1));
    assert!(values[0].is_sensitive() && !values[1].is_sensitive());
    assert_eq!((values[1].as_bytes(), edits.target.as_ref()), (&b"second"[..], None));
    assert!(!format!("{edits:?} {:?}", bound()).contains("0123"));
}

#[test]
fn paths_and_parameters_are_filled_in_with_escapes() {
    let cases = [
        ("/v1/botopenshell:resolve:env:PATH_TOKEN/get", "/v1/bot12345%3Aab%20cd/get"),
        ("/v1/openshell%3Aresolve%3aenv%3APATH_TOKEN", "/v1/12345%3Aab%20cd"),
        (
            "/v1/x?a=1&key=openshell%3Aresolve%3Aenv%3ATOKEN&b",
            "/v1/x?a=1&key=tok-0123456789%2B%2F%22%3D&b",
        ),
        ("/v1/x?key=openshell:resolve:env:TOKEN", "/v1/x?key=tok-0123456789%2B%2F%22%3D"),
    ];
    for (target, expected) in cases {
        let edits = bound().rewrite_head(target, &HeaderMap::new()).unwrap();
        assert_eq!(edits.target.as_deref(), Some(expected), "{target}");
    }
    let none = bound().rewrite_head("/v1/x?a=%6f&b=openshell", &HeaderMap::new()).unwrap();
    assert_eq!((none.target, none.injected), (None, 0));
}

#[test]
fn a_placeholder_where_none_belongs_refuses_the_head() {
    use CredentialError::{Hidden, Misplaced, Unfit, Unknown};
    let cases = [
        ("/v1/openshell:resolve:env:TOKEN", "accept", "*/*", Unfit("a path")),
        (
            "/v1/x?openshell:resolve:env:TOKEN=1",
            "accept",
            "*/*",
            Misplaced("the name of a parameter"),
        ),
        ("/v1/x?a=openshell%253Aresolve:env:TOKEN", "accept", "*/*", Hidden),
        ("/v1/x", "openshell%3aresolve%3aenv%3atoken", "1", Misplaced("the name of a header")),
        ("/v1/x", "x-a", "openshell%3Aresolve:env:TOKEN", Hidden),
        ("/v1/x", "x-a", r#"{"a":"openshell\u003aresolve:env:TOKEN"}"#, Hidden),
        (
            "/v1/x",
            "host",
            "openshell:resolve:env:TOKEN",
            Misplaced("a header that frames the request"),
        ),
        ("/v1/x", "x-a", "openshell:resolve:env:NONE", Unknown),
        ("/v1/x", "x-a", "openshell:resolve:vault:TOKEN", Unknown),
        ("/v1/x", "x-a", "openshell:resolve:env:TOKENX", Unknown),
        // openshell:resolve:env:NONE
        ("/v1/x", "authorization", "Basic b3BlbnNoZWxsOnJlc29sdmU6ZW52Ok5PTkU=", Unknown),
    ];
    for (target, name, value, error) in cases {
        let result = bound().rewrite_head(target, &headers(&[(name, value)]));
        assert_eq!(result.unwrap_err(), error, "{target} {name}: {value}");
        assert!(!error.next_step().is_empty());
        assert_eq!(error.code(), "credential_injection_failed");
    }
}

#[test]
fn a_credential_goes_nowhere_but_to_its_own_endpoints() {
    let bearer = |scope: &Scope, key: &str| {
        one(scope, "authorization", &format!("Bearer openshell:resolve:env:{key}"))
    };
    let cases = [
        ("api.example.com:443", "/other/x", "TOKEN", Err(CredentialError::Mismatch)),
        ("else.example.com:443", "/v1/x", "TOKEN", Err(CredentialError::Mismatch)),
        ("api.example.com:443", "/v1/x", "OWN", Err(CredentialError::Mismatch)),
        ("plain.example.com:443", "/", "TOKEN", Err(CredentialError::Uninspected)),
        ("open.example.com:443", "/", "TOKEN", Ok(format!("Bearer {TOKEN}"))),
        ("own.example.com:443", "/", "OWN", Ok("Bearer own-secret-value".to_owned())),
        ("own.example.com:443", "/", "TOKEN", Err(CredentialError::Mismatch)),
    ];
    for (to, path, key, expected) in cases {
        assert_eq!(bearer(&scope(to, path), key), expected, "{to}{path} {key}");
    }
    assert_eq!(CredentialError::Mismatch.code(), "credential_endpoint_mismatch");
    assert!(scope("else.example.com:443", "/").is_empty());
    assert!(scope("else.example.com:443", "/").needles().is_none());
    assert!(bound().needles().is_some());
    // A provider's own endpoints open nothing: the policy does.
    let to = "own.example.com:443".parse().unwrap();
    assert!(credentials().scope(&to, "/", &[]).is_empty());
}

#[test]
fn names_that_clash_or_are_none_are_refused_at_load() {
    let provider = |name: &str, key: &str| Provider {
        name: name.to_owned(),
        secrets: vec![(key.to_owned(), Secret::new("x").unwrap())],
        endpoints: Vec::new(),
    };
    let twice = Credentials::new(vec![provider("a", "KEY"), provider("b", "KEY")]).unwrap_err();
    assert!(twice.to_string().contains("given by the providers a and b"), "{twice}");
    for key in ["", "1A", "A-B", "A:B"] {
        assert!(matches!(Credentials::new(vec![provider("a", key)]), Err(LoadError::Key { .. })));
    }
}

#[test]
fn the_environment_holds_placeholders_and_records_hold_less() {
    let credentials = credentials();
    let all: Vec<_> = credentials.environment().collect();
    assert!(all.contains(&("TOKEN", "openshell:resolve:env:TOKEN".to_owned())));
    assert_eq!(format!("{credentials:?}"), "Credentials(3 secrets)");
    let path = "/bot/openshell:resolve:env:TOKEN/x?k=openshell%3Aresolve:env:OWN&l=1";
    assert_eq!(veiled(path), "/bot/[CREDENTIAL]/x?k=[CREDENTIAL]&l=1");
    assert_eq!(veiled("/plain"), "/plain");
}

fn body(
    scope: &Scope,
    kind: &'static str,
    text: &[u8],
    size: usize,
) -> Result<Vec<u8>, CredentialError> {
    let mut rewriter = scope.body(&headers(&[("content-type", kind)]))?;
    let mut out = Vec::new();
    for chunk in text.chunks(size) {
        out.extend_from_slice(&rewriter.push(Bytes::copy_from_slice(chunk))?);
    }
    out.extend_from_slice(&rewriter.finish()?);
    Ok(out)
}

#[test]
fn bodies_are_filled_in_where_the_endpoint_opts_in() {
    let cases = [
        (
            "application/json",
            r#"{"a":"openshell:resolve:env:TOKEN","b":1}"#,
            r#"{"a":"tok-0123456789+/\"=","b":1}"#,
        ),
        (
            "application/json; charset=utf-8",
            r#"["openshell\u003Aresolve:env:TOKEN"]"#,
            r#"["tok-0123456789+/\"="]"#,
        ),
        ("application/vnd.api+json", r#""openshell:resolve:env:OTHER"#, ""),
        (
            "application/x-www-form-urlencoded",
            "a=openshell%3Aresolve%3Aenv%3ATOKEN&b=1",
            "a=tok-0123456789%2B%2F%22%3D&b=1",
        ),
        ("text/plain", "k openshell:resolve:env:TOKEN.", "k tok-0123456789+/\"=."),
        ("text/plain", "nothing here", "nothing here"),
    ];
    for (kind, text, expected) in cases {
        for size in [1, 3, 1000] {
            let result = body(&bound(), kind, text.as_bytes(), size);
            if expected.is_empty() {
                assert_eq!(result, Err(CredentialError::Unknown), "{text}");
            } else {
                assert_eq!(result.as_deref(), Ok(expected.as_bytes()), "{kind} {size}");
            }
        }
    }
}

#[test]
fn bodies_elsewhere_refuse_placeholders_in_every_spelling() {
    let inner = CredentialError::Misplaced("the body");
    let own = scope("own.example.com:443", "/");
    let cases = [
        (&own, "application/json", "openshell:resolve:env:OWN", inner),
        (&own, "application/json", r"openshell\u003aresolve:env:OWN", inner),
        (&own, "application/json", "openshell:resolve:env:TOKEN", CredentialError::Mismatch),
        (&bound(), "application/octet-stream", "openshell:resolve:env:TOKEN", inner),
        (&bound(), "text/html", "openshell:resolve:env:TOKEN", inner),
        (&bound(), "application/json", "openshell%3Aresolve:env:TOKEN", CredentialError::Hidden),
        (&bound(), "text/plain", "openshell%253Aresolve:env:TOKEN", CredentialError::Hidden),
        (&bound(), "text/plain", "openshell:resolve:", CredentialError::Unknown),
    ];
    for (scope, kind, text, error) in cases {
        for size in [1, 1000] {
            assert_eq!(body(scope, kind, text.as_bytes(), size), Err(error), "{kind} {text}");
        }
    }
}

#[test]
fn what_stands_far_into_a_body_or_is_compressed_is_refused() {
    let mut text = vec![b'x'; BODY_BYTES_MAX];
    assert_eq!(body(&bound(), "text/plain", &text, 4096).unwrap().len(), text.len());
    text.extend_from_slice(b"openshell:resolve:env:TOKEN");
    assert_eq!(body(&bound(), "text/plain", &text, 4096), Err(CredentialError::Large));
    let packed = headers(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
    assert_eq!(bound().body(&packed).unwrap_err(), CredentialError::Encoded);
    assert!(!scope("else.example.com:443", "/").body(&packed).unwrap().may_change_length());
}

#[test]
fn websocket_messages_are_filled_in_where_the_endpoint_opts_in() {
    let send = |scope: &Scope, text: &str| {
        let mut rewriter = scope.message(Some(text));
        let mut out = rewriter.push(Bytes::copy_from_slice(text.as_bytes()))?.to_vec();
        out.extend_from_slice(&rewriter.finish()?);
        Ok(String::from_utf8(out).unwrap())
    };
    let plain = "auth openshell:resolve:env:TOKEN";
    assert_eq!(send(&bound(), plain), Ok(format!("auth {TOKEN}")));
    let json = r#" {"t":"openshell:resolve:env:TOKEN"}"#;
    assert_eq!(send(&bound(), json), Ok(r#" {"t":"tok-0123456789+/\"="}"#.to_owned()));
    let own = scope("own.example.com:443", "/");
    let refused = Err(CredentialError::Misplaced("a WebSocket message"));
    assert_eq!(send(&own, "openshell:resolve:env:OWN"), refused);
    let mut binary = bound().message(None);
    assert!(binary.push(Bytes::from_static(b"\0openshell:resolve:env:TOKEN ")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_chunking_of_a_body_gives_the_same_result(
        pieces in prop::collection::vec(prop_oneof![
            Just("openshell:resolve:env:TOKEN ".to_owned()),
            Just(r"openshell\u003aresolve:env:PATH_TOKEN ".to_owned()),
            Just("openshell%3Aresolve:env:TOKEN".to_owned()),
            Just("openshell:resol".to_owned()),
            Just(r"\\\".to_owned()),
            Just("%25".to_owned()),
            "[ a-z%\\\\:]{0,12}",
        ], 0..8),
        cuts in prop::collection::vec(1_usize..20, 1..6),
        kind in prop::sample::select(vec!["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png"]),
    ) {
        let text = pieces.concat();
        let whole = body(&bound(), kind, text.as_bytes(), usize::MAX);
        let mut rewriter = bound().body(&headers(&[("content-type", kind)])).unwrap();
        let (mut rest, mut out, mut failed) = (text.as_bytes(), Vec::new(), None);
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            let ended = chunk.is_empty();
            let chunk = Bytes::copy_from_slice(chunk);
            let result = if ended { rewriter.finish() } else { rewriter.push(chunk) };
            match result {
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(error) => failed = Some(error),
            }
            if ended || failed.is_some() {
                break;
            }
            rest = after;
        }
        match whole {
            Ok(whole) => {
                prop_assert_eq!(failed, None);
                prop_assert_eq!(&out, &whole);
                prop_assert!(!String::from_utf8_lossy(&whole).contains("openshell:resolve:"));
            }
            Err(error) => prop_assert_eq!(failed, Some(error)),
        }
    }
}
