//! Finds a member name that occurs twice in one object.
//!
//! Few names are compared pairwise, many are sorted. Sorting takes `n log n` comparisons whatever the names are, so
//! nobody can choose names that make it slow, and it needs no random seed as a hash table would.

use std::borrow::Cow;

use crate::json::{
    tape::{Kind, Node},
    unescape,
};

/// Up to this many names are compared pairwise: 28 comparisons of lengths, seldom of bytes.
const PAIRWISE_MAX: usize = 8;

/// The node of a name that occurred before in the object at node `object`, whose nodes are complete.
pub(super) fn duplicate(text: &str, nodes: &[Node], object: usize) -> Option<u32> {
    let mut few: [Option<Node>; PAIRWISE_MAX] = [None; PAIRWISE_MAX];
    let mut slots = few.iter_mut();
    let mut seen = 0_usize;
    for (_, key) in names(nodes, object) {
        let Some(slot) = slots.next() else {
            return sorted_duplicate(text, nodes, object);
        };
        *slot = Some(key);
        seen = seen.saturating_add(1);
    }
    let few = few.get(..seen).unwrap_or_default();
    pairwise_duplicate(text, few).and_then(|index| names(nodes, object).nth(index)).map(|(n, _)| n)
}

/// Index of the first name that equals an earlier one.
fn pairwise_duplicate(text: &str, names: &[Option<Node>]) -> Option<usize> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = name.as_ref()?;
        let earlier = names.get(..index).unwrap_or_default();
        earlier.iter().flatten().any(|other| same(text, name, other)).then_some(index)
    })
}

fn same(text: &str, one: &Node, other: &Node) -> bool {
    if one.escaped || other.escaped {
        return name(text, one) == name(text, other);
    }
    one.end.wrapping_sub(one.start) == other.end.wrapping_sub(other.start)
        && raw(text, one) == raw(text, other)
}

fn sorted_duplicate(text: &str, nodes: &[Node], object: usize) -> Option<u32> {
    let mut all: Vec<(Cow<'_, str>, u32)> =
        names(nodes, object).map(|(number, key)| (name(text, &key), number)).collect();
    all.sort_unstable();
    let pairs = all.iter().zip(all.iter().skip(1));
    pairs.filter(|(one, other)| one.0 == other.0).map(|(_, other)| other.1).min()
}

fn raw<'a>(text: &'a str, key: &Node) -> &'a str {
    text.get(key.start as usize..key.end as usize).unwrap_or_default()
}

fn name<'a>(text: &'a str, key: &Node) -> Cow<'a, str> {
    if key.escaped { unescape(raw(text, key)) } else { Cow::Borrowed(raw(text, key)) }
}

/// The names of the object at node `object`, with their numbers.
fn names(nodes: &[Node], object: usize) -> impl Iterator<Item = (u32, Node)> + '_ {
    let mut at = u32::try_from(object).unwrap_or(u32::MAX).saturating_add(1);
    std::iter::from_fn(move || {
        let number = at;
        let key = nodes.get(number as usize).filter(|node| node.kind == Kind::Key)?;
        let value = nodes.get(key.next as usize)?;
        at = value.next;
        Some((number, *key))
    })
}
