use super::*;

#[test]
fn documents_are_read_as_another_reader_reads_them() {
    for text in [
        r#"{"a":1,"b":[1,2,"x",{"c":null}],"d":{"e":"f\n\u0041\ud83e\udd80"}} "#,
        " [ ] ",
        "{}",
        r#""just text""#,
        "12.5e-3",
        r#"{"a" : { } , "b" : [ [ ] , [ ] ]}"#,
    ] {
        let expected: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut tape = Tape::default();
        let root = tape.read(text).unwrap();
        assert_eq!(root.source().trim(), text.trim());
        let texts: Vec<_> = root.descendants().filter_map(Value::text).collect();
        let mut found = Vec::new();
        strings(&expected, &mut found);
        if root.is_object() || root.is_array() {
            assert_eq!(texts, found, "{text}");
        }
    }
}

fn strings(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        serde_json::Value::Object(members) => members.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        "{",
        "}",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "[1 2]",
        "\"a",
        "\"a\\",
        "{}{}",
        "[1]]",
        "{\"a\":1,}",
    ] {
        assert_eq!(Tape::default().read(text).map(Value::span), Err(Unread::Malformed), "{text}");
    }
    let deep = "[".repeat(JSON_DEPTH_MAX + 1);
    assert_eq!(Tape::default().read(&deep).map(Value::span), Err(Unread::TooComplex));
    let wide = format!("[{}{{}}]", "{},".repeat(NODES_MAX));
    assert_eq!(Tape::default().read(&wide).map(Value::span), Err(Unread::TooComplex));
}

#[test]
fn numbers_in_arrays_cost_no_nodes() {
    let text = format!("[{}1]", "0.5,".repeat(NODES_MAX));
    let mut tape = Tape::default();
    assert_eq!(tape.read(&text).unwrap().children().count(), 0);
}

#[test]
fn members_are_found_by_name() {
    let mut tape = Tape::default();
    let root = tape.read(r#"{"a":{"b":7},"c":"7","d":-1,"e":null}"#).unwrap();
    assert_eq!(root.get("a").and_then(|a| a.get("b")).and_then(Value::number), Some(7));
    assert_eq!(root.get("c").and_then(Value::number), None);
    assert_eq!(root.get("d").and_then(Value::number), None);
    assert_eq!(root.get("b").map(Value::raw), None);
    assert_eq!(root.get("c").map(Value::source), Some("\"7\""));
}

#[test]
fn escapes_are_undone_and_broken_ones_do_no_harm() {
    for (raw, expected) in [
        (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r"\ud83e\udd80", "🦀"),
        (r"\ud83e", "\u{fffd}"),
        (r"\ud83ex", "\u{fffd}x"),
        (r"\udd80\ud83e\ud83e\udd80", "\u{fffd}\u{fffd}🦀"),
        (r"\u12", "\u{fffd}12"),
        (r"\u+123", "\u{fffd}+123"),
        (r"\uäöü", "\u{fffd}äöü"),
        (r"a\ä\", "aä\\"),
    ] {
        assert_eq!(unescape(raw), expected, "{raw}");
        assert_eq!(unescaped_length(raw), expected.len(), "{raw}");
    }
}
