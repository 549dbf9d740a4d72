use super::*;
use crate::classify::Classifier;
use crate::wire::Part;

/// What a scan of `text` finds: the hidden spans of credentials.
fn found(text: &str) -> Vec<String> {
    let classifier = Classifier::new(Vec::new()).unwrap();
    let hits = classifier.scan(text, Part::Prose);
    hits.into_iter()
        .filter(|one| one.label.family() == "credential")
        .map(|one| text.get(one.span).unwrap().to_owned())
        .collect()
}

/// A token that no provider issued.
fn token() -> String {
    ["ghp", "_", "Zq3LmX8vT1bN6wKcR4yHs9PdF2gJ7aUe5oQi"].concat()
}

/// Every byte of `text`, written by `write`.
fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    let pieces: Vec<String> = text.bytes().map(write).collect();
    pieces.concat()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte == b'_' { "%5F".to_owned() } else { char::from(byte).to_string() })
        .collect()
}

#[test]
fn hidden_tokens_are_found_at_the_place_where_they_are_hidden() {
    let token = token();
    let escaped = each(&token, |byte| format!("\\u{byte:04x}"));
    let entities = each(&token, |byte| format!("&#{byte};"));
    let wide: String =
        token.chars().map(|c| char::from_u32(u32::from(c) + 0xFEE0).unwrap()).collect();
    let spaced = each(&token, |byte| format!("{} ", char::from(byte)));
    let hyphens = token.replace("LmX", "Lm\u{AD}X").replace("bN6", "b\u{200B}N6");
    let cyrillic = token.replace('c', "с").replace('T', "Т");
    let (left, right) = token.split_at(20);
    let hex = each(&token, |byte| format!("{byte:02x}"));
    let cases = [
        format!("x {escaped} y"),
        format!("<td>{entities}</td>"),
        format!("x {wide} y"),
        format!("see {spaced}end"),
        format!("x {hyphens} y"),
        format!("x {cyrillic} y"),
        format!("k = \"{left}\" + \"{right}\";"),
        format!("k = '{left}' +\n    '{right}'"),
        format!("{left}\n{right}\n"),
        format!("first half: {left}\nsecond half: {right}\n"),
        format!("- part 1 is `{left}`\n- Part 2: `{right}`, done"),
        format!("q={}%3D%3D", percent(&token)),
        format!("dump {hex} end"),
    ];
    for text in cases {
        assert_eq!(found(&text).len(), 1, "{text}");
    }
}

#[test]
fn base64_of_base64_is_read_and_mapped_back() {
    // "export GITHUB_TOKEN=" and the token, encoded once and twice by another program.
    let once = encode(format!("export GITHUB_TOKEN={}\n", token()).as_bytes());
    let twice = encode(once.as_bytes());
    for hidden in [once, twice] {
        let text = format!("payload: {hidden} end");
        let hits = found(&text);
        assert_eq!(hits.len(), 1, "{text}");
        assert!(hidden.contains(&hits[0]) && hits[0].len() >= 40, "{hits:?}");
    }
}

/// Base64 by the book, for the test only.
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
            out.push(if at > group.len() { '=' } else { digit });
        }
    }
    out
}

#[test]
fn text_in_another_script_gives_no_view() {
    for text in ["Привет, как дела? Всё хорошо.", "日本語のテキスト abc です", "naïve café – œuvre"]
    {
        let mut count = 0;
        views(text, &Candidates::of(text), &mut |_| count += 1);
        assert_eq!(count, 0, "{text}");
    }
}

#[test]
fn views_stay_within_the_budget() {
    for unit in [
        "%41",
        "QUFB",
        "&#65;",
        "\\u0041",
        "\u{200B}a",
        "a b ",
        "\"+\"",
        "41",
        "\\\na",
        "AAAAAAAAAAAAAAAAAAAAAAAA\n",
        "x dot ",
    ] {
        let text = unit.repeat(4000);
        let read = std::cell::Cell::new(0);
        let count = |view: &str, _: &mut Vec<Finding>| {
            read.set(read.get() + view.len());
            Reading::of(view)
        };
        scan((&text, &Candidates::of(&text)), &count, &mut Vec::new());
        assert!(read.get() <= budget(text.len()), "{unit}: {}", read.get());
    }
}
