//! Cutting one level of JSON into its values.
//!
//! The text was checked as a whole before, so only the borders are looked for; strings are skipped with a search for
//! their end. `None` means that the text is of another kind.

use std::borrow::Cow;

use memchr::memchr2;

/// The members of an object.
pub(super) fn object(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut rest = text.strip_prefix('{')?.trim_ascii_start();
    let mut members = Vec::new();
    while !rest.starts_with('}') {
        let (key, after) = cut(rest)?;
        let (value, after) = cut(after.trim_ascii_start().strip_prefix(':')?.trim_ascii_start())?;
        members.push((string(key)?, value));
        rest = next(after)?;
    }
    Some(members)
}

/// The items of an array.
pub(super) fn array(text: &str) -> Option<Vec<&str>> {
    let mut rest = text.strip_prefix('[')?.trim_ascii_start();
    let mut items = Vec::new();
    while !rest.starts_with(']') {
        let (item, after) = cut(rest)?;
        items.push(item);
        rest = next(after)?;
    }
    Some(items)
}

/// The content of a string that has no escapes.
pub(super) fn plain_string(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    memchr::memchr(b'\\', inner.as_bytes()).is_none().then_some(inner)
}

fn string(text: &str) -> Option<Cow<'_, str>> {
    match plain_string(text) {
        Some(plain) => Some(plain.into()),
        None => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
    }
}

/// What follows a comma, or the closing bracket.
fn next(after: &str) -> Option<&str> {
    let after = after.trim_ascii_start();
    match after.strip_prefix(',') {
        Some(rest) => Some(rest.trim_ascii_start()),
        None => (!after.is_empty()).then_some(after),
    }
}

/// The first value of `text`, and the rest.
fn cut(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let end = match bytes.first()? {
        b'"' => string_end(bytes)?,
        b'{' | b'[' => nested_end(bytes)?,
        _ => bytes
            .iter()
            .position(|byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'))?,
    };
    text.split_at_checked(end)
}

/// Length of the string at the start of `bytes`, quotes included.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1_usize;
    loop {
        at = at.checked_add(memchr2(b'"', b'\\', bytes.get(at..)?)?)?;
        if bytes.get(at) == Some(&b'"') {
            return at.checked_add(1);
        }
        at = at.checked_add(2)?;
    }
}

/// Length of the object or array at the start of `bytes`.
fn nested_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = at.checked_add(string_end(bytes.get(at..)?)?)?;
                continue;
            }
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at = at.checked_add(1)?;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_is_cut_and_deeper_ones_are_kept() {
        let text =
            "{ \"a\\n\" : [1, \"]\\\\\"] ,\t\"b\":{\"c\":{}}\r\n, \"d\":-1.50e3,\"e\":\"\\\"\" }";
        let members = object(text).unwrap();
        let members: Vec<(&str, &str)> =
            members.iter().map(|(key, value)| (key.as_ref(), *value)).collect();
        assert_eq!(
            members,
            [("a\n", "[1, \"]\\\\\"]"), ("b", "{\"c\":{}}"), ("d", "-1.50e3"), ("e", "\"\\\"\"")]
        );
        assert_eq!(array("[ ]").unwrap(), Vec::<&str>::new());
        assert_eq!(array("[null , [2], true]").unwrap(), ["null", "[2]", "true"]);
        assert_eq!(array("{}"), None);
        assert_eq!(object("\"{}\""), None);
    }

    #[test]
    fn every_document_is_cut_as_a_full_parser_does() {
        let text = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a \"b\" é \\"}]}],"n":[[],{}]}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        for (key, cut) in object(text).unwrap() {
            let cut: serde_json::Value = serde_json::from_str(cut).unwrap();
            assert_eq!(cut, value[key.as_ref()], "{key}");
        }
    }
}
