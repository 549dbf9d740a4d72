#![expect(clippy::string_slice, reason = "a wrong cut fails the test")]

use super::*;

fn texts<'a>(text: &'a str, ranges: &[Range<usize>]) -> Vec<&'a str> {
    ranges.iter().map(|range| &text[range.clone()]).collect()
}

#[test]
fn runs_are_marked_wherever_the_blocks_cut_them() {
    for pad in 0..140 {
        let text = format!("{}abcdefghij0123456789 +4915112345678 x", " ".repeat(pad));
        let marks = Candidates::of(&text);
        assert_eq!(texts(&text, &marks.tokens), ["abcdefghij0123456789"], "{pad}");
    }
}

#[test]
fn a_run_that_ends_the_text_is_marked() {
    for length in [16, 48, 63, 64, 65, 127, 128, 129] {
        let text = "k".repeat(length);
        assert_eq!(Candidates::of(&text).tokens, vec![0..length]);
    }
}

#[test]
fn assignments_give_key_and_value_in_many_notations() {
    let cases = [
        ("password = hunter2x\n", "password", "hunter2x"),
        (r#"{"api_key": "abc-def"}"#, "api_key", "abc-def"),
        (r#"{\"api_key\": \"abc-def\"}"#, "api_key", "abc-def"),
        ("export DB_PASSWORD='x y z'", "DB_PASSWORD", "x y z"),
        ("let token: String = b\"abc\";", "token", "abc"),
        ("<password>geheim</password>", "password", "geheim"),
        ("setItem('token', 'ey1')", "token", "ey1"),
        ("$config['secret'] = 'abc';", "secret", "abc"),
        ("**Password:** `abc`", "Password", "abc"),
        ("if password === 'abc'", "password", "abc"),
        (":secret_key => \"abc\"", "secret_key", "abc"),
        ("?token=abc&x=1", "token", "abc"),
    ];
    for (text, key, value) in cases {
        let marks = Candidates::of(text);
        let found = marks.assigns.first().unwrap_or_else(|| panic!("nothing in {text}"));
        assert_eq!((&text[found.key.clone()], &text[found.value.clone()]), (key, value), "{text}");
    }
}

#[test]
fn keys_without_cue_and_paths_give_no_assignment() {
    for text in ["x = 1", "std::token::Kind", "color: red", "a == b"] {
        assert_eq!(Candidates::of(text).assigns, vec![], "{text}");
    }
}

#[test]
fn addresses_schemes_armour_and_foreign_stretches_are_marked() {
    let text = "Dear Maria Berg, mail x@example.org or https://a.b -----BEGIN х и у";
    let marks = Candidates::of(text);
    assert_eq!(marks.ats.len(), 1);
    assert_eq!(marks.schemes.len(), 1);
    assert_eq!(marks.begins.len(), 1);
    assert_eq!(texts(text, &marks.foreign), ["х и у"]);
}

#[test]
fn marks_grow_linearly_on_hostile_text() {
    for unit in [
        "1",
        "a",
        "@",
        "a@",
        "=",
        "password=",
        "eyJ.",
        "A a",
        "é",
        "-----BEGIN",
        "://",
        "1 ",
        "key:",
    ] {
        let small = Candidates::of(&unit.repeat(1 << 10)).count();
        let large = Candidates::of(&unit.repeat(1 << 14)).count();
        assert!(large <= small * 16 + 16, "{unit}: {small} then {large}");
    }
}

#[test]
fn of_values_in_one_another_the_innermost_are_kept_and_little_is_read_twice() {
    for unit in ["key:", "password=", "token => "] {
        let line = format!("{}hunter2x9\n", unit.repeat(500 / unit.len()));
        let text = line.repeat(20);
        let marks = Candidates::of(&text);
        let read: usize = marks.inner_assigns().map(|one| one.value.len()).sum();
        assert!(read <= 9 * text.len(), "{unit}: {read} of {}", text.len());
        let inner = marks.inner_assigns().filter(|one| &text[one.value.clone()] == "hunter2x9");
        assert_eq!(inner.count(), 20, "{unit}");
    }
}

#[test]
fn places_where_words_begin_are_found_across_blocks() {
    let text = "ab-cd_".repeat(40);
    let marks = Candidates::of(&text);
    for span in [0..10, 60..70, 63..64, 1..240, 64..128, 239..240, 7..7] {
        let mut found = Vec::new();
        marks.each_word_start(span.clone(), |at| found.push(at));
        let bytes = text.as_bytes();
        let expected: Vec<_> =
            span.filter(|at| *at == 0 || !bytes[at - 1].is_ascii_alphanumeric()).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn lookups_find_what_touches_a_span() {
    let ranges = [0..4, 6..8, 10..12];
    assert_eq!(touching(&ranges, &(3..7)), [0..4, 6..8]);
    assert!(touching(&ranges, &(8..10)).is_empty());
    assert_eq!(within(&[1, 5, 9], &(2..9)), [5]);
    assert_eq!(slice("añb", 1..2), "");
}

#[test]
fn two_digits_are_seen_across_blocks() {
    let text = "a1".repeat(2) + &"b".repeat(62) + "2" + &"c".repeat(70) + "3";
    let marks = Candidates::of(&text);
    for start in 0..text.len() {
        for end in start..=text.len() {
            let count = text[start..end].bytes().filter(u8::is_ascii_digit).count();
            assert_eq!(marks.has_two_digits(&(start..end)), count > 1, "{start}..{end}");
        }
    }
}

#[test]
fn what_few_words_tell_is_marked_wherever_the_blocks_cut_it() {
    for pad in 0..130 {
        let before = format!("{}\n", " ".repeat(pad));
        let armour = Candidates::of(&format!("{before}-----BEGIN X-----"));
        let putty = Candidates::of(&format!("{before}PuTTY-User-Key-File-2: x"));
        let segments = Candidates::of(&format!("{before}NM1*IL*1*\nPID|1|\n"));
        let line = Candidates::of(&format!("{before}  ** CONFIDENTIAL **\nplain text here\n"));
        let at = before.len();
        assert_eq!((armour.begins, putty.putty), (vec![at], vec![at]), "{pad}");
        assert_eq!(segments.segments, [at, at + 10], "{pad}");
        assert_eq!(line.lines.first(), Some(&(at..at + 20)), "{pad}");
        assert_eq!(line.lines.len(), 1, "{pad}");
    }
}
