use domain::Label;

use super::*;
use crate::redact::Masker;

/// A vault with one e-mail address of the given spelling, and its placeholder without brackets.
fn vault(value: &str) -> (Arc<Vault>, String) {
    let mut masker = Masker::new(&[7; 32], b"scope");
    let placeholder = masker.mask(&Label::fixed("pii/email"), value).unwrap();
    let name = placeholder.trim_matches(['<', '>']).to_owned();
    (Arc::new(masker.into_vault()), name)
}

/// `text` in pieces of `size` bytes, moved forward to the next character.
fn in_pieces(vault: &Arc<Vault>, text: &str, size: usize, escape: Escape) -> String {
    let mut restorer = Restorer::new(Arc::clone(vault), escape);
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = (size..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (fragment, after) = rest.split_at(cut);
        restorer.push(fragment, &mut out);
        rest = after;
    }
    restorer.flush(&mut out);
    out
}

/// In `text`, `@` stands for the placeholder's name.
fn check(value: &str, escape: Escape, text: &str, expected: &str) {
    let (vault, name) = vault(value);
    let text = text.replace('@', &name);
    let expected = expected.replace('@', &name);
    assert_eq!(restore_text(&vault, &text, escape), expected, "{text}");
    for size in 1..=text.len() {
        assert_eq!(in_pieces(&vault, &text, size, escape), expected, "{text} in pieces of {size}");
    }
}

#[test]
fn placeholders_come_back_as_what_they_stand_for() {
    check("ann", Escape::None, "<@>", "ann");
    check("ann", Escape::None, "Dear <@>, <@><@>!", "Dear ann, annann!");
    check("ann", Escape::None, "größe 🦀<@>🦀", "größe 🦀ann🦀");
}

#[test]
fn surroundings_stay() {
    check(
        "ann",
        Escape::None,
        "**<@>** `<@>` \"<@>\" _<@>_ <<@>>",
        "**ann** `ann` \"ann\" _ann_ <ann>",
    );
    check("ann", Escape::None, "<a href=\"mailto:<@>\">", "<a href=\"mailto:ann\">");
}

#[test]
fn deformed_placeholders_come_back_too() {
    let (_, name) = vault("ann");
    check("ann", Escape::None, &format!("<{}>", name.to_lowercase()), "ann");
    check("ann", Escape::None, &format!("<{}>", name.to_uppercase()), "ann");
    let escaped = name.replace('_', "\\_");
    check("ann", Escape::None, &format!("a \\<{escaped}\\> b"), "a ann b");
    check("ann", Escape::None, &format!("<{escaped}>"), "ann");
    check("a&<b>", Escape::None, "&lt;@&gt; &LT;@&GT;", "a&amp;&lt;b&gt; a&amp;&lt;b&gt;");
    check("a b/ö~", Escape::None, "?q=%3C@%3E&r=%3c@%3e", "?q=a%20b%2F%C3%B6~&r=a%20b%2F%C3%B6~");
    check("a\"b", Escape::None, r#"{"a":"\u003c@\u003e"}"#, r#"{"a":"a\"b"}"#);
}

#[test]
fn whatever_happens_to_the_brackets_the_value_comes_back() {
    for (text, expected) in [
        ("@", "ann"),
        ("x@s", "xanns"),
        ("<@", "<ann"),
        ("@>", "ann>"),
        ("< @ >", "< ann >"),
        ("<@s>", "<anns>"),
        ("&lt;@>", "&lt;ann>"),
        ("<@&gt;", "<ann&gt;"),
        ("[@](mailto:@)", "[ann](mailto:ann)"),
        ("to_@_and_@.txt", "to_ann_and_ann.txt"),
        ("@@", "annann"),
        (r#"{"a":"\n@"}"#, r#"{"a":"\nann"}"#),
        (r"\\\\u003c@\\\\u003e", r"\\\\u003cann\\\\u003e"),
    ] {
        check("ann", Escape::None, text, expected);
    }
    let (_, name) = vault("ann");
    check("ann", Escape::None, &name.replace('_', "\\_"), "ann");
    check("a\"b", Escape::Json, r#"{"x":"@"}"#, r#"{"x":"a\"b"}"#);
}

#[test]
fn a_path_separator_before_a_placeholder_stays() {
    check("ann", Escape::None, r"C:\Users\<@>\docs", r"C:\Users\ann\docs");
    check(
        "ann",
        Escape::Json,
        r#"{"p":"C:\\Users\\<@>\\docs"}"#,
        r#"{"p":"C:\\Users\\ann\\docs"}"#,
    );
    check("ann", Escape::Json, r#"{"p":"C:\\\u003c@\u003e"}"#, r#"{"p":"C:\\ann"}"#);
}

#[test]
fn a_value_cannot_break_out_of_json() {
    check("a\"\\\n\u{1}b", Escape::Json, r#"{"x":"<@>"}"#, r#"{"x":"a\"\\\n\u0001b"}"#);
    check("a\"b", Escape::Json, r#"{"x":"\u003c@\u003e"}"#, r#"{"x":"a\"b"}"#);
    check(
        "a\"b",
        Escape::Json,
        r#"{"x":"{\"y\":\"\\u003c@\\u003e\"}"}"#,
        r#"{"x":"{\"y\":\"a\\\"b\"}"}"#,
    );
    check("a\"b", Escape::Json, r#"{"x":"\\\\<@\\>"}"#, r#"{"x":"\\a\"b"}"#);
}

#[test]
fn what_is_not_in_use_stays() {
    for text in [
        "<EMAIL_2_abc>",
        "<EMAIL_1_zzz>",
        "<EMAIL_1_",
        "EMAIL_1_zzz EMAIL_1_zz EMAIL__abc email_1_abc",
        "A PERSON, THE EMAIL, I",
        "<div><EMAIL_1_",
        "\\",
        "\\\\\\\\\\",
        "100 % & < \\",
    ] {
        check("ann", Escape::None, text, text);
    }
}

#[test]
fn a_value_is_not_read_again() {
    let mut masker = Masker::new(&[7; 32], b"scope");
    let first = masker.mask(&Label::fixed("pii/email"), "ann").unwrap().to_owned();
    let value = format!("x{first}");
    let second = masker.mask(&Label::fixed("pii/email"), &value).unwrap().to_owned();
    let vault = Arc::new(masker.into_vault());
    assert_eq!(restore_text(&vault, &second, Escape::None), value);
    for size in 1..=second.len() {
        assert_eq!(in_pieces(&vault, &second, size, Escape::None), value);
    }
    check("x<EMAIL", Escape::None, "<@>_1_abc>", "x<EMAIL_1_abc>");
}

#[test]
fn only_the_beginning_of_a_placeholder_in_use_is_held_back() {
    let (vault, _) = vault("ann");
    let mut restorer = Restorer::new(vault, Escape::None);
    for (fragment, passed, idle) in [
        ("a <", "a ", false),
        ("d", "<d", true),
        ("iv> <EM", "iv> ", false),
        ("AIL_", "", false),
        ("2", "<EMAIL_2", true),
        ("\\", "", false),
        ("\\\\\\", "\\\\", false),
        ("n", "\\\\n", true),
    ] {
        let mut out = String::new();
        restorer.push(fragment, &mut out);
        assert_eq!((out.as_str(), restorer.is_idle()), (passed, idle), "{fragment}");
    }
}

#[test]
fn an_empty_vault_changes_and_holds_nothing() {
    let vault = Arc::new(Vault::default());
    assert!(matches!(restore_text(&vault, "<EMAIL_1_abc> <", Escape::Json), Cow::Borrowed(_)));
    let mut restorer = Restorer::new(vault, Escape::None);
    let mut out = String::new();
    restorer.push("<EMAIL_", &mut out);
    assert_eq!(out, "<EMAIL_");
    assert!(restorer.is_idle());
}
