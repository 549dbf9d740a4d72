//! Host patterns as a tree of labels, read from the right, so that a name is looked up once however many patterns
//! there are.
//!
//! Invariant: a lookup gives exactly the entries whose pattern matches the host and whose port is the one asked
//! for; it allocates nothing. Addresses have a map of their own: no wildcard ever matches one.

use std::{collections::BTreeMap, net::IpAddr};

use domain::{Destination, Host};

use crate::{
    host_pattern::{HostPattern, between},
    prefix,
};

/// What is found at a host: an endpoint of a block, by index, and one of its ports. Ordered by port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) port: u16,
    pub(crate) block: u32,
    pub(crate) endpoint: u32,
    /// Whether each request there is looked at.
    pub(crate) inspected: bool,
}

/// Entries in order.
type Bucket = Vec<Entry>;

/// Entries by the hosts they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trie {
    root: Node,
    addresses: BTreeMap<IpAddr, Bucket>,
    anywhere: Bucket,
}

#[derive(Clone, Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    /// The name that ends here.
    exact: Bucket,
    /// One label more.
    one: Bucket,
    /// One label more, or several.
    many: Bucket,
    /// One label more that begins and ends so.
    partial: BTreeMap<Box<str>, BTreeMap<Box<str>, Bucket>>,
}

impl Trie {
    /// A tree of all patterns; `None` is any host.
    pub(crate) fn new<'p>(all: impl IntoIterator<Item = (Option<&'p HostPattern>, Entry)>) -> Self {
        let mut trie = Self::default();
        for (pattern, entry) in all {
            trie.insert(pattern, entry);
        }
        trie.anywhere.sort_unstable();
        trie.addresses.values_mut().for_each(|bucket| bucket.sort_unstable());
        trie.root.sort();
        trie
    }

    fn insert(&mut self, pattern: Option<&HostPattern>, entry: Entry) {
        let bucket = match pattern {
            None => &mut self.anywhere,
            Some(HostPattern::Exact(host)) => match host.address() {
                Some(address) => self.addresses.entry(address).or_default(),
                None => &mut self.root.below(host.name().unwrap_or_default()).exact,
            },
            Some(HostPattern::One(suffix)) => &mut self.root.below(suffix).one,
            Some(HostPattern::Many(suffix)) => &mut self.root.below(suffix).many,
            Some(HostPattern::Partial { begin, end, suffix }) => {
                self.root.below(suffix).partial_bucket(begin, end)
            }
        };
        bucket.push(entry);
    }

    /// Calls `found` with entries that are about the destination, in pieces that are in order.
    pub(crate) fn each<'t>(&'t self, to: &Destination, mut found: impl FnMut(&'t [Entry])) {
        let port = to.port();
        self.buckets(&to.host, &mut |bucket| give(bucket, port, &mut found));
    }

    /// Whether any entry is about the host, at whatever port.
    pub(crate) fn holds(&self, host: &Host) -> bool {
        let mut holds = false;
        self.buckets(host, &mut |bucket| holds |= !bucket.is_empty());
        holds
    }

    fn buckets<'t>(&'t self, host: &Host, found: &mut impl FnMut(&'t Bucket)) {
        found(&self.anywhere);
        match host.address() {
            Some(address) => {
                if let Some(bucket) = self.addresses.get(&address) {
                    found(bucket);
                }
            }
            None => self.name(host, found),
        }
    }

    fn name<'t>(&'t self, host: &Host, found: &mut impl FnMut(&'t Bucket)) {
        let mut rest = host.name().unwrap_or_default();
        let mut node = &self.root;
        loop {
            if rest.is_empty() {
                found(&node.exact);
                return;
            }
            found(&node.many);
            let (before, label) = rest.rsplit_once('.').unwrap_or(("", rest));
            if before.is_empty() {
                found(&node.one);
                prefix::each(&node.partial, label, |begin, ends| {
                    for (end, bucket) in ends.iter().filter(|(end, _)| between(label, begin, end)) {
                        debug_assert!(label.len() >= begin.len() + end.len());
                        found(bucket);
                    }
                });
            }
            match node.children.get(label) {
                Some(child) => node = child,
                None => return,
            }
            rest = before;
        }
    }
}

impl Node {
    /// The node of a name, made where it is not there yet.
    fn below(&mut self, name: &str) -> &mut Self {
        name.rsplit('.').fold(self, |node, label| node.children.entry(label.into()).or_default())
    }

    /// Puts all buckets in order. A name has few labels, so this goes no deeper than they do.
    fn sort(&mut self) {
        for bucket in [&mut self.exact, &mut self.one, &mut self.many] {
            bucket.sort_unstable();
        }
        self.partial
            .values_mut()
            .flat_map(BTreeMap::values_mut)
            .for_each(|bucket| bucket.sort_unstable());
        self.children.values_mut().for_each(Self::sort);
    }

    fn partial_bucket(&mut self, begin: &str, end: &str) -> &mut Bucket {
        self.partial.entry(begin.into()).or_default().entry(end.into()).or_default()
    }
}

fn give<'t>(bucket: &'t Bucket, port: u16, found: &mut impl FnMut(&'t [Entry])) {
    let first = bucket.partition_point(|entry| entry.port < port);
    let rest = bucket.get(first..).unwrap_or_default();
    let count = rest.partition_point(|entry| entry.port == port);
    match rest.get(..count) {
        None | Some([]) => {}
        Some(entries) => found(entries),
    }
}
