use proptest::prelude::*;

use super::*;
use crate::classify::masks;

/// Reads `text` by the masks of its blocks.
fn lex(text: &str) -> Lexed {
    let mut found = Lexed::default();
    let mut lexer = Lexer::new(text, &mut found);
    let level = fearless_simd::Level::new();
    fearless_simd::dispatch!(level, simd => masks::each(simd, text.as_bytes(), |base, masks| lexer.block(base, masks)));
    lexer.end();
    found
}

/// The same without masks: character by character, each word and each token wherever it ends.
fn naive(text: &str) -> Lexed {
    let bytes = text.as_bytes();
    let mut found = Lexed::default();
    let (mut at, mut tokens_to) = (0, 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if c.is_ascii_digit() {
            let end = digits_end(bytes, at);
            if address::is_candidate(bytes, at, end) {
                found.houses.push(at);
            }
            if at >= tokens_to {
                let token = group::token(bytes, at, 0);
                tokens_to = token.end;
                let long = token.len() > group::TOKEN_BYTES_MAX;
                if long && numbers::may_be_coin(bytes, token)
                    || !long && !numbers::is_dull(bytes, token)
                {
                    found.numbers.push((at, token));
                }
            }
            at = end;
        } else if c.is_ascii_alphabetic() || !c.is_ascii() && c.is_alphabetic() {
            at = word(text, at, &mut found);
        } else {
            at += c.len_utf8();
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_find_what_reading_character_by_character_finds(
        text in "([a-z]{1,9}|[A-Z][a-z]{0,9}|birthDate|firstNameX|[A-Z]{2,4}|[0-9]{1,12}|1[a-z0-9]{20,40}|[ .,:_\"'/@-]|é|Ä|—|电话|\n){0,60}"
    ) {
        prop_assert_eq!(format!("{:?}", lex(&text)), format!("{:?}", naive(&text)));
    }
}

#[test]
fn words_and_numbers_are_found_wherever_the_blocks_cut_them() {
    for pad in 0..140 {
        let text = format!("{}passport Maria 4111111111111111 birthDate é", " ".repeat(pad));
        let found = lex(&text);
        let words: Vec<_> =
            found.hits.iter().map(|hit| text.get(hit.start..hit.end).unwrap()).collect();
        assert_eq!(words, ["passport", "birth"], "{pad}");
        assert_eq!(found.caps.len(), 1, "{pad}");
        assert_eq!(found.numbers.len(), 1, "{pad}");
    }
}

#[test]
fn cues_are_counted_in_any_order_of_questions() {
    let text = "phone a passport b born c phone d passport e born f".repeat(4);
    let found = lex(&text);
    for at in (0..text.len()).chain((0..text.len()).rev()).chain([0, 190, 3, 77, text.len()]) {
        let expected = found.hits.iter().filter(|hit| hit.end <= at).count();
        assert_eq!(found.count_to(at), expected, "{at}");
    }
}
