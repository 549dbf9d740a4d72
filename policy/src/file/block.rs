//! The section `network_policies`: who may reach what.

use std::collections::BTreeMap;

use document::{Key, Report, Spot, Table, joined};

use super::{endpoint, optional, overlap};
use crate::{
    glob::Glob,
    model::{BinaryPattern, Block},
};

/// Most entries of the section.
const BLOCKS_MAX: usize = 10_000;

/// All entries, by key.
pub(super) fn read(table: &Table<'_>, report: &mut Report) -> BTreeMap<String, Block> {
    let Some(section) = table.take("network_policies") else { return BTreeMap::new() };
    let entries = section.entries(report);
    if entries.len() > BLOCKS_MAX {
        section.fault(report, format!("at most {BLOCKS_MAX} policies are possible"), None);
    }
    let mut blocks = BTreeMap::new();
    for (key, spot) in entries.iter().take(BLOCKS_MAX) {
        if let Some(block) = block(key, spot, report) {
            blocks.insert(key.text.clone(), block);
        }
    }
    blocks
}

fn block(key: &Key, spot: &Spot<'_>, report: &mut Report) -> Option<Block> {
    let fields = spot.table(&["name", "endpoints", "binaries"], report)?;
    if key.text.is_empty() {
        report.fault(key.mark, &spot.path, "a policy needs a name as its key", None);
    }
    let name = optional(&fields, "name").and_then(|spot| spot.text(report)).map(str::to_owned);
    let binaries = binaries(&fields, key, report);
    let mut endpoints = Vec::new();
    let mut marks = Vec::new();
    let list = fields.take("endpoints").map(|spot| spot.list(report)).unwrap_or_default();
    for spot in &list {
        if let Some(endpoint) = endpoint::read(spot, report) {
            endpoints.push(endpoint);
            marks.push((spot.mark(), spot.path.clone()));
        }
    }
    if list.is_empty() {
        report.notice(key.mark, &fields.path, "no endpoint is listed, so nothing can be reached");
    }
    overlap::check(&endpoints, &marks, report);
    Some(Block { name, endpoints, binaries })
}

fn binaries(fields: &Table<'_>, key: &Key, report: &mut Report) -> Vec<BinaryPattern> {
    let list = fields.take("binaries").map(|spot| spot.list(report)).unwrap_or_default();
    if list.is_empty() {
        let message = "no binary is listed, so nobody can use this policy";
        report.notice(key.mark, &fields.path, message);
    }
    list.iter().filter_map(|spot| binary(spot, report)).collect()
}

fn binary(spot: &Spot<'_>, report: &mut Report) -> Option<BinaryPattern> {
    if spot.is_scalar() {
        spot.fault(report, "expected a mapping", Some("write {path: /usr/bin/NAME}"));
        return None;
    }
    let fields = spot.table(&["path", "harness"], report)?;
    let path = fields.need("path", "as {path: /usr/bin/curl}", report)?;
    let text = path.text(report)?;
    if !text.starts_with(['/', '*']) {
        path.notice(report, "a binary is known by its absolute path, so this matches none");
    }
    if !text.contains('*') {
        return Some(BinaryPattern(Glob::exact(text), false));
    }
    match Glob::path(text) {
        Ok(glob) => Some(BinaryPattern(glob, true)),
        Err(error) => {
            let place = joined(&spot.path, "path");
            let message = format!("bad glob syntax, so this matches no binary: {error}");
            report.notice(path.mark(), &place, message);
            Some(BinaryPattern(Glob::exact(text), true).never())
        }
    }
}

impl BinaryPattern {
    /// The same text, matching nothing: no path holds a null character.
    fn never(self) -> Self {
        Self(self.0.never(), true)
    }
}
