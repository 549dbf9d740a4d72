//! The router file: YAML text in, a [`Configuration`] or everything that is wrong with it out.
//!
//! Here: the sections and their joint checks. Below: the sections (`backend`, `model`, `sensitivity`, `limits`).
//! Not here: reading YAML with places (`document`), files, the environment (`${NAME}` is not expanded), credentials.
//!
//! Invariant: a file with any fault gives no configuration, and all faults are found in one go.

mod backend;
mod edit;
mod limits;
mod model;
mod scalar;
mod sensitivity;

use std::collections::HashSet;

pub use document::{Fault, Notice};
use document::{Mark, Report, Spot, Table};
pub use edit::{EditError, add_backend, remove_backend, replace_backend};
use router::decide::{Alias, Settings, UnknownModel};

use crate::configuration::Configuration;

/// Largest router file, bytes. A hundred backends with ten models each take 100 KiB.
pub const FILE_BYTES_MAX: usize = 1 << 20;

const SECTIONS: &[&str] = &[
    "version",
    "backends",
    "aliases",
    "unknown_model",
    "sensitivity",
    "budgets",
    "timeouts",
    "server",
    "audit",
];

/// Reads a router file: the configuration and what is odd about it, both in the order of the file.
///
/// # Errors
/// All faults, in the order of the file; never empty. Beyond a hundred they are only counted. Any text is answered
/// in bounded time and memory, so this is also what a fuzzer calls.
pub fn parse(text: &str) -> Result<(Configuration, Vec<Notice>), Vec<Fault>> {
    let mut report = Report::default();
    let configuration = whole(text, &mut report);
    report.give(configuration)
}

fn whole(text: &str, report: &mut Report) -> Option<Configuration> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has more than {FILE_BYTES_MAX} bytes");
        report.fault(Mark { line: 1, column: 1 }, "", message, None);
        return None;
    }
    let help = "it needs at least `version: 1` and `backends`";
    let root = document::read(text, help, report)?;
    let table = Spot::root(&root).table(SECTIONS, report)?;
    version(&table, report);
    let (rules, terms) = sensitivity::read(&table, report);
    let backends = backend::read(&table, report);
    let mut places = Vec::new();
    for (index, (backend, _)) in backends.iter().enumerate() {
        places.extend((0..backend.models.len()).map(|model| (index, model)));
    }
    let (backends, candidates): (Vec<_>, Vec<_>) = backends.into_iter().unzip();
    let mut settings = Settings {
        rules,
        aliases: Vec::new(),
        unknown_model: unknown_model(&table, report),
        candidates: candidates.into_iter().flatten().collect(),
        budgets: limits::budgets(&table, &backends, report),
    };
    settings.aliases = aliases(&table, &settings, report);
    let configuration = Configuration {
        timeouts: limits::timeouts(&table, report),
        server: limits::server(&table, report),
        audit: limits::audit(&table, report),
        backends,
        settings,
        terms,
        places,
    };
    report.is_sound().then_some(configuration)
}

fn version(table: &Table<'_>, report: &mut Report) {
    let Some(spot) = table.need("version", "begin the file with `version: 1`", report) else {
        return;
    };
    if spot.text(report).is_some_and(|version| version != "1") {
        spot.fault(report, "this version of the format is not known", Some("write `version: 1`"));
    }
}

fn unknown_model(table: &Table<'_>, report: &mut Report) -> UnknownModel {
    let words = [("auto", UnknownModel::Auto), ("reject", UnknownModel::Reject)];
    let spot = table.take("unknown_model");
    spot.and_then(|spot| spot.word(&words, report)).unwrap_or_default()
}

/// The aliases; `auto` alone where the section is missing.
fn aliases(table: &Table<'_>, settings: &Settings, report: &mut Report) -> Vec<Alias> {
    let Some(section) = table.take("aliases") else {
        return vec![Alias { name: "auto".to_owned(), min_quality: None }];
    };
    let models: HashSet<&str> = settings.candidates.iter().map(|c| c.model.as_str()).collect();
    let best =
        settings.candidates.iter().filter(|c| !c.abilities.embeddings).map(|c| c.quality).max();
    let mut aliases = Vec::new();
    for (key, spot) in section.entries(report) {
        if let Err(error) = key.text.parse::<domain::ModelName>() {
            report.fault(key.mark, &spot.path, error.to_string(), None);
        }
        if models.contains(key.text.as_str()) {
            report.notice(key.mark, &spot.path, "this alias has the name of a model and hides it");
        }
        let fields = spot.table(&["min_quality"], report);
        let field = fields.and_then(|fields| fields.take("min_quality"));
        let min_quality = field.as_ref().and_then(|field| quality(field, report));
        if let (Some(field), Some(asked)) = (&field, min_quality) {
            unserved(field, asked, best, report);
        }
        aliases.push(Alias { name: key.text.clone(), min_quality });
    }
    aliases
}

fn unserved(field: &Spot<'_>, asked: u8, best: Option<u8>, report: &mut Report) {
    // Without any sound model, its own faults say what is wrong.
    if let Some(best) = best.filter(|best| *best < asked) {
        let message =
            format!("no model serves this alias: it asks for {asked}, the best has {best}");
        field.fault(report, message, Some("lower it, or set `quality` on a model"));
    }
}

/// A quality, 0 to 100.
fn quality(spot: &Spot<'_>, report: &mut Report) -> Option<u8> {
    spot.integer(0..=100, report).and_then(|number| u8::try_from(number).ok())
}

#[cfg(test)]
mod tests;
