//! Whether a stream reports its usage, and the edit that makes it do so.

use crate::{
    json::{Kind, Value},
    wire::{
        Dialect, Edit, ReadError,
        check::{self, Head},
    },
};

const MEMBER: &str = "\"include_usage\":true";

/// `stream_options.include_usage`, if it is given.
pub(super) fn included(head: &Head<'_, '_>) -> Result<Option<bool>, ReadError> {
    let value = option(head).filter(|value| value.kind() != Kind::Null);
    let wrong = || check::wrong("stream_options.include_usage", "true or false");
    value.map(|value| value.as_bool().ok_or_else(wrong)).transpose()
}

fn option<'t, 'a>(head: &Head<'t, 'a>) -> Option<Value<'t, 'a>> {
    head.get("stream_options").and_then(|options| options.get("include_usage"))
}

/// The edit that asks for usage in a stream of chat or completions where the caller does not.
pub(super) fn edit(dialect: Dialect, stream: bool, head: &Head<'_, '_>) -> Option<Edit> {
    let asks = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions) && stream;
    if !asks {
        return None;
    }
    match (option(head), head.written("stream_options")) {
        (Some(value), _) if value.as_bool() == Some(true) => None,
        (Some(value), _) => Some(Edit { span: value.outer(), with: "true".to_owned() }),
        (None, Some(options)) if options.kind() == Kind::Null => {
            Some(Edit { span: options.span(), with: format!("{{{MEMBER}}}") })
        }
        (None, Some(options)) => {
            let comma = if options.members().next().is_some() { "," } else { "" };
            let inside = options.span().start.saturating_add(1);
            Some(Edit { span: inside..inside, with: format!("{MEMBER}{comma}") })
        }
        (None, None) => {
            let end = head.get("stream")?.outer().end;
            let with = format!(",\"stream_options\":{{{MEMBER}}}");
            Some(Edit { span: end..end, with })
        }
    }
}
