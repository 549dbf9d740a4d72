//! Frames of `POST /v1/chat/completions` and `POST /v1/completions`.
//!
//! Every string below `choices[].delta` is a channel of its own, whatever it is called: content, refusal, the
//! reasoning of several providers under several names, arguments of tool calls. Elements of lists are told apart
//! by their `index`, as the dialect says, and by their position where they have none.

use crate::answer::{
    AnswerError, Observed,
    rewrite::{Rewrite, Skeleton, member},
    tape::Value,
};

/// Members of a delta that hold text of the model, once.
const TEXTS: [&str; 6] =
    ["content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"];

/// Strings below these that count as text.
const LEAVES: [&str; 10] = [
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    "arguments",
    "name",
    "text",
    "thinking",
    "summary",
    "input",
];

/// Which choices have begun and not ended, for the first 128 of them; further ones count as ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choices {
    begun: u128,
    ended: u128,
}

/// Notes usage, identifier, error, text and end of one chunk.
pub(super) fn observe(root: Value<'_>, choices: &mut Choices, observed: &mut Observed) {
    let mut list = None;
    for member in root.children() {
        match member.key() {
            "id" => observed.id(Some(member)),
            "usage" => observed.openai_usage(Some(member)),
            "error" if member.is_object() || member.is_text() => observed.fail(member),
            "choices" => list = Some(member),
            _ => {}
        }
    }
    for choice in list.into_iter().flat_map(Value::children) {
        let bit =
            index_of(choice).and_then(|n| 1u128.checked_shl(u32::try_from(n).ok()?)).unwrap_or(0);
        choices.begun |= bit;
        let delta = choice.get("delta").or_else(|| choice.get("message"));
        let members = delta.into_iter().flat_map(Value::children);
        for member in members.filter(|member| TEXTS.contains(&member.key())) {
            observed.text(member);
            let below = member.descendants().filter(|leaf| LEAVES.contains(&leaf.key()));
            below.for_each(|leaf| observed.text(leaf));
        }
        if let Some(text) = choice.get("text") {
            observed.text(text);
        }
        let reason = choice.get("finish_reason");
        if reason.is_some_and(Value::is_text) {
            observed.finishes.note(index_of(choice).unwrap_or(0), reason);
            choices.ended |= bit;
            observed.terminal |= choices.begun & !choices.ended == 0;
        }
    }
}

/// The error of a chunk or body, as an object or as a bare text.
pub(super) fn error_of(root: Value<'_>) -> Option<Value<'_>> {
    root.get("error").filter(|error| error.is_object() || error.is_text())
}

/// Whether this is the chunk that holds only the usage, which a caller gets only if it asked for it.
pub(super) fn is_usage_only(root: Value<'_>) -> bool {
    let bare =
        root.get("choices").is_some_and(|list| list.is_array() && list.children().next().is_none());
    bare && root.get("usage").is_some_and(Value::is_object)
}

/// Restores one chunk.
pub(super) fn rewrite(root: Value<'_>, rewrite: &mut Rewrite<'_>) -> Result<(), AnswerError> {
    if error_of(root).is_some() {
        rewrite.end(String::new());
    }
    for member in root.children() {
        if member.key() == "choices" && member.is_array() {
            for (position, choice) in member.children().enumerate() {
                restore_choice(root, choice, position, rewrite)?;
            }
        } else {
            rewrite.whole(member)?;
        }
    }
    Ok(())
}

fn restore_choice(
    root: Value<'_>,
    choice: Value<'_>,
    position: usize,
    rewrite: &mut Rewrite<'_>,
) -> Result<(), AnswerError> {
    let index = index_of(choice).unwrap_or_else(|| u64::try_from(position).unwrap_or_default());
    if choice.get("finish_reason").is_some_and(Value::is_text) {
        rewrite.end(format!("{index}/"));
    }
    for member in choice.children() {
        match member.key() {
            "delta" | "text" => {
                let mut path = Path { root, index, steps: Vec::new() };
                path.walk(member, 0, rewrite)?;
            }
            _ if rewrite.drop_logprobs(member) => {}
            _ => rewrite.whole(member)?,
        }
    }
    Ok(())
}

fn index_of(value: Value<'_>) -> Option<u64> {
    value.get("index").and_then(Value::number)
}

/// Deepest string of a delta that is a channel; real ones are at most five steps down.
const STEPS_MAX: usize = 8;

/// Longest name of a member on the way to a channel, bytes.
const STEP_BYTES_MAX: usize = 64;

/// The way from a choice down to one of its strings.
struct Path<'t> {
    root: Value<'t>,
    index: u64,
    steps: Vec<Step<'t>>,
}

struct Step<'t> {
    value: Value<'t>,
    /// Which element of a list this is: its own `index`, or else its position.
    element: Option<u64>,
}

impl<'t> Path<'t> {
    /// Restores the strings at and below `value`. What lies deeper than any provider goes is no channel.
    fn walk(
        &mut self,
        value: Value<'t>,
        position: usize,
        rewrite: &mut Rewrite<'_>,
    ) -> Result<(), AnswerError> {
        if self.steps.len() >= STEPS_MAX || value.key().len() > STEP_BYTES_MAX {
            return rewrite.whole(value);
        }
        let own = || index_of(value).or_else(|| u64::try_from(position).ok());
        let element = if value.key().is_empty() { own() } else { None };
        self.steps.push(Step { value, element });
        if value.is_text() {
            if rewrite.may_touch(value) {
                let escape = rewrite.texts().of(value.key());
                rewrite.channel(&self.name(), value, escape, || self.skeleton())?;
            }
        } else {
            for (position, child) in value.children().enumerate() {
                self.walk(child, position, rewrite)?;
            }
        }
        self.steps.pop();
        Ok(())
    }

    fn name(&self) -> String {
        let mut name = self.index.to_string();
        for Step { value, element } in &self.steps {
            name.push('/');
            match element {
                Some(element) => name.push_str(&element.to_string()),
                None => name.push_str(value.key()),
            }
        }
        name
    }

    /// A chunk with nothing but this string: identifiers and names came before and must not come twice, since
    /// callers append what they get.
    fn skeleton(&self) -> Skeleton {
        let mut before = "{".to_owned();
        let mut after = String::new();
        for head in ["id", "object", "created", "model"] {
            if let Some(value) = self.root.get(head) {
                member(head, value.source(), &mut before);
            }
        }
        before.push_str("\"choices\":[{");
        member("index", &self.index.to_string(), &mut before);
        for Step { value, .. } in &self.steps {
            if !value.key().is_empty() {
                before.extend(["\"", value.key(), "\":"]);
            }
            let (open, close) = if value.is_text() {
                ("\"", '"')
            } else if value.is_array() {
                ("[", ']')
            } else {
                ("{", '}')
            };
            before.push_str(open);
            after.insert(0, close);
            if value.key().is_empty() {
                for label in ["index", "type"] {
                    if let Some(label) = value.get(label) {
                        member(label.key(), label.source(), &mut before);
                    }
                }
            }
        }
        after.push_str(",\"finish_reason\":null}]");
        Skeleton { event: None, before, after }
    }
}
