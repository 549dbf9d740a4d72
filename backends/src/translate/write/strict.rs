//! Whether a schema can be followed strictly by the OpenAI dialects.

use serde_json::Value;

/// Whether every object of the schema forbids other members and requires all of its own, which OpenAI demands of a
/// strict schema (its guide to structured outputs, 2026-11). The depth of what is read is bounded by the parser.
pub(super) fn is_strict(schema: &str) -> bool {
    serde_json::from_str(schema).is_ok_and(|schema: Value| fits(&schema))
}

fn fits(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            let is_object = members.get("type").is_some_and(|kind| kind == "object");
            (!is_object || closed(members)) && members.values().all(fits)
        }
        Value::Array(items) => items.iter().all(fits),
        _ => true,
    }
}

fn closed(members: &serde_json::Map<String, Value>) -> bool {
    let required = members.get("required").and_then(Value::as_array);
    let properties = members.get("properties").and_then(Value::as_object);
    let is_required =
        |name: &String| required.is_some_and(|names| names.iter().any(|other| other == name));
    members.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.is_none_or(|properties| properties.keys().all(is_required))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_closed_objects_with_every_member_required_are_strict() {
        let cases = [
            (r#"{"type":"string"}"#, true),
            (r#"{"type":"object"}"#, false),
            (r#"{"type":"object","additionalProperties":false}"#, true),
            (
                r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}"#,
                false,
            ),
            (
                r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}},"required":["a"]}"#,
                true,
            ),
            (r#"{"type":"array","items":{"type":"object"}}"#, false),
            ("nonsense", false),
        ];
        for (schema, strict) in cases {
            assert_eq!(is_strict(schema), strict, "{schema}");
        }
    }
}
