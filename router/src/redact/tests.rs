use super::*;

const EMAIL: Label = Label::fixed("pii/email");
const PHONE: Label = Label::fixed("pii/phone");

fn masker() -> Masker {
    Masker::new(&[7; 32], b"tenant/conversation")
}

fn mask(masker: &mut Masker, label: &Label, value: &str) -> String {
    masker.mask(label, value).unwrap().to_owned()
}

fn tag_of(placeholder: &str) -> &str {
    placeholder.trim_end_matches('>').rsplit('_').next().unwrap()
}

#[test]
fn a_value_has_one_placeholder_whatever_it_is_called_later() {
    let mut masker = masker();
    let first = mask(&mut masker, &EMAIL, "ann@example.org");
    assert!(
        first.starts_with("<EMAIL_1_") && first.ends_with('>') && tag_of(&first).len() == 3,
        "{first}"
    );
    assert_eq!(mask(&mut masker, &Label::fixed("pii/person"), "ann@example.org"), first);
    assert!(mask(&mut masker, &EMAIL, "bob@example.org").starts_with("<EMAIL_2_"));
    assert!(mask(&mut masker, &PHONE, "+1 555 0100").starts_with("<PHONE_1_"));
    assert_eq!(masker.into_vault().len(), 3);
}

#[test]
fn the_next_turn_repeats_the_placeholders_of_the_last() {
    let values = ["a@x.org", "b@x.org", "c@x.org"];
    let turn = |values: &[&str]| -> Vec<String> {
        let mut masker = masker();
        values.iter().map(|value| mask(&mut masker, &EMAIL, value)).collect()
    };
    assert_eq!(turn(&values[..2]), turn(&values)[..2]);
}

#[test]
fn another_key_or_conversation_gives_another_tag() {
    let tag = |key: u8, scope: &[u8]| {
        let mut masker = Masker::new(&[key; 32], scope);
        tag_of(&mask(&mut masker, &EMAIL, "ann@example.org")).to_owned()
    };
    assert_ne!(tag(1, b"a"), tag(2, b"a"));
    assert_ne!(tag(1, b"a"), tag(1, b"b"));
}

#[test]
fn spellings_of_one_value_share_the_tag_and_nothing_else() {
    let cases = [
        ("pii/email", "Ann@Example.ORG", "Ann@example.org"),
        ("pii/phone", "+49 (30) 1234-567", "+49301234567"),
        ("payment/card", "4111 1111 1111 1111", "4111-1111-1111-1111"),
        ("payment/iban", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("pii/government-id/us-ssn", "078-05-1120", "078051120"),
        ("pii/mac", "aa:bb:cc:00:11:22", "AA-BB-CC-00-11-22"),
        ("pii/ip", "FE80::1", "fe80::1"),
    ];
    for (label, one, other) in cases {
        let mut masker = masker();
        let one = mask(&mut masker, &Label::fixed(label), one);
        let other = mask(&mut masker, &Label::fixed(label), other);
        assert_ne!(one, other);
        assert_eq!(tag_of(&one), tag_of(&other), "{one} {other}");
    }
}

#[test]
fn what_somebody_typed_is_never_given_out() {
    let own = mask(&mut masker(), &EMAIL, "ann@example.org");
    let name = own.trim_matches(['<', '>']);
    let typed = [
        own.clone(),
        format!("text {} text", own.to_lowercase()),
        format!("\\<{}\\>", name.replace('_', "\\_")),
        format!("&lt;{name}&gt;"),
        format!("%3c{name}%3E"),
        format!("{{\"a\":\"\\u003c{name}\\u003e\"}}"),
        format!("<EMAIL_1_{own}"),
        name.to_owned(),
        format!("x{}y", name.replace('_', "\\_")),
        format!("< {name} >"),
        format!("<{name}s>"),
    ];
    for text in typed {
        let mut masker = masker();
        masker.reserve(&text);
        let other = mask(&mut masker, &EMAIL, "ann@example.org");
        assert!(other.starts_with("<EMAIL_2_"), "{text}: {other}");
    }
    let mut masker = masker();
    masker.reserve(&format!("{} < <div> <EMAIL_1> <EMAIL_x_abc> \\", name.to_lowercase()));
    assert_eq!(mask(&mut masker, &EMAIL, "ann@example.org"), own);
}

#[test]
fn a_conversation_hides_a_bounded_number_of_values() {
    let mut masker = masker();
    for number in 0..PLACEHOLDERS_MAX {
        masker.mask(&EMAIL, &format!("{number}@example.org")).unwrap();
    }
    assert_eq!(masker.mask(&EMAIL, "more@example.org"), Err(MaskError::TooMany));
    assert!(masker.mask(&EMAIL, "0@example.org").is_ok());
}

#[test]
fn a_request_full_of_typed_placeholders_hides_nothing() {
    let mut masker = masker();
    for number in 0..=TYPED_MAX {
        masker.reserve(&format!("INT_{number}_abc KEY_{number}_abc"));
    }
    assert_eq!(masker.typed.len(), TYPED_MAX + 1);
    assert_eq!(masker.mask(&EMAIL, "ann@example.org"), Err(MaskError::TooManyTyped));
}

#[test]
fn no_value_is_printed() {
    let mut masker = masker();
    mask(&mut masker, &EMAIL, "ann@example.org");
    assert_eq!(format!("{masker:?}"), "Masker { vault: Vault(1 values), .. }");
    assert!(!masker.into_vault().is_empty());
}

#[test]
fn every_label_of_the_catalogue_has_a_kind() {
    let cases = [
        ("pii/person", "PERSON"),
        ("pii/address", "ADDRESS"),
        ("pii/birth-date", "DATE"),
        ("pii/government-id/de-tax-id", "ID"),
        ("payment/routing", "ACCOUNT"),
        ("credential/aws-access-key", "KEY"),
        ("health/diagnosis", "HEALTH"),
        ("term/falcon", "TERM"),
        ("marking/secret", "MARKING"),
        ("code/path", "CODE"),
    ];
    for (label, expected) in cases {
        assert_eq!(kind::of(&Label::recorded(label)), expected);
        assert!(kind::is_kind(expected.to_lowercase().as_bytes()));
    }
}

#[test]
fn a_long_run_of_backslashes_or_brackets_costs_linear_time() {
    // Quadratic reading of so many of these would take minutes.
    for unit in [
        "\\",
        "<",
        "A",
        "KEY_1_",
        "A\\\\_1",
        "<EMAIL_1_",
        "\\\\<",
        "&lt;",
        "\\u003c",
        "<EMAIL_1_abc>",
    ] {
        masker().reserve(&unit.repeat(200_000 / unit.len()));
    }
}
