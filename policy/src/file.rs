//! The policy file: YAML text in, a [`PolicyFile`] or everything that is wrong with it out.
//!
//! Here: the sections. Below: what is fixed at start (`fixed`), who may reach what (`block`, `endpoint`, `rules`,
//! `options`), what looks at requests (`middleware`), and the way back to text (`print`).
//! Not here: files, decisions. Invariant: a file with any fault gives no policy, and all faults are found in one go.

mod block;
mod endpoint;
mod fixed;
mod middleware;
mod options;
mod overlap;
pub(crate) mod print;
mod rules;

use document::{Fault, Kind, Mark, Notice, Report, Spot, Table};

use crate::model::PolicyFile;

/// Largest policy file, bytes. A thousand endpoints with rules take 300 KiB.
pub const FILE_BYTES_MAX: usize = 1 << 20;

const SECTIONS: &[&str] = &[
    "version",
    "filesystem_policy",
    "landlock",
    "process",
    "network_policies",
    "network_middlewares",
];

/// The policy of a sandbox that was given none: its own files, and no network but inference.
const RESTRICTIVE: &str = include_str!("restrictive.yaml");

impl PolicyFile {
    /// Reads a policy file: the policy and what is odd about it, the latter in the order of the file.
    ///
    /// # Errors
    /// All faults, in the order of the file; never empty. Beyond a hundred they are only counted. Any text is
    /// answered in bounded time and memory, so this is also what a fuzzer calls.
    pub fn parse(text: &str) -> Result<(Self, Vec<Notice>), Vec<Fault>> {
        let mut report = Report::default();
        let policy = whole(text, &mut report);
        report.give(policy)
    }

    /// The policy of a sandbox that was given none: its own files, and no network but inference.
    pub fn restrictive() -> Self {
        // A test holds that the text is sound; the empty policy allows even less.
        Self::parse(RESTRICTIVE).map(|(policy, _)| policy).unwrap_or_default()
    }
}

fn whole(text: &str, report: &mut Report) -> Option<PolicyFile> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has more than {FILE_BYTES_MAX} bytes");
        report.fault(Mark { line: 1, column: 1 }, "", message, None);
        return None;
    }
    let root = document::read(text, "it needs at least `version: 1`", report)?;
    let table = Spot::root(&root).table(SECTIONS, report)?;
    version(&table, report);
    let policy = PolicyFile {
        filesystem: fixed::filesystem(&table, report),
        landlock: fixed::landlock(&table, report),
        process: fixed::process(&table, report),
        network: block::read(&table, report),
        middlewares: middleware::read(&table, report),
    };
    report.is_sound().then_some(policy)
}

fn version(table: &Table<'_>, report: &mut Report) {
    let Some(spot) = table.need("version", "begin the file with `version: 1`", report) else {
        return;
    };
    if spot.text(report).is_some_and(|version| version != "1") {
        spot.fault(report, "this version of the format is not known", Some("write `version: 1`"));
    }
}

/// A field that is as good as absent when it is empty.
fn optional<'n>(table: &Table<'n>, name: &str) -> Option<Spot<'n>> {
    table.take(name).filter(|spot| !matches!(spot.kind(), Kind::Scalar { text: "", .. }))
}

/// A switch that is off where the file is silent.
fn switch(table: &Table<'_>, name: &str, report: &mut Report) -> bool {
    table.take(name).and_then(|spot| spot.boolean(report)).unwrap_or_default()
}

/// A list of texts.
fn texts(spot: &Spot<'_>, report: &mut Report) -> Vec<String> {
    let items = spot.list(report);
    items.iter().filter_map(|item| item.text(report).map(str::to_owned)).collect()
}
