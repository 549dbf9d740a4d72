//! A policy in the form that decides: blocks by name, endpoints by host and port, binaries by number.
//!
//! Not here: the decisions (`connect`, `request`). Invariant: what matches here is what matches in the
//! [`PolicyFile`] entry by entry; a property test holds the two against each other.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{BinaryPattern, Block, Endpoint, PolicyFile},
    question::{Caller, Connect},
    trie::{Entry, Trie},
};

/// A policy, ready to decide. Cheap to share: put it into an `Arc` and replace that.
#[derive(Clone, Debug)]
pub struct Policy {
    file: Arc<PolicyFile>,
    /// In the order of their names, then of their keys.
    blocks: Vec<Compiled>,
    hosts: Trie,
    binaries: HashMap<Box<str>, u32>,
}

#[derive(Clone, Debug)]
struct Compiled {
    key: Box<str>,
    block: Block,
    /// Numbers of the binaries without wildcards, in order.
    exact: Box<[u32]>,
    globs: Box<[BinaryPattern]>,
}

/// An endpoint with the block it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The block's key in the file.
    pub key: &'p str,
    /// The block.
    pub block: &'p Block,
    /// Which of the block's endpoints, from 0.
    pub index: usize,
    /// The endpoint.
    pub endpoint: &'p Endpoint,
}

impl<'p> Place<'p> {
    /// How the block is called: its name, or its key.
    pub fn name(&self) -> &'p str {
        self.block.name.as_deref().unwrap_or(self.key)
    }
}

impl Policy {
    /// Compiles a policy. Every policy that was read can be compiled.
    pub fn new(file: PolicyFile) -> Self {
        let mut named: Vec<(&str, &String, &Block)> = Vec::new();
        for (key, block) in &file.network {
            named.push((block.name.as_deref().unwrap_or(key), key, block));
        }
        named.sort_by_key(|(name, key, _)| (*name, *key));
        let mut binaries = HashMap::new();
        let blocks: Vec<Compiled> =
            named.iter().map(|(_, key, block)| compiled(key, block, &mut binaries)).collect();
        let mut entries = Vec::new();
        for (index, (_, _, block)) in (0_u32..).zip(&named) {
            for (place, endpoint) in (0_u32..).zip(&block.endpoints) {
                let entry = |port: &u16| Entry { port: *port, block: index, endpoint: place };
                let host = endpoint.host.as_ref();
                entries.extend(endpoint.ports.iter().map(|port| (host, entry(port))));
            }
        }
        let hosts = Trie::new(entries);
        Self { file: Arc::new(file), blocks, hosts, binaries }
    }

    /// The policy as it was written.
    pub fn file(&self) -> &PolicyFile {
        &self.file
    }

    /// Calls `found` for each endpoint that is about the destination of the question, and says whether its block
    /// knows the caller. In no order.
    pub(crate) fn each<'p>(&'p self, question: &Connect<'_>, mut found: impl FnMut(Found<'p>)) {
        let mut caller = None;
        let mut last = None;
        self.hosts.each(question.to, |entry| {
            let Some(compiled) = self.blocks.get(index(entry.block)) else { return };
            let Some(endpoint) = compiled.block.endpoints.get(index(entry.endpoint)) else {
                return;
            };
            let known = match last {
                Some((block, known)) if block == entry.block => known,
                _ => {
                    let caller = caller.get_or_insert_with(|| self.numbers(&question.caller));
                    compiled.knows(caller, &question.caller)
                }
            };
            last = Some((entry.block, known));
            let place = Place {
                key: &compiled.key,
                block: &compiled.block,
                index: index(entry.endpoint),
                endpoint,
            };
            found(Found { rank: entry.block, known, place });
        });
    }

    /// Every block with its key, in the order of their names.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&str, &Block)> {
        self.blocks.iter().map(|compiled| (&*compiled.key, &compiled.block))
    }

    fn numbers(&self, caller: &Caller<'_>) -> Numbers {
        let mut numbers = Numbers::default();
        if !self.binaries.is_empty() {
            for path in caller.paths() {
                if let Some(number) = self.binaries.get(path) {
                    numbers.push(*number);
                }
            }
        }
        numbers
    }
}

fn compiled(key: &str, block: &Block, binaries: &mut HashMap<Box<str>, u32>) -> Compiled {
    let mut exact = Vec::new();
    for binary in block.binaries.iter().filter(|binary| !binary.is_glob()) {
        let next = u32::try_from(binaries.len()).unwrap_or(u32::MAX);
        exact.push(*binaries.entry(binary.as_str().into()).or_insert(next));
    }
    exact.sort_unstable();
    let globs = block.binaries.iter().filter(|binary| binary.is_glob()).cloned();
    Compiled { key: key.into(), block: block.clone(), exact: exact.into(), globs: globs.collect() }
}

/// An endpoint that is about a destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'p> {
    /// The place of its block in the order of names.
    pub(crate) rank: u32,
    /// Whether the block lists the caller.
    pub(crate) known: bool,
    pub(crate) place: Place<'p>,
}

/// The numbers of a caller's paths.
#[derive(Clone, Copy)]
struct Numbers {
    all: [u32; Caller::PATHS_MAX],
    count: usize,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { all: [0; Caller::PATHS_MAX], count: 0 }
    }
}

impl Numbers {
    fn push(&mut self, number: u32) {
        if let Some(slot) = self.all.get_mut(self.count) {
            *slot = number;
            self.count += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &u32> {
        self.all.iter().take(self.count)
    }
}

impl Compiled {
    fn knows(&self, numbers: &Numbers, caller: &Caller<'_>) -> bool {
        numbers.iter().any(|number| self.exact.binary_search(number).is_ok())
            || self.globs.iter().any(|glob| caller.paths().any(|path| glob.matches(path)))
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
