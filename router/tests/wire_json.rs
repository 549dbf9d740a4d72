//! Laws of the JSON walker, with `serde_json` as the judge.

#![expect(clippy::unwrap_used, reason = "a test: a failure is a panic")]

use std::fmt::Write as _;

use proptest::prelude::*;
use router::json::{self, Fault, Kind};
use serde_json::Value;

/// A JSON value as text, with random white space and random ways to write each character.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        string(),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..6), gap())
                .prop_map(|(list, gap)| format!("[{gap}{}{gap}]", list.join(&format!("{gap},")))),
            (proptest::collection::vec((string(), inner), 0..12), gap()).prop_map(
                |(members, gap)| {
                    let members: Vec<String> = members
                        .iter()
                        .map(|(name, value)| format!("{gap}{name}{gap}:{gap}{value}"))
                        .collect();
                    format!("{{{}{gap}}}", members.join(","))
                }
            ),
        ]
    })
}

fn gap() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,2}"
}

/// A string in quotes, each character written in one of its ways.
fn string() -> impl Strategy<Value = String> {
    written()
        .prop_map(|parts| parts.iter().fold(String::from("\""), |text, (_, raw)| text + raw) + "\"")
}

/// Characters with a way to write each.
fn written() -> impl Strategy<Value = Vec<(char, String)>> {
    let character = prop_oneof![
        4 => proptest::char::range('a', 'e'),
        1 => proptest::sample::select(vec!['"', '\\', '/', '\n', '\t', '\u{1}', '\u{7f}']),
        1 => any::<char>(),
    ];
    proptest::collection::vec((character, any::<bool>()), 0..12).prop_map(|characters| {
        characters.into_iter().map(|(c, escaped)| (c, written_as(c, escaped))).collect()
    })
}

fn written_as(character: char, escaped: bool) -> String {
    let mut out = String::new();
    if escaped {
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04X}").unwrap();
        }
    } else {
        json::escape_into(&mut out, &character.to_string());
    }
    out
}

/// What `serde_json` makes of a body, and what we make of it, agree but for what the walker documents to be stricter.
fn agrees(body: &[u8]) -> Result<(), TestCaseError> {
    let judge: Result<Value, _> = serde_json::from_slice(body);
    match (json::parse(body), judge) {
        (Ok(tape), Ok(value)) => prop_assert_eq!(rebuilt(tape.root()), value),
        (Err(error), Ok(_)) => prop_assert_eq!(error.fault, Fault::DuplicateKey),
        (Ok(_), Err(error)) => {
            prop_assert!(error.to_string().contains("out of range"), "{}", error);
        }
        (Err(error), Err(_)) => prop_assert!(error.offset <= body.len()),
    }
    Ok(())
}

/// The value that a tape describes.
fn rebuilt(value: json::Value<'_, '_>) -> Value {
    match value.kind() {
        Kind::Object => value
            .members()
            .map(|(name, value)| (name.text().into_owned(), rebuilt(value)))
            .collect(),
        Kind::Array => value.elements().map(rebuilt).collect(),
        Kind::String | Kind::Key => Value::from(&*value.text()),
        Kind::Number => serde_json::from_str(value.raw()).unwrap(),
        Kind::True => true.into(),
        Kind::False => false.into(),
        Kind::Null => Value::Null,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_walker_takes_and_means_what_serde_json_does(body in document()) {
        agrees(body.as_bytes())?;
    }

    #[test]
    fn a_damaged_document_is_taken_by_both_or_none(
        body in document(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), 0..3_u8, "[\\x00-\\x7f{}\\[\\]\",:0e.\\\\u-]"), 1..4),
        raw in any::<u8>(),
    ) {
        let mut body = body.into_bytes();
        for (place, kind, with) in damage {
            let at = place.index(body.len() + 1);
            match kind {
                0 if at < body.len() => { body.remove(at); }
                1 => body.insert(at, raw),
                _ => { body.splice(at..at, with.bytes()); }
            }
        }
        agrees(&body)?;
    }

    #[test]
    fn numbers_are_judged_alike(number in "-?[0-9.eE+-]{1,8}") {
        agrees(number.as_bytes())?;
        agrees(format!("[{number}]").as_bytes())?;
    }

    #[test]
    fn escapes_are_judged_alike(text in "(\\\\[u\"\\\\/bfnrtx]|[dD][89abcdefCD]|[0-9a-f]{2}|\\\\u[dD][89abcdefCD][0-9]{2}){0,6}") {
        agrees(format!("\"{text}\"").as_bytes())?;
    }

    #[test]
    fn a_part_of_the_text_is_found_in_the_raw_bytes(
        parts in written(),
        cuts in any::<(proptest::sample::Index, proptest::sample::Index)>(),
        indent in 0..9_usize,
    ) {
        let text: String = parts.iter().map(|(c, _)| *c).collect();
        let raw: String = parts.iter().map(|(_, raw)| raw.as_str()).collect();
        let body = format!("{}\"{raw}\"", " ".repeat(indent));
        let span = indent + 1..body.len() - 1;
        let (one, two) = (cuts.0.index(text.len() + 1), cuts.1.index(text.len() + 1));
        let range = one.min(two)..one.max(two);
        let found = json::raw_range(body.as_bytes(), span, range.clone());
        // The text of the raw part is the range, widened to whole characters.
        let wide = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
        prop_assert_eq!(json::unescape(body.get(found).unwrap()), text.get(wide).unwrap());
    }

    #[test]
    fn many_ranges_in_one_walk_are_those_of_many_walks(
        parts in written(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let text: String = parts.iter().map(|(c, _)| *c).collect();
        let body: String = parts.iter().map(|(_, raw)| raw.as_str()).collect();
        let mut cuts: Vec<usize> =
            cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
        cuts.sort_unstable();
        let ranges: Vec<_> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        let one_walk = json::raw_ranges(body.as_bytes(), 0..body.len(), &ranges);
        let many: Vec<_> = ranges
            .iter()
            .map(|range| json::raw_range(body.as_bytes(), 0..body.len(), range.clone()))
            .collect();
        prop_assert_eq!(one_walk, many);
    }

    #[test]
    fn any_text_can_be_written_and_read_back(text in any::<String>()) {
        let mut raw = String::new();
        json::escape_into(&mut raw, &text);
        prop_assert_eq!(json::unescape(&raw), text.as_str());
        agrees(format!("\"{raw}\"").as_bytes())?;
    }
}
