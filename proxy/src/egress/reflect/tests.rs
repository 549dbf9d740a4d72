use base64::Engine as _;
use proptest::prelude::*;

use super::*;

const SECRETS: [(&str, &str); 3] = [
    ("openshell:resolve:env:A", "aab-aab+0/12\"3"),
    ("openshell:resolve:env:B", "aab-aab+0/12\"3-and-more"),
    ("openshell:resolve:env:C", "0123456789abcdef"),
];

fn needles() -> Needles {
    let secrets = SECRETS.map(|(key, text)| (key.to_owned(), Secret::new(text).unwrap()));
    Needles::new(secrets.iter().map(|(key, secret)| (key.clone(), secret))).unwrap()
}

fn passed(chunks: &[&[u8]]) -> Vec<u8> {
    let mut guard = Guard::new(&needles(), &HeaderMap::new()).unwrap();
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&guard.push(Bytes::copy_from_slice(chunk)).unwrap());
    }
    out.extend_from_slice(&guard.finish().unwrap());
    out
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_reflected_secret_becomes_its_placeholder_in_every_spelling() {
    let cases = [
        "x aab-aab+0/12\"3 y",
        "x aab-aab%2B0%2F12%223 y",
        "x aab-aab%2b0%2f12%223 y",
        r#"x aab-aab+0/12\"3 y"#,
        r#"x aab-aab+0\/12\"3 y"#,
        r"x aab-aab\u002B0/12\u00223 y",
        "x aab-aab+0/12&quot;3 y",
        "x 6161622d6161622b302f31322233 y",
    ];
    for case in cases {
        assert_eq!(text(passed(&[case.as_bytes()])), "x openshell:resolve:env:A y", "{case}");
    }
    let longer = passed(&[b"<aab-aab+0/12\"3-and-m", b"ore>"]);
    assert_eq!(text(longer), "<openshell:resolve:env:B>", "the longest wins");
    let shorter = passed(&[b"<aab-aab+0/12\"3-and-", b"less>"]);
    assert_eq!(text(shorter), "<openshell:resolve:env:A-and-less>");
}

#[test]
fn a_secret_within_base64_is_hidden_wherever_it_begins() {
    for before in ["", "u", "us", "user:"] {
        let whole = format!("{before}0123456789abcdef!");
        let encoded = base64::engine::general_purpose::STANDARD.encode(&whole);
        let out = text(passed(&[format!("Basic {encoded}").as_bytes()]));
        assert!(out.contains("openshell:resolve:env:C"), "{before} {out}");
    }
}

#[test]
fn what_is_no_secret_passes_as_it_came_and_without_delay() {
    let mut guard = Guard::new(&needles(), &HeaderMap::new()).unwrap();
    for chunk in ["nothing", " at all ", "here"] {
        assert_eq!(guard.push(Bytes::from_static(chunk.as_bytes())).unwrap(), chunk);
    }
    assert_eq!(guard.push(Bytes::from_static(b"x 01234567")).unwrap(), "x ");
    assert_eq!(guard.finish().unwrap(), "01234567");
    assert_eq!(guard.hits(), 0);
}

#[test]
fn headers_lose_secrets_too() {
    let mut headers = HeaderMap::new();
    headers.append("x-echo", HeaderValue::from_static("Bearer 0123456789abcdef"));
    headers.append("x-echo", HeaderValue::from_static("plain"));
    assert_eq!(needles().headers(&mut headers), 1);
    let values: Vec<_> = headers.get_all("x-echo").iter().collect();
    assert_eq!(values, ["Bearer openshell:resolve:env:C", "plain"]);
    assert_eq!(format!("{:?}", needles()), "Needles(3 secrets)");
}

#[test]
fn compressed_answers_are_decoded_and_unknown_encodings_are_refused() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"it is 0123456789abcdef.").unwrap();
    let packed = gzip.finish().unwrap();
    let encoding = |name: &'static str| {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(name))])
    };
    let mut guard = Guard::new(&needles(), &encoding("gzip")).unwrap();
    assert!(guard.decodes());
    let mut out = Vec::new();
    for chunk in packed.chunks(5) {
        out.extend_from_slice(&guard.push(Bytes::copy_from_slice(chunk)).unwrap());
    }
    out.extend_from_slice(&guard.finish().unwrap());
    assert_eq!(text(out), "it is openshell:resolve:env:C.");
    assert_eq!(guard.hits(), 1);
    // The answer to HEAD has the encoding and no body.
    assert!(Guard::new(&needles(), &encoding("gzip")).unwrap().finish().unwrap().is_empty());
    assert!(Guard::new(&needles(), &encoding("compress")).is_err());
    let mut twice = encoding("gzip");
    twice.append(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    assert!(Guard::new(&needles(), &twice).is_err());
    let mut cut = Guard::new(&needles(), &encoding("gzip")).unwrap();
    drop(cut.push(Bytes::copy_from_slice(&packed[..12])).unwrap());
    assert!(cut.finish().is_err());
}

#[test]
fn short_secrets_are_not_looked_for() {
    let secret = Secret::new("short").unwrap();
    assert!(Needles::new([(String::new(), &secret)].into_iter()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_chunking_gives_the_same_text_and_never_a_secret(
        pieces in prop::collection::vec(prop_oneof![
            prop::sample::select(SECRETS.map(|(_, text)| text.to_owned()).to_vec()),
            Just("aab-aab+".to_owned()),
            Just("aab-aab%2B0%2F12%223".to_owned()),
            Just("MDEyMzQ1Njc4OWFiY2RlZg==".to_owned()),
            "[a-f0-9\"\\\\ ]{0,10}",
        ], 0..8),
        size in 1_usize..12,
    ) {
        let whole = pieces.concat();
        let chunks: Vec<&[u8]> = whole.as_bytes().chunks(size).collect();
        let out = text(passed(&chunks));
        prop_assert_eq!(&out, &text(passed(&[whole.as_bytes()])));
        for (_, secret) in SECRETS {
            prop_assert!(!out.contains(secret), "{}", out);
        }
    }
}
