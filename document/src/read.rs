//! Reading fields out of a YAML tree: each reader reports what is wrong with its place and goes on.
//!
//! Invariant: a reader that gives `None` for a value that is there has reported why.

use std::{ops::RangeInclusive, rc::Rc, str::FromStr, time::Duration};

use crate::{
    duration,
    near::nearest,
    report::{Report, joined, shown},
    yaml::{Key, Mark, Node, Value},
};

/// A value and how it is reached.
#[derive(Clone, Debug)]
pub struct Spot<'n> {
    node: &'n Node,
    /// The field's path, for messages.
    pub path: String,
}

/// A mapping of which all fields are known.
#[derive(Debug)]
pub struct Table<'n> {
    fields: &'n [(Key, Rc<Node>)],
    /// Where it begins.
    pub mark: Mark,
    /// Its path, for messages.
    pub path: String,
}

/// What a value is; lists and mappings are read with [`Spot::list`] and [`Spot::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'n> {
    /// Nothing was written, or `null` or `~`.
    Null,
    /// A single value; `plain` without quotes, so that it may be a number or a boolean.
    Scalar {
        /// The text, quotes undone.
        text: &'n str,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A sequence.
    List,
    /// A mapping.
    Map,
}

impl<'n> Table<'n> {
    /// The value of a field; `None` if it is absent or null.
    pub fn take(&self, name: &str) -> Option<Spot<'n>> {
        let (_, node) = self.fields.iter().find(|(key, _)| key.text == name)?;
        let spot = Spot { node, path: joined(&self.path, name) };
        (!matches!(node.value, Value::Null)).then_some(spot)
    }

    /// The value of a field that must be there.
    pub fn need(&self, name: &str, help: &str, report: &mut Report) -> Option<Spot<'n>> {
        let spot = self.take(name);
        if spot.is_none() {
            report.fault(self.mark, &self.path, format!("`{name}` is missing"), Some(help));
        }
        spot
    }
}

impl<'n> Spot<'n> {
    /// The whole document.
    pub fn root(node: &'n Node) -> Self {
        Self { node, path: String::new() }
    }

    /// Where the value begins.
    pub fn mark(&self) -> Mark {
        self.node.mark
    }

    /// Reports a fault here.
    pub fn fault(&self, report: &mut Report, message: impl Into<String>, help: Option<&str>) {
        report.fault(self.node.mark, &self.path, message, help);
    }

    /// Reports a notice here.
    pub fn notice(&self, report: &mut Report, message: impl Into<String>) {
        report.notice(self.node.mark, &self.path, message);
    }

    /// A mapping that has no fields but `known`; every other one is a fault with a suggestion.
    pub fn table(&self, known: &[&str], report: &mut Report) -> Option<Table<'n>> {
        let fields = self.fields(report)?;
        for (key, _) in fields.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            if report.is_full() {
                report.fault(key.mark, "", "", None);
                continue;
            }
            let help = match nearest(&key.text, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None if key.text == "<<" => {
                    "merge keys are not supported; repeat the fields or alias whole values".into()
                }
                None => format!("known here: {}", known.join(", ")),
            };
            let path = joined(&self.path, &key.text);
            report.fault(key.mark, &path, "unknown field", Some(&help));
        }
        Some(Table { fields, mark: self.node.mark, path: self.path.clone() })
    }

    /// A mapping whose keys are the operator's own names.
    pub fn entries(&self, report: &mut Report) -> Vec<(&'n Key, Spot<'n>)> {
        let fields = self.fields(report).unwrap_or_default();
        let entry = |(key, node): &'n (Key, Rc<Node>)| {
            (key, Spot { node, path: joined(&self.path, &key.text) })
        };
        fields.iter().map(entry).collect()
    }

    /// A sequence.
    pub fn list(&self, report: &mut Report) -> Vec<Spot<'n>> {
        let Value::List(items) = &self.node.value else {
            self.mismatch("a list", report);
            return Vec::new();
        };
        let item = |(index, node): (usize, &'n Rc<Node>)| Spot {
            node,
            path: format!("{}[{index}]", self.path),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// A text that is not empty.
    pub fn text(&self, report: &mut Report) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar { text, .. } if text.is_empty() => {
                self.fault(report, "must not be empty", None);
                None
            }
            Value::Scalar { text, .. } => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.mismatch("a text", report);
                None
            }
        }
    }

    /// What this is, for values without a fixed form.
    pub fn kind(&self) -> Kind<'n> {
        match &self.node.value {
            Value::Null => Kind::Null,
            Value::Scalar { text, plain } => Kind::Scalar { text, plain: *plain },
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
        }
    }

    /// Whether this is written as one word or text.
    pub fn is_scalar(&self) -> bool {
        matches!(self.node.value, Value::Scalar { .. })
    }

    /// A text that becomes a value of its own type.
    pub fn parsed<T: FromStr<Err: ToString>>(&self, report: &mut Report) -> Option<T> {
        match self.text(report)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(report, error.to_string(), None);
                None
            }
        }
    }

    /// One of some words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let text = self.text(report)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = match nearest(text, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("use one of {}", names.join(", ")),
        };
        self.fault(report, format!("`{}` is not known here", shown(text)), Some(&help));
        None
    }

    /// A whole number within a range.
    pub fn integer(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let number = self.plain("a whole number", report)?.parse().ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            self.fault(report, format!("must be a whole number from {low} to {high}"), None);
        }
        number
    }

    /// A number that `convert` accepts.
    pub fn number<T>(
        &self,
        what: &str,
        convert: impl Fn(f64) -> Option<T>,
        report: &mut Report,
    ) -> Option<T> {
        let number = self.plain("a number", report)?.parse().ok().and_then(convert);
        if number.is_none() {
            self.fault(report, format!("must be {what}"), None);
        }
        number
    }

    /// `true` or `false`.
    pub fn boolean(&self, report: &mut Report) -> Option<bool> {
        let value = self.plain("true or false", report)?.parse().ok();
        if value.is_none() {
            self.fault(report, "must be true or false", None);
        }
        value
    }

    /// A time such as `5s`, `30m` or `500ms`.
    pub fn duration(&self, report: &mut Report) -> Option<Duration> {
        let duration = duration::duration(self.text(report)?);
        if duration.is_none() {
            let help = "write a number and a unit: 500ms, 5s, 30m, 2h";
            self.fault(report, "must be a time from 1ms to 24h", Some(help));
        }
        duration
    }

    fn plain(&self, what: &str, report: &mut Report) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => Some(text),
            Value::Scalar { .. } => {
                self.fault(report, format!("must be {what}"), Some("remove the quotes"));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.mismatch(what, report);
                None
            }
        }
    }

    fn fields(&self, report: &mut Report) -> Option<&'n [(Key, Rc<Node>)]> {
        if let Value::Map(fields) = &self.node.value {
            return Some(fields);
        }
        self.mismatch("a mapping", report);
        None
    }

    fn mismatch(&self, expected: &str, report: &mut Report) {
        let found = match &self.node.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        self.fault(report, format!("expected {expected}, found {found}"), None);
    }
}
