//! A YAML document as a tree in which every node knows its place.
//!
//! Not here: what the fields mean. Invariant: a tree is at most [`HEIGHT_MAX`] deep and counts at most
//! [`NODES_MAX`] nodes with every alias expanded, so walking it is bounded whatever the file says. An alias
//! shares the node it names; nothing is copied.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::report::{Report, joined, shown};

/// Deepest nesting, aliases expanded. The deepest known path has seven steps.
const HEIGHT_MAX: u8 = 32;

/// Most nodes of a file, aliases expanded: room for long lists of words, and not much more.
const NODES_MAX: u32 = 200_000;

/// A place in the text, both counted from 1; the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl From<&Marker> for Mark {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col().saturating_add(1) }
    }
}

/// One value with its place.
#[derive(Debug)]
pub struct Node {
    pub(crate) mark: Mark,
    pub(crate) value: Value,
    weight: u32,
    height: u8,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing was written, or `null` or `~`.
    Null,
    /// A scalar; `plain` without quotes, so that it may be a number or a boolean.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping in the order of the file, keys unique.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A key with its place.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key as written, quotes undone.
    pub text: String,
    /// Where it begins.
    pub mark: Mark,
}

/// Reads one document. Duplicate keys and tags are reported and reading goes on; on anything that leaves the
/// structure in doubt the fault is reported and there is no tree.
///
/// `empty` says what a file needs at least, for one that holds nothing.
pub fn read(text: &str, empty: &str, report: &mut Report) -> Option<Rc<Node>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: usize::from(HEIGHT_MAX),
        block_nesting_limit: usize::from(HEIGHT_MAX),
    };
    let mut tree = Tree::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => tree.take(event, span, report),
            Err(error) => {
                let mark = Mark::from(error.marker());
                Err(Stop { mark, message: format!("this is no YAML: {}", error.info()) })
            }
        };
        if let Err(stop) = step {
            report.fault(stop.mark, &tree.path(), stop.message, None);
            return None;
        }
    }
    tree.root.or_else(|| {
        report.fault(Mark { line: 1, column: 1 }, "", "the file is empty", Some(empty));
        None
    })
}

/// Why reading cannot go on.
struct Stop {
    mark: Mark,
    message: String,
}

/// A collection that is not closed yet.
struct Open {
    mark: Mark,
    anchor: usize,
    weight: u32,
    height: u8,
    inside: Inside,
}

enum Inside {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<(Key, Rc<Node>)>, names: HashSet<String>, key: Option<Key> },
}

#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: u32,
    documents: u32,
    root: Option<Rc<Node>>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span, report: &mut Report) -> Result<(), Stop> {
        let mark = Mark::from(&span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    return stop(mark, "the file holds a second document; one file, one document");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tagged(tag.is_some(), mark, report);
                let node =
                    Rc::new(Node { mark, value: scalar(&text, style), weight: 1, height: 1 });
                self.complete(node, anchor, report)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tagged(tag.is_some(), mark, report);
                self.begin(mark, anchor, Inside::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tagged(tag.is_some(), mark, report);
                let inside = Inside::Map { entries: Vec::new(), names: HashSet::new(), key: None };
                self.begin(mark, anchor, inside)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(report)?,
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.complete(Rc::clone(node), 0, report)?,
                None => return stop(mark, "this alias stands inside the value that it names"),
            },
            _ => {}
        }
        Ok(())
    }

    fn tagged(&self, tagged: bool, mark: Mark, report: &mut Report) {
        if tagged {
            report.fault(
                mark,
                &self.path(),
                "tags have no meaning in this file",
                Some("remove it"),
            );
        }
    }

    fn begin(&mut self, mark: Mark, anchor: usize, inside: Inside) -> Result<(), Stop> {
        if self.open.len() >= usize::from(HEIGHT_MAX) {
            return stop(mark, "values are nested too deeply");
        }
        self.open.push(Open { mark, anchor, weight: 1, height: 0, inside });
        Ok(())
    }

    fn end(&mut self, report: &mut Report) -> Result<(), Stop> {
        let Some(Open { mark, anchor, weight, height, inside }) = self.open.pop() else {
            return Ok(());
        };
        let value = match inside {
            Inside::List(items) => Value::List(items),
            Inside::Map { entries, .. } => Value::Map(entries),
        };
        let height = height.saturating_add(1);
        self.complete(Rc::new(Node { mark, value, weight, height }), anchor, report)
    }

    fn complete(&mut self, node: Rc<Node>, anchor: usize, report: &mut Report) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES_MAX || node.weight > NODES_MAX || node.height > HEIGHT_MAX {
            return stop(node.mark, "the file holds too many values, or aliases multiply them");
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let path = self.path_if_duplicate();
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.weight = parent.weight.saturating_add(node.weight);
        parent.height = parent.height.max(node.height);
        match &mut parent.inside {
            Inside::List(items) => items.push(node),
            Inside::Map { entries, names, key } => match key.take() {
                None => *key = Some(key_of(&node)?),
                Some(key) if names.insert(key.text.clone()) => entries.push((key, node)),
                Some(key) => report.fault(
                    key.mark,
                    &path.unwrap_or_default(),
                    format!("`{}` is given twice", shown(&key.text)),
                    Some("keep one of them"),
                ),
            },
        }
        Ok(())
    }

    /// The path, if the value being completed has a key that is there already; building it always would cost.
    fn path_if_duplicate(&self) -> Option<String> {
        let parent = self.open.last()?;
        match &parent.inside {
            Inside::Map { names, key: Some(key), .. } if names.contains(&key.text) => {
                Some(self.path())
            }
            _ => None,
        }
    }

    /// Where reading stands, as `backends[0].models[1].id`.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.inside {
                Inside::List(items) => path = format!("{path}[{}]", items.len()),
                Inside::Map { key: Some(key), .. } => {
                    path = joined(&path, &key.text);
                }
                Inside::Map { .. } => {}
            }
        }
        path
    }
}

fn stop<T>(mark: Mark, message: &str) -> Result<T, Stop> {
    Err(Stop { mark, message: message.to_owned() })
}

fn key_of(node: &Node) -> Result<Key, Stop> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(Key { text: text.clone(), mark: node.mark }),
        Value::Null | Value::List(_) | Value::Map(_) => stop(node.mark, "a key must be a word"),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = matches!(style, ScalarStyle::Plain);
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar { text: text.to_owned(), plain }
}
