//! Laws of hiding and restoring, over generated texts, values and cuts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use domain::Label;
use proptest::prelude::*;
use router::{
    redact::{Masker, Vault},
    restore::{Escape, Restorer, restore_text},
};

/// A text that mixes plain words, values to hide (`Hide`) and what looks like a placeholder.
#[derive(Clone, Debug)]
enum Piece {
    Plain(String),
    Hide(String),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let plain = prop_oneof![
        "[a-zäö🦀 ]{0,6}",
        "[<>\\\\&%_u]{0,4}",
        "[A-Z_1<>\\\\]{0,4}",
        Just("<EMAIL_1_".to_owned()),
        Just("EMAIL_2".to_owned()),
        Just("<EMAIL_1_abc>".to_owned()),
        Just("\\u003c".to_owned()),
        Just("&lt;EM".to_owned()),
        Just("%3C".to_owned()),
    ];
    let hidden = prop_oneof!["[a-z]{1,3}@x\\.org", "[\"\\\\\n<>&a-z]{1,6}"];
    let piece = prop_oneof![plain.prop_map(Piece::Plain), hidden.prop_map(Piece::Hide)];
    prop::collection::vec(piece, 0..24)
}

/// The original text, the masked one, and the vault between them.
fn mask(pieces: &[Piece]) -> (String, String, Arc<Vault>) {
    let original: String = pieces
        .iter()
        .map(|p| match p {
            Piece::Plain(t) | Piece::Hide(t) => t.as_str(),
        })
        .collect();
    let mut masker = Masker::new(&[3; 32], b"scope");
    masker.reserve(&original);
    let mut masked = String::new();
    for piece in pieces {
        match piece {
            Piece::Plain(text) => masked.push_str(text),
            Piece::Hide(value) => {
                masked.push_str(masker.mask(&Label::fixed("pii/email"), value).unwrap());
            }
        }
    }
    (original, masked, Arc::new(masker.into_vault()))
}

fn in_pieces(vault: &Arc<Vault>, text: &str, cuts: &[usize], escape: Escape) -> (String, usize) {
    let mut restorer = Restorer::new(Arc::clone(vault), escape);
    let (mut out, mut given, mut held) = (String::new(), 0, 0);
    let mut cuts = cuts.iter().cycle();
    let mut rest = text;
    while !rest.is_empty() {
        let size = *cuts.next().unwrap();
        let cut = (size..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (fragment, after) = rest.split_at(cut);
        restorer.push(fragment, &mut out);
        given += cut;
        held = held.max(if restorer.is_idle() { 0 } else { given.min(out.len().abs_diff(given)) });
        rest = after;
    }
    restorer.flush(&mut out);
    (out, held)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn restoring_what_was_hidden_gives_the_original(pieces in pieces()) {
        let (original, masked, vault) = mask(&pieces);
        prop_assert_eq!(restore_text(&vault, &masked, Escape::None), original);
    }

    #[test]
    fn no_hidden_value_is_in_the_masked_text(words in prop::collection::vec("[a-z]{4,8}@x\\.org", 1..8)) {
        let pieces: Vec<_> = words.iter().cloned().map(Piece::Hide).collect();
        let (_, masked, _) = mask(&pieces);
        prop_assert!(words.iter().all(|word| !masked.contains(word)));
    }

    #[test]
    fn any_chunking_restores_the_same_text(pieces in pieces(), cuts in prop::collection::vec(1usize..9, 1..6)) {
        let (_, masked, vault) = mask(&pieces);
        for escape in [Escape::None, Escape::Json] {
            let whole = restore_text(&vault, &masked, escape);
            prop_assert_eq!(in_pieces(&vault, &masked, &cuts, escape).0, whole);
        }
    }

    #[test]
    fn text_without_a_placeholder_in_use_is_untouched(
        text in "([<>\\\\&%_u;]|EMAIL_1_|[a-z0-9 ]|u003c|lt;|3C){0,40}",
        cuts in prop::collection::vec(1usize..9, 1..6),
    ) {
        let mut masker = Masker::new(&[3; 32], b"scope");
        masker.reserve(&text);
        masker.mask(&Label::fixed("pii/email"), "ann@x.org").unwrap();
        let vault = Arc::new(masker.into_vault());
        prop_assert_eq!(restore_text(&vault, &text, Escape::None), text.as_str());
        let (out, held) = in_pieces(&vault, &text, &cuts, Escape::None);
        prop_assert_eq!(out, text);
        prop_assert!(held < 48, "held {}", held);
    }

    #[test]
    fn a_restored_json_text_is_json_and_holds_the_value(value in "\\PC{0,12}", prefix in "[a-z \\\\]{0,4}") {
        let mut masker = Masker::new(&[3; 32], b"scope");
        let placeholder = masker.mask(&Label::fixed("pii/person"), &value).unwrap().to_owned();
        let vault = masker.into_vault();
        for plain in [true, false] {
            let mut text = serde_json::to_string(&[format!("{prefix}{placeholder}")]).unwrap();
            if !plain {
                text = text.replace('<', "\\u003c").replace('>', "\\u003e");
            }
            let restored = restore_text(&vault, &text, Escape::Json);
            let read: Vec<String> = serde_json::from_str(&restored).unwrap();
            prop_assert_eq!(&read, &[format!("{prefix}{value}")]);
        }
    }
}
