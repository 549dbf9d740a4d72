//! What a request must have to be understood: the required fields with their types.

use domain::{ModelName, limits::BODY_BYTES_MAX};

use crate::{
    json::{self, Kind, Tape, Value},
    wire::{Dialect, ReadError},
};

/// Checks the JSON of a body.
pub(super) fn tape(body: &[u8]) -> Result<Tape<'_>, ReadError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(ReadError::Large);
    }
    let tape = json::parse(body).map_err(ReadError::Json)?;
    match tape.root().kind() {
        Kind::Object => Ok(tape),
        _ => Err(ReadError::NotObject),
    }
}

/// Whether a text can be the name of a model.
pub(super) fn is_model_name(name: &str) -> bool {
    name.parse::<ModelName>().is_ok()
}

/// The members of the outermost object that the router looks at.
const FIELDS: [&str; 24] = [
    "background",
    "container",
    "conversation",
    "functions",
    "input",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "output_config",
    "previous_response_id",
    "prompt",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "store",
    "stream",
    "stream_options",
    "system",
    "text",
    "thinking",
    "tools",
];

/// The known members of the outermost object, found in one pass.
pub(super) struct Head<'t, 'a> {
    fields: Vec<(&'static str, Value<'t, 'a>)>,
}

impl<'t, 'a> Head<'t, 'a> {
    /// Collects the members of `root`.
    ///
    /// Some backends (those written in Go) compare names without regard to case, so a second `Messages` could be
    /// the conversation that they answer while the router looked at another. Such names are refused.
    pub(super) fn new(root: Value<'t, 'a>) -> Result<Self, ReadError> {
        let mut fields = Vec::with_capacity(FIELDS.len());
        for (key, value) in root.members() {
            let text = key.text();
            match FIELDS.into_iter().find(|name| name.eq_ignore_ascii_case(&text)) {
                Some(name) if name == text => fields.push((name, value)),
                Some(name) => {
                    let problem = "must be written in lower case";
                    return Err(ReadError::Value { param: name.to_owned(), problem });
                }
                None => {}
            }
        }
        Ok(Self { fields })
    }

    /// The member with this name; one that is `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<Value<'t, 'a>> {
        self.written(name).filter(|value| value.kind() != Kind::Null)
    }

    /// The member with this name, even if it is `null`. The name must be one of [`FIELDS`].
    pub(super) fn written(&self, name: &str) -> Option<Value<'t, 'a>> {
        debug_assert!(FIELDS.contains(&name), "{name} is looked up but not collected");
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// The member with this name, if it has one of these types.
    fn typed(
        &self,
        name: &'static str,
        kinds: &[Kind],
        expected: &'static str,
    ) -> Result<Option<Value<'t, 'a>>, ReadError> {
        match self.get(name) {
            Some(value) if !kinds.contains(&value.kind()) => Err(wrong(name, expected)),
            found => Ok(found),
        }
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ReadError> {
        let value = self.typed(name, &[Kind::True, Kind::False], "true or false")?;
        Ok(value.and_then(|value| value.as_bool()))
    }

    pub(super) fn count(&self, name: &'static str) -> Result<Option<u64>, ReadError> {
        let expected = "a whole number, not negative";
        let value = self.typed(name, &[Kind::Number], expected)?;
        value.map(|value| value.as_u64().ok_or_else(|| wrong(name, expected))).transpose()
    }
}

/// Checks the fields of a request that the router cannot do without.
pub(super) fn head(dialect: Dialect, head: &Head<'_, '_>) -> Result<(), ReadError> {
    let text = &[Kind::String, Kind::Array];
    match dialect {
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            let list = head.typed("messages", &[Kind::Array], "an array of messages")?;
            messages("messages", list.ok_or_else(|| missing("messages"))?, Required::Role)?;
        }
        Dialect::OpenAiCompletions => {
            let prompt = head.typed("prompt", text, "a string or an array")?;
            prompt.ok_or_else(|| missing("prompt"))?;
        }
        Dialect::OpenAiEmbeddings => {
            let input = head.typed("input", text, "a string or an array")?;
            input.ok_or_else(|| missing("input"))?;
        }
        Dialect::OpenAiResponses => {
            let input = head.typed("input", text, "a string or an array of items")?;
            match input {
                Some(input) => messages("input", input, Required::Nothing)?,
                // A template of the provider may hold all of the input.
                None if head.get("prompt").is_some() => {}
                None => return Err(missing("input")),
            }
        }
    }
    if dialect == Dialect::AnthropicMessages && head.get("max_tokens").is_none() {
        return Err(missing("max_tokens"));
    }
    head.typed("tools", &[Kind::Array], "an array of tools")?;
    head.typed("functions", &[Kind::Array], "an array of functions")?;
    head.typed("system", text, "a string or an array of text blocks")?;
    head.typed("stream_options", &[Kind::Object], "an object")?;
    Ok(())
}

/// What each message must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Required {
    Role,
    Nothing,
}

fn messages(name: &str, list: Value<'_, '_>, required: Required) -> Result<(), ReadError> {
    for (index, message) in list.elements().enumerate() {
        if message.kind() != Kind::Object {
            return Err(wrong(format!("{name}[{index}]"), "an object"));
        }
        let (mut role, mut content) = (None, None);
        for (key, value) in message.members() {
            if key.is_text("role") {
                role = Some(value);
            } else if key.is_text("content") {
                content = Some(value);
            }
        }
        match role.map(|role| role.kind()) {
            Some(Kind::String) => {}
            None | Some(Kind::Null) if required == Required::Nothing => {}
            None => return Err(missing(format!("{name}[{index}].role"))),
            Some(_) => return Err(wrong(format!("{name}[{index}].role"), "a string")),
        }
        if let Some(Kind::Number | Kind::True | Kind::False) = content.map(|value| value.kind()) {
            let expected = "a string or an array of parts";
            return Err(wrong(format!("{name}[{index}].content"), expected));
        }
    }
    Ok(())
}

pub(super) fn missing(param: impl Into<String>) -> ReadError {
    ReadError::Missing { param: param.into() }
}

pub(super) fn wrong(param: impl Into<String>, expected: &'static str) -> ReadError {
    ReadError::Type { param: param.into(), expected }
}
