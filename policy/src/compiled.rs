//! A policy in the form that decides: blocks by name, endpoints by host and port, binaries by number.
//!
//! Not here: the decisions (`connect`, `request`). Invariant: what matches here is what matches in the
//! [`PolicyFile`] entry by entry; a property test holds the two against each other.

use domain::Host;

use crate::{
    binaries::Binaries,
    inference,
    model::{Block, Endpoint, PolicyFile, Protocol},
    question::Connect,
    trie::{Entry, Trie},
};

/// A policy, ready to decide. Cheap to share: put it into an `Arc` and replace that.
#[derive(Clone, Debug)]
pub struct Policy {
    file: PolicyFile,
    /// The blocks with their keys, in the order of their names, then of their keys.
    blocks: Vec<(Box<str>, Block)>,
    hosts: Trie,
    /// The ports of all endpoints, sorted.
    ports: Vec<u16>,
    binaries: Binaries,
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
        let all = || (0_u32..).zip(named.iter().map(|(_, _, block)| *block));
        let mut entries = Vec::new();
        for (index, block) in all() {
            for (place, endpoint) in (0_u32..).zip(&block.endpoints) {
                let inspected = endpoint.protocol.is_some_and(Protocol::is_inspected);
                let entry =
                    |port: &u16| Entry { port: *port, block: index, endpoint: place, inspected };
                let host = endpoint.host.as_ref();
                entries.extend(endpoint.ports.iter().map(|port| (host, entry(port))));
            }
        }
        let mut ports: Vec<u16> = entries.iter().map(|(_, entry)| entry.port).collect();
        ports.sort_unstable();
        ports.dedup();
        let hosts = Trie::new(entries);
        let binaries = Binaries::new(all().map(|(index, block)| (index, &*block.binaries)));
        let block =
            |(_, key, block): &(&str, &String, &Block)| (key.as_str().into(), (*block).clone());
        let blocks = named.iter().map(block).collect();
        Self { file, blocks, hosts, ports, binaries }
    }

    /// The policy as it was written.
    pub fn file(&self) -> &PolicyFile {
        &self.file
    }

    /// Whether some caller may reach the host at some port. Says nothing about known model APIs; for these there is
    /// [`inference::is_model_api_host`].
    pub fn could_reach(&self, host: &Host) -> bool {
        host.name() == Some(inference::INFERENCE_HOST) || self.hosts.holds(host)
    }

    /// Whether some endpoint is about the port, whoever may use it and to whatever host.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.binary_search(&port).is_ok()
    }

    /// Calls `found` with each entry that is about the destination and whose block lists the caller, in no order;
    /// says whether any entry is about the destination.
    pub(crate) fn granted(&self, question: &Connect<'_>, mut found: impl FnMut(Entry)) -> bool {
        let mut known = None;
        let mut listed = false;
        self.hosts.each(question.to, |entries| {
            listed = true;
            known
                .get_or_insert_with(|| self.binaries.known(&question.caller))
                .among(entries, &mut found);
        });
        listed
    }

    /// The first endpoint, in the order of names, that is about the destination, whoever its block lists.
    pub(crate) fn listed(&self, question: &Connect<'_>) -> Option<Place<'_>> {
        let mut first: Option<Entry> = None;
        self.hosts.each(question.to, |entries| {
            first = first.into_iter().chain(entries.first().copied()).min();
        });
        first.and_then(|entry| self.place(entry))
    }

    /// Where an entry stands.
    pub(crate) fn place(&self, entry: Entry) -> Option<Place<'_>> {
        let (key, block) = self.blocks.get(number(entry.block))?;
        let index = number(entry.endpoint);
        Some(Place { key, block, index, endpoint: block.endpoints.get(index)? })
    }

    /// Every block with its key, in the order of their names.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&str, &Block)> {
        self.blocks.iter().map(|(key, block)| (&**key, block))
    }
}

fn number(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
