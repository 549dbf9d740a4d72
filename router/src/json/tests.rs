use super::*;

fn check(body: &str, fault: Fault, offset: usize) {
    let error = parse(body.as_bytes()).unwrap_err();
    assert_eq!((error.fault, error.offset), (fault, offset), "{body}");
}

#[test]
fn faults_name_what_is_wrong_and_where() {
    let cases = [
        ("", Fault::End, 0),
        ("  ", Fault::End, 2),
        ("[1,2", Fault::End, 4),
        ("\"abc", Fault::End, 4),
        ("tru", Fault::End, 3),
        ("[1,]", Fault::Value, 3),
        ("nul1", Fault::Value, 3),
        ("'a'", Fault::Value, 0),
        ("NaN", Fault::Value, 0),
        ("{a:1}", Fault::Key, 1),
        ("{\"a\":1,}", Fault::Key, 7),
        ("{\"a\" 1}", Fault::Colon, 5),
        ("{\"a\":1 \"b\":2}", Fault::CommaOrBrace, 7),
        ("{\"a\":1]", Fault::CommaOrBrace, 6),
        ("[1 2]", Fault::CommaOrBracket, 3),
        ("[1}", Fault::CommaOrBracket, 2),
        ("{} {}", Fault::Trailing, 3),
        ("1 // x", Fault::Trailing, 2),
        ("01", Fault::Number, 1),
        ("-", Fault::End, 1),
        ("1.", Fault::End, 2),
        ("[1.]", Fault::Number, 3),
        ("1e+x", Fault::Number, 3),
        ("\"a\nb\"", Fault::Control, 2),
        ("\"\\x\"", Fault::Escape, 1),
        ("\"\\u12g4\"", Fault::Escape, 1),
        ("\"\\ud800\"", Fault::Surrogate, 1),
        ("\"\\ud800\\u0041\"", Fault::Surrogate, 1),
        ("\"\\udc00\"", Fault::Surrogate, 1),
        ("\u{feff}{}", Fault::ByteOrderMark, 0),
    ];
    for (body, fault, offset) in cases {
        check(body, fault, offset);
    }
}

#[test]
fn a_name_that_occurs_twice_is_refused_at_any_level_however_it_is_written() {
    check(r#"{"a":1,"a":2}"#, Fault::DuplicateKey, 7);
    check(r#"{"x":[{"a":1,"b":{},"a":2}]}"#, Fault::DuplicateKey, 20);
    check(r#"{"a":1,"\u0061":2}"#, Fault::DuplicateKey, 7);
    check(r#"{"\u0061":1,"a":2}"#, Fault::DuplicateKey, 12);
    assert!(parse(br#"{"a":{"a":{"a":1}},"A":1}"#).is_ok());
    // Many names are compared in another way than few.
    let names: Vec<String> = (0..40).map(|name| format!("\"k{name}\":0")).collect();
    let many = names.join(",");
    assert!(parse(format!("{{{many}}}").as_bytes()).is_ok());
    check(&format!("{{{many},\"k3\":1}}"), Fault::DuplicateKey, many.len() + 2);
    check(&format!("{{{many},\"\\u006b3\":1}}"), Fault::DuplicateKey, many.len() + 2);
}

#[test]
fn lines_and_columns_count_from_one() {
    let error = parse(b"{\n  \"a\": 1,\n  \"b\": tru\n}").unwrap_err();
    assert_eq!((error.line, error.column), (3, 11));
    assert_eq!(error.to_string(), "expected a value at byte 22 (line 3, column 11)");
    assert_eq!(error.code(), "invalid_json");
    let error = parse(b"\"abc\xff\"").unwrap_err();
    assert_eq!((error.code(), error.offset), ("invalid_utf8", 4));
}

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(deep(domain::limits::JSON_DEPTH_MAX).as_bytes()).is_ok());
    check(&deep(domain::limits::JSON_DEPTH_MAX + 1), Fault::Deep, 128);
    check(&"[".repeat(1_000_000), Fault::Deep, 128);
    check(&"{\"a\":".repeat(100_000), Fault::Deep, 128 * 5);
}

#[test]
fn a_million_names_are_read_and_more_values_than_the_limit_are_not() {
    let names: Vec<String> = (0..1_000_000).map(|name| format!("\"{name}\":0")).collect();
    let tape_len = |body: String| parse(body.as_bytes()).map(|tape| tape.len());
    assert_eq!(tape_len(format!("{{{}}}", names.join(","))), Ok(2_000_001));
    let too_many = format!("[{}1]", "1,".repeat(domain::limits::JSON_NODES_MAX));
    assert_eq!(tape_len(too_many).map_err(|error| error.code()), Err("too_many_values"));
}

#[test]
fn a_value_can_be_looked_at_without_parsing_it_again() {
    let tape = parse(br#" {"a": [1, "x\ty", {"b": true}], "c": null, "\u0064": -2.5e3} "#).unwrap();
    let root = tape.root();
    let list: Vec<_> = root.get("a").unwrap().elements().collect();
    assert_eq!(list.len(), 3);
    assert_eq!(list[0].as_u64(), Some(1));
    assert_eq!((list[1].raw(), &*list[1].text()), (r"x\ty", "x\ty"));
    assert!(list[1].is_text("x\ty"));
    assert_eq!(list[1].outer(), list[1].span().start - 1..list[1].span().end + 1);
    assert_eq!(list[2].get("b").and_then(|value| value.as_bool()), Some(true));
    assert_eq!(root.get("c").map(|value| value.kind()), Some(Kind::Null));
    assert_eq!(root.get("d").map(|value| value.raw()), Some("-2.5e3"));
    assert_eq!(root.get("d").and_then(|value| value.as_u64()), None);
    assert!(root.get("e").is_none());
    assert_eq!(root.raw().len(), tape.body().len() - 2);
}
