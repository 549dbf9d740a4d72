//! Laws of the detectors of personal data over any text.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use router::{
    classify::{Classifier, Term},
    wire::Part,
};

/// Pieces that detectors look for, joined with anything: closer to their edges than random characters.
fn pieces() -> impl Strategy<Value = String> {
    let fixed = [
        "ssn: ",
        "IBAN GB82 WEST 1234 5698 7654 32",
        ",\"card\":\"4111 1111",
        "Dr. ",
        "name: ",
        "NM1*IL*1*",
        "é\u{200b}身份证",
        "12 Elm Street, ",
        "Apt. 5\n",
        "@mail.de",
        "TLP:RED\n",
        "passport_no,phone\n1,",
        "::1 fe80::",
        "0x",
        "born 5 ",
        "PID|1|2|3|4|",
        "Straße 7",
        "+",
        "(",
        "\n",
        "P.O. Box ",
        "CONFIDENTIAL - ",
    ];
    let piece = prop_oneof![
        ".{0,6}",
        "[0-9 ./()+:-]{1,24}",
        "[A-Z][a-z]{1,8} ?",
        prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_gives_sorted_findings_on_character_borders(text in pieces()) {
        let patterns = vec!["Elm Street".into(), "[0-9]{4}-x".into()];
        let found = Classifier::new(vec![Term { name: "own".into(), patterns }]).unwrap().scan(&text, Part::Prose);
        let mut end = 0;
        for one in &found {
            prop_assert!(one.span.start >= end);
            prop_assert!(text.get(one.span.clone()).is_some_and(|value| !value.is_empty()));
            prop_assert!((50..=100).contains(&one.confidence));
            end = one.span.end;
        }
    }

    // Letters of which no cue word is made: `sku` before a number says that it is none of a person.
    #[test]
    fn what_is_found_alone_is_found_behind_plain_lines(lines in "([w-z ]{0,30}\n){0,5}") {
        let classifier = Classifier::new(Vec::new()).unwrap();
        for value in ["anna.b@mail.de", "CH3459062W7G7JDOUNGSE", "+1 202 980 7509", "529.982.247-25"] {
            let text = format!("{lines}see {value} ok");
            let found = classifier.scan(&text, Part::Prose);
            let whole = found.iter().any(|one| text.get(one.span.clone()) == Some(value));
            prop_assert!(whole, "{text:?}: {found:?}");
        }
    }
}

/// Texts that would be slow if any work were done again for each mark.
#[test]
fn hostile_texts_are_read_in_linear_time() {
    let classifier = Classifier::new(Vec::new()).unwrap();
    let units = [
        "1 ",
        "4111 ",
        "Anna ",
        "a@b.cd ",
        "1,",
        "ssn ",
        "Apt. 1 ",
        "Main 1 ",
        "TLP:RED\n",
        "NM1*",
        "name: ",
        "A-",
        "1.1.1.1 ",
        "12 Elm ",
        "é",
        "born ",
        "San ",
        "PID|",
        "Dr. ",
        "city: ",
    ];
    for unit in units {
        let time = |size: usize| {
            let text = unit.repeat(size / unit.len());
            let start = Instant::now();
            assert!(classifier.scan(&text, Part::Prose).len() <= text.len());
            start.elapsed()
        };
        let (small, large) = (time(32 << 10), time(256 << 10));
        // Eight times the text; a quadratic pass would need sixty-four times as long.
        assert!(
            large < small * 24 + Duration::from_millis(500),
            "{unit:?}: {small:?} and {large:?}"
        );
    }
}
