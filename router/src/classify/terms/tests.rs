use proptest::prelude::*;

use super::*;

fn terms(patterns: &[&str]) -> Terms {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Terms::new(vec![Term { name: "t".into(), patterns }]).unwrap()
}

fn check(patterns: &[&str], text: &str, expected: &[&str]) {
    let mut out = Vec::new();
    terms(patterns).scan(text, &mut out);
    let found: Vec<&str> =
        out.iter().map(|finding| text.get(finding.span.clone()).unwrap()).collect();
    assert_eq!(found, expected, "{patterns:?} in {text:?}");
}

#[test]
fn words_are_found_whatever_their_case_spaces_and_dashes() {
    for text in [
        "Project Falcon",
        "project falcon",
        "PROJECT-FALCON",
        "project_falcon",
        "ProjectFalcon",
        "project  falcon",
        "project\u{2011}falcon",
        "Project\u{a0}Falcon",
        "pro\u{200b}ject fal\u{ad}con",
        "Ｐｒｏｊｅｃｔ Ｆａｌｃｏｎ",
        "p r o j e c t f a l c o n",
        "project\nfalcon",
    ] {
        check(&["Project Falcon"], &format!("see {text}, please"), &[text]);
    }
}

#[test]
fn a_word_inside_another_word_is_no_match() {
    check(&["Falcon"], "falcons falconer xfalcon", &[]);
    check(&["Falcon"], "theFalcon FalconClient falcon2", &["Falcon", "Falcon", "falcon"]);
    check(&["HERON-7"], "heron-72 heron-7 HERON7b", &["heron-7", "HERON7"]);
}

#[test]
fn short_words_bear_separators_only_where_they_have_one() {
    check(&["USB"], "us b, USB, u-s-b", &["USB"]);
    check(&["AB-1"], "ab 1, ab1, a b1", &["ab 1", "ab1"]);
    check(&["Kestrel"], "Kestrel", &["Kestrel"]);
}

#[test]
fn rulers_do_not_join_words() {
    check(&["Kestrel Ledger"], "kestrel\n--------------\nledger", &[]);
}

#[test]
fn overlapping_patterns_of_a_term_give_one_finding() {
    check(&["Falcon", "Falcon Ledger", "Falcon L[a-z]+"], "Falcon Ledger", &["Falcon Ledger"]);
}

#[test]
fn expressions_match_as_written() {
    check(&["FLCN-[0-9]{4}"], "FLCN-1234 flcn-1234 FLCN-12", &["FLCN-1234"]);
    check(&["(?i)flcn-\\d+"], "FLCN-1 flcn-22", &["FLCN-1", "flcn-22"]);
    check(&["acme.com"], "acme.com acmeXcom", &["acme.com"]);
}

#[test]
fn unusable_patterns_are_refused_with_the_reason() {
    let refuse = |name: &str, pattern: &str| {
        Terms::new(vec![Term { name: name.into(), patterns: vec![pattern.into()] }]).unwrap_err()
    };
    assert!(matches!(refuse("T", "x1"), TermError::Name(_)));
    assert!(matches!(refuse("", "x1"), TermError::Name(_)));
    assert!(matches!(refuse("t", "-"), TermError::Short { .. }));
    assert!(matches!(refuse("t", "a*"), TermError::Empty { .. }));
    assert!(matches!(refuse("t", "(a"), TermError::Expression { .. }));
    assert!(matches!(refuse("t", "(a{1000}){1000}"), TermError::Expression { .. }));
    assert!(matches!(refuse("t", &"x".repeat(2000)), TermError::Long { .. }));
}

#[test]
fn a_flood_of_matches_is_cut_and_the_rest_counts_as_found() {
    let text = "7 ".repeat(MATCHES_MAX + 10);
    let mut out = Vec::new();
    terms(&["[0-9]"]).scan(&text, &mut out);
    assert_eq!(out.len(), MATCHES_MAX + 1);
    assert_eq!(out.last().unwrap().span.end, text.len());
}

#[test]
fn many_words_use_the_small_automaton_and_are_still_found() {
    let patterns: Vec<String> = (0..20_000).map(|n| format!("word number {n} end")).collect();
    let terms = Terms::new(vec![Term { name: "t".into(), patterns }]).unwrap();
    let mut out = Vec::new();
    terms.scan("see word-number-17777-end.", &mut out);
    assert_eq!(out.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn passing_over_what_begins_no_word_changes_nothing(
        text in "[a-dF\\- _.\u{200b}éＦ]{0,40}",
        patterns in prop::collection::vec("[a-dfé]{1,3}[- ]?[a-d]{1,3}", 1..4),
    ) {
        let skipping = terms(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        let stepping = Terms { firsts: Firsts::default(), ..skipping.clone() };
        let (mut one, mut other) = (Vec::new(), Vec::new());
        skipping.scan(&text, &mut one);
        stepping.scan(&text, &mut other);
        prop_assert_eq!(one, other);
    }
}

#[test]
fn only_the_first_letters_of_words_are_looked_at() {
    let terms = terms(&["Falcon", "-kestrel"]);
    assert_eq!(terms.firsts.find(b"the order is oak-", 0), Some(15));
    assert_eq!(terms.firsts.find(b"see a Falcon", 0), Some(6));
    assert_eq!(terms.firsts.find("be\u{ad}".as_bytes(), 1), Some(2));
    assert_eq!(terms.firsts.find(b"no word", 1), None);
}
