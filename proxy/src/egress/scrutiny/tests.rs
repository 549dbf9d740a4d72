use std::io::Write as _;

use domain::Sensitivity;
use http::HeaderValue;
use proptest::prelude::*;
use router::rules::{Consequence, LabelRule};

use super::*;

fn detectors() -> Arc<Detectors> {
    let rule = |pattern: &str, action| LabelRule {
        pattern: pattern.parse().unwrap(),
        consequence: Consequence { level: Sensitivity::Confidential, action },
    };
    let labels = vec![rule("term/falcon", Action::Block), rule("pii/phone", Action::Allow)];
    let terms = vec![Term { name: "falcon".into(), patterns: vec!["Project Falcon".into()] }];
    Arc::new(Detectors::new(terms, Rules { labels, ..Rules::default() }).unwrap())
}

fn headers(kind: &'static str, encoding: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if !encoding.is_empty() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers
}

type Passed = (Result<Vec<u8>, Blocked>, BTreeMap<Label, u32>, usize);

/// What comes out, what was found, and how much went on before the end.
fn pass(scrutiny: Scrutiny, headers: &HeaderMap, body: &[u8], size: usize) -> Passed {
    let mut scan = match Scan::new(&detectors(), scrutiny, headers) {
        Ok(scan) => scan.unwrap(),
        Err(blocked) => return (Err(blocked), BTreeMap::new(), 0),
    };
    let mut out = Vec::new();
    let mut early = 0;
    let mut result = Ok(());
    for chunk in body.chunks(size) {
        match scan.push(Bytes::copy_from_slice(chunk)) {
            Ok(bytes) => out.extend_from_slice(&bytes),
            Err(blocked) => result = Err(blocked),
        }
        early = out.len();
    }
    let result = result.and_then(|()| scan.finish()).map(|rest| {
        out.extend_from_slice(&rest);
        out
    });
    (result, scan.findings().clone(), early)
}

const TEXT: &str = "application/json";

fn redacted(kind: &'static str, body: &str) -> Result<String, Blocked> {
    let (out, ..) = pass(Scrutiny::Redact, &headers(kind, ""), body.as_bytes(), 7);
    out.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn values_are_replaced_by_their_kind_for_good() {
    let cases = [
        (TEXT, r#"{"to":"anna.berg@lindenhof-praxis.de","n":1}"#, r#"{"to":"<EMAIL>","n":1}"#),
        (TEXT, r#"{"card": 4111111111111111 }"#, r#"{"card": 0 }"#),
        (TEXT, r#"{"card":"4111 1111 1111 1111"}"#, r#"{"card":"<CARD>"}"#),
        (
            "application/x-www-form-urlencoded",
            "to=anna.berg%40lindenhof-praxis.de&n=1",
            "to=%3CEMAIL%3E&n=1",
        ),
        (
            "application/x-www-form-urlencoded",
            "c=4111+1111+1111+1111&u=%C3%BC",
            "c=%3CCARD%3E&u=%C3%BC",
        ),
        ("text/plain", "mail anna.berg@lindenhof-praxis.de now", "mail <EMAIL> now"),
        (TEXT, r#"{"nothing":"here"}"#, r#"{"nothing":"here"}"#),
    ];
    for (kind, body, expected) in cases {
        assert_eq!(redacted(kind, body).as_deref(), Ok(expected), "{body}");
    }
    let blocked = redacted("text/plain", "about Project Falcon");
    assert_eq!(blocked, Err(Blocked::Found(Label::fixed("term/falcon"))), "its rule says so");
}

#[test]
fn audit_counts_and_lets_everything_go_at_once() {
    let body = b"anna.berg@lindenhof-praxis.de, bert.berg@lindenhof-praxis.de, Project Falcon, +49 30 901820";
    let (out, found, early) = pass(Scrutiny::Audit, &headers("text/plain", ""), body, 5);
    assert_eq!(out.as_deref(), Ok(&body[..]));
    assert_eq!(early, body.len());
    assert_eq!(found.get(&Label::fixed("pii/email")), Some(&2));
    assert_eq!(found.get(&Label::fixed("term/falcon")), Some(&1));
}

#[test]
fn block_refuses_before_the_value_leaves() {
    let filler = "plain words without any meaning, ".repeat(8000);
    for before in ["", &filler] {
        let body = format!("{before}mail anna.berg@lindenhof-praxis.de {before}");
        let (out, _, early) =
            pass(Scrutiny::Block, &headers("text/plain", ""), body.as_bytes(), 4096);
        assert_eq!(out, Err(Blocked::Found(Label::fixed("pii/email"))));
        assert!(early <= before.len() + 5, "{early}");
    }
    let (out, found, _) =
        pass(Scrutiny::Block, &headers("text/plain", ""), b"call +49 30 901820", 4);
    assert!(out.is_ok(), "the rules allow telephone numbers");
    assert!(!found.is_empty());
    let blocked = Blocked::Found(Label::fixed("pii/email"));
    assert!(!blocked.to_string().contains("anna") && !blocked.next_step().is_empty());
}

#[test]
fn a_placeholder_of_a_credential_is_none() {
    let body = r#"{"api_key": "openshell:resolve:env:GITHUB_TOKEN", "password":"openshell:resolve:env:X9"}"#;
    let (out, found, _) = pass(Scrutiny::Block, &headers(TEXT, ""), body.as_bytes(), 9);
    assert_eq!((out.as_deref(), found), (Ok(body.as_bytes()), BTreeMap::new()));
    let hidden = r#"{"a":"openshell:resolve:env:X anna.berg@lindenhof-praxis.de"}"#;
    assert!(pass(Scrutiny::Block, &headers(TEXT, ""), hidden.as_bytes(), 9).0.is_err());
}

#[test]
fn compressed_bodies_are_looked_into() {
    let plain = b"mail anna.berg@lindenhof-praxis.de now";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain).unwrap();
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20);
    brotli.write_all(plain).unwrap();
    let packed = [
        ("gzip", gzip.finish().unwrap()),
        ("br", brotli.into_inner()),
        ("zstd", zstd::encode_all(&plain[..], 1).unwrap()),
    ];
    for (encoding, body) in packed {
        let headers = headers("text/plain", encoding);
        let pass = |scrutiny, body: &[u8]| pass(scrutiny, &headers, body, 3);
        assert_eq!(pass(Scrutiny::Redact, &body).0.as_deref(), Ok(&b"mail <EMAIL> now"[..]));
        assert!(matches!(pass(Scrutiny::Block, &body).0, Err(Blocked::Found(_))));
        let (out, found, _) = pass(Scrutiny::Audit, &body);
        assert_eq!((out.as_deref(), found.len()), (Ok(&body[..]), 1), "as it came");
        let cut = &body[..body.len() - 2];
        assert_eq!(pass(Scrutiny::Redact, cut).0, Err(Blocked::Encoding));
        assert_eq!(pass(Scrutiny::Audit, cut).0.as_deref(), Ok(cut));
        let scan = Scan::new(&detectors(), Scrutiny::Block, &headers).unwrap().unwrap();
        assert!(scan.decodes() && scan.may_change_length());
    }
    let odd = headers("text/plain", "compress");
    assert_eq!(pass(Scrutiny::Block, &odd, b"x", 1).0, Err(Blocked::Encoding));
    let mut scan = Scan::new(&detectors(), Scrutiny::Audit, &odd).unwrap().unwrap();
    assert_eq!(scan.push(Bytes::from_static(b"x")).unwrap(), "x");
    assert!(scan.is_unread() && scan.finish().is_ok());
    assert!(Scan::new(&detectors(), Scrutiny::Off, &odd).unwrap().is_none());
}

#[test]
fn bytes_that_are_no_text_pass_as_they_are() {
    let body: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n * 7919 % 251).unwrap()).collect();
    let mut mail = body.clone();
    mail.extend_from_slice(b"\xff anna.berg@lindenhof-praxis.de \xfe");
    let kept = |body: &[u8]| pass(Scrutiny::Redact, &headers("image/png", ""), body, 1000).0;
    let out = kept(&mail).unwrap();
    assert!(out.ends_with(b"\xff <EMAIL> \xfe"));
    let (_, found, _) = pass(Scrutiny::Audit, &headers("image/png", ""), &mail, 1000);
    assert_eq!(found.get(&Label::fixed("pii/email")), Some(&1));
}

#[test]
fn a_body_of_any_length_takes_bounded_memory() {
    let mut scan =
        Scan::new(&detectors(), Scrutiny::Redact, &headers("text/plain", "")).unwrap().unwrap();
    let chunk = Bytes::from("some words and numbers 12 34 ".repeat(1000));
    let (mut given, mut out) = (0, 0);
    for _ in 0..40 {
        given += chunk.len();
        out += scan.push(chunk.clone()).unwrap().len();
        assert!(given - out <= 64 << 10, "{given} {out}");
        assert!(scan.window.held() <= 64 << 10);
    }
    assert_eq!(out + scan.finish().unwrap().len(), given);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10) })]

    #[test]
    fn findings_and_output_do_not_depend_on_the_chunks(
        pieces in prop::collection::vec(prop_oneof![
            Just("anna.berg@lindenhof-praxis.de".to_owned()),
            Just("4111 1111 1111 1111".to_owned()),
            Just("password = hunter2x9!".to_owned()),
            Just(" plain words and more of them, ".repeat(300)),
            Just("é😀".repeat(700)),
            "[ -~]{0,40}",
        ], 0..30),
        sizes in prop::collection::vec(1_usize..50_000, 1..5),
        place in 0_usize..9_000,
    ) {
        // Values at every place of a window, also over its end.
        let filler = "word ".repeat(11_000 + place / 5);
        let body = format!("{}{filler}{}", pieces.concat(), pieces.concat());
        let headers = headers("text/plain", "");
        let whole = pass(Scrutiny::Redact, &headers, body.as_bytes(), usize::MAX);
        let counted = pass(Scrutiny::Audit, &headers, body.as_bytes(), usize::MAX).1;
        for size in sizes {
            let cut = pass(Scrutiny::Redact, &headers, body.as_bytes(), size);
            prop_assert_eq!(&cut.0, &whole.0);
            prop_assert_eq!(&cut.1, &whole.1);
            prop_assert_eq!(&pass(Scrutiny::Audit, &headers, body.as_bytes(), size).1, &counted);
        }
    }

    #[test]
    fn a_value_is_hidden_wherever_the_window_ends(before in 50_000_usize..70_000) {
        let body = format!("{} anna.berg@lindenhof-praxis.de {}", "x".repeat(before), "y ".repeat(9000));
        let (out, found, _) = pass(Scrutiny::Redact, &headers("text/plain", ""), body.as_bytes(), 8192);
        let out = String::from_utf8(out.unwrap()).unwrap();
        prop_assert!(!out.contains("lindenhof") && out.contains(" <EMAIL> "));
        prop_assert_eq!(found.get(&Label::fixed("pii/email")), Some(&1));
    }
}
