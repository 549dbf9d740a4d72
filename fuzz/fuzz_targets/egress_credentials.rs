#![no_main]
//! Placeholders and secrets under every cut of a text: the result is the same, no placeholder leaves, no secret comes back.

use bytes::Bytes;
use domain::Destination;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use policy::{Place, Protocol, model};
use proxy::egress::{
    credentials::{CredentialError, Credentials, Provider, Scope, Secret},
    reflect::Guard,
};

const SECRETS: [(&str, &str); 2] = [("KEY", "aab-aab+0/12\"3%"), ("TOKEN", "aab-aab+0/12\"3%-more")];
const TYPES: [&str; 4] =
    ["application/json", "application/x-www-form-urlencoded", "text/plain", "image/png"];
/// What stands for one byte of the input, so that placeholders and secrets come up.
const WORDS: [&str; 10] = [
    "openshell:resolve:env:KEY",
    "openshell%3aresolve%3Aenv:TOKEN",
    r"openshell\u003aresolve:env:KEY",
    "openshell:resolve",
    "aab-aab+0/12\"3%",
    "aab-aab%2B0%2F12%223%25",
    "YWFiLWFhYiswLzEyIjMl",
    "-more",
    "aab-",
    "\\",
];

fn scope() -> Scope {
    let secrets = SECRETS.map(|(key, text)| (key.to_owned(), Secret::new(text).expect("sound")));
    let provider =
        Provider { name: "p".to_owned(), secrets: secrets.into(), endpoints: Vec::new() };
    let endpoint = model::Endpoint {
        protocol: Some(Protocol::Rest),
        credentials: model::Credentials {
            provider: Some("p".to_owned()),
            in_body: true,
            ..model::Credentials::default()
        },
        ..model::Endpoint::default()
    };
    let block = model::Block::default();
    let place = Place { key: "p", block: &block, index: 0, endpoint: &endpoint };
    let to: Destination = "api.example.com:443".parse().expect("sound");
    Credentials::new(vec![provider]).expect("sound").scope(&to, "/", &[place])
}

fn rewritten(scope: &Scope, kind: &'static str, text: &[u8], size: usize) -> Result<Vec<u8>, CredentialError> {
    let headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let mut rewriter = scope.body(&headers)?;
    let mut out = Vec::new();
    for chunk in text.chunks(size) {
        out.extend_from_slice(&rewriter.push(Bytes::copy_from_slice(chunk))?);
    }
    out.extend_from_slice(&rewriter.finish()?);
    Ok(out)
}

fn guarded(scope: &Scope, text: &[u8], size: usize) -> Vec<u8> {
    let needles = scope.needles().expect("there are secrets");
    let mut guard = Guard::new(needles, &HeaderMap::new()).expect("no encoding");
    let mut out = Vec::new();
    for chunk in text.chunks(size) {
        out.extend_from_slice(&guard.push(Bytes::copy_from_slice(chunk)).expect("no encoding"));
    }
    out.extend_from_slice(&guard.finish().expect("no encoding"));
    out
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, size, bytes) = input;
    let mut text = Vec::new();
    for byte in bytes {
        match WORDS.get(usize::from(*byte)) {
            Some(word) => text.extend_from_slice(word.as_bytes()),
            None => text.push(*byte),
        }
    }
    let (scope, size) = (scope(), usize::from(size).max(1));
    let kind = TYPES[usize::from(choice) % TYPES.len()];
    let whole = rewritten(&scope, kind, &text, usize::MAX);
    assert_eq!(rewritten(&scope, kind, &text, size), whole);
    if let Ok(whole) = &whole {
        let marker = b"openshell:resolve:";
        assert!(!whole.windows(marker.len()).any(|part| part == marker));
    }
    let whole = guarded(&scope, &text, usize::MAX);
    assert_eq!(guarded(&scope, &text, size), whole);
    for (_, secret) in SECRETS {
        assert!(!whole.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
});
