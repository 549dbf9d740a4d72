//! Which blocks list a caller, found by its paths and not by trying each block.
//!
//! Invariant: a block is known here exactly when one of its patterns matches one of the caller's paths; a property
//! test holds this against a walk over all blocks.

use std::collections::{BTreeMap, HashMap};

use crate::{glob::Glob, model::BinaryPattern, prefix, question::Caller, trie::Entry};

/// Most lists of blocks that are kept for a caller; one for each of its paths and patterns that match. Beyond, the
/// lists are looked up again for every piece of entries.
const LISTS_MAX: usize = 16;

/// All patterns with the blocks that list them, each list in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Binaries {
    exact: HashMap<Box<str>, Vec<u32>>,
    /// By what every match begins with.
    globs: BTreeMap<Box<str>, Vec<(Glob, Vec<u32>)>>,
}

/// The blocks that list a caller.
#[derive(Clone, Copy)]
pub(crate) struct Known<'p> {
    binaries: &'p Binaries,
    caller: Caller<'p>,
    lists: [&'p [u32]; LISTS_MAX],
    count: usize,
    overflow: bool,
}

impl Binaries {
    /// The patterns of all blocks, which come with their numbers in order.
    pub(crate) fn new<'p>(blocks: impl Iterator<Item = (u32, &'p [BinaryPattern])>) -> Self {
        let mut all = Self::default();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (block, patterns) in blocks {
            for pattern in patterns {
                if !pattern.is_glob() {
                    add(all.exact.entry(pattern.as_str().into()).or_default(), block);
                    continue;
                }
                let globs = all.globs.entry(pattern.0.prefix().into()).or_default();
                // The same text is the same glob, and stands under the same prefix.
                let at = *places.entry(pattern.as_str()).or_insert(globs.len());
                if at == globs.len() {
                    globs.push((pattern.0.clone(), Vec::new()));
                }
                if let Some((_, blocks)) = globs.get_mut(at) {
                    add(blocks, block);
                }
            }
        }
        all
    }

    /// The blocks that list the caller or one of its ancestors.
    pub(crate) fn known<'p>(&'p self, caller: &Caller<'p>) -> Known<'p> {
        let mut known = Known {
            binaries: self,
            caller: *caller,
            lists: [&[]; LISTS_MAX],
            count: 0,
            overflow: false,
        };
        self.each(caller, |list| match known.lists.get_mut(known.count) {
            Some(slot) => {
                *slot = list;
                known.count += 1;
            }
            None => known.overflow = true,
        });
        known
    }

    /// Calls `found` with each list of blocks that a path of the caller leads to.
    fn each<'p>(&'p self, caller: &Caller<'_>, mut found: impl FnMut(&'p [u32])) {
        for path in caller.paths() {
            if let Some(list) = self.exact.get(path) {
                found(list);
            }
            prefix::each(&self.globs, path, |_, globs| {
                for (_, list) in globs.iter().filter(|(glob, _)| glob.matches(path)) {
                    found(list);
                }
            });
        }
    }
}

fn add(list: &mut Vec<u32>, block: u32) {
    if list.last() != Some(&block) {
        list.push(block);
    }
}

impl Known<'_> {
    /// Calls `found` with each of the entries, which are in order, whose block lists the caller.
    pub(crate) fn among(&self, entries: &[Entry], found: &mut impl FnMut(Entry)) {
        if self.overflow {
            let listed = |entry: &&Entry| {
                let mut listed = false;
                self.binaries.each(&self.caller, |list| {
                    listed |= list.binary_search(&entry.block).is_ok();
                });
                listed
            };
            entries.iter().filter(listed).for_each(|entry| found(*entry));
            return;
        }
        let lists = self.lists.get(..self.count).unwrap_or_default();
        let blocks: usize = lists.iter().map(|list| list.len()).sum();
        // Look up the fewer among the more.
        if blocks < entries.len() / 8 {
            for (index, list) in lists.iter().enumerate() {
                let before = lists.get(..index).unwrap_or_default();
                for block in list.iter().filter(|block| !holds(before, **block)) {
                    let first = entries.partition_point(|entry| entry.block < *block);
                    let rest = entries.get(first..).unwrap_or_default();
                    rest.iter()
                        .take_while(|entry| entry.block == *block)
                        .for_each(|entry| found(*entry));
                }
            }
            return;
        }
        // Entries of one block follow each other.
        let mut last = None;
        for entry in entries {
            let listed = match last {
                Some((block, listed)) if block == entry.block => listed,
                _ => holds(lists, entry.block),
            };
            last = Some((entry.block, listed));
            if listed {
                found(*entry);
            }
        }
    }
}

fn holds(lists: &[&[u32]], block: u32) -> bool {
    lists.iter().any(|list| list.binary_search(&block).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> BinaryPattern {
        let glob = text.contains('*');
        let compiled = if glob { Glob::path(text).unwrap() } else { Glob::exact(text) };
        BinaryPattern(compiled, glob)
    }

    /// Forty blocks, each with a pattern of its own and one that every third shares.
    fn blocks(own: fn(usize) -> String) -> Vec<Vec<BinaryPattern>> {
        let shared = |index: usize| if index.is_multiple_of(3) { "/usr/**" } else { "/none" };
        (0..40).map(|index| vec![pattern(&own(index)), pattern(shared(index))]).collect()
    }

    #[test]
    fn blocks_are_known_as_a_walk_over_them_knows_them() {
        let owns: [fn(usize) -> String; 3] = [
            |index| format!("/opt/tool{index}"),
            |index| format!("/o*/tool{index}"),
            // All match, more than there is room for.
            |index| {
                format!(
                    "/opt/{}*",
                    "tool".get(..index % 5).unwrap_or("tool").to_owned() + &"*".repeat(index)
                )
            },
        ];
        for own in owns {
            let blocks = blocks(own);
            let numbered = || (0_u32..).zip(blocks.iter().map(Vec::as_slice));
            let binaries = Binaries::new(numbered());
            let ancestors = ["/opt/tool7".to_owned(), "/usr/bin/x".to_owned()];
            for (binary, ancestors) in
                [("/opt/tool3", &ancestors[..]), ("/opt/tool3", &[]), ("/x", &[])]
            {
                let caller = Caller { binary, ancestors };
                let entry = |block| Entry { port: 1, block, ..Entry::default() };
                for count in [1, 40] {
                    let entries: Vec<Entry> = (0..40).take(count).map(entry).collect();
                    let mut found = Vec::new();
                    binaries.known(&caller).among(&entries, &mut |entry| found.push(entry.block));
                    found.sort_unstable();
                    let matching = numbered().take(count).filter(|(_, patterns)| {
                        caller.paths().any(|path| patterns.iter().any(|one| one.matches(path)))
                    });
                    let expected: Vec<u32> = matching.map(|(block, _)| block).collect();
                    assert_eq!(found, expected, "{binary} {}", own(3));
                }
            }
        }
    }
}
