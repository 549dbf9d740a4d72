//! Names places in a request for people, without telling what stands there.

use crate::{
    json::{Kind, Tape, Value},
    wire::words,
};

/// The paths of these offsets, such as `messages[2].content[0].text`; of the outermost value it is empty.
///
/// Names that are not known words of a protocol could be somebody's data and are written `*`. An offset between two
/// values counts to the one behind it; one behind the last value gets no path. Offsets must ascend; one walk over the
/// tape serves them all.
pub fn paths(tape: &Tape<'_>, offsets: &[usize]) -> Vec<String> {
    let mut walk = Walk { steps: Vec::new() };
    let mut found = Vec::with_capacity(offsets.len());
    let mut rest = offsets.iter().peekable();
    let mut number = 0;
    while let Some(value) = tape.at(number) {
        if rest.peek().is_none() {
            break;
        }
        walk.arrive(value);
        if !matches!(value.kind(), Kind::Object | Kind::Array) {
            let end = value.outer().end;
            while rest.next_if(|offset| **offset < end).is_some() {
                found.push(walk.path());
            }
        }
        number = number.saturating_add(1);
    }
    found
}

/// One object or array around the place.
struct Step<'t, 'a> {
    end: u32,
    /// Of an object: the name of the member.
    key: Option<Value<'t, 'a>>,
    /// Of an array: elements up to and with this one.
    count: usize,
}

struct Walk<'t, 'a> {
    steps: Vec<Step<'t, 'a>>,
}

impl<'t, 'a> Walk<'t, 'a> {
    fn arrive(&mut self, value: Value<'t, 'a>) {
        while self.steps.last().is_some_and(|step| step.end <= value.number()) {
            self.steps.pop();
        }
        if let Some(step) = self.steps.last_mut() {
            if value.kind() == Kind::Key {
                step.key = Some(value);
            }
            step.count = step.count.saturating_add(1);
        }
        if matches!(value.kind(), Kind::Object | Kind::Array) {
            self.steps.push(Step { end: value.next(), key: None, count: 0 });
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            if let Some(key) = step.key {
                let name = key.text();
                let known = words::is_protocol(&name) || words::is_schema(&name);
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(if known { &name } else { "*" });
            } else {
                path.push('[');
                path.push_str(&step.count.saturating_sub(1).to_string());
                path.push(']');
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn paths_name_known_members_and_hide_others() {
        let body = r#"{"model":"A","messages":[{"content":"B"},{"content":[{"text":"C"},{"input":{"hunter2":["D"],"E":1}}]}]}"#;
        let tape = json::parse(body.as_bytes()).unwrap();
        let offsets: Vec<usize> = ["A\"", "B\"", "C\"", "D\"", "E\""]
            .iter()
            .map(|mark| body.find(mark).unwrap())
            .collect();
        let wanted = [
            "model",
            "messages[0].content",
            "messages[1].content[0].text",
            "messages[1].content[1].input.*[0]",
            "messages[1].content[1].input.*",
        ];
        assert_eq!(paths(&tape, &offsets), wanted);
        assert_eq!(paths(&tape, &[body.len()]), Vec::<String>::new());
        assert_eq!(paths(&json::parse(b"\"x\"").unwrap(), &[1]), [""]);
    }
}
