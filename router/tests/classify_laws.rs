//! What holds for every text that is scanned, whatever it holds.

use proptest::prelude::*;
use router::classify::{Classifier, Finding, candidates::Candidates};
use router::wire::Part;

fn scan(text: &str) -> Vec<Finding> {
    let classifier = Classifier::new(Vec::new());
    classifier.map(|classifier| classifier.scan(text, Part::Prose)).unwrap_or_default()
}

/// Texts made of what detectors react to, and of anything else.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9+/=_.~-]{1,60}",
        "(password|api_key|token|secret)( ?[:=]=? ?)[\"']?[!-~]{0,24}[\"']?",
        Just("-----BEGIN RSA PRIVATE KEY-----".to_owned()),
        Just("-----END".to_owned()),
        Just("eyJhbGciOiJIUzI1NiJ9.".to_owned()),
        Just("https://u:p@".to_owned()),
        Just("\\u0041%41&#65;=3D\"+\"".to_owned()),
        Just("\u{200B}\u{AD}Аg\u{FF21}".to_owned()),
        Just("g h p _ 1 2 3 4 5 6 ".to_owned()),
        Just("\n".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A token that no provider issued; its pieces are joined here so that no scanner takes this file for a leak.
fn token() -> String {
    ["ghp", "_", "Zq3LmX8vT1bN6wKcR4yHs9PdF2gJ7aUe5oQi"].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn findings_lie_in_the_text_sorted_and_apart(text in texts()) {
        let found = scan(&text);
        let mut before = 0;
        for one in found {
            prop_assert!(one.span.start >= before && one.span.start < one.span.end, "{one:?}");
            prop_assert!(text.get(one.span.clone()).is_some(), "{one:?}");
            prop_assert!(one.confidence >= 50 && one.confidence <= 100);
            before = one.span.end;
        }
    }

    #[test]
    fn clean_text_around_a_finding_does_not_hide_it(before in "[a-z ,.\n]{0,300}", after in "[a-z ,.\n]{0,300}") {
        let text = format!("{before} {} {after}", token());
        let place = before.len() + 1;
        prop_assert!(scan(&text).iter().any(|one| one.label.family() == "credential" && one.span.start == place));
    }

    #[test]
    fn marks_are_never_more_than_bytes(text in texts()) {
        prop_assert!(Candidates::of(&text).count() <= text.len());
    }
}

/// Units whose repetition has broken scanners before.
const HOSTILE: [&str; 16] = [
    "7",
    "QUJD",
    "eyJ.",
    "eyJ-",
    "@",
    "a@",
    "a",
    "password=",
    "password=\"",
    "-----BEGIN PRIVATE",
    "://",
    "a:b@c://",
    "%41",
    "\"+\"",
    "\u{200B}a",
    "g h p _ ",
];

#[test]
fn findings_and_marks_grow_with_the_text_and_no_faster() {
    for unit in HOSTILE {
        let measure = |times: usize| {
            let text = unit.repeat(times);
            (Candidates::of(&text).count(), scan(&text).len())
        };
        let (few, many) = (measure(1 << 9), measure(1 << 13));
        assert!(many.0 <= few.0 * 16 + 16, "{unit}: marks {few:?} then {many:?}");
        assert!(many.1 <= few.1 * 16 + 16, "{unit}: findings {few:?} then {many:?}");
    }
}
