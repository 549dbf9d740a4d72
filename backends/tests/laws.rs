//! Laws of reading a router file: no text breaks it, and what it accepts is sound.

use backends::file::{FILE_BYTES_MAX, parse};
use domain::Zone;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("files/example.yaml");

/// Pieces that YAML, or this format, gives a meaning to.
const PIECES: [&str; 44] = [
    "version",
    "backends",
    "models",
    "id",
    "name",
    "provider",
    "zone",
    "price",
    "sensitivity",
    "terms",
    "any",
    "labels",
    "ceilings",
    "credential",
    "env",
    "budgets",
    "timeouts",
    ": ",
    ":",
    "- ",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "\t",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "#",
    "|",
    ">",
    "? ",
    "---\n",
    "%",
    "\u{feff}",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        2 => "[a-z0-9_.*-]{1,6}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

/// The example with some stretches replaced.
fn mutated() -> impl Strategy<Value = String> {
    let cut =
        (0..EXAMPLE.len(), 0_usize..20, soup().prop_map(|text| text.chars().take(12).collect()));
    prop::collection::vec(cut, 1..4).prop_map(|cuts: Vec<(usize, usize, String)>| {
        let mut text = EXAMPLE.to_owned();
        for (at, length, with) in cuts {
            let from = text.floor_char_boundary(at.min(text.len()));
            let to = text.ceil_char_boundary((from + length).min(text.len()));
            text.replace_range(from..to, &with);
        }
        text
    })
}

fn check(text: &str) {
    let lines = text.lines().count().max(1) + 1;
    match parse(text) {
        Ok((configuration, notices)) => {
            let candidates = &configuration.settings.candidates;
            let models: usize = configuration.backends.iter().map(|b| b.models.len()).sum();
            assert_eq!(candidates.len(), models);
            assert!(!candidates.is_empty());
            for (index, candidate) in candidates.iter().enumerate() {
                let place = configuration.place(index).map(|b| (&b.name, b.zone));
                assert_eq!(place, Some((&candidate.backend, candidate.zone)));
                assert!(candidate.prices.is_some());
                let local = candidate.zone == Zone::Local;
                let host = configuration.place(index).map(|b| b.base_url.host.as_str());
                assert!(!local || host != Some("api.openai.com"));
            }
            assert_eq!(configuration.settings.rules.ceilings.inversion(), None);
            assert!(notices.iter().all(|notice| (1..=lines).contains(&notice.line)));
            assert!(notices.is_sorted_by_key(|notice| (notice.line, notice.column)));
        }
        Err(faults) => {
            assert!(!faults.is_empty() && faults.len() <= 101);
            for fault in &faults {
                assert!(fault.column >= 1 && fault.line >= 1, "{fault}");
                assert!(!fault.message.is_empty() && fault.to_string().len() < 8192, "{fault}");
            }
            assert!(faults.is_sorted_by_key(|fault| (fault.line, fault.column)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_soup_of_pieces_breaks_reading(text in soup()) {
        check(&text);
    }

    #[test]
    fn no_text_breaks_reading(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn a_mutated_file_is_sound_or_refused(text in mutated()) {
        check(&text);
    }

    #[test]
    fn a_file_cut_anywhere_is_sound_or_refused(at in 0..EXAMPLE.len()) {
        check(EXAMPLE.get(..EXAMPLE.floor_char_boundary(at)).unwrap_or_default());
    }
}

#[test]
fn large_files_of_few_kinds_are_refused_or_read_in_bounded_work() {
    let pieces = [
        "a: b\n",
        "- &a [*a]\n",
        "- x\n",
        "[",
        "{",
        "{a: ",
        "? ",
        "- - ",
        "\"",
        "'",
        "x",
        " ",
        "\n",
        "#\n",
        ": ",
        "!t ",
        "&a ",
        "- *a\n",
        "a,",
        "\u{e9}",
    ];
    for piece in pieces {
        let body = piece.repeat((FILE_BYTES_MAX - 200) / piece.len() / 4);
        check(&body);
        check(&format!("version: 1\nbackends:\n{body}"));
        check(&format!("version: 1\nbackends: [{body}"));
    }
}

#[test]
fn the_example_with_every_line_left_out_in_turn_is_sound_or_refused() {
    for left_out in 0..EXAMPLE.lines().count() {
        let lines: Vec<&str> =
            EXAMPLE.lines().enumerate().filter(|(n, _)| *n != left_out).map(|(_, l)| l).collect();
        check(&lines.join("\n"));
    }
}
